"""The header section as raw fields: split, never re-serialised.

A field keeps its octets as they came, folding and final CRLF included, so
that what nobody edits leaves as it came.  Two readings of one header are a
danger (what we judged is not what the reader sees), so a line that is no
field and no folding ends the reading with a fault instead of a guess.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

# One field: a line and the lines that fold it, its name and its colon. After normalisation every CR is followed by LF.
# A name (RFC 5322 section 2.2) is printable ASCII but the colon; 8-bit octets are let through to be named as a defect.
_FIELDS = re.compile(rb"(([!-9;-~\x80-\xff]*+)[ \t]*+(:?)[^\r]*+\r\n(?>(?:[ \t][^\r]*+\r\n)*))")
# RFC 5322 section 4.2 obsoletes a folded line of white space only; some readers end the header there.
_BLANK_FOLD = re.compile(rb"\n[ \t]+\r\n")

_ONCE = {
    name.lower().encode()
    for name in (
        "Date", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject",
        "Content-Type", "Content-Transfer-Encoding",
    )
}  # fmt: skip
"""RFC 5322 section 3.6 at most once; the last two because readers disagree on which of two counts (RFC 2045 section 3)."""


class Field(NamedTuple):
    """One header field. `name` is lower-case, `raw` the whole field with its folding and final CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The body of the field in one line, without the white space around it."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


class FieldError(ValueError):
    """A line of the header section is no header field; the text says which."""


def split_fields(header: bytes) -> list[bytes]:
    """Split a header section (CRLF line ends, the last included) into raw fields."""
    return [raw for raw, _, _ in _FIELDS.findall(header)]


def read_fields(header: bytes) -> tuple[Field, ...]:
    """Read a header section whose lines all end in CRLF.

    Raises FieldError when a line is neither a field nor the folding of one.
    """
    fields: list[Field] = []
    for raw, name, colon in _FIELDS.findall(header):
        if not (name and colon):
            raise FieldError(_fault(raw, len(fields) + 1))
        fields.append(Field(name.lower(), raw))
    return tuple(fields)


def readable_fields(header: bytes) -> tuple[Field, ...]:
    """Read what can be read, as in the parts of a body, whose headers nobody needs to trust."""
    return tuple([Field(name.lower(), raw) for raw, name, colon in _FIELDS.findall(header) if name and colon])


def structure_defects(fields: Sequence[Field]) -> list[str]:
    """Name what RFC 5322 forbids in a header section, each defect once."""
    defects: dict[str, None] = {}
    for name, raw in fields:
        if raw[len(name)] != 0x3A:
            defects["obsolete-colon-space"] = None
        if not name.isascii():
            defects["8bit-field-name"] = None
        if raw.find(b"\n", 0, -1) >= 0 and _BLANK_FOLD.search(raw):
            defects["blank-folded-line"] = None
    names = [name for name, _ in fields]
    authors = names.count(b"from")
    if authors != 1:
        defects["two-from" if authors else "no-from"] = None
    if len(set(names)) < len(names):
        for name in dict.fromkeys(names):
            if name in _ONCE and names.count(name) > 1:
                defects[f"duplicate-{name.decode()}"] = None
    return list(defects)


def _fault(raw: bytes, number: int) -> str:
    if raw.startswith((b"From ", b">From ")) and number == 1:
        return "the message starts with the From line of an mbox file; remove that line"
    if number == 1 and raw[:1] in (b" ", b"\t"):
        return "the message starts with white space instead of a header field"
    if number == 1:
        return "the message does not start with a header field"
    return f"header field {number} has no name and colon; is the empty line before the body missing?"
