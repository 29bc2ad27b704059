"""What counts when data leave the country: which mail, on which ground, with what weight, and who hears of its end."""

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from relay.carrying.resender import released
from relay.cli.findings import Findings
from relay.cli.transfers import look
from relay.consignment import counted_of
from relay.errors import RuleFailed
from relay.gathering import Asking, asking_of
from relay.policy.cases.case import Action, Counted, Phase
from relay.policy.cases.transfers import Category, Crossing, Threshold, Transferred, year_of
from relay.policy.checks import CHECKS
from relay.policy.deciding.decide import decide
from relay.policy.telling.difference import difference
from relay.policy.telling.show import show
from relay.policy.telling.standing import nearly_used, this_year, transfer_thresholds
from relay.stores.sqlite import SQLiteStore, transfers
from tests.support.policies import a_case, a_policy, a_setting, noon
from tests.support.stores import META, START, digest, first_try, request

TODAY = date(2026, 11, 21)
ABROAD = frozenset({"SG"})
RULE = "receipts/count"
EXEMPT = """
[[exempt]]
recipients = ["ada@mail.example.org"]
rules = ["*/count"]
reason = "a test mailbox"
by = "Wang Min"
until = 2026-12-31
"""
COUNTING = """
[[rule]]
id = "count"
check = "transfer-count"
from_countries = ["CN"]
free = ["MO"]
bases = ["exempt", "standard-contract", "security-assessment"]
below = { exempt = 100, standard-contract = 1_000 }
below_sensitive = { exempt = 1, standard-contract = 50 }
uncounted = ["exempt-necessary"]
action = "reject"
"""


def ground(basis, *to, until="2026-12-31"):
    countries = ", ".join(f'"{one}"' for one in to)
    return f'[[transfer]]\nto = [{countries}]\nbasis = "{basis}"\nreference = "R"\nuntil = {until}\n'


def receipts(organisation="", rule=COUNTING, stream=""):
    """The shipped set, whose service mail counts."""
    changes = {"streams/receipts.toml": ('mode = "enforce"', f'mode = "enforce"\n{stream}')}
    return a_policy(changes=changes, added={"organisation.toml": f"\n{organisation}", "streams/receipts.toml": f"\n{rule}"})


def ruled(policy, case, today=TODAY):
    return decide(policy, policy.stream("receipts"), replace(case), Phase.RCPT, noon(today))


def case(*, by=ABROAD, ordinary=0, sensitive=0, counted=(), year=2026):
    known = Transferred(year, ordinary, sensitive, frozenset(counted))
    return a_case(None, stream="receipts", upstream_countries=frozenset(by), transferred=known)


@pytest.mark.parametrize(
    ("grounds", "by", "below"),
    [
        ([("exempt", "SG")], "SG", 100),
        ([("exempt", "SG"), ("standard-contract", "SG")], "SG", 1000),
        ([("standard-contract", "SG"), ("security-assessment", "SG")], "SG", None),
        ([("exempt", "SG"), ("security-assessment", "US")], "SG", 100),
        ([("exempt", "SG"), ("adequacy", "SG")], "SG", 100),  # a ground that does not count here allows nobody more
        ([], "SG", None),  # `transfer` objects to that
        ([("exempt", "SG")], "ZZ", None),
    ],
)
def test_of_several_grounds_the_one_counts_that_allows_most(grounds, by, below):
    tables = [{"to": [to], "basis": basis, "reference": "1", "until": date(2027, 1, 1)} for basis, to in grounds]
    facts = a_setting(transfer=tables).facts
    parameters = receipts().stream("receipts").counting[0].table
    assert parameters.allows(facts, by, Category.ORDINARY, TODAY).below == below


def test_the_same_country_neighbours_that_are_free_and_other_organisations_count_nobody():
    policy = receipts(ground("exempt", "SG"))
    assert ruled(policy, case(by=ABROAD)).counted == (Counted(RULE, Category.ORDINARY, Action.REJECT),)
    for by in ({"CN"}, {"MO"}, {"CN", "MO"}, set()):
        assert ruled(policy, case(by=by, ordinary=10**6)).counted == ()
    (german,) = (
        CHECKS["transfer-count"].ask(case(), a_setting(country="DE"), rule.table) for rule in policy.stream("receipts").counting
    )
    assert german is None


