"""On which days a consent stands: those of the organisation, whatever day it is in Greenwich."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.policy.cases.case import Phase
from relay.policy.consents.consent import ConsentEvent, Details, current
from relay.policy.consents.moment import parse_moment
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.deciding.decide import decide
from tests.support.policies import a_case, a_policy

NEW_YORK = ZoneInfo("America/New_York")
ZONES = ["America/New_York", "Pacific/Honolulu", "UTC", "Europe/Berlin", "Asia/Shanghai", "Pacific/Auckland"]
LAST = date(2026, 3, 1)
NEWS = "marketing:newsletter"


def a_grant(basis="explicit", at=0.0, **details):
    return ConsentEvent("01K", b"d" * 16, b"", "granted", at, at, "form", "Wang", NEWS, basis, Details(**details).dump())


def stands(grant, zone, day, **needs):
    return grant_for([grant], Needs(NEWS, zone=zone, **needs), day) is grant


@pytest.mark.parametrize("name", ZONES)
def test_a_consent_that_ends_on_a_day_permits_on_that_day_and_not_on_the_next(name):
    """West of Greenwich that day ends on the next one of UTC: mail left on it."""
    zone = ZoneInfo(name)
    grant = a_grant(expires_at=parse_moment(str(LAST), zone, is_end=True))
    assert stands(grant, zone, LAST)
    assert not stands(grant, zone, LAST + timedelta(days=1))
    assert current([grant], zone)[0].expires_on == LAST


@pytest.mark.parametrize("name", ZONES)
def test_clocks_of_laws_and_of_rules_run_in_the_days_of_the_organisation(name):
    zone = ZoneInfo(name)
    evening = parse_moment("2025-09-01 23:30", zone)
    inquiry = a_grant("implied_inquiry", evening, relation_at=evening)
    assert [stands(inquiry, zone, LAST + timedelta(days=n)) for n in (0, 1)] == [True, False]
    old = a_grant(at=evening)
    assert [stands(old, zone, date(2025, 9, 11 + n), max_age=10) for n in (0, 1)] == [True, False]


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "consent": ({}, ""),
    "consent-age": ({"expires_at": None, "at": parse_moment("2026-02-19 23:30", NEW_YORK)}, 'max_age = "10d"'),
    "minors": ({"basis": "guardian", "age_band": "under_14"}, ""),
}


@pytest.mark.parametrize("check", RULES)
def test_rules_ask_in_the_zone_of_the_organisation(check):
    told, parameter = RULES[check]
    grant = a_grant(**{"expires_at": parse_moment(str(LAST), NEW_YORK, is_end=True)} | told)
    rule = f'\n[[rule]]\nid = "mine"\ncheck = "{check}"\naction = "reject"\n{parameter}\n'
    policy = a_policy(
        changes={"organisation.toml": ("Asia/Shanghai", "America/New_York")}, added={"streams/newsletter.toml": rule}
    )
    case = replace(a_case(), consents=(grant,))
    asked = []
    for day in (LAST, LAST + timedelta(days=1)):
        ruling = decide(policy, policy.stream("newsletter"), case, Phase.DATA, datetime.combine(day, time(12), NEW_YORK))
        asked.append("newsletter/mine" in {one.rule for one in ruling.objections})
    assert asked == [False, True]
