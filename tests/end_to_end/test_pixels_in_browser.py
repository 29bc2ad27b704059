"""A mail opened in Chromium: after the duty nothing that nobody sees is asked of its server, and every picture is."""

import base64
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from relay.mail.incoming.text import text_of_part
from relay.mail.message import Message
from relay.render.copy import render_copy
from tests.support.browser import chromium
from tests.support.duties import a_letterhead, duty, treatment
from tests.support.pixel_forms import FORMS, ON_SMALL_SCREENS, SEEN, with_address
from tests.support.signing import a_message, octets, prepared, recipient

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PAGE = "<!DOCTYPE html><html><head><title>Spring</title></head><body><p>Spring</p>{}</body></html>\r\n"
ASLEEP = {
    "comment for Outlook",
    "background of what is hidden",
    "style element of what is hidden",
    "icon",
}
"""Forms that this browser leaves unasked: what stands behind what is hidden, icons without a window, what Outlook alone reads."""


class _Counting(BaseHTTPRequestHandler):
    """Answers each address with a picture, and notes it."""

    server: "Counter"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "image/gif")
        self.send_header("Content-Length", str(len(GIF)))
        self.end_headers()
        self.wfile.write(GIF)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Counter(ThreadingHTTPServer):
    """A server of pictures, and the addresses that it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Counting)
        self.asked: list[str] = []

    def address(self, number: int) -> str:
        return f"http://127.0.0.1:{self.server_port}/{number}"


@contextmanager
def counting():
    server = Counter()
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server():
    with counting() as running:
        yield running


@pytest.fixture(scope="module", params=["desk", "phone"])
def browser(request, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), phone=request.param == "phone") as running:
        running.is_phone = request.param == "phone"
        yield running


def treated(page: str) -> str:
    """The page as a recipient in France gets it."""
    message = a_message("Content-Type: text/html; charset=utf-8", body=page.encode())
    ready = prepared(message, treatment=treatment(duty("remove-pixels")), letterhead=a_letterhead())
    read = Message.parse(octets(render_copy(ready, [recipient()])))
    return text_of_part(read, read.structure.parts[0])


def opened(browser, server, folder, page, *awaited) -> list[str]:
    """What the server was asked for when the page, and a picture behind it that tells its end, was there."""
    server.asked.clear()
    end = server.address(99_999)
    file = folder / "mail.html"
    file.write_text(page.replace("</body>", f'<img src="{end}" width="9" height="9"></body>'), "utf-8")
    browser.get(file.as_uri())
    wanted = {address.rpartition("/")[2] for address in (*awaited, end)}
    WebDriverWait(browser, 60).until(lambda _: wanted <= {path[1:] for path in server.asked})
    return [path for path in server.asked if path != "/99999"]


@pytest.mark.parametrize("name", FORMS)
def test_what_nobody_sees_is_asked_of_nobody(browser, server, tmp_path, name):
    address = server.address(1)
    page = PAGE.format(with_address(FORMS[name], address))
    assert name in ASLEEP or opened(browser, server, tmp_path, page, address)
    assert opened(browser, server, tmp_path, treated(page)) == []


def test_every_picture_is_asked_for_beside_what_nobody_sees(browser, server, tmp_path):
    screens = {**SEEN, **(ON_SMALL_SCREENS if browser.is_phone else {})}
    alone = {name: form for name, form in screens.items() if "<style" not in form}
    addresses = [server.address(number) for number in range(2, len(alone) + 2)]
    seen = "".join(with_address(form, address) for form, address in zip(alone.values(), addresses, strict=True))
    unseen = "".join(with_address(form, server.address(1)) for form in FORMS.values() if "<style" not in form)
    page = PAGE.format(seen + unseen)
    assert "/1" in opened(browser, server, tmp_path, page, *addresses)
    assert "/1" not in opened(browser, server, tmp_path, treated(page), *addresses)


@pytest.mark.parametrize("name", [name for name, form in (SEEN | ON_SMALL_SCREENS).items() if "<style" in form])
def test_a_picture_of_a_style_element_is_asked_for(browser, server, tmp_path, name):
    form = (SEEN | ON_SMALL_SCREENS)[name]
    if name in ON_SMALL_SCREENS and not browser.is_phone:
        form = form.replace("max-width", "min-width")
    address = server.address(1)
    page = PAGE.replace("<head>", '<head><meta name="viewport" content="width=device-width">').format(with_address(form, address))
    assert treated(page) == page
    assert "/1" in opened(browser, server, tmp_path, treated(page), address)
