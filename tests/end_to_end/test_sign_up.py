"""Sign-up with double opt-in through the whole relay: the documented form, the mail, the page, the next newsletter."""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from email import message_from_bytes, policy
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from selenium.webdriver.common.by import By

from tests.support import axe
from tests.support.browser import asked, chromium, colours, follow
from tests.support.documents import ROOT, blocks
from tests.support.fixtures import an_upstream
from tests.support.nginx import Nginx
from tests.support.opt_in import a_relay_with_forms, token_in
from tests.support.ports import free_address
from tests.support.redis_server import RedisServer
from tests.support.scrape import samples
from tests.support.service import ACCOUNTS, NEWS, SHOP, message

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
TOKEN = "0123456789abcdef" * 2
RULE = (
    '\n[[rule]]\nid = "consent"\ncheck = "consent"\nconfirmed = true\naction = "reject"\n'
    '[[rule]]\nid = "proof"\ncheck = "consent-evidence"\naction = "reject"\n'
    'evidence = ["source_ref", "text_sha256", "method", "origin", "unticked"]\n'
)
ASKS = {"streams/newsletter.toml": [(r'refusals = "report"', 'refusals = "rcpt"'), (r"\Z", RULE)]}

upstream = an_upstream(scope="module", accounts=ACCOUNTS)


def fetch(method, url, fields=None, **head):
    """Status and page; `fields` are posted as a browser posts a form."""
    body = None if fields is None else urllib.parse.urlencode(fields).encode()
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in head.items()}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def call(address, path, body):
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), head)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def confirmation(upstream, recipient):
    """The confirmation mails that reached a recipient, as text."""
    found = [one for one in upstream.accepted if one.recipients == [recipient] and b"Auto-Submitted" in one.data]
    return [message_from_bytes(one.data, policy=policy.default) for one in found]


def link_to(relay, upstream, recipient):
    upstream.wait(lambda: confirmation(upstream, recipient))
    mail = confirmation(upstream, recipient)[-1]
    return f"http://{relay.public}/u/confirm/{token_in(mail.get_content())}"


def newsletter(relay, recipient):
    return relay.send(NEWS, [recipient], message(to=recipient))


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_who_signs_up_and_confirms_gets_the_next_newsletter_and_the_proof_is_whole(tmp_path, upstream, store):
    api, ada, bob = free_address(), f"ada-{store}@example.org", f"bob-{store}@example.org"
    with ExitStack() as stack:
        url = stack.enter_context(RedisServer(tmp_path / "redis")).url if store == "redis" else "sqlite"
        relay = stack.enter_context(a_relay_with_forms(tmp_path, upstream, store=url, api=api, token=TOKEN, policy=ASKS))
        assert newsletter(relay, ada)[0] == 550
        door = f"http://{relay.public}/u/sign-up/newsletter"
        told = {"email": ada, "lang": "en"}
        status, page = fetch("POST", door, told, X_Forwarded_For="10.9.9.9, 192.0.2.44")
        assert (status, "Look into your mailbox" in page) == (200, True)
        link = link_to(relay, upstream, ada)
        mail = confirmation(upstream, ada)[0]
        assert (str(mail["From"]), str(mail["Subject"])) == (SHOP, "Please confirm your sign-up · Example Company Ltd.")
        assert mail["DKIM-Signature"]
        assert newsletter(relay, ada)[0] == 550
        for method in ("GET", "HEAD", "OPTIONS"):  # a scanner that follows every link
            assert fetch(method, link)[0] in (200, 405)
        assert fetch("POST", link, {"anything": "else"})[0] == 400
        assert newsletter(relay, ada)[0] == 550
        status, page = fetch("POST", link, {"confirm": "yes", "lang": "en"}, X_Forwarded_For="198.51.100.7")
        assert (status, "Confirmed" in page) == (200, True)
        assert newsletter(relay, ada)[0] == 250
        shown = json.loads(relay.command("consent", "show", ada, "--origin", "--json").stdout)
        asked, confirmed = shown["events"]
        assert (asked["event"], confirmed["event"], confirmed["request"]) == ("requested", "confirmed", asked["id"])
        assert (confirmed["ip"], confirmed["asked_ip"], confirmed["lacks"]) == ("198.51.100.7", "192.0.2.44", [])
        assert confirmed["asked_at"] == asked["at"]
        assert call(api, "/v1/consents/ask", {"address": ada, "form": "newsletter"})[1]["why"] == "stands"
        status, answer = call(api, "/v1/consents/ask", {"address": bob, "form": "newsletter", "ip": "192.0.2.1"})
        assert (status, answer["sent"], answer["why"]) == (202, True, "")
        assert str(confirmation(upstream, bob)[0]["Subject"]).startswith("请确认您的登记")
        assert fetch("POST", link_to(relay, upstream, bob), {"confirm": "yes"})[0] == 200
        assert newsletter(relay, bob)[0] == 250
        counted = samples(relay)
        assert counted['relay_consent_requests_total{result="sent"}'] == 2
        assert counted['relay_consent_confirmations_total{result="confirmed"}'] == 2


