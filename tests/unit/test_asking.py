"""Which rules evidence says were asked: the ones that `decide` asks, for every stream, address and way out."""

from dataclasses import replace
from datetime import date

import pytest

from relay.policy.asking import rules_asked
from relay.policy.case import Phase
from relay.policy.decide import decide
from relay.policy.jurisdiction import jurisdictions_of
from tests.support.policies import a_case, a_policy, an_identity, noon, word_rule

PACK = """[pack]
version = "1"
expires_on = 2027-11-20
[applies]
any = [{ upstream = "CN" }, { recipient = "KR" }]
"""
POLICY = a_policy(
    changes={"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "law"]')},
    added={"streams/newsletter.toml": "\n" + word_rule("offer", "there") + 'recipient_domains = ["example.kr"]\n'},
    law=PACK + word_rule("spring") + word_rule("sale", "service-only") + 'purposes = ["service"]\n',
)


@pytest.mark.parametrize("countries", [frozenset(), frozenset({"CN"}), frozenset({"US", "CN"})], ids=["nowhere", "CN", "US+CN"])
@pytest.mark.parametrize("domain", ["example.org", "example.kr", "mail.example.kr", "example.us"])
@pytest.mark.parametrize("stream", ["newsletter", "receipts", "correspondence"])
def test_the_rules_are_those_that_decide_asks(stream, domain, countries):
    known = jurisdictions_of(domain, frozenset(POLICY.organisation.unknown_recipient))
    case = a_case(to=f"ada@{domain}", stream=stream, identity=an_identity(), jurisdictions=known)
    case = replace(case, upstream_countries=countries)
    ruling = decide(POLICY, POLICY.stream(stream), case, Phase.DATA, noon(date(2026, 11, 18)))
    asked = [rule.name for rule in rules_asked(POLICY, POLICY.stream(stream), domain, countries)]
    assert asked == [one.rule for one in ruling.asked if one.asked]


def test_reach_and_domains_make_a_difference():
    """The test above could not fail otherwise."""
    stream = POLICY.stream("newsletter")
    asked = {
        (domain, countries): {rule.name for rule in rules_asked(POLICY, stream, domain, frozenset(countries))}
        for domain in ("example.us", "example.kr")
        for countries in ("", ("CN",))
    }
    assert "law/no-word" not in asked["example.us", ""]
    assert "law/no-word" in asked["example.us", ("CN",)] & asked["example.kr", ""]
    assert "newsletter/there" in asked["example.kr", ""] - asked["example.us", ("CN",)]
    assert not any("law/service-only" in names for names in asked.values())
