"""Quoted-printable for what an upstream cannot carry: 8-bit bodies and lines over 998 octets.

It happens before signing and changes nothing but the text part in question
and its Content-Transfer-Encoding; decoded, the part is what it was.  Anything
else (signed, encrypted, binary, inside an attached message) is not touched
but refused: 554 5.6.3 (RFC 6152 section 3).
"""

import binascii
from dataclasses import replace

from relay.errors import RenderingImpossible
from relay.mail.message import Message, has_line_over
from relay.mail.parts.fields import Field
from relay.mail.parts.mime import Part

MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1

_TRANSFER_ENCODING = b"content-transfer-encoding"
_QUOTED_PRINTABLE = Field(_TRANSFER_ENCODING, b"Content-Transfer-Encoding: quoted-printable\r\n")
_MIME_VERSION = Field(b"mime-version", b"MIME-Version: 1.0\r\n")


def encode_message(message: Message, *, eight_bit: bool = True, long_lines: bool = True) -> Message:
    """Return the message without 8-bit octets in its body, without lines over 998 octets, or without both.

    A message that needs nothing is returned as it is.  8-bit octets in header
    fields stay: whoever wrote them declared no charset that could be named.
    Raises RenderingImpossible.
    """
    if long_lines and has_line_over(MAX_LINE, message.header):
        raise RenderingImpossible("base/line-length", "A header line is longer than 998 octets")

    def offends(start: int, end: int) -> bool:
        if long_lines and has_line_over(MAX_LINE, message.body, start, end):
            return True
        return eight_bit and message.has_8bit_body and not message.body[start:end].isascii()

    if not offends(0, len(message.body)):
        return message
    if message.is_signed_or_encrypted or not message.structure.is_complete:
        raise RenderingImpossible(
            "base/encoding", "A signed or encrypted message would need another encoding for the upstream server"
        )
    parts = [part for part in message.structure.parts if _is_plain_text(part) and offends(part.start, part.end)]
    encoded = _replace_parts(message, parts)
    if (eight_bit and encoded.has_8bit_body) or (long_lines and has_line_over(MAX_LINE, encoded.body)):
        raise RenderingImpossible(
            "base/encoding", "A part that is not plain text would need another encoding for the upstream server"
        )
    return encoded


def quoted_printable(text: bytes) -> bytes:
    """Encode text whose lines end in CRLF; the line ends stay line ends (RFC 2045 section 6.7)."""
    return binascii.b2a_qp(text + b"\r\n")[:-2]


def _is_plain_text(part: Part) -> bool:
    """A text leaf of this message itself that is not encoded yet, and whose header was read whole."""
    own_text = part.is_leaf and part.media_type.startswith("text/") and not part.in_attached_message
    whole = part.depth == 0 or sum(len(field.raw) for field in part.fields) + 2 == part.start - part.header_start
    once = sum(field.name == _TRANSFER_ENCODING for field in part.fields) <= 1
    return own_text and whole and once and part.encoding in ("7bit", "8bit", "binary")


def _replace_parts(message: Message, parts: list[Part]) -> Message:
    body, pieces, position = message.body, [], 0
    for part in parts:
        if part.depth == 0:
            fields = message.fields if message.first("MIME-Version") else (*message.fields, _MIME_VERSION)
            return replace(message, fields=_declared(fields), body=quoted_printable(body))
        header = b"".join(field.raw for field in _declared(part.fields))
        pieces += [body[position : part.header_start], header, b"\r\n", quoted_printable(body[part.start : part.end])]
        position = part.end
    return replace(message, body=b"".join([*pieces, body[position:]]))


def _declared(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The fields with Content-Transfer-Encoding: quoted-printable, in the place of the old one or at the end."""
    if any(field.name == _TRANSFER_ENCODING for field in fields):
        return tuple(_QUOTED_PRINTABLE if field.name == _TRANSFER_ENCODING else field for field in fields)
    return (*fields, _QUOTED_PRINTABLE)