def test_the_door_tells_the_same_of_every_mailbox_and_sends_one_mail(tmp_path, upstream):
    with a_relay_with_forms(tmp_path, upstream, policy=ASKS) as relay:
        door = f"http://{relay.public}/u/sign-up/newsletter"
        answers = [fetch("POST", door, {"email": EVE, "lang": "zh"}) for _ in range(3)]
        assert len(set(answers)) == 1
        link = link_to(relay, upstream, EVE)
        assert fetch("POST", link, {"confirm": "yes"})[0] == 200
        assert fetch("POST", door, {"email": EVE, "lang": "zh"}) == answers[0]
        assert len(confirmation(upstream, EVE)) == 1
        assert fetch("POST", door, {"email": "nobody"})[0] == 400
        assert fetch("GET", f"http://{relay.public}/u/sign-up/other")[0] == 404
        assert fetch("GET", link[:-4] + "AAAA")[0] == 404


def test_a_sender_whose_stream_advertises_is_found_by_check_and_sends_nothing(tmp_path, upstream):
    with a_relay_with_forms(tmp_path, upstream, sender=NEWS) as relay:
        checked = relay.command("check")
        assert f"config.toml [consents]: no stream of purpose service or notice takes mail of {NEWS}" in checked.stdout
        before = len(upstream.accepted)
        status, _ = fetch("POST", f"http://{relay.public}/u/sign-up/newsletter", {"email": ADA})
        assert (status, len(upstream.accepted)) == (503, before)


