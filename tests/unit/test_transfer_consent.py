"""Data leave the country on a consent of their own (PIPL Art 39), country by country, and the ruling rests on it."""

from dataclasses import replace

import pytest

from relay.policy.cases.case import Action, Phase
from relay.policy.consents.consent import ConsentEvent, EventKind
from relay.policy.deciding.decide import decide
from tests.support.policies import a_case, a_policy, newsletter, noon
from tests.unit.test_decide import TODAY

RULE = "newsletter/abroad"
TABLE = '[[rule]]\nid = "abroad"\ncheck = "transfer-consent"\nfrom_countries = ["CN"]\nfree = ["MO"]\n'
AT = 1_790_000_000.0


def event(purpose, basis="separate", kind=EventKind.GRANTED, at=AT, number=1):
    return ConsentEvent(f"01JCONSENT{number:016d}", b"d" * 16, b"", kind.value, at, at, "form", "Wang Min", purpose, basis)


def ruled(*events, by=("SG",), policy=None):
    policy = policy or newsletter(TABLE)
    case = replace(a_case(None, upstream_countries=frozenset(by)), consents=tuple(events))
    return decide(policy, policy.stream("newsletter"), case, Phase.RCPT, noon(TODAY))


def detail(ruling):
    return ruling.leading.detail if ruling.leading else ""


@pytest.mark.parametrize(
    ("events", "by", "found"),
    [
        ([], {"SG"}, "export:SG: none is recorded"),
        ([event("marketing")], {"SG"}, "export:SG: given for marketing, not export:SG"),
        ([event("export:SG", "explicit")], {"SG"}, "export:SG: basis explicit"),
        ([event("export:US")], {"SG"}, "export:SG: given for export:US, not export:SG"),
        ([event("export:SG")], {"SG", "US"}, "export:US: given for export:SG, not export:US"),
        ([event("export:SG")], {"ZZ"}, "export: given for export:SG, not export"),
        ([event("export:SG"), event("export:SG", kind=EventKind.WITHDRAWN, at=AT + 1, number=2)], {"SG"}, "withdrawn"),
        ([event("export:SG")], {"SG"}, ""),
        ([event("export:SG", "guardian")], {"SG"}, ""),
        ([event("export")], {"SG", "US", "ZZ"}, ""),
        ([], {"CN"}, ""),
        ([], {"CN", "MO"}, ""),
        ([], set(), ""),
    ],
)
def test_every_country_wants_a_consent(events, by, found):
    ruling = ruled(*events, by=by)
    assert found in detail(ruling)
    assert bool(detail(ruling)) == bool(found) == (ruling.action is Action.REJECT)


def test_the_ruling_rests_on_each_so_that_a_withdrawal_keeps_the_copy_back():
    ruling = ruled(event("export:SG"), event("export:US", number=2), by={"SG", "US"})
    assert [(one.rule, one.purpose, one.consent[-1]) for one in ruling.grounds] == [
        (RULE, "export:SG", "1"),
        (RULE, "export:US", "2"),
    ]


def test_the_ledger_is_asked_and_organisations_elsewhere_are_not():
    assert newsletter(TABLE).stream("newsletter").asks_consent
    abroad = a_policy(
        changes={"organisation.toml": ('country = "CN"', 'country = "DE"')}, added={"streams/newsletter.toml": f"\n{TABLE}"}
    )
    assert ruled(policy=abroad).action is Action.PERMIT
