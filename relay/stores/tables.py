"""From the octets of a list to its rows, in bounded memory, whatever program wrote it.

UTF-8 with or without a byte order mark, UTF-16 with one, GB18030; line ends
LF, CRLF or CR alone; comma, semicolon or tab; quoted cells over several lines;
JSON as an array, as one object a line, or inside the answer of an API.  A row
that cannot be read becomes a `Fault` with its line, and the next one is read.
"""

import codecs
import csv
import io
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

MAX_ROW = 64 * 1024  # octets or characters of one row
_JOINED_LINES = 20  # of one row whose quoted cells have line breaks
_DELIMITERS = (",", ";", "\t")
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be used, and why in both languages. `row` is what it says, cut to what a person can look at."""

    line: int
    row: str
    zh: str
    en: str


class Row(NamedTuple):
    """One row: `cells` of a table, or `value`, an object of JSON. `raw` is the row as it came, line ends and all."""

    line: int
    raw: bytes = b""
    cells: tuple[str, ...] = ()
    delimiter: str = ","
    value: dict[str, Any] | None = None


def rows(chunks: Iterable[bytes]) -> "Iterator[Row | Fault]":
    """Read a list: when it begins like JSON, its objects, else a `Table`."""
    octets = _as_utf8(iter(chunks))
    first = next(octets, b"").removeprefix(codecs.BOM_UTF8)
    while first and not first.strip() and len(first) < MAX_ROW:
        more = next(octets, b"")
        if not more:
            break
        first += more
    together = chain((first,), octets)
    return _objects(together) if first.lstrip()[:1] in (b"{", b"[") else table(together)


def table(chunks: Iterable[bytes]) -> "Table":
    """Read a table of text."""
    return Table(_blocks(chunks))


class Lines(NamedTuple):
    """Lines of a table whose rows are the same when they are read apart from all others (`Table.apart`)."""

    number: int  # of the first
    raw: list[bytes]
    encodings: tuple[str, ...]
    delimiter: str

    def rows(self) -> "Table":
        return Table(iter([(self.number, self.raw)]), self.encodings, self.delimiter)


class Table(Iterator[Row | Fault]):
    """The rows of a table; blank lines and lines that begin with "# " are left out."""

    def __init__(
        self, blocks: Iterator[tuple[int, list[bytes]]], encodings: Sequence[str] = ("utf-8", "gb18030"), delimiter: str = ""
    ) -> None:
        self._lines = _Waiting(blocks)
        self._decoder = _Decoder(encodings)
        self._delimiter = delimiter

    def __next__(self) -> Row | Fault:
        for number, raw in self._lines:
            if len(raw) > MAX_ROW:
                return Fault(number, self._decoder.excerpt(raw), "这一行过长", "this line is too long")
            if raw.isspace() or raw.startswith(b"# "):
                continue
            text = self._decoder.decode(raw)
            if text is None:
                return Fault(number, self._decoder.excerpt(raw), "既不是 UTF-8 也不是 GB18030 编码", "neither UTF-8 nor GB18030")
            self._delimiter = delimiter = self._delimiter or _delimiter(text)
            if '"' not in text or text.count('"') % 2 == 0:
                return Row(number, raw, _cells(text, delimiter), delimiter)
            return _joined(number, raw, text, delimiter, self._decoder, self._lines)
        raise StopIteration

    def apart(self) -> "Iterator[Lines | list[Row | Fault]]":
        """What is left, in parts that other processes can read; what only makes sense in its order is read here."""
        while found := self._lines.take_block():
            number, raw = found
            if self._stands_alone(raw):
                yield Lines(number, raw, self._decoder.encodings, self._delimiter)
                continue
            self._lines.give_back(enumerate(raw, number))
            here: list[Row | Fault] = []
            while self._lines.has_before(number + len(raw)) and (row := next(self, None)):
                here.append(row)
            yield here

    def _stands_alone(self, raw: list[bytes]) -> bool:
        """Whether no cell goes on from line to line, and no line changes the encoding of those that follow."""
        together = b"".join(raw)
        if b'"' in together and any(line.count(b'"') % 2 for line in raw):
            return False
        return together.isascii() or self._decoder.is_steady(together)


def lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number the lines, with their ends; of an endless one only as much is kept as shows that it is too long."""
    for number, raw in _blocks(chunks):
        yield from enumerate(raw, number)


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The lines that end in each chunk, and the number of the first."""
    number, kept = 1, b""
    for chunk in chunks:
        pieces = (kept + chunk).splitlines(keepends=True)
        # The last one may go on in the next chunk; a CR at its end may be half of a CRLF.
        kept = pieces.pop() if pieces and not pieces[-1].endswith(b"\n") else b""
        yield number, pieces
        number += len(pieces)
        if len(kept) > 2 * MAX_ROW and not kept.endswith(b"\r"):
            kept = kept[: MAX_ROW + 1] + b" "
    yield number, kept.splitlines(keepends=True)


class _Decoder:
    """UTF-8 until a line is not; from there GB18030 is tried first, as one file has one encoding."""

    def __init__(self, encodings: Sequence[str]) -> None:
        self.encodings = tuple(encodings)

    def decode(self, raw: bytes) -> str | None:
        for encoding in self.encodings:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            if encoding != self.encodings[0] and not raw.isascii():
                self.encodings = self.encodings[::-1]
            return text
        return None

    def is_steady(self, octets: bytes) -> bool:
        """Whether every line of these is of the encoding that is tried first; neither has line ends inside a character."""
        try:
            octets.decode(self.encodings[0])
        except UnicodeDecodeError:
            return False
        return True

    def excerpt(self, raw: bytes) -> str:
        return raw[:200].decode(self.encodings[0], "replace").strip()


class _Waiting(Iterator[tuple[int, bytes]]):
    """Numbered lines, one by one or a block at once; some can be given back."""

    def __init__(self, blocks: Iterator[tuple[int, list[bytes]]]) -> None:
        self._blocks = blocks
        self._waiting: deque[tuple[int, bytes]] = deque()

    def __next__(self) -> tuple[int, bytes]:
        while not self._waiting:
            number, raw = next(self._blocks)
            self._waiting.extend(enumerate(raw, number))
        return self._waiting.popleft()

    def give_back(self, items: Iterable[tuple[int, bytes]]) -> None:
        self._waiting.extendleft(reversed(list(items)))

    def has_before(self, number: int) -> bool:
        return bool(self._waiting) and self._waiting[0][0] < number

    def take_block(self) -> tuple[int, list[bytes]] | None:
        """What was given back and what is left of the block that was begun, else the next one; never none but at the end."""
        if self._waiting:
            found = self._waiting[0][0], [raw for _, raw in self._waiting]
            self._waiting.clear()
            return found
        return next((block for block in self._blocks if block[1]), None)


def _joined(number: int, raw: bytes, text: str, delimiter: str, decoder: _Decoder, waiting: _Waiting) -> Row | Fault:
    """A quote is open at the end of the line: the cell goes on below, or the quote is a fault of this line alone."""
    if not re.search(rf'(^|{delimiter})\s*"', text):
        return Row(number, raw, tuple(cell.strip() for cell in text.split(delimiter)), delimiter)
    taken: list[tuple[int, bytes]] = []
    together, whole = text, raw
    for following in waiting:
        taken.append(following)
        whole += following[1]
        together += decoder.decode(following[1]) or ""
        if together.count('"') % 2 == 0:
            return Row(number, whole, _cells(together, delimiter), delimiter)
        if len(taken) == _JOINED_LINES or len(whole) > MAX_ROW:
            break
    waiting.give_back(taken)
    return Fault(number, text.strip()[:200], "引号没有配对", "a quotation mark has no partner")


def _cells(text: str, delimiter: str) -> tuple[str, ...]:
    if '"' not in text:
        return tuple(map(str.strip, text.split(delimiter)))
    if delimiter not in text and not text.rstrip().endswith('"'):
        return (text.strip(),)  # "a quoted local part"@example.com
    try:
        parsed = next(csv.reader(io.StringIO(text.strip(), newline=""), delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        parsed = text.split(delimiter)
    return tuple(cell.strip() for cell in parsed)


def _delimiter(text: str) -> str:
    """The one that the first row uses most; a comma where there is none."""
    outside = "".join(text.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    while len(first) < 4 and (chunk := next(chunks, b"")):
        first += chunk
    for bom, encoding in _BOMS.items():
        if first.startswith(bom):
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            for chunk in chain((first.removeprefix(bom),), chunks):
                yield decoder.decode(chunk).encode()
            return
    yield first
    yield from chunks


_JSON = json.JSONDecoder()
_NEXT_ROW = re.compile(r"[^:\s]\s*\{")


def _objects(chunks: Iterable[bytes]) -> Iterator[Row | Fault]:
    """Every object of JSON that stands by itself or in a list; what surrounds the list is passed over."""
    text = _Text(chunks)
    while text.find_object():
        value, fault = text.read_object()
        if fault is None:
            yield Row(text.line, value=value)
        elif "@" in fault:
            yield Fault(text.line, fault[:200].strip(), "不是有效的 JSON", "this is not valid JSON")
        text.pass_over()


def _holds_a_list(value: dict[str, Any]) -> bool:
    """Whether this is the answer of an API around the rows, not a row."""
    if any(isinstance(inner, str) and "@" in inner for inner in value.values()):
        return False
    return any(isinstance(inner, list) for inner in value.values())


class _Text:
    """A text that is read as far as needed; `position` is at an object once one was found, `line` counts from 1."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ""
        self._position = 0
        self._end = 0
        self.line = 1

    def find_object(self) -> bool:
        """Move to the next object that is not the value of a name."""
        before = ""
        while True:
            at = self._buffer.find("{", self._position)
            until = at if at >= 0 else len(self._buffer)
            passed = self._buffer[self._position : until]
            self.line += passed.count("\n")
            before = passed.rstrip()[-1:] or before
            self._position = until
            if at >= 0 and before != ":":
                return True
            if at >= 0:
                self._position += 1
                before = "{"
            elif not self._grow():
                return False

    def read_object(self) -> tuple[dict[str, Any] | None, str | None]:
        """The object; or what stands there instead, "" when it is only what surrounds the rows."""
        while True:
            try:
                value, self._end = _JSON.raw_decode(self._buffer, self._position)
            except (ValueError, RecursionError) as error:  # the latter of what is nested too deep
                if self._is_cut(error) and len(self._buffer) - self._position < MAX_ROW and self._grow():
                    continue
                broken = self._up_to_next_row()
                self._end = self._position + 1
                return None, broken
            if _holds_a_list(value):
                self._end = self._position + 1
                return None, ""
            return value, None

    def pass_over(self) -> None:
        """Leave the object, or only its opening brace, behind."""
        self.line += self._buffer.count("\n", self._position, self._end)
        self._position = self._end

    def _is_cut(self, error: Exception) -> bool:
        """Whether the object may go on in the next chunk; not of a number with more digits than Python reads."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.pos >= len(self._buffer) - 1 or error.msg.startswith("Unterminated")

    def _grow(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._buffer = self._buffer[self._position :] + self._decoder.decode(chunk)
        self._position = 0
        return True

    def _up_to_next_row(self) -> str:
        """What stands there up to the next object that is not the value of a name: it may say whom the row is about."""
        while (following := _NEXT_ROW.search(self._buffer, self._position)) is None:
            if len(self._buffer) - self._position >= MAX_ROW or not self._grow():
                return self._buffer[self._position :]
        return self._buffer[self._position : following.end() - 1]
