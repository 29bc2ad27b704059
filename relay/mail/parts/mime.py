"""The parts of a message (RFC 2045, 2046), found on its octets without decoding or copying bodies.

The walk is bounded in depth, parts and look-alike delimiters.  What it could
not read to the end it says (`Structure.is_complete`), because a rule on
attachments must not take "not looked at" for "not there".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from relay.mail.parts.decoding import decode_extended, decode_octets, decode_transfer, decode_words
from relay.mail.parts.fields import Field, readable_fields

MAX_DEPTH = 20
MAX_PARTS = 1000
MAX_LOOK_ALIKES = 10_000
MAX_PART_HEADER = 64 * 1024

SEALED_TYPES = frozenset(
    {"multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"}
)
"""Whoever changes an octet inside these breaks a signature or a ciphertext (RFC 1847, RFC 8551, RFC 3156)."""

_TELLING = (b"content-type", b"content-transfer-encoding")
_NESTING = ("multipart/", "message/rfc822", "message/global")
_MEDIA_TYPE = re.compile(r"\s*([!#$%&'*+.0-9A-Z^_`a-z{|}~-]+)\s*/\s*([!#$%&'*+.0-9A-Z^_`a-z{|}~-]+)")
_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*(?:"((?>(?:[^"\\]++|\\.)*))"|([^;]*))""", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that a reader is shown as a file; "" when it has no name. Two names for one part make two attachments."""

    filename: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its header fields, and where header and body stand in the message's body.

    The top-level part has no header of its own there: `header_start` and
    `start` are both 0.  `is_leaf` is False for a multipart and for an attached
    message whose parts were walked.
    """

    media_type: str
    parameters: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]
    header_start: int
    start: int
    end: int
    depth: int
    is_leaf: bool
    in_attached_message: bool

    def header(self, name: bytes) -> str:
        """The first field of that name as text, "" without one."""
        return next((decode_octets(field.value) for field in self.fields if field.name == name), "")

    @property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding in lower case, "7bit" without one (RFC 2045 section 6.1)."""
        return self.header(b"content-transfer-encoding").strip().lower() or "7bit"

    @property
    def charset(self) -> str:
        """The charset that its text is in, "" where readers are left to guess: none is declared, or ASCII."""
        declared = next((value for name, value in self.parameters if name == "charset"), "").strip()
        return "" if declared.lower() in ("", "us-ascii", "ascii") else declared

    def octets(self, body: bytes, most: int | None = None) -> bytes:
        """What it holds, its transfer encoding taken off. `body` is that of its message; `most` bounds what is read of it."""
        end = self.end if most is None else min(self.end, self.start + most)
        return decode_transfer(body[self.start : end], self.encoding)

    def text(self, octets: bytes) -> str:
        """Its octets as readers show them. US-ASCII is what senders declare who declare nothing: 8-bit octets are guessed."""
        return decode_octets(octets, self.charset)


@dataclass(frozen=True, slots=True)
class Structure:
    """All parts in order, the top-level part first."""

    parts: tuple[Part, ...]
    is_complete: bool

    @property
    def is_signed_or_encrypted(self) -> bool:
        return any(part.media_type in SEALED_TYPES for part in self.parts)

    def attachments(self) -> tuple[Attachment, ...]:
        """What is not plain running text: named parts, attached messages, anything that is not text or multipart."""
        return tuple(attachment for part in self.parts for attachment in attachments_of(part))


def walk(fields: tuple[Field, ...], body: bytes) -> Structure:
    """Find the parts of a message."""
    walker = _Walker(body)
    walker.visit(fields, 0, 0, len(body), 0, "text/plain", False)
    return Structure(tuple(walker.parts), walker.is_complete)


def parse_content_type(fields: Iterable[Field], default: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The media type in lower case and its parameters; what cannot be read is text/plain (RFC 2045 section 5.2)."""
    value = next((decode_octets(field.value) for field in fields if field.name == b"content-type"), None)
    if value is None:
        return default, ()
    match = _MEDIA_TYPE.match(value)
    return (f"{match[1]}/{match[2]}".lower() if match else "text/plain"), parse_parameters(value)