def test_what_no_rule_asks_for_is_not_looked_up():
    counts = receipts(ground("exempt", "SG")).stream("receipts")
    assert asking_of(counts, ABROAD, TODAY) == Asking(consents=True, year=2026)  # a child's data are sensitive
    assert asking_of(counts, frozenset({"CN"}), TODAY) == Asking()
    assert asking_of(a_policy().stream("receipts"), ABROAD, TODAY) == Asking()


def test_where_nobody_looked_up_the_counts_nothing_is_decided():
    policy = receipts(ground("exempt", "SG"))
    with pytest.raises(RuleFailed, match=RULE):
        ruled(policy, a_case(None, stream="receipts", upstream_countries=ABROAD))


def test_an_objection_says_how_many_they_are():
    ruling = ruled(receipts(ground("exempt", "SG")), case(ordinary=99))
    assert (ruling.action, ruling.leading.detail) == (Action.REJECT, "99 persons this year, exempt is for fewer than 100")
    sensitive = ruled(receipts(ground("standard-contract", "SG"), stream="sensitive = true"), case(ordinary=5, sensitive=49))
    assert sensitive.leading.detail == "49 persons with sensitive data this year, standard-contract is for fewer than 50"


def test_one_country_of_several_that_is_full_is_enough():
    policy = receipts(ground("exempt", "SG") + ground("security-assessment", "US"))
    assert ruled(policy, case(by={"US", "SG"}, ordinary=99)).action is Action.REJECT
    assert ruled(policy, case(by={"US"}, ordinary=99)).action is Action.PERMIT


def test_last_year_s_counts_say_nothing_of_this_one():
    assert ruled(receipts(ground("exempt", "SG")), case(ordinary=10**6, year=2025)).action is Action.PERMIT


@pytest.mark.parametrize(
    ("exempt", "rule", "weight"),
    [
        ("", COUNTING, Action.REJECT),
        ("", COUNTING.replace('"reject"', '"hold"'), Action.HOLD),
        ("", COUNTING.replace('"reject"', '"warn"'), Action.WARN),
        (EXEMPT, COUNTING, Action.WARN),
    ],
)
def test_who_is_let_through_all_the_same_counts(exempt, rule, weight):
    policy = receipts(ground("exempt", "SG") + exempt, rule)
    for ordinary in (0, 99):
        ruling = ruled(policy, case(ordinary=ordinary))
        assert ruling.counted == (Counted(RULE, Category.ORDINARY, weight),)
        assert counted_of([ruling]) == {"ada@mail.example.org": ruling.counted}
    assert ruled(policy, case(ordinary=99)).action is weight


def test_who_was_released_by_a_person_leaves_although_the_rule_holds():
    ruling = ruled(receipts(ground("exempt", "SG"), COUNTING.replace('"reject"', '"hold"')), case(ordinary=99))
    assert ruling.action is Action.HOLD
    free = released(ruling)
    assert (free.leading, free.counted) == (None, (Counted(RULE, Category.ORDINARY, Action.WARN),))
    refused = ruled(receipts(ground("exempt", "SG")), case(ordinary=99))
    assert released(refused).counted == (Counted(RULE, Category.ORDINARY, Action.REJECT),)


def test_a_year_ends_at_midnight_where_the_organisation_is():
    shanghai = ZoneInfo("Asia/Shanghai")
    assert year_of(datetime(2026, 12, 31, 23, 59, tzinfo=shanghai))[0] == 2026
    assert year_of(datetime(2026, 12, 31, 16, tzinfo=UTC).astimezone(shanghai))[0] == 2027
    assert year_of(datetime(2026, 5, 1, tzinfo=shanghai))[1] == datetime(2026, 12, 31, 16, tzinfo=UTC).timestamp()


def test_the_thresholds_of_the_grounds_in_force():
    policy = receipts(
        ground("exempt", "SG", "VN") + ground("standard-contract", "US") + ground("exempt", "JP", until="2026-01-01")
    )
    assert transfer_thresholds(policy, TODAY) == (
        Threshold(RULE, "standard-contract", Category.SENSITIVE, 50, ("US",)),
        Threshold(RULE, "exempt", Category.ORDINARY, 100, ("SG", "VN")),
        Threshold(RULE, "standard-contract", Category.ORDINARY, 1000, ("US",)),
    )
    assert transfer_thresholds(a_policy(), TODAY) == ()


