"""Which figures of a text the sources in it stand for: one in another paragraph stands for none.

A source stands for its own paragraph, for the one above when it begins its
own, as below a table, and, as a note, for figures with its mark.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from relay.mail.words.sight import Text
from relay.policy.words.terms import TermHit

_LINE = re.compile(r"\n\s*+")
_PARAGRAPH = re.compile(
    r"\r?\n[ \t]*+\r?\n\s*+|(?<=[。.!?;])(?P<stop>[ \t]*+\r?\n[ \t]*+)|\r?\n[ \t]*+(?=[*·※†‡\[(]|[0-9]{1,2}[.、)]|- |注)"
)
"""In plain text, whose lines may be wrapped: a blank line, the end of a sentence in a short line, one before a note or item."""

_WRAPPED = 56  # columns from which on a line may be wrapped; a Han character takes two

_CAPTION = re.compile(r"[\W\d_]*+(?:注|NOTES?)?[\W\d_]*+", re.IGNORECASE)
_LONGEST_CAPTION = 12
_MARK = re.compile(
    r"[*＊※†‡]{1,3}|[\u2460-\u2473]|[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]{1,2}|[\[［【(（〔]注?[0-9]{1,2}[\]］】)）〕]|注[0-9]{1,2}"
)
_NUMBER = re.compile(r"[0-9]{1,2}(?=[.．、)）:： \t])")
_AROUND = 24  # characters around a statistic in which the mark of its figure stands


class Sources:
    """The sources of one text."""

    def __init__(self, text: Text, hits: Iterable[TermHit]) -> None:
        self._text = text
        self._starts = [0, *_bounds(text)]
        self._paragraphs: set[int] = set()
        self._notes: set[str] = set()
        for hit in hits:
            self._add(hit)

    def stand_for(self, hit: TermHit) -> bool:
        """Whether one of them is that of the figure beside this statistic."""
        if self._paragraph(hit.start) in self._paragraphs:
            return True
        return bool(self._notes) and not self._notes.isdisjoint(self._marks_around(hit))

    def _add(self, hit: TermHit) -> None:
        number = self._paragraph(hit.start)
        if number in self._paragraphs and number - 1 in self._paragraphs:
            return
        self._paragraphs.add(number)
        start = self._starts[number]
        before = self._text.normalised[start : hit.start]
        if len(before) <= _LONGEST_CAPTION and _CAPTION.fullmatch(before):
            self._paragraphs.add(number - 1)
        shown = self._text.shown
        place, _ = self._text.position(start, start + 1)
        place += len(shown[place : place + _AROUND]) - len(shown[place : place + _AROUND].lstrip())
        if mark := _MARK.match(shown, place) or _NUMBER.match(shown, place):
            self._notes.add(_plain(mark[0]))

    def _paragraph(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _marks_around(self, hit: TermHit) -> set[str]:
        shown = self._text.shown
        start, end = self._text.position(hit.start, hit.end)
        before = shown[max(0, start - _AROUND) : start].rpartition("\n")[2]
        behind = shown[end : end + _AROUND].partition("\n")[0]
        return {_plain(mark) for mark in _MARK.findall(before + shown[start:end] + behind)}


def _bounds(text: Text) -> Iterator[int]:
    """Where all paragraphs but the first start."""
    folded = text.normalised
    if not text.wraps:
        yield from (bound.end() for bound in _LINE.finditer(folded))
        return
    for bound in _PARAGRAPH.finditer(folded):
        if bound["stop"] is not None:
            line = folded[folded.rfind("\n", 0, bound.start()) + 1 : bound.start()][-_WRAPPED:]
            if len(line) + sum(not character.isascii() for character in line) >= _WRAPPED:
                continue
        yield bound.end()


def _plain(mark: str) -> str:
    """The number of a mark, however it is written: ¹, ①, [1] and 注1 are one; else the mark."""
    plain = unicodedata.normalize("NFKC", mark)
    return "".join(filter(str.isdigit, plain)) or plain
