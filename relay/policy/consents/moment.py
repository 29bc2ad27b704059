"""Moments that people, forms and lists tell, in epoch seconds: how they are read, which can be meant, on which days they fall.

Calendars end: what lies beyond their first or last year has no day, and a rule
that fails over it keeps back the mail of everybody beside.  So nothing outside
of these bounds is recorded, and what is recorded all the same counts as the
bound that it lies beyond.
"""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from email.utils import parsedate_to_datetime

EARLIEST = 0.0
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
_LAST_DAY = date(8999, 12, 31)
OUTSIDE = "lies outside of the years 1970 to 8999; leave it out where there is no such day"
OUTSIDE_ZH = "不在 1970 至 8999 年之间；没有这一天的，请留空"

_SECONDS = re.compile(r"\d{9,10}(\.\d+)?")
_MILLISECONDS = re.compile(r"\d{12,13}")
_NAMED_UTC = re.compile(r"(?<=\d) UTC$")
_SPREADSHEET = re.compile(r"(\d{4})[/.\-年](\d{1,2})[/.\-月](\d{1,2})日?(?: +(\d{1,2})(:.*))?")
_TO_ITS_END = timedelta(days=1, microseconds=-1)


def parse_moment(text: str, zone: tzinfo = UTC, *, is_end: bool = False) -> float | None:
    """Read a time as people, spreadsheets and services write it; None when it is none.

    Epoch seconds or milliseconds, ISO 8601, RFC 5322, 2026/3/1 20:00, 2026年3月1日; what names no zone is in `zone`.
    A day alone is its beginning; with `is_end`, of what ends something, its last moment: nobody knows the hour, and who
    refused on that day refused what they had agreed to on the same day too.  Of an hour that clocks show twice it is the
    first, with `is_end` the second.
    """
    if _SECONDS.fullmatch(text):
        return float(text)
    if _MILLISECONDS.fullmatch(text):
        return int(text) / 1000
    told = _told(text) or _told(_NAMED_UTC.sub("+00:00", _SPREADSHEET.sub(_as_iso, text)))
    if told is None:
        return None
    if is_end and told.tzinfo is None and told.time() == time.min:  # spreadsheets write a day as its midnight
        told += _TO_ITS_END
    if told.tzinfo:
        return told.timestamp()
    first, second = (told.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return max(first, second) if is_end else first


def _told(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, _as_in_mail):
        try:
            return parse(text)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _as_in_mail(text: str) -> datetime:
    return parsedate_to_datetime(text.replace("-0000", "+0000"))  # RFC 5322 3.3: UTC, said where no zone is known


def _as_iso(told: re.Match[str]) -> str:
    year, month, day, hour, rest = told.groups(default="")
    return f"{year}-{month:0>2}-{day:0>2}" + (f" {hour:0>2}{rest}" if hour else "")


def can_be_meant(at: float) -> bool:
    """Whether it lies within the bounds."""
    return EARLIEST <= at <= LATEST


def bounded(at: float) -> float:
    """The moment, or the bound that it lies beyond."""
    return min(LATEST, max(EARLIEST, at))


def day_of(at: float, zone: tzinfo = UTC) -> date:
    """The day of a moment, where the clocks are those of the zone."""
    return datetime.fromtimestamp(bounded(at), zone).date()


def end_of(day: date, zone: tzinfo = UTC) -> float:
    """When the day is over, where the clocks are those of the zone; of one beyond the last bound, when that day is over."""
    following = min(day, _LAST_DAY) + timedelta(days=1)
    return datetime.combine(following, time.min, zone).timestamp()


def after_months(day: date, months: int) -> date:
    """The same day so many months later, or the last of that month; the last of the calendar where it ends before."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > date.max.year:
        return date.max
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
