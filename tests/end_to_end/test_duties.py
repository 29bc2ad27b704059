"""Duties from end to end: the law of each recipient labels and foots their copy, and what leaves is what explain foretold."""

import re
from base64 import b64encode
from html import unescape

import dkim
import pytest

from relay.explain import explain
from relay.mail.incoming.text import text_of_part
from relay.mail.message import Message
from tests.support.fixtures import an_upstream
from tests.support.line import CLIENT, LineHouse
from tests.support.service import ACCOUNTS, NEWS, SHOP, Relay, dkim_record, message, unsubscribe_url

PACKS = '"base", "cn-marketing", "kr", "eu-gdpr", "gmail-yahoo-bulk"'
POLICY = {
    "streams/newsletter.toml": [(r"(?m)^packs = .*", f"packs = [{PACKS}]")],
    "streams/receipts.toml": [(r"(?m)^packs = .*", 'packs = ["base", "service"]')],
    "organisation.toml": [
        (r"(?m)^legal_name = .*", 'legal_name = { zh = "云杉科技", en = "Spruce Technology" }'),
        (r"(?m)^contact = .*", 'contact = "+86 21 5555 0100"'),
    ],
}
CHINESE, KOREAN, FRENCH = "min@books.cn", "ji@books.co.kr", "eve@books.fr"
SUBJECT = "=?utf-8?B?" + b64encode("春季新品".encode()).decode() + "?="
PIXEL = '<img src="https://t.example.org/o.gif?u=1" width="1" height="1">'
BODY = f"""--b\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: base64\r
\r
5pil5a2j5paw5ZOB5LiK5biC\r
--b\r
Content-Type: text/html; charset=gb18030\r
Content-Transfer-Encoding: quoted-printable\r
\r
<html><body><p>=B4=BA=BC=BE</p>{PIXEL.replace("=", "=3D")}</body></html>\r
--b--\r
"""

READERS = [CHINESE, KOREAN, FRENCH, "kim@firm.co.kr", "li@firm.cn", "anne@firm.fr", "a@firm.fr", "b@firm.fr"]
GRANT = {
    "--to": "marketing", "--evidence": "form of 2026-01-05", "--source": "form", "--source-ref": "form/7", "--method": "checkbox",
    "--notice-version": "2026-01", "--language": "en", "--controller": "Spruce Technology", "--statement": "unticked",
    "--age-band": "adult", "--basis": "explicit", "--ip": "192.0.2.9", "--user-agent": "Firefox",
}  # fmt: skip


def agreed(relay, tmp_path) -> None:
    """Everybody has agreed in every way that the packs ask for."""
    words = tmp_path / "words.txt"
    words.write_text("I agree to receive the newsletter.", "utf-8")
    options = [*(part for pair in GRANT.items() for part in pair), "--text", str(words)]
    done = relay.command("consent", "add", *options, *READERS)
    assert done.returncode == 0, done.stdout + done.stderr


upstream = an_upstream(scope="module", accounts=ACCOUNTS)
anybodys = an_upstream(scope="module")


def at_home(server, auth=""):
    """The table of an upstream in the organisation's own country: no data goes abroad."""
    return f'[[upstream]]\nname = "up"\naddresses = ["{server.address}"]\ntls = "none"\ncountry = "CN"\n{auth}'


@pytest.fixture(scope="module")
def served(tmp_path_factory, upstream):
    folder = tmp_path_factory.mktemp("relay")
    with Relay(folder, upstream, workers=2, policy=POLICY, upstreams=at_home(upstream)) as running:
        yield running


@pytest.fixture(scope="module")
def relay(served, tmp_path_factory):
    agreed(served, tmp_path_factory.mktemp("words"))
    return served


def newsletter(recipient: str, subject: str = SUBJECT) -> bytes:
    extra = 'Content-Type: multipart/alternative; boundary="b"\r\nX-Mailer: m\r\n'
    data = message(recipient, NEWS, subject, BODY, extra)
    return data.replace(b"Content-Type: text/plain\r\n", b"", 1)


def texts_of(read: Message) -> dict[str, str]:
    return {part.media_type: unescape(text_of_part(read, part)) for part in read.structure.parts if part.is_leaf}


def check_signature(data: bytes) -> None:
    assert dkim.verify(data, dnsfunc=lambda name, **_: dkim_record())


WAYS_OUT = {CHINESE: "退订", KOREAN: "수신거부", FRENCH: "désinscrire"}


def test_each_copy_has_the_label_and_the_footer_of_its_recipients_law(relay, upstream):
    people = {CHINESE: "【广告】春季新品", KOREAN: "(광고) 【广告】春季新品", FRENCH: "【广告】春季新品"}
    code, text = relay.send(NEWS, list(people), newsletter("readers@example.org"))
    assert code == 250, text
    copies = {delivery.recipients[0]: delivery.data for delivery in upstream.accepted[-3:]}
    assert {recipient: Message.parse(data).subject for recipient, data in copies.items()} == people
    for recipient, data in copies.items():
        check_signature(data)
        texts, url = texts_of(Message.parse(data)), unsubscribe_url(data)
        for media_type, shown in texts.items():
            assert [word for word in WAYS_OUT.values() if word in shown] == [WAYS_OUT[recipient]], media_type
            assert ("云杉科技" if recipient == CHINESE else "Spruce Technology") in shown
            assert shown.count(url) == 1
        assert (PIXEL in texts["text/html"]) is (recipient != FRENCH)
        assert "春季" in texts["text/html"]
        assert texts["text/plain"].startswith("春季新品上市")
    assert len({unsubscribe_url(data) for data in copies.values()}) == 3


