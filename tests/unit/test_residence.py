"""Where people are by the consent ledger: the last word on it holds, whatever ends meanwhile and in whatever order it came in."""

from itertools import permutations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.consents.consent import NAMES_COUNTRY, ConsentEvent, Details, EventKind
from relay.policy.consents.residence import COUNTRIES, Residence, require_country, residence_of
from relay.policy.timing.zones import WIDE, zones_of

JANUARY, MARCH, MAY = 1_767_225_600.0, 1_772_323_200.0, 1_777_593_600.0


def event(number: int, at: float = MARCH, country: str = "", kind: str = "granted") -> ConsentEvent:
    said = Details(source="form", country=country).dump()
    return ConsentEvent(f"01K{number:023d}", b"d" * 16, b"", kind, at, at, "a form", "Wang", "marketing", "explicit", said)


def test_the_codes_are_those_of_iso_3166_1():
    assert len(COUNTRIES) == 249
    assert {"KR", "GB", "DE", "CN", "TW", "RE"} < COUNTRIES
    assert COUNTRIES.isdisjoint({"UK", "EU", "ZZ", "XK", "AN", "SU"})


def test_whose_clocks_are_known_is_a_country():
    assert set(WIDE) < COUNTRIES
    assert [code for code in sorted(COUNTRIES) if not zones_of(code)] == ["AQ", "BV", "HM", "UM"], "where nobody lives"


@pytest.mark.parametrize("code", ["UK", "kr", "KOR", "Germany", "EU", "ZZ", "", "K"])
def test_what_is_no_code_is_named_with_its_remedy(code):
    with pytest.raises(ValueError, match=r"GB / .*英国为 GB") as fault:
        require_country(code)
    assert f'"{code}"' in str(fault.value)


def test_without_a_country_nothing_is_known():
    assert residence_of([]) is None
    assert residence_of([event(1), event(2, kind="withdrawn")]) is None


def test_the_last_word_holds_in_whatever_order_it_was_recorded():
    told = [event(1, JANUARY, "KR"), event(2, MAY, "DE"), event(3, MARCH, "US")]
    for order in permutations(told):
        assert residence_of(order) == Residence(frozenset({"DE"}), MAY)


@pytest.mark.parametrize("kind", ["withdrawn", "objected", "renewed", "notice_sent", "granted"])
def test_what_names_no_country_takes_none_back(kind):
    assert residence_of([event(1, JANUARY, "KR"), event(2, MAY, kind=kind)]) == Residence(frozenset({"KR"}), JANUARY)


@pytest.mark.parametrize("kind", [kind.value for kind in EventKind if kind != EventKind.REQUESTED])
def test_whatever_happened_may_name_one(kind):
    assert residence_of([event(1, JANUARY, "KR"), event(2, MAY, "JP", kind)]) == Residence(frozenset({"JP"}), MAY)


def test_a_request_that_nobody_confirmed_names_none():
    """Anybody can type anybody's address into a form."""
    assert residence_of([event(1, MAY, "US", "requested")]) is None
    assert residence_of([event(1, MAY, "US", "requested"), event(2, JANUARY, "KR")]) == Residence(frozenset({"KR"}), JANUARY)


def test_of_two_at_the_same_moment_both_hold():
    """Doubt never permits: the strictest of both laws wins."""
    assert residence_of([event(1, MAY, "KR"), event(2, MAY, "DE")]) == Residence(frozenset({"KR", "DE"}), MAY)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "KR", "DE", "US"]), st.sampled_from(list(EventKind)))))
def test_it_is_the_country_of_no_other_moment(told):
    found = residence_of([event(number, float(at), *rest) for number, (at, *rest) in enumerate(told)])
    named = {at: {code for when, code, kind in told if when == at and code and kind != "requested"} for at, _, _ in told}
    last = max((at for at, codes in named.items() if codes), default=None)
    assert found == (None if last is None else Residence(frozenset(named[last]), float(last)))


TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(['"country":"KR"', 'x","country":"KR', '\\"country\\":\\"KR']))


@given(TEXTS, TEXTS, st.sampled_from(["", "KR"]))
def test_stores_find_the_events_that_name_one_and_no_others(source_ref, method, country):
    """They look for a piece of the JSON; a text that somebody gave has its quotes escaped there."""
    said = Details(source_ref=source_ref, method=method, country=country).dump()
    assert (NAMES_COUNTRY in said) == bool(country)
    assert Details.load(said).country == country
    assert said == "" or orjson.loads(said).get("country", "") == country
