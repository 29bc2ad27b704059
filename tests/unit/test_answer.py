"""The table of replies, row by row: one reply for all recipients of a message."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.answer import ReportFate, Result, Standing, final_reply, needs_report
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox

ID = "01JQ0000000000000000000000"
GONE = replies.upstream_said(550, "1.1", "no such user")
SUPPRESSED = replies.refused("base/suppression", "Recipient has unsubscribed or is suppressed")
OVER = replies.over_limit("identity 60/minute", 17)
REPLIES = {
    Standing.DELIVERED: replies.OK,
    Standing.REFUSED: GONE,
    Standing.TRANSIENT: replies.UPSTREAM_UNREACHABLE,
    Standing.INDETERMINATE: replies.UPSTREAM_TIMED_OUT,
}
D, R, T, U = Standing.DELIVERED, Standing.REFUSED, Standing.TRANSIENT, Standing.INDETERMINATE


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
    assert said(*results(D)).lines() == [f"250 2.0.0 {ID}, 1 delivered, 0 left out"]


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
        (ReportFate.TRANSIENT, 451),
        (ReportFate.REFUSED, 554),
    ],
)
def test_some_delivered_and_some_refused_depends_on_the_report(report, code):
    reply = said(*results(D, R, D), report=report)
    assert reply.code == code
    assert reply.text[0].startswith(f"{ID}, 2 delivered, 1 ")


@pytest.mark.parametrize("waiting", [T, U])
def test_what_all_who_wait_share_is_said(waiting):
    assert said(*results(waiting, waiting)) == REPLIES[waiting]
    assert said(*results(D, waiting)) == REPLIES[waiting]
    assert said(*results(R, waiting, D)) == REPLIES[waiting]
    assert said(*results(D, T, t=OVER)) == OVER


def test_who_waits_for_different_reasons_gets_a_451_that_counts():
    reply = said(*results(D, T, U, R))
    assert (reply.code, reply.status) == (451, "4.4.0")
    assert reply.text[0].startswith(f"{ID}, 1 delivered, 2 not yet: ")


@pytest.mark.parametrize("standings", list(product(Standing, repeat=3)))
def test_a_report_is_needed_exactly_when_some_have_it_and_the_others_never_will(standings):
    assert needs_report(results(*standings)) == (set(standings) == {D, R})


@given(st.lists(st.sampled_from(list(Standing)), min_size=1, max_size=6), st.sampled_from(list(ReportFate)))
def test_a_250_is_a_promise_and_5yz_never_hides_an_open_recipient(standings, report):
    reply = said(*results(*standings), report=report)
    if {T, U} & set(standings):
        assert reply.is_transient
    if reply.is_positive:
        assert D in standings
        assert R not in standings or report not in (ReportFate.TRANSIENT, ReportFate.REFUSED)