def test_the_link_in_the_footer_unsubscribes(relay, upstream):
    assert relay.send(NEWS, [CHINESE], newsletter(CHINESE))[0] == 250
    shown = texts_of(Message.parse(upstream.accepted[-1].data))["text/html"]
    (url,) = re.findall(r'<a href="(http://[^"]+/u/[^"]+)"', shown)
    assert relay.get("recipients", url[url.index("/u/") :], b"List-Unsubscribe=One-Click")[0] == 200
    code, text = relay.send(NEWS, [CHINESE], newsletter(CHINESE))
    assert code == 550
    assert "base/suppression" in text


def test_fields_are_added_and_signed(relay, upstream):
    assert relay.send(NEWS, [FRENCH], newsletter(FRENCH))[0] == 250
    data = upstream.accepted[-1].data
    read = Message.parse(data)
    assert read.text("List-Id") == "<newsletter.example.com>"
    assert re.fullmatch(r"\d{8}:newsletter:marketing:examplecom", read.text("Feedback-ID") or "")
    assert read.first("CFBL-Address") is None  # nobody reads a mailbox here
    named = re.search(rb"\r\n h=([^;]+);", data)[1].replace(b"\r\n ", b"").split(b":")
    assert {b"list-id", b"feedback-id"} <= set(named)
    assert relay.send(SHOP, [FRENCH], message(FRENCH, SHOP))[0] == 250
    assert Message.parse(upstream.accepted[-1].data).text("Auto-Submitted") == "auto-generated"


def test_a_signed_message_is_refused_with_the_duty_that_cannot_be_done(relay):
    body = (
        "--s\r\nContent-Type: text/plain\r\n\r\nHello\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--s--\r\n"
    )
    extra = 'Content-Type: multipart/signed; boundary="s"; protocol="application/pkcs7-signature"\r\n'
    data = message(FRENCH, NEWS, body=body, extra=extra).replace(b"Content-Type: text/plain\r\n", b"", 1)
    code, text = relay.send(NEWS, [FRENCH], data)
    assert code == 550
    assert "[eu-gdpr/footer] the message is signed or encrypted" in text


# What explain foretells, and large messages, on the real line in this process ------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory, anybodys):
    with LineHouse(
        tmp_path_factory.mktemp("house"), anybodys, policy=POLICY, upstreams=at_home(anybodys, 'auth = "none"\n')
    ) as running:
        agreed(running.relay, tmp_path_factory.mktemp("words"))
        yield running


def foretold(house, recipient, data):
    async def ask():
        submission = await house.begin(NEWS, [recipient], admitted_only=False)
        stream = house.line.take_sender(submission.identity, CLIENT.listener, submission.reverse_path)
        return await explain(house.line, submission, house.line.reader.parse(data), stream)

    (one,) = house.run(ask())
    return one


def without_link(data: bytes) -> dict[str, str]:
    """The subject and the texts; each submission has links of its own."""
    read = Message.parse(data)
    texts = {"subject": read.subject} | texts_of(read)
    return {name: text.replace(unsubscribe_url(data), "LINK") for name, text in texts.items()}


@pytest.mark.parametrize("recipient", ["kim@firm.co.kr", "li@firm.cn", "anne@firm.fr"])
def test_explain_foretells_the_copy(house, anybodys, recipient):
    data = newsletter(recipient)
    one = foretold(house, recipient, data)
    assert house.send(NEWS, [recipient], data).code == 250
    sent = anybodys.accepted[-1].data
    assert without_link(sent) == without_link(one.copy.header + one.copy.body)
    assert "cn-marketing/label" in one.copy.duties
    assert ("eu-gdpr/pixels" in one.copy.duties) is recipient.endswith(".fr")
    assert not one.is_encoded


def test_a_large_message_is_written_into_and_verifies(house, anybodys):
    attachment = ("QUJD" * 19 + "\r\n") * 30_000
    text = "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"
    body = f"{text}--b\r\nContent-Type: application/pdf\r\n\r\n{attachment}--b--\r\n"
    extra = 'Content-Type: multipart/mixed; boundary="b"\r\n'
    data = message("a@firm.fr", NEWS, body=body, extra=extra).replace(b"Content-Type: text/plain\r\n", b"", 1)
    assert house.send(NEWS, ["a@firm.fr", "b@firm.fr"], data).code == 250
    for delivery in anybodys.accepted[-2:]:
        check_signature(delivery.data)
        assert unsubscribe_url(delivery.data).encode() in delivery.data.partition(b"\r\n\r\n")[2]
        assert delivery.data.endswith(f"{attachment}--b--\r\n".encode())
