"""Text put into a part, or cut out of it, in the transfer encoding that the part has; every other octet stays as it is.

A part is decoded once.  A place in its text is a place between octets of the
body; what is written there is encoded as its surroundings are, and only the
line of base64 or quoted-printable that it breaks into is written anew.  What
is written takes whole lines of the body, so that its share of the body's hash
can be told apart (`relay.render.body`).
"""

import binascii
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from relay.errors import DutyImpossible
from relay.mail.parts.mime import Part

_TOKEN = re.compile(rb"=(?:[\r\n].*+|\Z)|==|=[0-9A-Fa-f]{2}|.", re.DOTALL)
"""What `a2b_qp` makes one octet of, or none of a "=" at the end of a line; "==" is no quoted-printable and is read as one "="."""
_BLANK_END = re.compile(rb"=[ \t]++(?:[\r\n]|\Z)")
_WIDTH, _QUANTUM = 76, 3  # characters of a line of base64, and octets that four of them stand for
_PLAIN = ("7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a copy's own link stands: whole lines, encoded when the link is known.

    `before` and `after` are octets of the part that share an encoded line with
    what is written; `texts` has the link between its members.  `ends` says
    that nothing of the part follows, `is_html` that the link is escaped.
    """

    encoding: str
    before: bytes
    texts: tuple[bytes, ...]
    after: bytes
    ends: bool
    is_html: bool

    def filled(self, link: str) -> bytes:
        """The octets of the body, which end in CRLF."""
        text = (escape(link) if self.is_html else link).encode().join(self.texts)
        if self.encoding == "base64":
            return _base64(self.before, text, self.after, self.ends)
        return binascii.b2a_qp(text) if self.encoding == "quoted-printable" else text


@dataclass(frozen=True, slots=True)
class Spliced:
    """The body around a place where text was put in: `head` ends in CRLF or is empty."""

    head: bytes
    slot: Slot
    tail: bytes


class Octets:
    """A leaf part of a body, decoded, with the way back from its octets to those of the body."""

    def __init__(self, body: bytes, part: Part) -> None:
        """Raises DutyImpossible for what readers could decode in different ways."""
        self._body = body
        self._part = part
        self.encoding = part.encoding if part.encoding in ("base64", "quoted-printable") else ""
        if not self.encoding and part.encoding not in _PLAIN:
            raise DutyImpossible("a text of the message has a Content-Transfer-Encoding that nobody knows")
        raw = body[part.start : part.end]
        if not self.encoding:
            self.text = raw
            return
        self._lines = raw.splitlines(keepends=True)
        self._starts = [part.start, *accumulate(map(len, self._lines), initial=part.start)][1:]
        if self.encoding == "base64":
            self._read_base64(raw)
        else:
            if _BLANK_END.search(raw):  # some readers take blanks behind a "=" off, some do not
                raise DutyImpossible("a text of the message is in quoted-printable that readers may decode in different ways")
            decoded = [binascii.a2b_qp(line) for line in self._lines]
            self._ends = list(accumulate(map(len, decoded)))
            self.text = b"".join(decoded)

    def _read_base64(self, raw: bytes) -> None:
        try:
            self.text = binascii.a2b_base64(raw)
        except binascii.Error as fault:
            raise DutyImpossible("a text of the message is in base64 that ends in the middle") from fault
        sizes = [len(line.strip()) for line in self._lines]
        self._ends = list(accumulate(size // 4 * _QUANTUM for size in sizes))
        digits = raw.rstrip()
        padding = len(digits) - len(digits.rstrip(b"="))
        total = self._ends[-1] - padding if self._ends else 0
        if any(size % 4 for size in sizes) or total != len(self.text):
            raise DutyImpossible("a text of the message is in base64 that readers may decode in different ways")

    def splice(self, place: int, texts: tuple[bytes, ...], *, is_html: bool) -> Spliced:
        """Put `texts`, which end in a line end, in front of text[place:]."""
        if self.encoding == "base64":
            first, last, begins, ends = self._lines_of(place, place)
            slot = Slot("base64", self.text[begins:place], texts, self.text[place:ends], ends >= len(self.text), is_html)
            return Spliced(self._body[:first], slot, self._body[last:])
        at = self._place(place)
        head = self._body[:at]
        if head and not head.endswith(b"\r\n"):
            head += b"=\r\n" if self.encoding and place < len(self.text) else b"\r\n"
        return Spliced(head, Slot(self.encoding, b"", texts, b"", False, is_html), self._body[at:])

    def without(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        """The body without these ranges of the text, which are in order and apart."""
        if not ranges:
            return self._body
        if self.encoding == "base64":
            return self._without_in_base64(ranges)
        pieces, position = [], 0
        for start, end in ranges:
            first, last = self._place(start), self._place(end)
            joint = (b"=\r\n" if self.encoding else b"\r\n") if b"\r\n" in self._body[first:last] else b""
            pieces += [self._body[position:first], joint]
            position = last
        return b"".join([*pieces, self._body[position:]])

    def _without_in_base64(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        (start, _), (_, end) = ranges[0], ranges[-1]
        first, last, begins, ends = self._lines_of(start, end)
        bounds = [begins, *(place for one in ranges for place in one)][:-1]
        kept = b"".join([self.text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)])
        octets = _base64(b"", kept, self.text[end:ends], ends >= len(self.text))
        return self._body[:first] + octets + self._body[last:]

    def _lines_of(self, start: int, end: int) -> tuple[int, int, int, int]:
        """The whole lines of base64 that text[start:end] stands in: where they are in the body, and in the text."""
        if not self._lines:
            return self._part.start, self._part.start, 0, 0
        last_line = bisect_left(self._ends, self._ends[-1])
        first = min(bisect_right(self._ends, start), last_line)
        last = min(bisect_right(self._ends, end), last_line)
        begins = self._ends[first - 1] if first else 0
        return self._starts[first], self._starts[last + 1], begins, min(self._ends[last], len(self.text))

    def _place(self, place: int) -> int:
        """Where in the body the text goes on from `place`."""
        if not self.encoding:
            return self._part.start + place
        if place >= len(self.text):
            return self._part.end
        number = bisect_right(self._ends, place)
        inside = place - (self._ends[number - 1] if number else 0)
        octets = self._ends[number] - (self._ends[number - 1] if number else 0)
        return self._starts[number] + _cut(self._lines[number], octets, inside)


def _cut(line: bytes, octets: int, inside: int) -> int:
    """Where a line of quoted-printable, which stands for so many octets, is cut before one of them.

    Raises DutyImpossible beside a bare "=": what is put or comes there could be taken for its digits.
    """
    tokens = [token.span() for token in _TOKEN.finditer(line)]
    if tokens[-1][0] < len(line) and line[tokens[-1][0] :].rstrip(b"\r\n") == b"=":
        tokens.pop()
    before = [line[start:end] for start, end in tokens[max(0, inside - 2) : inside]]
    if len(tokens) != octets or b"=" in before:
        raise DutyImpossible("a text of the message is in quoted-printable that readers may decode in different ways")
    return tokens[inside][0]


def _base64(before: bytes, text: bytes, after: bytes, ends: bool) -> bytes:
    """Lines of base64 that end on a quantum unless the part ends there; the blanks that it takes stand before `after`."""
    missing = 0 if ends else -(len(before) + len(text) + len(after)) % _QUANTUM
    encoded = binascii.b2a_base64(b"".join([before, text, b" " * missing, after]), newline=False)
    return b"".join([encoded[i : i + _WIDTH] + b"\r\n" for i in range(0, len(encoded), _WIDTH)])
