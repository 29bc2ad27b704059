"""Who relaxed what, until when: of the sets that were in force in a time."""

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from relay.policy.sets.parse import parse_policies
from relay.records.monthly.relaxations import ALL_RULES, reigns, relaxations
from relay.service.policies import Switch, read_folder
from tests.support.months import EXEMPT, RELAXED

ZONE = ZoneInfo("Asia/Shanghai")
FILES = read_folder(Path(__file__).resolve().parents[2] / "policies")


def at(day, month=11):
    return datetime(2026, month, day, tzinfo=ZONE).timestamp()


def with_lines(**lines):
    files = dict(FILES)
    for name, more in lines.items():
        path = "organisation.toml" if name == "organisation" else f"streams/{name}.toml"
        files[path] = files[path] + more.encode()
    return files


PLAIN = parse_policies(FILES)
RELAXING = parse_policies(with_lines(newsletter=RELAXED, organisation=EXEMPT))
SHADOW = parse_policies(
    {
        name: octets.replace(b'mode = "enforce"', b'mode = "shadow"') if "receipts" in name else octets
        for name, octets in FILES.items()
    }
)
SETS = {policy.hash: policy for policy in (PLAIN, RELAXING, SHADOW)}


def held(*switches, since=1, until=30):
    history = [
        Switch(policy if isinstance(policy, str) else policy.hash, at(*when), "Li Na", "because") for when, policy in switches
    ]
    return reigns(history, at(since), at(until), SETS.get)


def test_only_the_sets_of_the_time_count_cut_to_it():
    found = held(((1, 9), RELAXING), ((1, 10), PLAIN), ((10, 11), SHADOW), ((2, 12), RELAXING))
    assert [(reign.policy, reign.since, reign.until) for reign in found] == [(PLAIN, at(1), at(10)), (SHADOW, at(10), at(30))]
    assert held() == held(((2, 12), PLAIN)) == []


def test_an_override_ends_with_its_day_or_with_its_set():
    (override,) = [one for one in relaxations(held(((5,), RELAXING)), ZONE) if one.what == "override"]
    assert (override.stream, override.rules, override.action) == ("newsletter", "base/attachment-types", "warn")
    assert (override.by, override.until) == ("Wang Min", date(2026, 11, 20))
    assert (override.since, override.ended) == (at(5), at(21))
    (cut,) = [one for one in relaxations(held(((5,), RELAXING), ((12,), PLAIN)), ZONE) if one.what == "override"]
    assert cut.ended == at(12)


def test_an_override_may_stand_until_the_last_day_of_the_calendar():
    """People write it for "never"; the next day of it is none."""
    lasting = parse_policies(with_lines(newsletter=RELAXED.replace("2026-11-20", "9999-12-31")))
    SETS[lasting.hash] = lasting
    (override,) = relaxations(held(((5,), lasting)), ZONE)
    assert (override.until, override.ended) == (date.max, at(30))


def test_an_exemption_tells_how_many_mailboxes_but_not_which():
    (exempt,) = [one for one in relaxations(held(((5,), RELAXING)), ZONE) if one.what == "exempt"]
    assert (exempt.rules, exempt.stream, exempt.mailboxes, exempt.by) == ("base/mass-*", "", 2, "Li Na")
    assert "@" not in str(exempt)


def test_a_stream_that_only_observes_relaxes_every_rule_by_whoever_applied_the_set():
    (shadow,) = relaxations(held(((5,), SHADOW)), ZONE)
    assert (shadow.what, shadow.stream, shadow.rules, shadow.by, shadow.reason) == (
        "shadow", "receipts", ALL_RULES, "Li Na", "because",
    )  # fmt: skip
    assert shadow.until is None
    other = parse_policies(
        FILES | {name: octets.replace(b'"enforce"', b'"shadow"') + b"\n" for name, octets in FILES.items() if "receipts" in name}
    )
    SETS[other.hash] = other
    both = reigns(
        [Switch(SHADOW.hash, at(5), "Li Na", "because"), Switch(other.hash, at(8), "Wang", "spelling")], at(1), at(30), SETS.get
    )
    assert [(one.by, one.since, one.ended) for one in relaxations(both, ZONE)] == [("Li Na", at(5), at(30))]


def test_what_stands_in_the_next_set_too_is_one_relaxation():
    other = parse_policies(with_lines(newsletter=RELAXED, organisation=EXEMPT, receipts="\n# a remark\n"))
    SETS[other.hash] = other
    found = relaxations(held(((5,), RELAXING), ((8,), other)), ZONE)
    assert [(one.what, one.since) for one in found] == [("exempt", at(5)), ("override", at(5))]
    apart = relaxations(held(((5,), RELAXING), ((8,), PLAIN), ((10,), other)), ZONE)
    assert [one.since for one in apart if one.what == "override"] == [at(5), at(10)]


def test_one_that_ended_before_and_a_set_that_is_lost_tell_nothing():
    assert relaxations(held(((1,), RELAXING), since=21), ZONE)[0].what == "exempt"
    assert len(relaxations(held(((1,), RELAXING), since=21), ZONE)) == 1
    lost = held(((1,), "0000000000000000"))
    assert lost[0].policy is None
    assert relaxations(lost, ZONE) == []


@pytest.fixture(autouse=True)
def _sets():
    before = dict(SETS)
    yield
    SETS.clear()
    SETS.update(before)
