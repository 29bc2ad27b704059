"""Hours of the week, and when they begin. Pure.

Hours are what the clock on the wall says, on the days when it is put forward
or back too: what falls into an hour that is left out begins when the clocks
have changed, and an hour that comes twice is in or out both times.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(DAYS)
PATTERN = rf"^((?:{_DAY})(?:-(?:{_DAY}))? )?([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-4]):[0-5][0-9]$"
_SPAN = re.compile(rf"(?:({_DAY})(?:-({_DAY}))? )?([0-9]{{2}}):([0-9]{{2}})-([0-9]{{2}}):([0-9]{{2}})")

_WEEK = 7 * 24 * 60
_AHEAD = 16  # days: what a change of the clocks leaves out of one week is there in the next


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until `end` (minutes of the day) on the days `first` to `last` (Monday is 0).

    One that does not end after it starts ends on the next day.
    """

    first: int
    last: int
    start: int
    end: int

    def __str__(self) -> str:
        days = f"{DAYS[self.first]}-{DAYS[self.last]} " if self.first != self.last else f"{DAYS[self.first]} "
        return f"{'' if self._is_daily else days}{_clock(self.start)}-{_clock(self.end)}"

    @property
    def _is_daily(self) -> bool:
        return (self.last - self.first) % 7 == 6

    def covers(self, day: int, minute: int) -> bool:
        """Whether this minute of the day is inside, on this day of the week."""
        if self.start < self.end:
            return self._begins_on(day) and self.start <= minute < self.end
        return (self._begins_on(day) and minute >= self.start) or (self._begins_on(day - 1) and minute < self.end)

    def _begins_on(self, day: int) -> bool:
        return (day - self.first) % 7 <= (self.last - self.first) % 7


Hours = tuple[Span, ...]
"""Inside any of them is inside."""


def parse_span(text: str) -> Span:
    """Read "09:00-21:00", "Mon-Fri 09:00-18:00", "Sat 22:00-06:00".

    Raises ValueError with what was expected.
    """
    match = _SPAN.fullmatch(text)
    if match is None or not re.fullmatch(PATTERN, text):
        raise ValueError(f'"{text}" are no hours; write "09:00-21:00" or "Mon-Fri 09:00-18:00"')
    first, last, *clock = match.groups()
    start_hour, start_minute, end_hour, end_minute = map(int, clock)
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if end > 24 * 60:
        raise ValueError(f'"{text}": a day ends at 24:00')
    if start == end:
        raise ValueError(f'"{text}" ends when it begins; write "00:00-24:00" for the whole day')
    if first is None:
        return Span(0, 6, start, end)
    return Span(DAYS.index(first), DAYS.index(last or first), start, end)


def week_of(hours: Hours) -> frozenset[int]:
    """The minutes of the week that are inside, from Monday 00:00 on."""
    return frozenset(minute for minute in range(_WEEK) if _covered(hours, minute // 1440, minute % 1440))


def opening(hours: Hours, zones: tuple[str, ...], now: float) -> float:
    """The first moment, `now` or later, that is inside the hours in every one of these time zones.

    Where the zones lie so far apart that no moment is, the first zone counts alone.
    """
    minute = int(now // 60)
    begins = _opening(hours, zones, minute)
    return now if begins == minute else begins * 60.0


@lru_cache(maxsize=4096)
def _opening(hours: Hours, zones: tuple[str, ...], minute: int) -> int:
    """As `opening`, in minutes since the epoch: clocks are put forward and back by whole ones."""
    if len(zones) == 1:
        return _next(hours, zones[0], minute)
    year = datetime.fromtimestamp(minute * 60, UTC).year
    begins = _common(hours, zones, minute, _AHEAD * 1440) if do_meet(hours, zones, year) else None
    return _next(hours, zones[0], minute) if begins is None else begins


@lru_cache(maxsize=1024)
def do_meet(hours: Hours, zones: tuple[str, ...], year: int) -> bool:
    """Whether there are such moments in winter and in summer, so that the answer is the same all year."""
    weeks = (int(datetime(year, month, 1, tzinfo=UTC).timestamp()) // 60 for month in (1, 7))
    return all(_common(hours, zones, week, _WEEK) is not None for week in weeks)


def _common(hours: Hours, zones: tuple[str, ...], minute: int, within: int) -> int | None:
    """The first minute that is inside everywhere, None when there is none within so many."""
    last = minute + within
    while minute <= last:
        begins = max(_next(hours, zone, minute) for zone in zones)
        if begins == minute:
            return minute
        minute = begins
    return None


def _next(hours: Hours, zone: str, minute: int) -> int:
    clock = ZoneInfo(zone)
    if _is_inside(hours, clock, minute):
        return minute
    return min(edge for edge in _edges(hours, clock, minute) if edge > minute and _is_inside(hours, clock, edge))


def _is_inside(hours: Hours, clock: ZoneInfo, minute: int) -> bool:
    wall = datetime.fromtimestamp(minute * 60, clock)
    return _covered(hours, wall.weekday(), wall.hour * 60 + wall.minute)


def _covered(hours: Hours, day: int, minute: int) -> bool:
    return any(span.covers(day, minute) for span in hours)


def _edges(hours: Hours, clock: ZoneInfo, minute: int) -> Iterator[int]:
    """The minutes at which hours can begin: where a span starts, and where the clocks change."""
    today = datetime.fromtimestamp(minute * 60, clock).replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(_AHEAD):
        midnight = today + timedelta(days=number)
        for span in hours:
            start = midnight.replace(hour=span.start // 60, minute=span.start % 60)
            yield from (int(start.replace(fold=fold).timestamp()) // 60 for fold in (0, 1))
        yield from _change(clock, int(midnight.timestamp()) // 60, int((midnight + timedelta(days=1)).timestamp()) // 60)


def _change(clock: ZoneInfo, first: int, last: int) -> Iterator[int]:
    """The minute between these two from which on the clock runs otherwise, if there is one."""
    if _offset(clock, first) == (then := _offset(clock, last)):
        return
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (first, middle) if _offset(clock, middle) == then else (middle, last)
    yield last


def _offset(clock: ZoneInfo, minute: int) -> timedelta | None:
    return datetime.fromtimestamp(minute * 60, clock).utcoffset()


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
