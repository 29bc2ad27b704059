"""Times as people, spreadsheets and services write them: one reading for all lists and commands."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from relay.policy.consents.moment import LATEST, end_of, parse_moment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600, 86400
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1772366400", NOON),
        ("1772366400000", NOON),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T20:00:00+08:00", NOON),
        ("2026-03-01 12:00:00", NOON),
        ("2026-03-01 12:00:00 UTC", NOON),
        ("2026/3/1 12:00", NOON),
        ("2026/03/01 12:00:00", NOON),
        ("2026年3月1日 12:00", NOON),
        ("2026.3.1 12:00", NOON),
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOON),
        ("Sun, 01 Mar 2026 20:00:00 +0800", NOON),
        ("Sun, 01 Mar 2026 12:00:00 -0000", NOON),
        ("2026-03-01", NOON - 12 * HOUR),
        ("2026/3/1", NOON - 12 * HOUR),
        ("2026年3月1日", NOON - 12 * HOUR),
        ("", None),
        ("yesterday", None),
        ("17723664", None),
        ("3/1/2026", None),  # the first of March, or the third of January
        ("2026/13/1", None),
        ("2026/3/1 noon", None),
    ],
)
def test_times_as_people_and_services_write_them(text, at):
    assert parse_moment(text) == at


@pytest.mark.parametrize("text", ["2026-03-01 20:00", "2026/3/1 20:00", "2026年3月1日 20:00", "Sun, 01 Mar 2026 20:00:00"])
def test_a_time_without_a_zone_is_in_the_zone_of_who_keeps_the_list(text):
    assert parse_moment(text, SHANGHAI) == NOON


@pytest.mark.parametrize(
    "text", ["2026-03-01T12:00:00Z", "1772366400", "Sun, 01 Mar 2026 12:00:00 -0000", "2026-03-01 12:00:00 UTC"]
)
def test_a_time_with_a_zone_keeps_it(text):
    assert parse_moment(text, SHANGHAI) == NOON


@pytest.mark.parametrize("text", ["2026-03-01", "2026/3/1", "2026年3月1日", "2026-03-01 00:00:00", "2026/3/1 0:00"])
def test_a_day_alone_ends_at_its_last_moment_where_it_ends_something(text):
    began = NOON - 20 * HOUR
    assert parse_moment(text, SHANGHAI) == began
    ended = parse_moment(text, SHANGHAI, is_end=True)
    assert ended == pytest.approx(began + DAY, abs=0.001)
    assert ended is not None
    assert ended < began + DAY


def test_a_time_of_the_day_is_itself_where_it_ends_something():
    assert parse_moment("2026-03-01T12:00:00Z", SHANGHAI, is_end=True) == NOON
    assert parse_moment("2026-03-01 20:00", SHANGHAI, is_end=True) == NOON


BERLIN, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")


@pytest.mark.parametrize(
    ("text", "zone", "given", "ended"),
    [
        ("2026-10-25 02:30", BERLIN, "2026-10-25T00:30Z", "2026-10-25T01:30Z"),  # clocks go back at 3
        ("2026-10-25 03:30", BERLIN, "2026-10-25T02:30Z", "2026-10-25T02:30Z"),
        ("2026-03-29 02:30", BERLIN, "2026-03-29T01:30Z", "2026-03-29T01:30Z"),  # no clock shows it
        ("2026-11-01", HAVANA, "2026-11-01T04:00Z", "2026-11-02T04:59:59.999999Z"),  # clocks go back at 1
        ("2026-10-25T02:30+02:00", BERLIN, "2026-10-25T00:30Z", "2026-10-25T00:30Z"),
    ],
)
def test_what_ends_something_in_an_hour_that_comes_twice_ends_it_the_second_time(text, zone, given, ended):
    """So that a withdrawal is never taken for older than the consent that it ends."""
    told = [parse_moment(text, zone, is_end=is_end) for is_end in (False, True)]
    assert told == [datetime.fromisoformat(one).timestamp() for one in (given, ended)]


@pytest.mark.parametrize(
    ("day", "zone", "ended"),
    [
        (date(2026, 12, 31), "Asia/Shanghai", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        (date(2028, 2, 28), "UTC", datetime(2028, 2, 29, tzinfo=UTC)),
        (date(2026, 11, 1), "America/New_York", datetime(2026, 11, 2, 5, tzinfo=UTC)),  # 25 hours
        (date(2027, 3, 14), "America/New_York", datetime(2027, 3, 15, 4, tzinfo=UTC)),  # 23 hours
    ],
)
def test_a_day_is_over_at_midnight_however_long_it_was(day, zone, ended):
    assert end_of(day, ZoneInfo(zone)) == ended.timestamp()


@pytest.mark.parametrize("day", [date(8999, 12, 31), date(9000, 1, 1), date.max])
def test_a_day_that_stands_for_never_ends_with_the_last_that_can_be_meant(day):
    assert end_of(day) == LATEST
