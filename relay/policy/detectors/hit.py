"""What a detector found: a kind and a place, and how sure it is.

Whoever writes a hit down writes kind, count and `sample`: the value itself is
for telling two hits apart and for the allow lists, and never leaves memory.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from functools import cache

MOST_HITS = 1000
"""Hits of one kind that are kept of one text; no rule asks for more, and a list of a million numbers is no more forbidden."""

_BEFORE, _AFTER, _HEADING = 32, 16, 200  # characters in which a word says what a number is


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of datum. `words`, case-folded, near a candidate say what it is."""

    name: str  # "cn-id"
    title: str
    title_zh: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """`start` and `end` are offsets in the text that was searched.

    `sure` is True where format, check digits and surroundings leave little doubt, False where a number of another kind
    passes as often as the measured rates say (false_positives.toml).  `shown` is all that a sample may show of a secret,
    None where the middle is hidden.
    """

    kind: str
    start: int
    end: int
    value: str = field(repr=False)  # without separators
    sure: bool = True
    shown: str | None = None

    @property
    def sample(self) -> str:
        """Enough to find the place again, too little to use: "110***********002X", "AKIA***"."""
        return _without_middle(self.value) if self.shown is None else f"{self.shown}***"


def _without_middle(value: str) -> str:
    """Hide the middle; the shorter the value, the more of it."""
    head, tail = (3, 4) if len(value) >= 15 else (3, 2) if len(value) >= 11 else (1, 1)
    return value[:head] + "*" * max(3, len(value) - head - tail) + value[-tail:]


class Scan:
    """A text that is searched; `until` is the last birthday there can be.

    What words stand anywhere in it is found once, and only for kinds that have a candidate.
    """

    def __init__(self, text: str, until: date, most: int) -> None:
        self.text = text
        self.until = until
        self.most = most  # groups of digits to look at
        self.numbers = 0  # groups of digits that were looked at
        self._folded = ""
        self._mentions: dict[str, bool] = {}

    def mentions(self, kind: Kind) -> bool:
        """Whether a word of the kind stands anywhere."""
        known = self._mentions.get(kind.name)
        if known is None:
            self._folded = self._folded or self.text.casefold()
            known = self._mentions[kind.name] = any(word in self._folded for word in kind.words)
        return known

    def says(self, kind: Kind, start: int, end: int) -> bool:
        """Whether a word of the kind stands close by, or in the first line, which names the columns of a table."""
        if not self.mentions(kind):
            return False
        pattern = _pattern(kind.words)
        around = f"{self.text[max(0, start - _BEFORE) : start]}\n{self.text[end : end + _AFTER]}".casefold()
        if pattern.search(around):
            return True
        heading, line_end, _ = self.text[:_HEADING].partition("\n")
        return bool(line_end) and len(heading) < start and bool(pattern.search(heading.casefold()))


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words; Latin ones from their first letter on."""
    return re.compile("|".join(rf"(?<![a-z]){re.escape(word)}" if word.isascii() else re.escape(word) for word in words))
