"""When a stream sends: the objection outside its hours, what relaxes it, and whose clock counts."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.gathering import Known
from relay.judging import is_told_at_rcpt, judge, judge_at_rcpt, reply_to
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.case import Action, Phase
from relay.policy.cases.reputation import SendingDays
from relay.policy.consents.residence import Residence
from relay.policy.deciding.decide import decide
from relay.policy.suppressions.suppression import Reason
from relay.policy.telling.inputs import inputs_of
from tests.support.policies import PLAIN, a_case, a_policy, a_submission

NEWS = "streams/newsletter.toml"
HOME = ZoneInfo("Asia/Shanghai")
EVENING = datetime(2026, 11, 21, 22, 30, 15, tzinfo=HOME)
MORNING = datetime(2026, 11, 22, 9, 0, tzinfo=HOME)
HOURS = 'hours = "09:00-21:00"'
EXEMPT = '[[exempt]]\nrecipients = ["qa@mail.example.org"]\nrules = ["base/hours"]\nreason = "r"\nby = "b"\nuntil = 2026-11-21\n'


def a_paced(more: str = HOURS, *, over: str = "hold", mode: str = "enforce", rules: str = "", exempt: str = ""):
    """The shipped set, whose newsletter has hours."""
    policy = a_policy(
        changes={NEWS: ('over = "hold"', f'over = "{over}"\n{more}')},
        added={NEWS: rules, "organisation.toml": exempt},
    )
    stream = replace(policy.stream("newsletter"), mode=mode)
    return replace(policy, streams=(stream, *policy.streams[1:]))


def ruled(policy, case=None, now=EVENING, phase=Phase.DATA, stream="newsletter"):
    return decide(policy, policy.stream(stream), case or a_case(), phase, now)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(("over", "action"), [("hold", Action.HOLD), ("defer", Action.DEFER)])
def test_outside_its_hours_nothing_of_a_stream_leaves(over, action, phase):
    ruling = ruled(a_paced(over=over), a_case(None if phase is Phase.RCPT else PLAIN), phase=phase)
    objection = ruling.leading
    assert (ruling.action, objection.rule, objection.asked_for, objection.reply_code) == (action, "base/hours", action, 451)
    assert EVENING + timedelta(seconds=objection.retry_after) == MORNING
    assert objection.detail == "2026-11-22 09:00+08:00"


def test_the_objection_says_the_hours_in_both_languages_and_on_one_line_of_the_wire():
    ruling = ruled(a_paced('hours = ["Mon-Fri 09:00-18:00", "Sat 10:00-12:00"]', over="defer"))
    objection = ruling.leading
    assert objection.text == "The stream newsletter sends Mon-Fri 09:00-18:00, Sat 10:00-12:00 (Asia/Shanghai), not now"
    assert objection.text_zh == "邮件流 newsletter 只在 Mon-Fri 09:00-18:00, Sat 10:00-12:00（Asia/Shanghai）发送，现在不在此时段"
    assert objection.fix == "Send it again when the hours begin"
    assert objection.fix_zh == "请在发送时段开始后重试"
    said = reply_to(ruling)
    assert (said.code, said.status) == (451, "4.7.1")
    assert said.wire().isascii()
    assert str(said).endswith("(Asia/Shanghai), not now, try again in 124185 s")


@pytest.mark.parametrize("now", [MORNING, MORNING + timedelta(hours=11, minutes=59, seconds=59)])
def test_inside_its_hours_a_stream_sends(now):
    ruling = ruled(a_paced(), now=now)
    assert ruling.action is Action.PERMIT
    assert ("base/hours", True, "asked") in [(one.rule, one.asked, one.why) for one in ruling.asked]


def test_without_hours_nobody_asks_for_the_time():
    assert not [one for one in ruled(a_policy()).asked if one.rule == "base/hours"]


@pytest.mark.parametrize("stream", ["receipts", "correspondence"])
def test_hours_of_one_stream_bind_no_other(stream):
    assert ruled(a_paced(), a_case(stream=stream), stream=stream).action is Action.PERMIT


def test_shadow_only_observes_the_hours():
    ruling = ruled(a_paced(mode="shadow"))
    assert (ruling.action, ruling.objections[0].observed, ruling.objections[0].asked_for) == (Action.WARN, "shadow", Action.HOLD)


def test_a_mailbox_that_is_exempt_gets_its_mail_at_night():
    policy = a_paced(exempt=EXEMPT)
    cases = [a_case(to=f"{local}@mail.example.org") for local in ("ada", "qa")]
    found = judge(policy, policy.stream("newsletter"), cases, EVENING)
    assert [ruling.action for ruling in found] == [Action.HOLD, Action.WARN]
    assert found[1].objections[0].observed == "exempt"
    assert ruled(policy, a_case(to="qa@mail.example.org"), now=EVENING + timedelta(days=1)).action is Action.HOLD


def test_a_refusal_is_not_kept_until_the_morning():
    ruling = ruled(a_paced(), a_case(suppressed=Reason.UNSUBSCRIBE))
    assert [objection.rule for objection in ruling.objections] == ["base/suppression", "base/hours"]


def test_what_waits_for_the_hours_is_looked_at_then():
    held = '[[rule]]\nid = "look"\ncheck = "domains"\ndeny = ["mail.example.org"]\naction = "hold"\n'
    assert [one.rule for one in ruled(a_paced(rules=held)).objections] == ["base/hours", "newsletter/look"]
    assert [one.rule for one in ruled(a_paced(rules=held), now=MORNING).objections] == ["newsletter/look"]


@pytest.mark.parametrize(("over", "is_told"), [("hold", False), ("defer", True)])
def test_what_is_held_is_taken_at_rcpt(over, is_told):
    policy, recipient = a_paced(over=over), Recipient(Mailbox.parse("ada@mail.example.org"))
    ruling = judge_at_rcpt(policy, policy.stream("newsletter"), a_submission(), recipient, Known(), frozenset(), EVENING)
    assert is_told_at_rcpt(ruling) is is_told


def test_why_it_waits_can_be_looked_up():
    policy, case = a_paced('hours = ["Mon-Fri 09:00-18:00", "Sat 10:00-12:00"]'), a_case()
    asked = ruled(policy, case).asked
    inputs = dict(zip([one.rule for one in asked], inputs_of(asked, policy.stream("newsletter"), case), strict=True))
    nobody: list[dict[str, object]] = [{"by": "default", "countries": [], "at": None}]
    assert inputs["base/hours"].facts == {"recipient.domain": "mail.example.org", "recipient.countries_from": nobody}
    assert inputs["base/hours"].parameters == {"hours": ["Mon-Fri 09:00-18:00", "Sat 10:00-12:00"], "hours_zone": "recipient"}


# Whose clock

TOKYO_MORNING = datetime(2026, 11, 21, 8, 30, tzinfo=HOME)  # 09:30 in Tokyo


@pytest.mark.parametrize(
    ("to", "zone", "opens"),
    [
        ("ada@example.co.jp", "recipient", None),
        ("ada@example.co.jp", "organisation", "09:00"),
        ("ada@example.cn", "recipient", "09:00"),
        ("ada@example.com", "recipient", "09:00"),  # the domain names no country
        ("ada@example.io", "recipient", "09:00"),  # sold to everybody
        ("ada@example.aq", "recipient", "09:00"),  # no clock of its own
        ("ada@example.de", "recipient", "16:00"),
        ("ada@example.co.uk", "recipient", "17:00"),
        ("ada@example.es", "recipient", "17:00"),  # the Canary Islands are an hour behind
    ],
)
def test_it_is_the_recipients_morning_or_the_organisations(to, zone, opens):
    ruling = ruled(a_paced(f'{HOURS}\nhours_zone = "{zone}"'), a_case(to=to), now=TOKYO_MORNING)
    assert [one.detail for one in ruling.objections] == ([f"2026-11-21 {opens}+08:00"] if opens else [])


def test_assumed_jurisdictions_name_no_clock():
    case = a_case(to="ada@example.com", jurisdictions=frozenset({"JP"}))
    assert ruled(a_paced(), case, now=TOKYO_MORNING).action is Action.HOLD


def recorded(*countries: str) -> Residence | None:
    return Residence(frozenset(countries), 1.0) if countries else None


@pytest.mark.parametrize(
    ("to", "countries", "opens"),
    [
        ("ada@example.com", ["JP"], None),
        ("ada@example.com", ["DE"], "16:00"),
        ("ada@example.jp", ["DE"], "16:00"),  # where both clocks are inside: 16:00 to 20:00 in Shanghai
        ("ada@example.com", ["JP", "DE"], "16:00"),
        ("ada@example.jp", ["BR"], "20:00"),  # nine in Brasilia is 21:00 in Tokyo: they never meet, the recorded one counts
        ("ada@example.br", ["JP"], None),
        ("ada@example.com", ["AQ"], "09:00"),  # no clock of its own
    ],
)
def test_the_clock_of_the_recorded_country_counts(to, countries, opens):
    case = replace(a_case(to=to), residence=recorded(*countries))
    ruling = ruled(a_paced(), case, now=TOKYO_MORNING)
    assert [one.detail for one in ruling.objections] == ([f"2026-11-21 {opens}+08:00"] if opens else [])
    assert ruled(a_paced(f'{HOURS}\nhours_zone = "organisation"'), case, now=TOKYO_MORNING).action is Action.HOLD


def test_two_at_one_domain_in_two_countries_have_hours_of_their_own():
    """What is found once for a domain is not taken for whoever is recorded elsewhere."""
    policy, places = a_paced(), [("JP",), ("DE",), (), ("JP",)]
    cases = [replace(a_case(to=f"a{n}@example.com"), residence=recorded(*place)) for n, place in enumerate(places)]
    found = judge(policy, policy.stream("newsletter"), cases, TOKYO_MORNING)
    assert [ruling.leading.retry_after if ruling.leading else 0 for ruling in found] == [0, 27000, 1800, 0]
    assert [ruling.residence for ruling in found] == [case.residence for case in cases]


def test_each_recipient_of_a_message_has_hours_of_their_own():
    policy = a_paced()
    cases = [a_case(to=f"ada@example.{top}") for top in ("jp", "cn", "de", "jp")]
    found = judge(policy, policy.stream("newsletter"), cases, TOKYO_MORNING)
    assert [ruling.leading.retry_after if ruling.leading else 0 for ruling in found] == [0, 1800, 27000, 0]


@settings(max_examples=100)
@given(
    st.sampled_from(["mail.example.org", "example.de", "example.us", "example.ru", "example.cl"]),
    st.sampled_from([HOURS, 'hours = ["Mon-Fri 22:00-02:30", "Sun 12:00-13:00"]', 'hours = "Sat-Sun 01:45-03:15"']),
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)),  # noqa: DTZ001 - Hypothesis draws them bare
)
def test_at_retry_after_it_leaves_and_a_second_earlier_it_does_not(domain, hours, now):
    policy, case, now = a_paced(hours), a_case(to=f"ada@{domain}"), now.replace(microsecond=0, tzinfo=HOME)
    ruling = ruled(policy, case, now)
    if ruling.leading is None:
        return
    after = now.timestamp() + ruling.leading.retry_after
    assert ruled(policy, case, datetime.fromtimestamp(after, HOME)).action is Action.PERMIT
    assert ruled(policy, case, datetime.fromtimestamp(after - 1, HOME)).action is Action.HOLD


# Days of sending


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (SendingDays(), 1),
        (SendingDays(1, "2026-11-21"), 1),
        (SendingDays(1, "2026-11-20"), 2),
        (SendingDays(7, "2026-11-21"), 7),
        (SendingDays(7, "2026-11-22"), 7),  # another node's clock is past midnight
    ],
)
def test_today_is_the_next_day_of_sending_until_it_is_counted(sent, number):
    assert sent.number(date(2026, 11, 21)) == number
