"""The octets of a part a slice at a time: what is large is looked through without holding the interpreter for long."""

import re
from collections.abc import Iterator

from relay.mail.parts.decoding import decode_transfer

SLICE = 256 * 1024
"""Octets of the body that are decoded at once: about a millisecond."""

HEAD = 1024
"""Those of the first slice, which tells what a file is."""

_PLAIN = ("7bit", "8bit", "binary")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDING = re.compile(rb"=[=\s]*+")
_FOREIGN = bytes(octet for octet in range(256) if octet not in _BASE64)


def decoded_slices(body: bytes, start: int, end: int, encoding: str) -> Iterator[bytes] | None:
    """body[start:end] without its Content-Transfer-Encoding, as lenient readers take it off; None where nobody knows it."""
    if encoding in _PLAIN:
        return (body[first:last] for first, last in _bounds(start, end))
    if encoding == "base64":
        return _base64(body, start, end)
    if encoding == "quoted-printable":
        return _quoted(body, start, end)
    return None


def has_padding_inside(body: bytes, start: int, end: int) -> bool:
    """Whether BASE64 goes on behind padding: some readers stop there, some begin anew, and some pass over it."""
    found = (body.find(b"=", first, last) for first, last in _bounds(start, end))
    place = next((place for place in found if place >= 0), end)
    return any(body[first:last].translate(None, _FOREIGN) for first, last in _bounds(place, end))


def head_behind_padding(body: bytes, start: int, end: int) -> bytes:
    """What BASE64 with padding inside begins with for readers who begin anew behind it; b"" where none is inside.

    `decoded_slices` passes over padding, so what follows it is shifted there.
    """
    if not has_padding_inside(body, start, end):
        return b""
    runs = _PADDING.split(body[start : min(end, start + 2 * HEAD)])
    return b"".join([decode_transfer(run, "base64") for run in runs])


def _bounds(start: int, end: int) -> Iterator[tuple[int, int]]:
    place, length = start, HEAD
    while place < end:
        yield place, min(place + length, end)
        place, length = place + length, SLICE


def _base64(body: bytes, start: int, end: int) -> Iterator[bytes]:
    left = b""
    for first, last in _bounds(start, end):
        letters = left + body[first:last].translate(None, _FOREIGN)
        whole = len(letters) // 4 * 4
        left = letters[whole:]
        yield decode_transfer(letters[:whole], "base64")
    if len(left) > 1:
        yield decode_transfer(left, "base64")


def _quoted(body: bytes, start: int, end: int) -> Iterator[bytes]:
    """Slices that end where a line does, so that no escape is split."""
    begin = start
    for _, last in _bounds(start, end):
        if last > begin:
            place = body.find(b"\n", last - 1, end) + 1 or end
            yield decode_transfer(body[begin:place], "quoted-printable")
            begin = place
