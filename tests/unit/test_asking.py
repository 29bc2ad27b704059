"""Which rules evidence and `explain ID` say were asked: those that `decide` asks, for every stream, address and way out."""

import json
from dataclasses import replace
from datetime import date

import pytest

from relay.policy.cases.case import Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.jurisdiction import jurisdictions_of
from relay.policy.cases.reputation import Measure, Pause
from relay.policy.deciding.asking import cites_of, each_rule, rules_asked
from relay.policy.deciding.decide import decide
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.rules.organisation import Texts
from relay.policy.sets.model import HOURS
from relay.policy.timing.hours import parse_span
from tests.support.policies import PLAIN, a_case, a_policy, an_identity, noon, shipped_files, word_rule

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


@pytest.mark.parametrize("recorded", [frozenset(), frozenset({"KR"}), frozenset({"DE"})], ids=["not recorded", "KR", "DE"])
@pytest.mark.parametrize("countries", [frozenset(), frozenset({"CN"}), frozenset({"US", "CN"})], ids=["nowhere", "CN", "US+CN"])
@pytest.mark.parametrize("domain", ["example.org", "example.kr", "mail.example.kr", "example.us"])
@pytest.mark.parametrize("stream", ["newsletter", "receipts", "correspondence"])
@pytest.mark.parametrize("mail", [None, DomainMail.TAKES, DomainMail.UNKNOWN])
def test_the_rules_are_those_that_decide_asks(stream, domain, countries, recorded, mail):
    known = jurisdictions_of(domain, frozenset(POLICY.organisation.unknown_recipient), recorded)
    case = a_case(to=f"ada@{domain}", stream=stream, identity=an_identity(), jurisdictions=known)
    case = replace(case, upstream_countries=countries, domain_mail=mail)
    ruling = decide(POLICY, POLICY.stream(stream), case, Phase.DATA, noon(date(2026, 11, 18)))
    told = rules_asked(POLICY, POLICY.stream(stream), domain, countries, mail=mail, recorded=recorded)
    asked = [rule.name for rule in told]
    assert ("base/recipient-domain" in asked) == (mail is not None)
    assert asked == [one.rule for one in ruling.asked if one.asked]


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("domain", ["example.org", "example.kr", "example.us"])
@pytest.mark.parametrize("stream", ["newsletter", "receipts", "correspondence"])
def test_of_the_others_it_says_why_not_as_decide_does(stream, domain, phase):
    known = jurisdictions_of(domain, frozenset(POLICY.organisation.unknown_recipient))
    raw = None if phase is Phase.RCPT else PLAIN
    case = a_case(raw, to=f"ada@{domain}", stream=stream, identity=an_identity(), jurisdictions=known)
    ruling = decide(POLICY, POLICY.stream(stream), case, phase, noon(date(2026, 11, 18)))
    told = [(rule.name, left) for rule, left in each_rule(POLICY, POLICY.stream(stream), domain, frozenset(), phase)]
    assert told == [(one.rule, None if one.asked else one) for one in ruling.asked]


LATE = date(2099, 1, 1)
OVERRIDE = '[[override]]\nrule = "us-can-spam/organisation"\naction = "warn"\nreason = "r"\nby = "b"\nuntil = 2099-12-31\n'


@pytest.mark.parametrize("country", ["CN", "US", "KR", "FR", "NZ"])
def test_whatever_a_ruling_names_rests_on_something(country):
    """Rules, packs that expired, duties that cannot be done, hours, a pause; asked or not."""
    packs = sorted(name[6:-5] for name in shipped_files() if name.startswith("packs/"))
    policy = a_policy(
        changes={"streams/newsletter.toml": ('packs = ["base"]', f"packs = {json.dumps(packs)}")},
        added={"streams/newsletter.toml": OVERRIDE},
    )
    limits = policy.stream("newsletter").limits.model_copy(update={"hours": (parse_span("09:00-09:01"),)})
    facts = policy.organisation.model_copy(update={"postal_address": Texts()})
    stream = replace(policy.stream("newsletter"), limits=limits, facts=facts)
    pause = Pause("newsletter", 0.0, "", Measure.MANUAL, "a look", "检查")
    case = replace(a_case(jurisdictions=frozenset({country})), pause=pause)
    asked = decide(policy, stream, case, Phase.DATA, noon(LATE)).asked
    cites = cites_of(stream)
    names = {one.rule for one in asked}
    assert {HOURS, PAUSED, "content/expired"} < names
    assert [name for name in names if not cites.get(name)] == []
    assert stream.unmet
    assert [duty.name for duty, _ in stream.unmet if not cites.get(duty.name)] == []


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
    recorded = rules_asked(POLICY, stream, "example.us", frozenset(), recorded=frozenset({"KR"}))
    assert "law/no-word" in {rule.name for rule in recorded}
    assert "newsletter/there" in asked["example.kr", ""] - asked["example.us", ("CN",)]
    assert not any("law/service-only" in names for names in asked.values())
