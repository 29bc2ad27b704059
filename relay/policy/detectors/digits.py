"""Numbers in a text as people write them: in one run, or grouped by single blanks and hyphens.

Digits that touch belong to one number, so a part of a longer number is never
a candidate.  Each candidate comes once for every way to group it that people
use; the work grows with the length of the text only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.policy.detectors.hit import Scan

_RUN = re.compile("[0-9](?>(?:[ \u00a0\u2000-\u200a\u2010-\u2013\u202f-]?[0-9]){5,})")
_SHORTEST, _LONGEST = 6, 21
_BETWEEN = b" -" + "\u00a0\u2010\u202f".encode() + bytes(range(0x80, 0x94))  # in UTF-8; all of U+2000 to U+2013 ends in the last
_DRAWN = bytes(ord("0" if chr(c).isdecimal() else "A" if chr(c).isupper() else "-") for c in range(128)) + b"-" * 128
OUTLINE = b"0" * _SHORTEST
_MOST_GROUPS = 6
MOST_NUMBERS = 20_000
"""Groups of digits that are looked at in one message."""

_GROUPINGS = frozenset(
    {
        (3, 4, 4), (2, 11), (2, 3, 4, 4), (3, 8), (2, 3, 8),  # telephones
        (6, 8, 4), (6, 4, 4, 4), (3, 2, 4), (6, 7), (4, 4, 4),  # persons
        (4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 6, 5), (4, 6, 4), (6, 10), (6, 13),  # cards
    }
)  # fmt: skip
_FIRST_GROUPS = {grouping[0] for grouping in _GROUPINGS}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number: its digits (and the X that may end a Chinese one), where it stands, how it is grouped."""

    scan: Scan
    start: int
    end: int
    digits: str
    groups: tuple[int, ...]

    def before(self, count: int) -> str:
        return self.scan.text[max(0, self.start - count) : self.start]

    def after(self, count: int) -> str:
        return self.scan.text[self.end : self.end + count]


def outline(text: str) -> bytes:
    """The text with "0" for a digit and "A" for a capital, and without what may stand between the digits of a number.

    It is drawn in a fraction of the time that a pattern takes to pass over the text, and few mails have OUTLINE in it.
    """
    return text.encode("utf-8", "surrogatepass").translate(_DRAWN, _BETWEEN)


def candidates(scan: Scan) -> Iterator[Candidate]:
    """Every number of 6 to 21 digits, in order, as long as there are not too many."""
    for run in _RUN.finditer(scan.text):
        groups = _groups(run)
        for first, (start, end) in enumerate(groups):
            scan.numbers += 1
            if scan.numbers > scan.most:
                return
            if first == 0 or end - start >= _SHORTEST or end - start in _FIRST_GROUPS:
                yield from _from_group(scan, groups, first)


def _groups(run: re.Match[str]) -> list[tuple[int, int]]:
    """Where each group of digits starts and ends."""
    start, groups = run.start(), []
    for piece in re.split("[^0-9]", run[0]):
        groups.append((start, start + len(piece)))
        start += len(piece) + 1
    return groups


def _from_group(scan: Scan, groups: list[tuple[int, int]], first: int) -> Iterator[Candidate]:
    """The candidates that begin with this group: alone, with the next ones in a usual grouping, with all of its run."""
    digits, lengths = "", []
    for number in range(first, min(len(groups), first + _MOST_GROUPS)):
        start, end = groups[number]
        digits += scan.text[start:end]
        lengths.append(end - start)
        if len(digits) > _LONGEST:
            return
        is_whole = first == 0 and number == len(groups) - 1
        if len(digits) >= _SHORTEST and (len(lengths) == 1 or is_whole or tuple(lengths) in _GROUPINGS):
            yield Candidate(scan, groups[first][0], end, digits, tuple(lengths))
        if number == len(groups) - 1 and len(digits) == 17 and (after := _check_x(scan.text, end)):
            yield Candidate(scan, groups[first][0], after, f"{digits}X", (*lengths[:-1], lengths[-1] + 1))


def _check_x(text: str, end: int) -> int:
    """Where the X ends that stands for the check digit 10 behind this place, 0 without one."""
    place = end + 1 if text[end : end + 1] in ("-", " ") else end
    return place + 1 if text[place : place + 1] in ("X", "x") and not text[place + 1 : place + 2].isalnum() else 0