def parse_parameters(value: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a structured field, sections joined and decoded (RFC 2231), names in lower case.

    A name that is given twice comes twice: readers disagree on which counts.
    """
    plain: list[tuple[str, str]] = []
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in _PARAMETER.finditer(value):
        text = match[3].strip() if match[2] is None else _QUOTED_PAIR.sub(r"\1", match[2])
        name = _SECTION.fullmatch(match[1].lower())
        if name is None or not (name[2] or name[3]):
            plain.append((match[1].lower(), text))
        else:
            sections.setdefault(name[1], {}).setdefault(int(name[2] or 0), (text, bool(name[3])))
    return (*plain, *((name, _join(pieces)) for name, pieces in sections.items()))


def _join(pieces: dict[int, tuple[str, bool]]) -> str:
    """Sections in numeric order (RFC 2231 section 3); percent-decoded together, as a character may be split."""
    ordered = [pieces[number] for number in sorted(pieces)]
    if not ordered[0][1]:
        return "".join(text for text, _ in ordered)
    return decode_extended("".join(text if extended else text.replace("%", "%25") for text, extended in ordered))


class _Walker:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.parts: list[Part] = []
        self.look_alikes = 0
        self.is_complete = True

    def visit(
        self, fields: tuple[Field, ...], header_start: int, start: int, end: int, depth: int, default: str, attached: bool
    ) -> None:
        """Add the part whose body is body[start:end], then what is inside it."""
        media_type, parameters = parse_content_type(fields, default)
        place = len(self.parts)
        part = Part(media_type, parameters, fields, header_start, start, end, depth, False, attached)
        self.parts.append(part)
        if any(sum(field.name == name for field in fields) > 1 for name in _TELLING):
            self.is_complete = False  # readers disagree on which counts
        if depth >= MAX_DEPTH:
            self.is_complete = self.is_complete and not media_type.startswith(("multipart/", "message/"))
        elif media_type.startswith(_NESTING) and part.encoding not in ("7bit", "8bit", "binary"):
            self.is_complete = False  # RFC 2045 section 6.4 forbids it, and some readers decode it
        elif media_type.startswith("multipart/"):
            self._visit_children(part)
        elif media_type in ("message/rfc822", "message/global"):
            self._visit_entity(start, end, depth + 1, "text/plain", True)
        if len(self.parts) == place + 1:
            self.parts[place] = Part(media_type, parameters, fields, header_start, start, end, depth, True, attached)

    def _visit_children(self, part: Part) -> None:
        default = "message/rfc822" if part.media_type == "multipart/digest" else "text/plain"  # RFC 2046 section 5.1.5
        boundaries = {value.rstrip(" \t") for name, value in part.parameters if name == "boundary"}
        boundary = boundaries.pop() if len(boundaries) == 1 else ""
        if not boundary or not boundary.isascii():  # readers guess differently
            self.is_complete = False
            return
        for start, end in self._between(b"--" + boundary.encode(), part.start, part.end):
            if len(self.parts) >= MAX_PARTS:
                self.is_complete = False
                return
            self._visit_entity(start, end, part.depth + 1, default, part.in_attached_message)

    def _visit_entity(self, start: int, end: int, depth: int, default: str, attached: bool) -> None:
        """A header section, an empty line, a body; the header may be missing altogether (RFC 2046 section 5.1)."""
        if self.body.startswith(b"\r\n", start, end):
            self.visit((), start, start + 2, end, depth, default, attached)
            return
        blank = self.body.find(b"\r\n\r\n", start, end)
        header_end, body_start = (blank + 2, blank + 4) if blank >= 0 else (end, end)
        if header_end - start > MAX_PART_HEADER:
            self.is_complete = False
            header_end = start + MAX_PART_HEADER
        fields = readable_fields(self.body[start:header_end].rstrip(b"\r\n") + b"\r\n")
        self.visit(fields, start, body_start, end, depth, default, attached)

    def _between(self, delimiter: bytes, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges between delimiter lines; without a closing one the last range ends with its parent."""
        ranges: list[tuple[int, int]] = []
        opened = -1
        position = start if self.body.startswith(delimiter, start, end) else self._next(delimiter, start, end)
        while position >= 0:
            line_end = self.body.find(b"\r\n", position + len(delimiter), end)
            line_end = line_end if line_end >= 0 else end
            rest = self.body[position + len(delimiter) : min(line_end, position + len(delimiter) + 80)].strip(b" \t")
            if rest in (b"", b"--"):
                if opened >= 0:
                    ranges.append((opened, max(opened, position - 2)))
                opened = -1 if rest else min(line_end + 2, end)
                if rest or len(ranges) > MAX_PARTS:
                    break
            else:
                self.look_alikes += 1
                if self.look_alikes > MAX_LOOK_ALIKES:
                    self.is_complete = False
                    break
            position = self._next(delimiter, position + len(delimiter), end)
        if opened >= 0:
            ranges.append((opened, end))
        return ranges

    def _next(self, delimiter: bytes, start: int, end: int) -> int:
        found = self.body.find(b"\r\n" + delimiter, max(0, start - 2), end)
        return found + 2 if found >= 0 else -1


def attachments_of(part: Part) -> list[Attachment]:
    """The files as which readers show a part; none when it is running text."""
    disposition = part.header(b"content-disposition")
    names = [decode_words(value) for name, value in parse_parameters(disposition) if name == "filename"]
    names += [decode_words(value) for name, value in part.parameters if name == "name"]
    if not names and not disposition.lower().startswith("attachment") and not _is_file(part):
        return []
    return [Attachment(name, part.media_type) for name in dict.fromkeys(map(_one_line, names or [""]))]


def _is_file(part: Part) -> bool:
    if part.media_type in ("message/rfc822", "message/global"):
        return True
    return part.is_leaf and not part.media_type.startswith(("text/", "multipart/"))


def _one_line(name: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", name).strip()
