"""charges_for(): which limits one recipient counts against, together with whom."""

from datetime import UTC, datetime

import pytest

from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.charges import charges_for
from tests.support.policies import a_submission, an_identity, newsletter

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIMITS = {
    "identity": '["100/hour"]',
    "recipient": '["2/day"]',
    "recipient_domain": '{ "QQ.com" = ["20/minute", "500/day"], "*" = ["60/minute"] }',
}


def charges(to: str = "ada@qq.com", now: datetime = NOON, login: str = "news@example.com", upstream_limits=(), **settings: str):
    policy = newsletter(**(settings or LIMITS))
    return charges_for(
        policy,
        policy.stream("newsletter"),
        "netease",
        upstream_limits,
        a_submission(identity=an_identity(login)),
        Recipient(Mailbox.parse(to)),
        now,
        lambda text: text.encode(),
    )


def keys(*args, **settings) -> set[bytes]:
    return {charge.key for charge in charges(*args, **settings)}


def test_shipped_limits_charge_nothing():
    assert charges(mode='"enforce"') == ()


def test_every_scope_is_charged_once_per_limit():
    assert [charge.name for charge in charges(upstream_limits=("9/second",))] == [
        "newsletter: identity 100/hour",
        "newsletter: recipient domain qq.com 20/minute",
        "newsletter: recipient domain qq.com 500/day",
        "newsletter: recipient 2/day",
        "upstream netease 9/second",
    ]


def test_no_name_holds_an_address():
    assert not any("@" in charge.name for charge in charges(upstream_limits=("9/second",)))


def test_other_domains_are_counted_each_by_itself():
    sina, sohu = charges("a@sina.com")[1], charges("a@sohu.com")[1]
    assert (sina.window.count, sohu.window.count) == (60, 60)
    assert sina.key != sohu.key


def test_a_recipient_is_one_whatever_the_case():
    assert keys("Ada@qq.com") == keys("ada@QQ.COM")
    assert keys("ada@qq.com") != keys("ada+x@qq.com")


def test_two_identities_do_not_share_their_limit():
    own, other = charges()[0], charges(login="shop@example.com")[0]
    assert own.key != other.key


def test_a_raised_limit_remembers_what_was_used():
    assert keys(identity='["1/hour"]') == keys(identity='["500/hour"]')
    assert keys(identity='["1/hour"]') != keys(identity='["1/minute"]')


@pytest.mark.parametrize(
    ("now", "day"),
    [(datetime(2026, 11, 21, 15, 59, 59, tzinfo=UTC), "2026-11-21"), (datetime(2026, 11, 21, 16, 0, tzinfo=UTC), "2026-11-22")],
)
def test_a_day_is_the_organisations_day(now, day):
    (charge,) = charges(recipient='["2/day"]', now=now)
    assert charge.window.day == day


def test_days_are_counted_apart():
    evening = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
    assert keys(recipient='["2/day"]') != keys(recipient='["2/day"]', now=evening)
