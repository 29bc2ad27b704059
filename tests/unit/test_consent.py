"""What stands of a consent, and what rules on it say: doubt never permits, a withdrawal has the last word."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import permutations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.cases.case import Action, Phase
from relay.policy.consents.consent import (
    AgeBand,
    Basis,
    ConsentEvent,
    Details,
    Evidence,
    age_band,
    covers,
    current,
    expires_on,
    is_purpose,
    overlaps,
    purpose_of,
    scope_of,
)
from relay.policy.consents.consent_words import detail_zh
from relay.policy.consents.moment import EARLIEST, LATEST, after_months, day_of
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.deciding.decide import Answers, decide
from relay.policy.suppressions.suppression import ORGANISATION
from tests.support.policies import PLAIN, a_case, newsletter, noon

TODAY = date(2026, 11, 22)
NEWS = "marketing:newsletter"
PROVEN = Details(
    source="form", source_ref="https://example.com/join", method="checkbox", notice_version="2026-1", text_sha256="ab" * 32,
    statements=("unticked",), origin="00ff",
)  # fmt: skip


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def event(number: int, day: str = "2026-10-01", kind: str = "granted", purpose: str = NEWS, basis: str = "explicit", **details):
    said = Details(**details).dump()
    return ConsentEvent(f"01K{number:023d}", b"d" * 16, b"", kind, at(day), at(day), "a form", "Wang", purpose, basis, said)


def case_with(*events, raw: bytes | None = PLAIN):
    case = a_case(raw)
    return type(case)(case.submission, case.recipient, case.message, consents=events)


def rule(check: str, more: str = "", action: str = "reject") -> str:
    return f'[[rule]]\nid = "mine"\ncheck = "{check}"\naction = "{action}"\n{more}\n'


def said(policy, case, phase=Phase.DATA, today=TODAY):
    """What the rule `newsletter/mine` says: the detail it objects with, or None."""
    ruling = decide(policy, policy.stream("newsletter"), case, phase, noon(today))
    (asked,) = [one for one in ruling.asked if one.rule == "newsletter/mine"]
    assert asked.asked
    return asked.objection.detail if asked.objection else None


# Purposes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_for", "needed", "is_covered"),
    [
        (NEWS, NEWS, True),
        ("marketing", NEWS, True),
        (NEWS, "marketing", False),  # widening needs a grant of its own
        ("marketing:news", NEWS, False),
        ("market", "marketing", False),
        ("", NEWS, False),
    ],
)
def test_a_consent_covers_its_purpose_and_what_lies_below_it(given_for, needed, is_covered):
    assert covers(given_for, needed) == is_covered
    assert overlaps(given_for, needed) == overlaps(needed, given_for)


@pytest.mark.parametrize("text", ["marketing", NEWS, "share:Partner-2", "export:US", "open_tracking", "a:b:c:d"])
def test_a_purpose_has_a_form(text):
    assert is_purpose(text)


@pytest.mark.parametrize(
    "text", ["", "Marketing", "marketing:", ":news", "a b", "a:b:c:d:e", "营销", "a\n", "marketing:" + "x" * 70]
)
def test_what_is_no_purpose_is_refused(text):
    assert not is_purpose(text)


def test_purposes_and_scopes_of_refusals_belong_together():
    for scope in (ORGANISATION, "stream:newsletter"):
        assert scope_of(purpose_of(scope)) == scope
    assert scope_of("marketing:newsletter:weekly") == "stream:newsletter"
    assert scope_of("share:Partner") is None


# What stands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "answer"),
    [
        ([], "none is recorded"),
        ([event(1, kind="requested")], "none is recorded"),
        ([event(1, kind="renewed")], "none is recorded"),
        ([event(1)], 1),
        ([event(1, purpose="marketing")], 1),
        ([event(1), event(2, "2026-10-02")], 2),
        ([event(1, purpose="marketing:offers")], "given for marketing:offers, not marketing:newsletter"),
        ([event(1, purpose="")], "given for no named purpose, not marketing:newsletter"),
        ([event(1), event(2, "2026-10-02", "withdrawn")], "withdrawn on 2026-10-02"),
        ([event(1), event(2, "2026-10-02", "objected", "marketing")], "objected on 2026-10-02"),
        ([event(1), event(2, "2026-10-01", "withdrawn")], "withdrawn on 2026-10-01"),  # at the same moment the end wins
        ([event(1), event(2, "2026-09-30", "withdrawn")], 1),
        ([event(1), event(2, "2026-10-02", "withdrawn"), event(3, "2026-10-03")], 3),
        ([event(1), event(2, "2026-10-02", "withdrawn"), event(3, "2026-10-03", "renewed")], "withdrawn on 2026-10-02"),
        ([event(1, purpose="marketing"), event(2, "2026-10-02", "withdrawn", "marketing:offers")], 1),
        ([event(1), event(2, "2026-10-02", "withdrawn", "marketing:newsletter:weekly")], "withdrawn on 2026-10-02"),
        ([event(1, source="purchased")], "the address was purchased"),
        ([event(1, "2026-12-24")], "given on 2026-12-24 only"),
        ([event(1, expires_at=at("2026-11-22"))], 1),
        ([event(1, expires_at=at("2026-11-21"))], "expired on 2026-11-21"),
    ],
)
def test_what_stands_does_not_depend_on_the_order_of_the_events(events, answer):
    wanted = event(answer).id if isinstance(answer, int) else answer
    for order in permutations(events):
        found = grant_for(order, Needs(NEWS), TODAY)
        assert (found if isinstance(found, str) else found.id) == wanted


@pytest.mark.parametrize(
    ("basis", "relation", "last"),
    [
        ("implied_purchase", "2024-11-22", date(2026, 11, 22)),
        ("implied_purchase", "2024-02-29", date(2026, 2, 28)),
        ("implied_inquiry", "2026-08-31", date(2027, 2, 28)),
        ("explicit", "2020-01-01", None),
    ],
)
def test_implied_consents_end_by_law(basis, relation, last):
    grant = event(1, "2025-01-01", basis=basis, relation_at=at(relation))
    assert expires_on(grant) == last
    without_relation = event(1, relation, basis=basis)
    assert expires_on(without_relation) == last
    if last:
        assert grant_for([grant], Needs(NEWS), last) == grant
        assert grant_for([grant], Needs(NEWS), after_months(last, 1)) == f"expired on {last}"


def test_the_sooner_of_two_ends_counts():
    assert expires_on(event(1, "2026-10-01", basis="implied_inquiry", expires_at=at("2026-12-01"))) == date(2026, 12, 1)


ANY_MOMENT = st.floats() | st.sampled_from([253402300800.0, 253402318799.9, -62135647200.0, 32503680000.0])
"""The rounded end of the year 9999 and the first day of the year 1 in a far zone are among them."""


@given(given_at=ANY_MOMENT, relation_at=ANY_MOMENT, expires_at=ANY_MOMENT, basis=st.sampled_from(list(Basis)))
def test_no_moment_on_record_makes_a_rule_fail(given_at, relation_at, expires_at, basis):
    """Or whoever is recorded with it keeps back the mail of all other recipients."""
    details = Details(relation_at=relation_at, expires_at=expires_at, statements=("similar", "opt_out_offered")).dump()
    grant = ConsentEvent("01K", b"d" * 16, b"", "granted", given_at, given_at, "", "", NEWS, basis.value, details)
    end = ConsentEvent("01L", b"d" * 16, b"", "withdrawn", expires_at, given_at, "", "", NEWS, basis.value, "")
    for events in ([grant], [grant, end]):
        answer = grant_for(events, Needs(NEWS, max_age=3 * 10**6), TODAY)
        assert answer is grant or isinstance(answer, str)
        assert len(current(events)) == 1


def test_what_lies_beyond_the_bounds_counts_as_the_bound():
    assert [day_of(at) for at in (-1e12, EARLIEST, LATEST, 1e12)] == [date(1970, 1, 1)] * 2 + [date(9000, 1, 1)] * 2
    assert after_months(date(9999, 1, 1), 24) == date.max


def test_the_current_view_shows_every_grant_with_what_ended_it():
    events = [event(3, "2026-10-03"), event(2, "2026-10-02", "withdrawn"), event(1), event(1), event(4, kind="requested")]
    assert [(one.grant.id, one.ended and one.ended.id) for one in current(events)] == [
        (event(1).id, event(2).id), (event(3).id, None),
    ]  # fmt: skip


def test_all_that_a_rule_asks_it_asks_of_one_grant():
    proven = event(1, "2026-09-01", basis="soft_opt_in", relation_at=1.0, statements=("similar", "opt_out_offered"))
    plain = event(2, "2026-10-01")
    assert grant_for([proven, plain], Needs(NEWS, frozenset({"explicit"})), TODAY) == plain
    assert grant_for([proven, plain], Needs(NEWS, frozenset({"explicit"}), confirmed=True), TODAY) == "not confirmed"


@given(
    st.builds(
        Details, st.text(), st.text(), statements=st.lists(st.text()).map(tuple), relation_at=st.none() | st.floats(0, 1e10)
    )
)
def test_details_come_back_whole(details):
    assert Details.load(details.dump()) == details


def test_details_of_a_later_version_are_passed_over():
    assert Details.load(orjson.dumps({"method": "checkbox", "shoe_size": 43}).decode()) == Details(method="checkbox")


def test_the_age_said_last_counts_and_of_two_at_once_the_younger():
    events = [event(1, "2026-01-01", age_band="under_14"), event(2, "2026-02-01", age_band="adult"), event(3, "2026-03-01")]
    for order in permutations(events):
        assert age_band(order) is AgeBand.ADULT
    assert age_band([event(1, age_band="adult"), event(2, age_band="14_17")]) is AgeBand.UNDER_18
    assert age_band([event(1)]) is None


def test_nobody_grows_up_because_a_stranger_signs_them_up():
    """A form asks for an age, and whoever types the address of a child may say any; it counts once it is confirmed."""
    child = event(1, "2026-01-01", age_band="under_14")
    asked = event(2, "2026-02-01", kind="requested", age_band="adult")
    assert age_band([child, asked]) is AgeBand.UNDER_14
    assert age_band([asked]) is None
    assert age_band([child, asked, event(3, "2026-02-02", kind="confirmed", age_band="adult")]) is AgeBand.ADULT


# Rules ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "events", "detail"),
    [
        ("", [], "none is recorded"),
        ("", [event(1)], None),
        ('basis = ["separate"]', [event(1)], "basis explicit"),
        ('basis = ["separate", "explicit"]', [event(1)], None),
        ("confirmed = true", [event(1)], "not confirmed"),
        ("confirmed = true", [event(1, kind="confirmed")], None),
        ('consent_to = ["marketing"]', [event(1)], "given for marketing:newsletter, not marketing"),
        ('consent_to = ["marketing:newsletter", "share:Partner"]', [event(1)],
         "given for marketing:newsletter, not share:Partner"),
        ('consent_to = ["marketing:newsletter", "share:Partner"]', [event(1), event(2, purpose="share:Partner")], None),
        ("", [event(1, basis="implied_purchase")], "implied_purchase without relation_at"),
        ("", [event(1, basis="implied_inquiry")], "implied_inquiry without relation_at"),
        ("", [event(1, basis="implied_inquiry", relation_at=at("2026-09-01"))], None),
        ("", [event(1, basis="soft_opt_in")], "soft opt-in without relation_at, similar, opt_out_offered"),
        ("", [event(1, basis="soft_opt_in", relation_at=1.0, statements=("similar", "opt_out_offered"))], None),
    ],
)  # fmt: skip
def test_a_consent_is_asked_for(more, events, detail):
    policy = newsletter(rule("consent", more))
    assert said(policy, case_with(*events)) == detail
    assert said(policy, case_with(*events, raw=None), Phase.RCPT) == detail
    assert detail is None or not detail_zh(detail).isascii()


@pytest.mark.parametrize(
    ("countries", "statements", "detail"),
    [
        ({"GB"}, ("corporate",), None),
        ({"GB", "FR"}, ("corporate", "unticked"), None),
        ({"GB"}, (), "basis legitimate_interest without corporate"),  # a person, or nobody knows
        ({"GB"}, ("similar", "opt_out_offered"), "basis legitimate_interest without corporate"),
        ({"GB", "DE"}, ("corporate",), "basis legitimate_interest"),
        (set(), ("corporate",), "basis legitimate_interest"),
    ],
)
def test_a_legitimate_interest_is_enough_of_companies_only(countries, statements, detail):
    policy = newsletter(rule("consent", 'basis = ["explicit"]\ninterest_in = ["GB", "FR"]'))
    case = replace(case_with(event(1, basis="legitimate_interest", statements=statements)), jurisdictions=frozenset(countries))
    assert said(policy, case) == detail
    assert detail is None or not detail_zh(detail).isascii()


def test_the_ruling_says_on_which_consent_it_rests():
    policy = newsletter(rule("consent"))
    stream = policy.stream("newsletter")
    for answers in (None, Answers()):
        one = case_with(event(1, basis="separate"))
        for _ in range(2):  # the second of one domain goes by a shorter way
            ruling = decide(policy, stream, one, Phase.DATA, noon(TODAY), answers)
            (ground,) = ruling.grounds
            assert (ground.rule, ground.purpose, ground.consent) == ("newsletter/mine", NEWS, event(1).id)
            assert (ground.basis, ground.at) == ("separate", at("2026-10-01"))
            assert [one.grounds for one in ruling.asked if one.rule == "newsletter/mine"] == [(ground,)]
        assert decide(policy, stream, case_with(), Phase.DATA, noon(TODAY), answers).grounds == ()


def test_recipients_of_one_domain_have_consents_of_their_own():
    policy = newsletter(rule("consent"))
    stream, answers = policy.stream("newsletter"), Answers()
    actions = []
    for events in ([], [event(1)], [], [event(1), event(2, "2026-10-02", "withdrawn")], [event(3)]):
        ruling = decide(policy, stream, case_with(*events), Phase.DATA, noon(TODAY), answers)
        assert ruling == decide(policy, stream, case_with(*events), Phase.DATA, noon(TODAY))
        actions.append(ruling.action)
    reject, permit = Action.REJECT, Action.PERMIT
    assert actions == [reject, permit, reject, reject, permit]


def test_what_is_only_observed_rests_on_nothing():
    """So nobody is kept back at the last moment by what only warned before."""
    policy = newsletter(rule("consent"), mode='"shadow"')
    ruling = decide(policy, policy.stream("newsletter"), case_with(), Phase.DATA, noon(TODAY))
    assert (ruling.action, ruling.grounds) == (Action.WARN, ())


@pytest.mark.parametrize("lacking", Evidence)
def test_each_kind_of_evidence_can_be_asked_for(lacking):
    told = {name: getattr(PROVEN, name) for name in Details.__dataclass_fields__}
    told["statements" if lacking is Evidence.UNTICKED else lacking.value] = () if lacking is Evidence.UNTICKED else ""
    policy = newsletter(rule("consent-evidence"))
    assert said(policy, case_with(event(1, **told))) == f"evidence lacks {lacking.value}"
    others = orjson.dumps([one.value for one in Evidence if one is not lacking]).decode()
    assert said(newsletter(rule("consent-evidence", f"evidence = {others}")), case_with(event(1, **told))) is None


def test_evidence_is_for_consents_that_stand():
    policy = newsletter(rule("consent-evidence", 'evidence = ["method"]'))
    assert said(policy, case_with()) is None
    assert said(policy, case_with(event(1), event(2, "2026-10-02", "withdrawn"))) is None
    assert said(policy, case_with(event(1), event(2, method="checkbox"))) is None


@pytest.mark.parametrize(
    ("day", "renewed", "detail"),
    [
        ("2025-11-22", None, None),
        ("2025-11-21", None, "given or renewed last on 2025-11-21"),
        ("2024-01-01", "2026-01-01", None),
        ("2024-01-01", "2025-06-01", "given or renewed last on 2025-06-01"),
    ],
)
def test_a_consent_gets_old_unless_it_is_renewed(day, renewed, detail):
    policy = newsletter(rule("consent-age", 'max_age = "365d"', "warn"))
    events = [event(1, day)] + ([event(2, renewed, "renewed")] if renewed else [])
    assert said(policy, case_with(*events)) == detail
    assert said(policy, case_with()) is None


def test_a_bought_address_is_refused_unless_its_owner_agreed_otherwise():
    policy = newsletter(rule("address-source"))
    assert said(policy, case_with()) is None
    assert said(policy, case_with(event(1, source="form"))) is None
    assert said(policy, case_with(event(1, source="scraped"))) == "scraped"
    assert said(policy, case_with(event(1, source="scraped"), event(2, source="form"))) is None
    assert said(policy, case_with(event(1, source="scraped"), event(2), event(3, "2026-10-02", "withdrawn"))) == "scraped"
    only_bought = newsletter(rule("address-source", 'sources = ["purchased"]'))
    assert said(only_bought, case_with(event(1, source="scraped"))) is None


@pytest.mark.parametrize(
    ("more", "band", "basis", "detail"),
    [
        ("", "adult", "explicit", None),
        ("", "", "explicit", None),
        ("", "under_14", "explicit", "under_14"),
        ("", "under_14", "guardian", None),
        ("guardian = false", "under_14", "guardian", "under_14"),
        ("", "14_17", "explicit", None),
        ('ages = ["under_14", "14_17"]', "14_17", "explicit", "14_17"),
    ],
)
def test_children_are_not_written_to_without_a_guardian(more, band, basis, detail):
    assert said(newsletter(rule("minors", more)), case_with(event(1, basis=basis, age_band=band))) == detail


def test_strictest_wins_when_laws_differ_on_the_ground():
    """Each law asks for itself: what one does not know as a ground is refused whatever the other says."""
    both = rule("consent", 'basis = ["explicit", "soft_opt_in"]') + rule("consent", 'basis = ["explicit"]').replace(
        "mine", "other"
    )
    policy = newsletter(both)
    soft = event(1, basis="soft_opt_in", relation_at=1.0, statements=("similar", "opt_out_offered"))
    stream = policy.stream("newsletter")
    ruling = decide(policy, stream, case_with(soft), Phase.DATA, noon(TODAY))
    assert [one.rule for one in ruling.objections] == ["newsletter/other"]
    assert decide(policy, stream, case_with(soft, event(2)), Phase.DATA, noon(TODAY)).action is Action.PERMIT


def test_a_stream_says_whether_it_asks_the_ledger():
    assert newsletter(rule("minors")).stream("newsletter").asks_consent
    assert not newsletter(rule("consent", 'purposes = ["service"]')).stream("newsletter").asks_consent
    assert not newsletter().stream("newsletter").asks_consent
