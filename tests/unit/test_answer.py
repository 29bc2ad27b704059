"""The table of replies, row by row: one reply for all recipients of a message."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.answer import ReportFate, Result, Standing, final_reply, keeps_any, needs_report
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox

ID = "01JQ0000000000000000000000"
GONE = replies.upstream_said(550, "1.1", "no such user")
SUPPRESSED = replies.refused("base/suppression", "Recipient has unsubscribed or is suppressed")
OVER = replies.over_limit("identity 60/minute", 17)
REPLIES = {
    Standing.DELIVERED: replies.OK,
    Standing.HELD: OVER,
    Standing.REFUSED: GONE,
    Standing.TRANSIENT: replies.UPSTREAM_UNREACHABLE,
    Standing.INDETERMINATE: replies.UPSTREAM_TIMED_OUT,
}
D, H, R, T, U = Standing.DELIVERED, Standing.HELD, Standing.REFUSED, Standing.TRANSIENT, Standing.INDETERMINATE


def results(*standings, **replies_of):
    """One result each; `r=SUPPRESSED` gives all refused another reply."""
    return [
        Result(
            Recipient(Mailbox.parse(f"r{n}@example.org")), standing, replies_of.get(standing.name[0].lower(), REPLIES[standing])
        )
        for n, standing in enumerate(standings)
    ]


def said(*given, report=ReportFate.NOT_NEEDED):
    return final_reply(ID, list(given), report)


def test_all_delivered_is_a_250_with_the_id_and_the_count():
    assert said(*results(D, D)) == replies.delivered(ID, 2)
    assert said(*results(D)).lines() == [f"250 2.0.0 {ID}, 1 delivered, 0 held, 0 left out"]


@pytest.mark.parametrize(
    ("given_to", "counts"),
    [
        ((H,), "0 delivered, 1 held, 0 left out"),
        ((H, H), "0 delivered, 2 held, 0 left out"),
        ((D, H), "1 delivered, 1 held, 0 left out"),
        ((H, D, H), "1 delivered, 2 held, 0 left out"),
    ],
)
def test_what_is_held_is_promised_as_what_is_delivered(given_to, counts):
    assert said(*results(*given_to)).lines() == [f"250 2.0.0 {ID}, {counts}"]


def test_a_resend_hears_the_same_counts_whatever_it_is_told_of_the_earlier_try():
    earlier = [replace(result, earlier=True) for result in results(D, H, H)]
    assert said(*earlier) == said(*results(D, H, H))


def test_all_refused_alike_is_their_common_reply():
    assert said(*results(R, R)) == GONE
    assert said(*results(R, r=SUPPRESSED)) == SUPPRESSED


def test_all_refused_for_different_reasons_is_554_with_the_first():
    reply = said(*results(R, r=SUPPRESSED), *results(R))
    assert reply == replies.refused_for_several_reasons(SUPPRESSED)
    assert (reply.code, reply.status, reply.text) == (554, "5.7.1", SUPPRESSED.text)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (ReportFate.DELIVERED, 250),
        (ReportFate.FORBIDDEN, 250),
        (ReportFate.HELD, 250),
        (ReportFate.TRANSIENT, 451),
        (ReportFate.REFUSED, 554),
    ],
)
def test_some_delivered_and_some_refused_depends_on_the_report(report, code):
    reply = said(*results(D, R, D), report=report)
    assert reply.code == code
    assert reply.text[0].startswith(f"{ID}, 2 delivered, 0 held, 1 ")
    assert said(*results(H, R), report=report).code == code
    assert said(*results(H, R), report=report).text[0].startswith(f"{ID}, 0 delivered, 1 held, 1 ")
    assert said(*results(R, D, H, H), report=report).text[0].startswith(f"{ID}, 1 delivered, 2 held, 1 ")


@pytest.mark.parametrize("waiting", [T, U])
def test_what_all_who_wait_share_is_said(waiting):
    assert said(*results(waiting, waiting)) == REPLIES[waiting]
    assert said(*results(D, waiting)) == REPLIES[waiting]
    assert said(*results(R, waiting, D)) == REPLIES[waiting]
    assert said(*results(H, waiting)) == REPLIES[waiting]
    assert said(*results(H, R, waiting, D)) == REPLIES[waiting]
    assert said(*results(D, T, t=OVER)) == OVER


def test_who_waits_for_different_reasons_gets_a_451_that_counts():
    reply = said(*results(D, T, U, R))
    assert (reply.code, reply.status) == (451, "4.4.0")
    assert reply.text[0].startswith(f"{ID}, 1 delivered, 0 held, 2 not yet: ")
    assert said(*results(H, D, T, U, R)).text[0].startswith(f"{ID}, 1 delivered, 1 held, 2 not yet: ")


@pytest.mark.parametrize("standings", list(product(Standing, repeat=3)))
def test_a_report_is_needed_exactly_when_some_have_it_or_will_and_the_others_never(standings):
    assert needs_report(results(*standings)) == (set(standings) in ({D, R}, {H, R}, {D, H, R}))


@pytest.mark.parametrize("report", ReportFate)
def test_the_relay_answers_for_what_it_holds_and_for_a_report_that_it_holds(report):
    assert keeps_any(results(D, H), report)
    assert keeps_any(results(D, R), report) == (report is ReportFate.HELD)


@given(st.lists(st.sampled_from(list(Standing)), min_size=1, max_size=6), st.sampled_from(list(ReportFate)))
def test_a_250_is_a_promise_and_5yz_never_hides_an_open_recipient(standings, report):
    reply = said(*results(*standings), report=report)
    if {T, U} & set(standings):
        assert reply.is_transient
    if reply.is_positive:
        assert {D, H} & set(standings)
        assert R not in standings or report not in (ReportFate.TRANSIENT, ReportFate.REFUSED)
