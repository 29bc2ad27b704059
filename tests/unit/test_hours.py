"""Hours of the week: how people write them, and the moment at which they begin."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.policy.timing.hours import DAYS, Span, opening, parse_span, week_of
from relay.policy.timing.zones import WIDE, zones_of

DAILY, OFFICE, NIGHT = ("09:00-21:00",), ("Mon-Fri 09:00-12:00", "Mon-Fri 14:00-18:00"), ("Fri 22:00-06:00",)
SHANGHAI, BERLIN, NEW_YORK = ("Asia/Shanghai",), ("Europe/Berlin",), ("America/New_York",)


def begins(texts, zones, wall):
    """When the hours begin, seen from a moment on the wall of the first zone, on that same wall."""
    clock = ZoneInfo(zones[0])
    year, month, day, hour, minute = wall
    moment = opening(tuple(map(parse_span, texts)), zones, datetime(year, month, day, hour, minute, tzinfo=clock).timestamp())
    return f"{datetime.fromtimestamp(moment, clock):%a %d %H:%M}"


@pytest.mark.parametrize(
    "text", ["09:00-21:00", "Mon 09:00-18:00", "Mon-Fri 09:00-18:00", "Fri-Mon 22:00-06:00", "00:00-24:00", "Sun 23:59-00:00"]
)
def test_hours_are_said_as_they_were_written(text):
    assert str(parse_span(text)) == text


def test_every_day_needs_no_naming():
    assert str(parse_span("Wed-Tue 09:00-18:00")) == "09:00-18:00"


@pytest.mark.parametrize(
    "text",
    ["", "9-21", "9:00-21:00", "09:00-25:00", "09:00-24:01", "24:00-09:00", "09:60-10:00", "09:00", "mon 09:00-10:00",
     "Mon,Tue 09:00-10:00", "Mon-Fri09:00-10:00", "09:00-10:00\n", " 09:00-10:00", "09:00 - 21:00", "09:00-09:00"],
)  # fmt: skip
def test_what_are_no_hours_is_refused_and_quoted(text):
    with pytest.raises(ValueError, match=r"09:00|24:00") as refused:
        parse_span(text)
    assert f'"{text}"' in str(refused.value)


@pytest.mark.parametrize(
    ("hours", "wall", "expected"),
    [
        (DAILY, (2026, 11, 21, 8, 59), "Sat 21 09:00"),
        (DAILY, (2026, 11, 21, 9, 0), "Sat 21 09:00"),
        (DAILY, (2026, 11, 21, 20, 59), "Sat 21 20:59"),
        (DAILY, (2026, 11, 21, 21, 0), "Sun 22 09:00"),
        (OFFICE, (2026, 11, 20, 12, 0), "Fri 20 14:00"),
        (OFFICE, (2026, 11, 20, 18, 0), "Mon 23 09:00"),
        (NIGHT, (2026, 11, 20, 21, 0), "Fri 20 22:00"),
        (NIGHT, (2026, 11, 21, 5, 59), "Sat 21 05:59"),
        (NIGHT, (2026, 11, 21, 6, 0), "Fri 27 22:00"),
        (NIGHT, (2026, 11, 20, 5, 0), "Fri 20 22:00"),
        (("Sun 22:00-06:00",), (2026, 11, 23, 1, 0), "Mon 23 01:00"),
        (("Sat-Sun 10:00-11:00",), (2026, 11, 20, 10, 0), "Sat 21 10:00"),
        (("Fri-Mon 10:00-11:00",), (2026, 11, 24, 10, 0), "Fri 27 10:00"),
        (("00:00-24:00",), (2026, 11, 24, 23, 59), "Tue 24 23:59"),
        (("Tue 00:00-24:00",), (2026, 11, 25, 0, 0), "Tue 01 00:00"),
    ],
)
def test_hours_begin_at_their_next_start(hours, wall, expected):
    assert begins(hours, SHANGHAI, wall) == expected


def test_what_is_inside_may_leave_at_once_to_the_second():
    moment = datetime(2026, 11, 21, 10, 0, 7, 250_000, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()
    assert opening((parse_span("09:00-21:00"),), SHANGHAI, moment) == moment


@pytest.mark.parametrize(
    ("hours", "zone", "wall", "expected"),
    [
        (DAILY, BERLIN, (2026, 3, 28, 21, 0), "Sun 29 09:00"),  # 11 hours later
        (DAILY, BERLIN, (2026, 10, 24, 21, 0), "Sun 25 09:00"),  # 13 hours later
        (("02:30-05:00",), BERLIN, (2026, 3, 29, 1, 0), "Sun 29 03:00"),  # there is no 02:30
        (("02:10-02:50",), BERLIN, (2026, 3, 29, 1, 0), "Mon 30 02:10"),  # nothing of it is there
        (("Sun 02:10-02:50",), BERLIN, (2026, 3, 29, 1, 0), "Sun 05 02:10"),
        (("00:30-01:30",), NEW_YORK, (2026, 11, 1, 1, 40), "Sun 01 01:00"),  # 01:00 comes a second time
    ],
)
def test_days_on_which_the_clocks_change_are_what_the_wall_says(hours, zone, wall, expected):
    assert begins(hours, zone, wall) == expected


def test_in_a_country_with_several_zones_all_of_them_must_be_inside():
    office = (parse_span("09:00-21:00"),)
    moment = opening(office, zones_of("US"), datetime(2026, 7, 1, 3, 0, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(moment, UTC) == datetime(2026, 7, 1, 19, 0, tzinfo=UTC)  # 09:00 in Honolulu, 15:00 in New York
    late = datetime(2026, 7, 2, 1, 0, tzinfo=UTC).timestamp()  # 15:00 in Honolulu, 21:00 in New York
    assert opening(office, zones_of("US"), late) == moment + 86400


def test_zones_that_are_never_inside_together_follow_the_first():
    office = (parse_span("09:00-18:00"),)
    night = datetime(2026, 7, 1, 0, 0, tzinfo=UTC).timestamp()
    assert opening(office, zones_of("RU"), night) == opening(office, ("Europe/Moscow",), night)


def test_the_week_counts_every_minute_that_is_inside():
    assert len(week_of((parse_span("Mon-Fri 09:00-18:00"),))) == 5 * 9 * 60
    assert week_of((parse_span("Sun 23:00-01:00"),)) == {*range(7 * 1440 - 60, 7 * 1440), *range(60)}


CLOCKS = st.integers(0, 24 * 60 - 1)
SPANS = st.builds(Span, st.integers(0, 6), st.integers(0, 6), CLOCKS, CLOCKS).filter(lambda span: span.start != span.end)
PLACES = st.one_of(
    st.sampled_from([SHANGHAI, BERLIN, NEW_YORK, ("Australia/Lord_Howe",), ("America/Santiago",), ("Asia/Kathmandu",)]),
    st.sampled_from([zones_of(country) for country in WIDE]),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2029, 12, 31)).map(  # noqa: DTZ001 - Hypothesis draws them bare
    lambda drawn: drawn.replace(tzinfo=UTC).timestamp()
)


def inside(hours, zones, moment: float) -> bool:
    """What the walls say, without looking for a beginning."""

    def covered(zone: str) -> bool:
        wall = datetime.fromtimestamp(moment, ZoneInfo(zone))
        today, minute = DAYS.index(f"{wall:%a}"), wall.hour * 60 + wall.minute
        for span in hours:
            days = {(span.first + number) % 7 for number in range((span.last - span.first) % 7 + 1)}
            overnight = span.end <= span.start
            if today in days and span.start <= minute and (overnight or minute < span.end):
                return True
            if overnight and (today - 1) % 7 in days and minute < span.end:
                return True
        return False

    return all(map(covered, zones))


@settings(max_examples=300)
@given(st.lists(SPANS, min_size=1, max_size=3).map(tuple), PLACES, MOMENTS)
def test_at_the_opening_it_is_open_and_a_second_earlier_it_is_not(hours, zones, now):
    moment = opening(hours, zones, now)
    assert moment >= now
    first = zones[:1]
    counted = zones if inside(hours, zones, moment) else first  # zones that never meet follow the first of them
    assert inside(hours, counted, moment)
    if moment > now:
        assert not inside(hours, counted, now)
        assert not inside(hours, counted, moment - 1)


@settings(max_examples=50)
@given(SPANS, PLACES.filter(lambda zones: len(zones) == 1), MOMENTS)
def test_nothing_is_open_between_now_and_the_opening(span, zones, now):
    moment = opening((span,), zones, now)
    assert not any(inside((span,), zones, between) for between in range(int(now) // 60 * 60, int(moment), 600) if between >= now)
