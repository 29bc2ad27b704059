"""Messages of 25 MB that are made to be expensive: each takes a reader without bounds minutes, gigabytes or its stack."""

import base64
from collections.abc import Callable

SIZE = 25 * 1024**2
_HEAD = b"From: news@example.com\r\nTo: ada@example.org\r\nSubject: News\r\nMIME-Version: 1.0\r\n"
_TEXT, _HTML = b"Content-Type: text/plain; charset=utf-8\r\n", b"Content-Type: text/html; charset=utf-8\r\n"
_BASE64 = b"Content-Transfer-Encoding: base64\r\n"


def _lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _filled(message: bytes, filling: bytes = b"x" * 76 + b"\r\n") -> bytes:
    """The message with lines to SIZE at its end."""
    return message + filling * ((SIZE - len(message)) // len(filling))


def _mixed(*parts: bytes) -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body + b"--b--\r\n"


def deep() -> bytes:
    """Multiparts in each other, five thousand deep."""
    inner = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5000))
    return _filled(_HEAD + inner + b"\r\n")


def attached() -> bytes:
    """Messages attached to each other, without a multipart between them."""
    return _filled(_HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 100_000)


def many() -> bytes:
    """Half a million parts."""
    return _filled(
        _HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n\r\n" + b"Hello this is a part" * 2 + b"\r\n"
    )


def look_alikes() -> bytes:
    """Lines that begin as a delimiter does, and are none."""
    return _filled(_HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n", b"--bb\r\n")


def digests() -> bytes:
    """Parts that are messages by default, each with parts of its own."""
    part = b"--b\r\n\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n" + b"--c\r\n\r\n\r\nHi\r\n" * 50
    return _filled(_HEAD + b"Content-Type: multipart/digest; boundary=b\r\n\r\n", part)


def encoded_again() -> bytes:
    """Text in BASE64 of BASE64 of BASE64."""
    octets = b"A text.\r\n" * 1_100_000
    for _ in range(3):
        octets = _lines(octets)
    return (_HEAD + _TEXT + _BASE64 + b"\r\n" + octets)[:SIZE]


def encoded_parts() -> bytes:
    """Thirty texts in BASE64, each just small enough to be read."""
    part = _TEXT + _BASE64 + b"\r\n" + _lines(b"A line of an ordinary text.\r\n" * 21_000)
    return _mixed(*[part] * 30)


def one_page() -> bytes:
    """HTML in one part."""
    return _filled(
        _HEAD + _HTML + b"\r\n<html><body>", b"<p>Hello <b>you</b> and <a href=https://example.com/x>others</a></p>\r\n"
    )


def open_pages() -> bytes:
    """Pages of formatting that is never closed, which a parser opens again in every block."""
    return _mixed(*[_HTML + b"\r\n" + b"<b><p>x\r\n" * 100_000] * 29)


def deep_pages() -> bytes:
    """Pages of blocks in each other."""
    return _mixed(*[_HTML + b"\r\n" + b"<div>\r\n" * 130_000] * 28)


def _pages(block: str) -> bytes:
    """Pages of a block with a number in it, again and again."""
    page = "".join(block % n + "\r\n" for n in range(40_000)).encode()
    return _mixed(*[_HTML + b"\r\n" + page[:850_000]] * 29)


def closed_in_comments() -> bytes:
    """Formatting that only a comment closes, which is opened again in every block."""
    return _pages("<p><b id=%d><!--</b>--></p>")


def closed_in_values() -> bytes:
    """The same, closed in the value of an attribute."""
    return _pages('<p><b id=%d t="</b>"></p>')


def closed_in_raw_text() -> bytes:
    """The same, closed in text that is no HTML."""
    return _pages("<p><b id=%d><textarea></b></textarea></p>")


def attributes() -> bytes:
    """Tags of a hundred thousand attributes, each of which a parser looks for among those before it."""
    return _mixed(*[_HTML + b"\r\n<p" + b"".join(b"\r\na%d" % n for n in range(100_000)) + b">x</p>\r\n"] * 33)


def numbers() -> bytes:
    """Nothing but numbers."""
    return _mixed(*[_TEXT + b"\r\n" + b"".join(b"138%08d\r\n" % n for n in range(70_000))] * 28)


def parameters() -> bytes:
    """A content type of a hundred thousand parameters."""
    types = b"".join(b' filename*%d*="%%41";\r\n' % n for n in range(100_000))
    return _filled(_mixed(b"Content-Type: text/plain;\r\n" + types + b"\r\nHello"))


BOMBS: dict[str, Callable[[], bytes]] = {
    bomb.__name__: bomb
    for bomb in (
        deep, attached, many, look_alikes, digests, encoded_again, encoded_parts, one_page, open_pages, deep_pages,
        closed_in_comments, closed_in_values, closed_in_raw_text, attributes, numbers, parameters,
    )
}  # fmt: skip