@contextmanager
def website(folder):
    """The folder as a website of its own, on another port than the relay's door."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("name", "language", "look", "done"), [
    ("sign-up-form.html", "en-US,en", "Look into your mailbox", "Confirmed"),
    ("sign-up-form.zh.html", "zh-CN,zh", "请查收邮件", "已确认"),
])  # fmt: skip
def test_the_documented_form_signs_somebody_up_in_a_browser_without_a_script(tmp_path, upstream, name, language, look, done):
    recipient = f"browser-{language[:2]}@example.org"
    with ExitStack() as stack:
        relay = stack.enter_context(a_relay_with_forms(tmp_path, upstream, policy=ASKS))
        browser = stack.enter_context(chromium(tmp_path / "profile", language=language, script=False))
        form = (ROOT / "docs" / name).read_text("utf-8")
        here = form.replace("https://www.example.com/mail/", f"http://{relay.public}/")
        assert here != form
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "join.html").write_text(here, "utf-8")
        with website(tmp_path / "site") as site:
            browser.get(f"{site}/join.html")
            browser.find_element(By.ID, "email").send_keys(recipient)
            follow(browser, By.TAG_NAME, "button")
        assert look in browser.find_element(By.TAG_NAME, "body").text
        browser.get(link_to(relay, upstream, recipient))
        words = browser.find_element(By.TAG_NAME, "strong").text
        assert words in form  # the page shows what the form said, word for word
        assert recipient not in browser.find_element(By.TAG_NAME, "body").text
        assert newsletter(relay, recipient)[0] == 550
        follow(browser, By.ID, "confirm")
        assert done in browser.find_element(By.TAG_NAME, "h1").text
        assert browser.get_cookies() == []
        assert newsletter(relay, recipient)[0] == 250


LANGUAGES = {"zh": ("zh-CN,zh", "登记", "请查收邮件", "确认登记", "已确认"),
             "en": ("en-US,en", "Sign up", "Look into your mailbox", "Confirm your sign-up", "Confirmed")}  # fmt: skip


def pages(browser, relay, upstream, recipient):
    """Every page of a sign-up by the relay's own form, as it comes."""
    browser.get(f"http://{relay.public}/u/sign-up/newsletter")
    yield
    browser.find_element(By.ID, "email").send_keys(recipient)
    follow(browser, By.ID, "sign-up")
    yield
    browser.get(link_to(relay, upstream, recipient))
    yield
    follow(browser, By.ID, "confirm")
    yield


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_relay_s_own_pages_fit_a_phone_without_a_script(tmp_path, upstream, language):
    accepts, *titles = LANGUAGES[language]
    with ExitStack() as stack:
        relay = stack.enter_context(a_relay_with_forms(tmp_path, upstream, policy=ASKS))
        browser = stack.enter_context(chromium(tmp_path / "phone", language=accepts, script=False, phone=True))
        for title, _ in zip(titles, pages(browser, relay, upstream, f"phone-{language}@example.org"), strict=True):
            assert browser.find_element(By.TAG_NAME, "h1").text == title
            wide, window = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert wide <= window
            for target in browser.find_elements(By.CSS_SELECTOR, "button, label, a, input:not([type=hidden])"):
                assert target.rect["height"] >= 44, target.get_attribute("outerHTML")
            assert all(f"//{relay.public}/" in url for _, url in asked(browser))  # nothing is loaded from elsewhere
            browser.save_screenshot(str(tmp_path / f"{title}.png"))
        assert browser.get_cookies() == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_wrong_on_them_light_or_dark(tmp_path, upstream, language):
    with ExitStack() as stack:
        relay = stack.enter_context(a_relay_with_forms(tmp_path, upstream, policy=ASKS))
        browser = stack.enter_context(chromium(tmp_path / "axe", language=LANGUAGES[language][0]))
        for _ in pages(browser, relay, upstream, f"axe-{language}@example.org"):
            for scheme in ("light", "dark"):
                colours(browser, scheme)
                assert axe.faults(browser) == []
            colours(browser, "light")


def test_behind_the_nginx_of_the_guide_the_consent_says_from_which_address(tmp_path, upstream):
    address = free_address()
    (location,) = [one for one in blocks((ROOT / "docs/unsubscribe-url.md").read_text("utf-8"), "nginx") if "/mail/u/" in one]
    with a_relay_with_forms(tmp_path, upstream, policy=ASKS) as relay:
        server = f"server {{\n    listen {address};\n{location}\n}}".replace("127.0.0.1:8026", relay.public)
        with Nginx(tmp_path / "nginx", server).running():
            told = {"email": "nginx@example.org", "lang": "en"}
            assert fetch("POST", f"http://{address}/mail/u/sign-up/newsletter", told, X_Forwarded_For="192.0.2.1")[0] == 200
            link_to(relay, upstream, told["email"])
        shown = json.loads(relay.command("consent", "show", told["email"], "--origin", "--json").stdout)
        assert [one["ip"] for one in shown["events"]] == ["127.0.0.1"]  # nginx's word, not the client's
