"""Limits as admins write them, and the charges that stores reserve.

"N/second", "N/minute", "N/hour": never more than N recipients in any window of
that length.  "N/day": a calendar day of the organisation's time zone, because
that is what providers and people mean by a day.  "N/day xF" is a warm-up: N on
the first day of sending, F times as many on each that follows.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache

from relay.policy.suppressions.suppression import Digest

WARM_UP_PATTERN = r"([1-9][0-9]{0,8})/day x([1-9](?:\.[0-9]{1,3})?|10)"
SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True)
class Window:
    """A limit's window: `length` seconds sliding, or a calendar day when `day` is set ("2026-11-21", ending at `day_ends`)."""

    count: int
    length: float
    day: str = ""
    day_ends: float = 0.0


@dataclass(frozen=True, slots=True)
class Charge:
    """`count` units against one limit. `key` is a digest of its scope and window; `name` is for people."""

    key: Digest
    window: Window
    count: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` recipients in a `unit`: second, minute, hour or day."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"

    def window(self, now: datetime, zone: tzinfo) -> Window:
        """The window that `now` (aware) falls into; sliding except for days."""
        if self.unit != "day":
            return _sliding(self.count, self.unit)
        return _day(self.count, now.astimezone(zone).date(), zone)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """`count` recipients on the first day of sending, `factor` times as many on each day of sending that follows."""

    count: int
    factor: Decimal

    def __str__(self) -> str:
        return f"{self.count}/day x{self.factor}"

    def on_day(self, number: int, enough: int) -> Limit | None:
        """The limit on the n-th day (from 1), None when it would be `enough` or more: then the warm-up is over."""
        count = self.count * self.factor ** (number - 1)
        return Limit(int(count), "day") if count < enough else None


@lru_cache(maxsize=64)
def _sliding(count: int, unit: str) -> Window:
    return Window(count, SECONDS[unit])


@lru_cache(maxsize=64)
def _day(count: int, day: date, zone: tzinfo) -> Window:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=1)
    return Window(count, SECONDS["day"], day.isoformat(), midnight.timestamp())


def parse_limit(text: str) -> Limit:
    """Read "20/minute".

    Raises ValueError with what was expected.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,8})/(second|minute|hour|day)", text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a limit; write a whole number, "/" and second, minute, hour or day, as in "20/minute"')
    return Limit(int(match[1]), match[2])


def parse_warm_up(text: str) -> WarmUp:
    """Read "200/day x1.5".

    Raises ValueError with what was expected.
    """
    match = re.fullmatch(WARM_UP_PATTERN, text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a warm-up; write recipients on the first day and the growth, as in "200/day x1.5"')
    factor = Decimal(match[2])
    if factor <= 1:
        raise ValueError(f'"{text}" never grows; write a factor over 1, as in "200/day x1.5"')
    return WarmUp(int(match[1]), factor)
