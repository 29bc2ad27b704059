"""charges_for(): which limits one recipient counts against, together with whom."""

from datetime import UTC, datetime

import pytest

from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.reputation import SendingDays
from relay.policy.deciding.charges import charges_for
from tests.support.policies import a_policy, a_submission, an_identity, newsletter

FILE = "streams/newsletter.toml"
NEVER = SendingDays()
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIMITS = {
    "identity": '["100/hour"]',
    "recipient": '["2/day"]',
    "recipient_domain": '{ "QQ.com" = ["20/minute", "500/day"], "*" = ["60/minute"] }',
}


def charges(
    to: str = "ada@qq.com",
    now: datetime = NOON,
    login: str = "news@example.com",
    upstream_limits=(),
    sent=NEVER,
    policy=None,
    stream="newsletter",
    **settings: str,
):
    policy = policy or newsletter(**(settings or LIMITS))
    return charges_for(
        policy,
        policy.stream(stream),
        "netease",
        upstream_limits,
        a_submission(identity=an_identity(login)),
        Recipient(Mailbox.parse(to)),
        now,
        lambda text: text.encode(),
        sent,
    )


def warming(growth: str = "200/day x1.5", limits: str = "identity = []"):
    return a_policy(changes={FILE: ("identity = []", f'{limits}\nwarm_up = "{growth}"')})


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
        "upstream netease 9/second (marketing: 8)",
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


# Frequency


def test_marketing_that_came_often_enough_counts_nothing_against_service_mail():
    shared = a_policy(changes={FILE: ("recipient = []", 'recipient = ["2/day"]')})
    (marketing,) = charges(policy=shared)
    assert marketing.name == "newsletter: recipient 2/day"
    assert charges(policy=shared, stream="receipts") == ()


def test_two_streams_that_limit_a_recipient_count_apart():
    both = a_policy(
        changes={
            FILE: ("recipient = []", 'recipient = ["2/day"]'),
            "streams/receipts.toml": ("recipient = []", 'recipient = ["2/day"]'),
        }
    )
    (marketing,), (service,) = charges(policy=both), charges(policy=both, stream="receipts")
    assert marketing.key != service.key


# Reserve


@pytest.mark.parametrize(
    ("limit", "most"), [("100/minute", 90), ("9/second", 8), ("1/second", 1), ("5/hour", 4), ("1000000/day", 900_000)]
)
def test_marketing_leaves_a_tenth_of_what_is_shared(limit, most):
    (marketing,) = charges(upstream_limits=(limit,), mode='"enforce"')
    (service,) = charges(upstream_limits=(limit,), stream="receipts", mode='"enforce"')
    (letter,) = charges(upstream_limits=(limit,), stream="correspondence", mode='"enforce"')
    assert marketing.key == service.key == letter.key
    assert marketing.window.count == most
    assert service == letter
    assert service.window.count == int(limit.partition("/")[0])


@pytest.mark.parametrize(("reserve", "most"), [("0%", 100), ("0.5%", 99), ("25%", 75), ("90%", 10)])
def test_how_much_is_kept_is_the_organisations_to_say(reserve, most):
    policy = a_policy(changes={"organisation.toml": ('reserve = "10%"', f'reserve = "{reserve}"')})
    (charge,) = charges(upstream_limits=("100/minute",), policy=policy)
    assert charge.window.count == most


def test_the_name_of_a_limit_says_how_much_of_it_is_for_marketing():
    names = [charges(upstream_limits=("100/minute",), stream=one, mode='"enforce"')[0].name for one in ("newsletter", "receipts")]
    assert names == ["upstream netease 100/minute (marketing: 90)", "upstream netease 100/minute"]


# Warm-up


@pytest.mark.parametrize(
    ("sent", "name", "count"),
    [
        (NEVER, "newsletter: warm-up day 1 200/day", 200),
        (SendingDays(1, "2026-11-20"), "newsletter: warm-up day 2 300/day", 300),
        (SendingDays(2, "2026-11-20"), "newsletter: warm-up day 3 450/day", 450),
        (SendingDays(3, "2026-11-20"), "newsletter: warm-up day 4 675/day", 675),
        (SendingDays(4, "2026-11-20"), "newsletter: warm-up day 5 1012/day", 1012),
        (SendingDays(3, "2026-11-21"), "newsletter: warm-up day 3 450/day", 450),
        (SendingDays(3, "2026-06-01"), "newsletter: warm-up day 4 675/day", 675),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value),
)
def test_a_warm_up_grows_with_each_day_of_sending(sent, name, count):
    (charge,) = charges(policy=warming(), sent=sent)
    assert (charge.name, charge.window.count, charge.window.day) == (name, count, "2026-11-21")


def test_a_warm_up_counts_the_whole_stream_on_one_day_of_the_organisation():
    policy, evening = warming(), datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
    (one,), (other,) = charges(policy=policy), charges("bob@sina.com", login="shop@example.com", policy=policy)
    (next_day,) = charges(policy=policy, now=evening, sent=SendingDays(1, "2026-11-21"))
    assert one.key == other.key != next_day.key
    assert (next_day.window.day, next_day.window.count) == ("2026-11-22", 300)


def test_a_limit_that_grows_overnight_remembers_nothing_and_one_that_is_edited_remembers_what_was_used():
    (slow,), (fast,) = charges(policy=warming()), charges(policy=warming("500/day x2"))
    assert slow.key == fast.key


@pytest.mark.parametrize(
    ("limits", "upstream_limits", "days", "is_over"),
    [
        ("identity = []", (), 21, False),  # 200 x 1.5^21 = 997,577
        ("identity = []", (), 22, True),
        ("identity = []", ("450/day",), 2, True),
        ("identity = []", ("451/day",), 2, False),
        ("identity = []", ("10/minute",), 21, False),
        ('identity = ["450/day"]', (), 2, True),
        ('identity = ["300/day"]', ("1000/day",), 2, False),
        ("identity = []", (), 100_000, True),
    ],
)
def test_a_warm_up_ends_by_itself_at_the_usual_number(limits, upstream_limits, days, is_over):
    sent = SendingDays(days, "2026-11-20")
    names = [charge.name for charge in charges(policy=warming(limits=limits), upstream_limits=upstream_limits, sent=sent)]
    assert any("warm-up" in name for name in names) is not is_over
