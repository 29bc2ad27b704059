"""Simple messages in octets, read back by the standard library's parser and by ours."""

import email
from email import policy

import pytest

from relay.mail.message import Message
from relay.policy.rehearsing.compose import Attached, compose

FIELDS = [("From", "示例公司 <news@example.com>"), ("To", "ada@example.org"), ("Subject", "【广告】 春季新品 for you " * 8)]


def parsed(octets: bytes):
    return email.message_from_bytes(octets, policy=policy.default)


def test_fields_survive():
    octets = compose(FIELDS, "Hello.", "")
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) < 998
    ours, theirs = Message.parse(octets), parsed(octets)
    assert not ours.defects
    assert ours.subject.split() == theirs["Subject"].split() == FIELDS[2][1].split()
    assert theirs["From"].addresses[0].display_name == "示例公司"


@pytest.mark.parametrize(
    ("text", "html", "files", "types"),
    [
        ("a\nb", "", 0, ["text/plain"]),
        ("", "<p>中</p>", 0, ["text/html"]),
        ("", "", 0, ["text/plain"]),
        ("a", "<p>b</p>", 0, ["multipart/alternative", "text/plain", "text/html"]),
        ("a", "", 1, ["multipart/mixed", "text/plain", "application/pdf"]),
        ("a", "<p>b</p>", 2, ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", *["application/pdf"] * 2]),
    ],
)
def test_the_parts_are_those_that_were_asked_for(text, html, files, types):
    octets = compose(FIELDS, text, html, [Attached("a\u00e9.pdf", "application/pdf", b"\n\r\n\0") for _ in range(files)])
    message = parsed(octets)
    assert not message.defects
    assert [part.get_content_type() for part in message.walk()] == types
    leaves = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    said = [one.replace("\n", "\r\n").encode() for one in (text, html) if one] or [b""]
    assert leaves == [*said, *[b"\n\r\n\0"] * files]
    assert len(Message.parse(octets).attachments) == files


def test_a_field_of_mine_replaces_the_one_that_would_be_supplied():
    octets = compose([*FIELDS, ("Content-Type", "text/plain; charset=gb18030")], "a", "")
    assert octets.count(b"Content-Type:") == 1


def test_the_same_input_gives_the_same_octets():
    assert compose(FIELDS, "a", "b", [Attached("a", "a/b", b"c")]) == compose(FIELDS, "a", "b", [Attached("a", "a/b", b"c")])