@pytest.mark.parametrize(("below", "first", "last"), [(100_000, 80_000, 99_999), (11, 9, 10), (3, 3, 2)])
def test_it_warns_at_four_fifths_and_at_the_last_one(below, first, last):
    threshold = Threshold(RULE, "exempt", Category.ORDINARY, below)
    assert threshold.warns_from == first
    assert threshold.marks == {first: "80 %", last: "100 %"}


@pytest.mark.parametrize(("ordinary", "faults", "later"), [(79, 0, 0), (80, 0, 1), (98, 0, 1), (99, 1, 0), (500, 1, 0)])
def test_relay_check_names_what_is_nearly_used_up(monkeypatch, ordinary, faults, later):
    policy, findings = receipts(ground("exempt", "SG")), Findings()
    monkeypatch.setattr("relay.cli.transfers.time.time", lambda: noon(TODAY).timestamp())
    look(policy, [Transferred(2025, 10**6), Transferred(2026, ordinary)], findings)
    assert (len(findings.faults), len(findings.to_do)) == (faults, later)
    for _, english in (*findings.faults, *findings.to_do):
        assert english.startswith(f"organisation.toml [[transfer]]: Data of {ordinary} persons left the country in 2026:")


def test_relay_policy_show_says_which_streams_tell_sensitive_data():
    said = [one.en for one in show(receipts(stream="sensitive = true"), TODAY)[0].sentences]
    assert [one for one in said if "sensitive" in one] == [
        "receipts: its mail tells sensitive data; where it leaves the country its recipients are counted apart."
    ]


def test_those_who_left_otherwise_are_added():
    policy = receipts(ground("exempt", "SG") + "[[transferred]]\nyear = 2026\nordinary = 70\nsensitive = 3\n")
    counted = this_year(policy, [Transferred(2026, 10, 1)], TODAY)
    assert counted == Transferred(2026, 80, 4)
    assert [one.basis for one, _ in nearly_used(policy, counted, TODAY)] == ["exempt"]
    assert ruled(policy, case(ordinary=29)).action is Action.REJECT
    assert ruled(policy, case(ordinary=28)).action is Action.PERMIT


def test_fewer_who_left_otherwise_and_a_stream_that_is_not_sensitive_any_more_are_laxer():
    told = "[[transferred]]\nyear = 2026\nordinary = {}\n"
    (more,) = difference(receipts(told.format(5)), receipts(told.format(9)))
    (fewer,) = difference(receipts(told.format(9)), receipts(told.format(5)))
    assert (more.laxer, fewer.laxer) == (False, True)
    (strict,) = difference(receipts(), receipts(stream="sensitive = true"))
    (lax,) = difference(receipts(stream="sensitive = true"), receipts())
    assert (strict.laxer, lax.laxer) == (False, True)


async def test_who_was_counted_in_a_year_is_forgotten_a_month_after_it_and_the_numbers_stay(tmp_path):
    """One step forgets some of them, beside the mail."""
    SQLiteStore.create(tmp_path / "relay.db", META)
    store = SQLiteStore.open(tmp_path / "relay.db", META, clock=lambda: START)
    for year in (2026, 2027):
        crossing = Crossing(year, Category.ORDINARY, 0.0)
        people = [replace(request(digest(f"{year} {n}")), crossing=crossing) for n in range(5)]
        await store.clear(digest(year), first_try(year).submission_id, people, 60.0, 3600.0)
    await store.aclose()
    db = sqlite3.connect(tmp_path / "relay.db")
    moments = [datetime(2027, 1, 30, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)]
    assert not transfers.sweep(db, moments[0].timestamp(), 3)
    assert [transfers.sweep(db, moments[1].timestamp(), 3) for _ in range(2)] == [True, False]
    assert db.execute("SELECT year, count(*) FROM transferred_persons GROUP BY year").fetchall() == [(2027, 5)]
    assert transfers.years(db) == [Transferred(2026, 5), Transferred(2027, 5)]
    db.close()
