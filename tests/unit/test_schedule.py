"""When a held copy is tried again, and what becomes of it."""

import pytest

from relay.answer import Result, Standing
from relay.carrying.schedule import BackOff, Fate, Next, Wait, put_off, refused, unknown, wait_for, wait_for_rule
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.case import Action, Objection, Ruling
from relay.stores.held import NEVER, HeldCopy, Lane, Why

NOW = 1_800_000_000.0
EXPIRES = NOW + 86400
ADA = Recipient(Mailbox.parse("ada@example.org"))
UNREACHED, HALF_WAY = replies.UPSTREAM_UNREACHABLE, 0.5
BACK_OFF = BackOff(first=60, longest=3600)


def a_copy(why=Why.LANE, attempts=0, **facts) -> HeldCopy:
    return HeldCopy("01JHELD", b"ada", Lane(2, b"lane"), b"owner", why, NOW, b"sealed", attempts, **facts)


def a_result(reply=UNREACHED, why=None, due=0.0, standing=Standing.TRANSIENT, **facts) -> Result:
    return Result(ADA, standing, reply, why=why, due=due, **facts)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 60), (1, 60), (2, 120), (3, 240), (4, 480), (5, 960), (6, 1920), (7, 3600), (5000, 3600)],
)
def test_the_back_off_doubles_from_a_minute_to_an_hour(attempts, seconds):
    assert BACK_OFF.due_after(attempts, NOW, 0.5) == NOW + seconds
    assert BACK_OFF.due_after(attempts, NOW, 0.0) - NOW == pytest.approx(0.8 * seconds)
    assert BACK_OFF.due_after(attempts, NOW, 1.0) - NOW == pytest.approx(1.2 * seconds)


LIMIT = "newsletter: identity 60/minute"
OWN_LIMIT = "newsletter: recipient 2/day"
DOMAIN_LIMIT = "newsletter: recipient domain qq.com 20/minute"


@pytest.mark.parametrize(
    ("result", "is_own_login", "expected"),
    [
        (a_result(replies.over_limit(LIMIT, 40), Why.LIMIT, NOW + 40), False, Wait(Why.LIMIT, NOW + 40, whole_lane=True)),
        (a_result(replies.over_limit(DOMAIN_LIMIT, 40), Why.LIMIT, NOW + 40), False, Wait(Why.LIMIT, NOW + 40, whole_lane=True)),
        (a_result(replies.over_limit(OWN_LIMIT, 40), Why.LIMIT, NOW + 40), False, Wait(Why.LIMIT, NOW + 40)),
        (a_result(replies.UPSTREAM_TIMED_OUT, Why.UPSTREAM), False, Wait(Why.LANE, NOW)),
        (a_result(UNREACHED, Why.UPSTREAM, NOW + 900), False, Wait(Why.UPSTREAM, NOW + 900, whole_lane=True)),
        (a_result(UNREACHED, Why.UPSTREAM, NOW + 86400), False, Wait(Why.UPSTREAM, NOW + 3600, whole_lane=True)),
        (
            a_result(UNREACHED, Why.UPSTREAM, NOW + 60, upstream="up"),
            False,
            Wait(Why.UPSTREAM, NOW + 60, is_try=True, whole_lane=True),
        ),
        (
            a_result(UNREACHED, Why.UPSTREAM, NOW + 60, upstream="up", upstream_text="450 4.2.1 later"),
            False,
            Wait(Why.UPSTREAM, NOW + 60, is_try=True),
        ),
        (a_result(UNREACHED, Why.PAUSED), False, Wait(Why.PAUSED, NOW + 300, whole_lane=True)),
        (a_result(replies.UPSTREAM_ACCOUNT, Why.AUTHENTICATION, NEVER), True, Wait(Why.AUTHENTICATION, NEVER)),
        (
            a_result(replies.NO_ACCOUNT, Why.AUTHENTICATION, NEVER),
            False,
            Wait(Why.AUTHENTICATION, is_try=True, whole_lane=True),
        ),
        (a_result(UNREACHED, Why.HOURS, NOW + 7200), False, Wait(Why.HOURS, NOW + 7200)),
        (a_result(UNREACHED, Why.RULE, NEVER), False, Wait(Why.RULE, NEVER)),
        (a_result(replies.STORE_UNAVAILABLE), False, Wait(Why.LANE, NOW + 60)),
        (a_result(replies.POLICY_UNUSABLE), False, Wait(Why.LANE, NOW)),
        (a_result(replies.RESEND_IN_PROGRESS), False, Wait(Why.LANE, NOW + 60)),
    ],
)
def test_what_a_transient_result_means_to_a_copy(result, is_own_login, expected):
    assert wait_for(a_copy(), result, NOW, BACK_OFF, is_own_login=is_own_login) == expected


