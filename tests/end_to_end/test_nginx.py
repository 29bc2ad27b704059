"""The nginx snippets that people copy, in a real nginx before the public door of a running relay: read, pressed, one-clicked."""

import re
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlencode, urljoin

import pytest

from relay.cli.init.authority import issue, make_authority
from tests.support.beginner import begin
from tests.support.documents import ROOT, blocks
from tests.support.fixtures import an_upstream
from tests.support.nginx import Nginx
from tests.support.ports import free_address
from tests.support.service import ACCOUNTS, NEWS, Relay, message, unsubscribe_url

PRINTED = "127.0.0.1:8026"  # the public door in what is printed


def of_the_guide(number):
    return blocks((ROOT / "docs/unsubscribe-url.md").read_text("utf-8"), "nginx")[number]


def of_the_card(folder):
    """What `relay init` prints for a site with a path of its own."""
    said = begin(folder, public_url="https://www.example.com/mail")
    (location,) = re.findall(r"^  location .*?^  \}$", said, re.MULTILINE | re.DOTALL)
    return location


def inside_a_site(snippet, address):
    return f"server {{\n    listen {address};\n{snippet}\n}}"


def of_the_small_server(folder, address):
    """The whole server block, with a certificate and a port of our own."""
    names, now = ["unsubscribe.example.com", "127.0.0.1"], datetime.now(UTC)
    authority = make_authority(names, "Example", now)
    pair = issue(authority, names, now)
    for name, octets in {"ca.pem": authority.certificate, "fullchain.pem": pair.certificate, "privkey.pem": pair.key}.items():
        (folder / name).write_bytes(octets)
    block = of_the_guide(1)
    for old, new in (("listen 443", f"listen {address}"), ("/etc/letsencrypt/live/unsubscribe.example.com", str(folder))):
        assert old in block
        block = block.replace(old, new)
    return block


upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@contextmanager
def public_at(folder, upstream, base_url):
    """A running relay whose mails carry links below `base_url`."""
    relay = Relay(folder, upstream)
    text, count = re.subn(r'base_url = ".*"', f'base_url = "{base_url}"', relay.config.read_text("utf-8"))
    assert count == 1
    relay.config.write_text(text, "utf-8")
    with relay:
        yield relay


class Reader:
    """Somebody on the internet; trusts `ca_file` where the site is https."""

    def __init__(self, ca_file=None):
        context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self._opener = urllib.request.build_opener(*([urllib.request.HTTPSHandler(context=context)] if context else []))

    def ask(self, url, body=None):
        try:
            with self._opener.open(urllib.request.Request(url, body), timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("way", ["guide", "card", "small server"])
def test_what_is_printed_leads_recipients_to_the_relay(way, upstream, tmp_path):
    address, ca_file = free_address(), None
    if way == "small server":
        base_url, ca_file = f"https://{address}", tmp_path / "ca.pem"
        server = of_the_small_server(tmp_path, address)
    else:
        base_url = f"http://{address}/mail"
        server = inside_a_site(of_the_guide(0) if way == "guide" else of_the_card(tmp_path), address)
    with public_at(tmp_path / "relay", upstream, base_url) as relay:
        assert PRINTED in server
        nginx = Nginx(tmp_path / "nginx", server.replace(PRINTED, relay.public))
        tried = nginx.tried()
        assert tried.returncode == 0, tried.stderr
        assert "[warn]" not in tried.stderr
        with nginx.running():
            reader = Reader(ca_file)
            the_page_and_the_button_work(relay, upstream, reader, base_url, "ada@example.org")
            one_click_works(relay, upstream, reader, base_url, "eve@example.org")
            nothing_else_is_open(nginx, reader, base_url)
            if ca_file is None:  # `relay check` trusts what everybody trusts
                said = relay.command("check", "--public").stdout
                assert "is answered by this relay" in said
                assert "takes one-click refusals" in said
            relay.stop()
            assert reader.ask(f"{base_url}/u/check?nonce=1")[0] == 502  # as the guide's table says


def link_of_a_new_mail(relay, upstream, base_url, recipient):
    assert relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
    url = unsubscribe_url(upstream.accepted[-1].data)
    assert url.startswith(f"{base_url}/u/")
    return url


def is_refused(relay, recipient):
    return relay.send(NEWS, [recipient], message(to=recipient, subject="More"))[0] == 550


def the_page_and_the_button_work(relay, upstream, reader, base_url, recipient):
    url = link_of_a_new_mail(relay, upstream, base_url, recipient)
    code, page = reader.ask(f"{url}?lang=en")
    assert (code, "<title>Unsubscribe" in page) == (200, True)
    assert not is_refused(relay, recipient)  # who opens the link has pressed nothing
    (action,) = re.findall(r'<form method="post" action="([^"]*)"', page)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)"', page))
    code, _ = reader.ask(urljoin(url, action), urlencode({**hidden, "scope": "organisation"}).encode())
    assert code == 200
    assert is_refused(relay, recipient)


def one_click_works(relay, upstream, reader, base_url, recipient):
    url = link_of_a_new_mail(relay, upstream, base_url, recipient)
    assert reader.ask(url, b"List-Unsubscribe=One-Click")[0] == 200
    assert is_refused(relay, recipient)


def nothing_else_is_open(nginx, reader, base_url):
    """The relay is reached below /u/ only; and tokens are in no log of the site."""
    for path in ("/metrics", "/healthz", "/r/01HZZZZZZZZZZZZZZZZZZZZZZZ"):
        assert reader.ask(f"{base_url}{path}")[0] == 404
    assert "/metrics" in nginx.accesses
    assert "/u/" not in nginx.accesses


def test_a_snippet_that_nginx_does_not_take_is_seen(tmp_path):
    """The test above could not fail otherwise."""
    broken = Nginx(tmp_path / "nginx", inside_a_site(of_the_guide(0).replace("proxy_pass", "proxy_past"), free_address())).tried()
    assert broken.returncode != 0
    assert "proxy_past" in broken.stderr
