"""What an upstream cannot carry is encoded where that changes nothing but the encoding, and refused elsewhere."""

import binascii
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RenderingImpossible
from relay.mail.message import Message, MessageError
from relay.render.encoding import encode_message, quoted_printable
from tests.support.corpus import corpus, shipped

LINES = st.lists(
    st.text("aé张=. \t\f?_", max_size=90)
    | st.sampled_from([".", "..", "From x", " ", "=", "a" * 75, "a" * 76, "a" * 77, "x " * 40, "张" * 700]),
    max_size=8,
)


def decoded_parts(message: Message) -> list[bytes]:
    """The bodies of all leaves as a reader of another make sees them."""
    whole = message_from_bytes(message.header + b"\r\n" + message.body, policy=policy.SMTP)
    return [part.get_payload(decode=True) for part in whole.walk() if not part.is_multipart()]  # type: ignore[misc]


def longest_line(message: Message) -> int:
    return max(map(len, message.octets.split(b"\r\n")))


def a_text(body: bytes, *fields: str) -> Message:
    header = "".join(f"{field}\r\n" for field in ("From: ada@example.com", "MIME-Version: 1.0", *fields))
    return Message.parse(header.encode() + b"\r\n" + body)


def refusal(message: Message, **what: bool) -> str:
    with pytest.raises(RenderingImpossible) as caught:
        encode_message(message, **what)
    return caught.value.rule


@given(LINES)
def test_decoding_gives_back_every_octet(lines):
    text = "\r\n".join(lines).encode()
    encoded = quoted_printable(text)
    assert binascii.a2b_qp(encoded) == text
    assert encoded.isascii()
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert encoded.count(b"\r") == encoded.count(b"\n") == encoded.count(b"\r\n")
    assert not any(line.endswith((b" ", b"\t")) for line in encoded.split(b"\r\n"))


@given(LINES)
def test_an_encoded_message_reads_as_it_did(lines):
    message = a_text("".join(f"{line}\r\n" for line in lines).encode(), "Content-Type: text/plain; charset=utf-8")
    encoded = encode_message(message)
    assert not encoded.has_8bit_body
    assert longest_line(encoded) <= 998
    assert binascii.a2b_qp(encoded.body) == message.body if encoded is not message else encoded.body.isascii()


@pytest.mark.parametrize(("name", "data"), corpus())
def test_the_corpus_is_encoded_without_loss_or_refused(name, data):
    try:
        message = Message.parse(data)
        encoded = encode_message(message)
    except (MessageError, RenderingImpossible):
        return
    assert not encoded.has_8bit_body
    assert longest_line(encoded) <= 998
    if encoded is not message:
        kept = [field for field in encoded.fields if field.name not in (b"content-transfer-encoding", b"mime-version")]
        assert kept == [f for f in message.fields if f.name not in (b"content-transfer-encoding", b"mime-version")]
        assert [part.media_type for part in encoded.structure.parts] == [part.media_type for part in message.structure.parts]


@pytest.mark.parametrize("name", ["plain", "gbk-subject", "8bit-header", "header-only", "smime", "bcc-and-trace"])
def test_a_message_that_needs_nothing_is_the_same_message(name):
    message = Message.parse(shipped(name))
    assert encode_message(message) is message


@pytest.mark.parametrize("name", ["8bit-utf8-body", "nested-mime", "long-body-line", "smtputf8-header"])
def test_text_parts_are_encoded_and_read_as_before(name):
    message = Message.parse(shipped(name))
    encoded = encode_message(message)
    assert encoded is not message
    assert not encoded.has_8bit_body
    assert decoded_parts(encoded) == decoded_parts(message)


def test_only_the_part_and_its_encoding_change():
    message = Message.parse(shipped("nested-mime"))
    encoded = encode_message(message)
    assert encoded.fields == message.fields
    before, after = message.body.split(b"\r\n"), encoded.body.split(b"\r\n")
    assert after[:5] == before[:5]
    assert after[-25:] == before[-25:]
    assert encoded.body.count(b"Content-Transfer-Encoding: quoted-printable\r\n") == 2
    assert b"8bit" not in encoded.body


def test_the_old_encoding_is_replaced_where_it_stood():
    message = a_text("é\r\n".encode(), "Content-Transfer-Encoding: 8bit", "Content-Type: text/plain; charset=utf-8", "X: y")
    assert encode_message(message).header == message.header.replace(b": 8bit", b": quoted-printable")


def test_a_message_without_mime_becomes_one():
    message = Message.parse(shipped("8bit-undeclared"))
    encoded = encode_message(message)
    assert encoded.header == message.header + b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    assert binascii.a2b_qp(encoded.body) == message.body


def test_a_part_without_a_header_gets_one():
    message = a_text("--b\r\n\r\né\r\n--b--\r\n".encode(), "Content-Type: multipart/mixed; boundary=b")
    assert encode_message(message).body == b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--b--\r\n"


def test_each_need_is_met_alone():
    eight_bit = a_text("é\r\n".encode())
    long = a_text(b"x" * 999 + b"\r\n")
    assert encode_message(eight_bit, eight_bit=False) is eight_bit
    assert encode_message(long, long_lines=False) is long
    assert encode_message(eight_bit, long_lines=False) is not eight_bit
    assert encode_message(long, eight_bit=False) is not long
    sealed = Message.parse(shipped("signed"))
    assert encode_message(sealed, eight_bit=False) is sealed


def test_998_octets_are_a_line_and_999_are_not():
    assert encode_message(a_text(b"x" * 998 + b"\r\n")).body == b"x" * 998 + b"\r\n"
    assert longest_line(encode_message(a_text(b"x" * 999 + b"\r\n"))) <= 76


@pytest.mark.parametrize("name", ["signed", "encrypted", "binary-part", "missing-boundary"])
def test_what_must_not_change_is_refused(name):
    message = Message.parse(shipped(name).replace(b"body", "b\u00f6dy".encode()))
    assert refusal(message) == "base/encoding"


@pytest.mark.parametrize(
    "part",
    [
        "Content-Type: application/json\r\n\r\né",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\né",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\né",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\né",
        "Content-Type: text/plain\r\nnot a field\r\n\r\né",
        "Content-Type: text/plain\r\nX-Header: é\r\n\r\nx",
        "Content-Type: message/rfc822\r\n\r\nContent-Type: text/plain\r\n\r\né",
        "Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\né\r\n--c--",
    ],
)
def test_a_part_that_cannot_be_encoded_safely_is_refused(part):
    message = a_text(f"--b\r\n{part}\r\n--b--\r\n".encode(), "Content-Type: multipart/mixed; boundary=b")
    assert refusal(message) == "base/encoding"
    assert refusal(message, long_lines=False) == "base/encoding"


def test_a_message_whose_parts_are_not_all_known_is_refused():
    body = "--b\r\n\r\né\r\n--b\r\nContent-Type: multipart/mixed\r\n\r\nno boundary\r\n--b--\r\n"
    assert refusal(a_text(body.encode(), "Content-Type: multipart/mixed; boundary=b")) == "base/encoding"


def test_octets_between_the_parts_are_refused():
    for body in ("é\r\n--b\r\n\r\nx\r\n--b--\r\n", "--b\r\n\r\nx\r\n--b--\r\né\r\n"):
        assert refusal(a_text(body.encode(), "Content-Type: multipart/mixed; boundary=b")) == "base/encoding"


def test_a_long_header_line_is_refused_only_where_lines_matter():
    message = Message.parse(shipped("long-header-line"))
    assert refusal(message) == "base/line-length"
    assert encode_message(message, long_lines=False) is message