@pytest.mark.parametrize(("seconds", "until"), [(30, NOW + 30), (0, NOW + 900)])
def test_a_rule_that_defers_says_for_how_long_or_is_asked_again_in_a_quarter_of_an_hour(seconds, until):
    objection = Objection("newsletter/later", Action.DEFER, "Later", "稍后", retry_after=seconds)
    wait = wait_for_rule(a_copy(), Ruling(ADA, Action.DEFER, (objection,)), a_result(), NOW, BACK_OFF, is_own_login=False)
    assert wait == Wait(Why.LANE, until)


def test_a_rule_that_holds_says_so_by_its_result():
    objection = Objection("newsletter/look", Action.HOLD, "Look at it", "请审核")
    result = a_result(why=Why.RULE, due=NEVER)
    wait = wait_for_rule(a_copy(), Ruling(ADA, Action.HOLD, (objection,)), result, NOW, BACK_OFF, is_own_login=False)
    assert wait == Wait(Why.RULE, NEVER)


@pytest.mark.parametrize(
    ("copy", "wait", "expected"),
    [
        # What says until when is believed; it was no try, so the next back-off is no longer.
        (a_copy(attempts=3), Wait(Why.LIMIT, NOW + 40), (Why.LIMIT, NOW + 40, 3, None)),
        (a_copy(attempts=3), Wait(Why.LIMIT, NOW + 40, whole_lane=True), (Why.LIMIT, NOW + 40, 3, NOW + 40)),
        # The upstream was asked: whichever is later, what it says or the back-off.
        (a_copy(attempts=1), Wait(Why.UPSTREAM, NOW + 60, is_try=True), (Why.UPSTREAM, NOW + 120, 2, None)),
        (a_copy(attempts=1), Wait(Why.UPSTREAM, NOW + 600, is_try=True), (Why.UPSTREAM, NOW + 600, 2, None)),
        (a_copy(attempts=1), Wait(Why.UPSTREAM, is_try=True, whole_lane=True), (Why.UPSTREAM, NOW + 120, 2, NOW + 120)),
        # Nobody waits beyond the end of the mail's time.
        (a_copy(), Wait(Why.RULE, NEVER), (Why.RULE, EXPIRES, 0, None)),
        (a_copy(), Wait(Why.HOURS, EXPIRES + 1), (Why.HOURS, EXPIRES, 0, None)),
        (a_copy(), Wait(Why.AUTHENTICATION, NEVER, whole_lane=True), (Why.AUTHENTICATION, EXPIRES, 0, None)),
        # A report is not over with the mail that it is about.
        (a_copy(Why.REPORT, 7), Wait(Why.REPORT, is_try=True, whole_lane=True), (Why.REPORT, NOW + 3600, 8, NOW + 3600)),
    ],
)
def test_a_copy_that_waits(copy, wait, expected):
    why, due_at, attempts, lane_until = expected
    assert put_off(copy, wait, NOW, EXPIRES, BACK_OFF, HALF_WAY) == Next(Fate.PUT_OFF, why, due_at, attempts, lane_until)


def test_what_expired_a_moment_ago_is_due_now_and_not_before():
    assert put_off(a_copy(), Wait(Why.UPSTREAM, is_try=True), NOW, NOW - 5, BACK_OFF, HALF_WAY).due_at == NOW


@pytest.mark.parametrize(("due", "expected"), [(0.0, NOW + 60), (NOW + 300, NOW + 300), (EXPIRES + 5, EXPIRES)])
def test_of_whom_nothing_is_known_waits_for_a_late_reply_and_the_back_off(due, expected):
    result = a_result(standing=Standing.INDETERMINATE, why=Why.UNKNOWN, due=due)
    assert unknown(a_copy(), result, NOW, EXPIRES, BACK_OFF, HALF_WAY) == Next(Fate.INDETERMINATE, Why.UNKNOWN, expected, 1)


def test_who_is_refused_waits_ten_minutes_for_the_others():
    assert refused(Fate.EXPIRED, NOW) == Next(Fate.EXPIRED, Why.REPORT, NOW + 600)
