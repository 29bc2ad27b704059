"""Every store keeps the ledger the same way: a retry duplicates nothing that is known to be delivered."""

import asyncio
import itertools

import pytest

from relay.policy.suppressions.suppression import BINDS, ORGANISATION, Purpose, Reason, stream_scope
from relay.stores.ledger import Cleared, Closing, Opening, Refused, Row, RowState, Settlement, Taken
from relay.stores.limits import OverLimit, Reserved
from tests.support.stores import ADA, BOB, EVE, START, charge, consent, delivered, digest, fill, first_try, refusal, request

MAIL = digest("submission")
TTL = 5 * 86400.0
LEASE = 90.0
NEWS = stream_scope("news")
ONE, TWO = first_try(1), first_try(2, START + 60)
AGAIN = request(may_repeat=True)


async def opened(store, key=MAIL, proposal=ONE):
    return await store.open_submission(key, Opening(proposal, TTL))


async def cleared(store, *requests, key=MAIL, submission_id=ONE.submission_id, lease=LEASE):
    return await store.clear(key, submission_id, requests or [request()], lease, TTL)


async def states(store, key=MAIL):
    return {row.recipient: row.state for row in await store.rows(key) if not row.answered}


async def test_a_submission_is_new_once(store, clock):
    entry = await opened(store)
    assert (entry.first, entry.rows) == (ONE, ())
    clock.pass_(60)
    again = await opened(store, proposal=TWO)
    assert (again.first, again.rows) == (ONE, ())


async def test_opening_answers_what_is_in_force_on_each_who_is_asked_about(store):
    old = digest("old generation of ada")
    await store.suppress(refusal(old))
    await store.suppress(refusal(EVE, Reason.LEGAL))
    people = [(ADA, old), (BOB,), (EVE,)]
    for proposal in (ONE, TWO):  # the first try and a resend
        entry = await store.open_submission(MAIL, Opening(proposal, TTL, asked=people))
        assert [one.suppressions for one in entry.found] == await store.find(people)
        assert [len(one.suppressions) for one in entry.found] == [1, 0, 1]


async def test_every_try_gets_the_id_date_and_message_id_of_the_first(store):
    await opened(store)
    await store.finish(MAIL, [Settlement(ADA, None)])
    assert [(await opened(store, proposal=first_try(n))).first for n in range(2, 5)] == [ONE, ONE, ONE]


async def test_of_two_tries_at_once_one_is_the_first(store):
    entries = await asyncio.gather(*(opened(store, proposal=first_try(n)) for n in range(10)))
    (first,) = {entry.first for entry in entries}
    assert first in [first_try(n) for n in range(10)]


async def test_submissions_do_not_know_each_other(store):
    await opened(store)
    await cleared(store)
    other = await store.open_submission(digest("other"), Opening(TWO, TTL))
    assert (other.first, other.rows) == (TWO, ())


async def test_an_unknown_submission_has_no_rows(store):
    assert await store.rows(digest("nothing")) == ()


async def test_a_cleared_recipient_is_leaving_under_a_lease(store):
    await opened(store)
    assert await cleared(store) == [Cleared()]
    row = Row(ADA, RowState.LEAVING, "", ONE.submission_id, START + LEASE)
    assert await store.rows(MAIL) == (row,)
    assert (await opened(store)).rows == (row,)


async def test_the_second_try_finds_the_recipient_taken(store):
    await opened(store)
    await cleared(store)
    (answer,) = await cleared(store, submission_id=TWO.submission_id)
    assert answer == Taken(Row(ADA, RowState.LEAVING, "", ONE.submission_id, START + LEASE))


async def test_of_many_tries_at_once_one_is_cleared(store):
    await opened(store)
    answers = await asyncio.gather(*(cleared(store, submission_id=first_try(n).submission_id) for n in range(12)))
    assert sum(isinstance(a, Cleared) for (a,) in answers) == 1


async def test_the_same_recipient_twice_in_one_copy_is_claimed_once(store):
    await opened(store)
    answers = await cleared(store, request(ADA), request(ADA))
    assert [type(a) for a in answers] == [Cleared, Taken]


async def test_what_was_delivered_stays_delivered(store, clock):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    clock.pass_(TTL - 1)
    (answer,) = await cleared(store, submission_id=TWO.submission_id)
    assert isinstance(answer, Taken)
    assert (answer.row.state, answer.row.reply) == (RowState.DELIVERED, "250 2.0.0 OK")


async def test_what_was_refused_for_good_is_not_asked_again(store):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [Settlement(ADA, RowState.REFUSED, "550 5.1.1 用户不存在")])
    (answer,) = await cleared(store, submission_id=TWO.submission_id)
    assert isinstance(answer, Taken)
    assert (answer.row.state, answer.row.reply) == (RowState.REFUSED, "550 5.1.1 用户不存在")


async def test_a_refusal_of_ours_needs_no_clearance_before(store):
    await opened(store)
    await store.finish(MAIL, [Settlement(ADA, RowState.REFUSED, "550 5.7.1 no")])
    (row,) = await store.rows(MAIL)
    assert (row.recipient, row.state, row.reply) == (ADA, RowState.REFUSED, "550 5.7.1 no")


async def test_a_transient_failure_frees_the_row(store):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [Settlement(ADA, None)])
    assert await store.rows(MAIL) == ()
    assert await cleared(store, submission_id=TWO.submission_id) == [Cleared()]


async def test_an_indeterminate_recipient_is_claimed_again(store):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [Settlement(ADA, RowState.INDETERMINATE, "connection lost")])
    assert await states(store) == {ADA: RowState.INDETERMINATE}
    assert await cleared(store, AGAIN, submission_id=TWO.submission_id) == [Cleared()]
    assert await states(store) == {ADA: RowState.LEAVING}


async def test_who_may_have_got_it_is_sent_to_by_nobody_who_has_not_put_that_on_record(store, clock):
    await opened(store)
    await cleared(store, request(ADA), request(BOB))
    await store.finish(MAIL, [Settlement(ADA, RowState.INDETERMINATE, "connection lost")])
    clock.pass_(LEASE)
    answers = await cleared(store, request(ADA), request(BOB), request(EVE), submission_id=TWO.submission_id)
    assert [answer.row.state for answer in answers[:2]] == [RowState.INDETERMINATE] * 2
    assert answers[2] == Cleared()
    assert await states(store) == dict.fromkeys((ADA, BOB), RowState.INDETERMINATE) | {EVE: RowState.LEAVING}


async def test_a_lease_that_ran_out_reads_as_indeterminate_and_is_claimed_again(store, clock):
    await opened(store)
    await cleared(store)
    clock.pass_(LEASE)
    assert await states(store) == {ADA: RowState.INDETERMINATE}
    assert [row.state for row in (await opened(store)).rows] == [RowState.INDETERMINATE]
    assert await cleared(store, AGAIN, submission_id=TWO.submission_id) == [Cleared()]
    (row,) = await store.rows(MAIL)
    assert (row.state, row.submission_id) == (RowState.LEAVING, TWO.submission_id)


async def test_a_late_delivery_still_counts(store, clock):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [Settlement(ADA, RowState.INDETERMINATE, "no answer", "", ONE.submission_id)])
    await store.finish(MAIL, [delivered(ADA, "", ONE.submission_id)])
    assert await states(store) == {ADA: RowState.DELIVERED}


async def test_a_late_failure_does_not_free_the_claim_of_a_later_try(store, clock):
    await opened(store)
    await cleared(store)
    clock.pass_(LEASE)
    await cleared(store, AGAIN, submission_id=TWO.submission_id)
    for late in (None, RowState.INDETERMINATE, RowState.REFUSED):
        await store.finish(MAIL, [Settlement(ADA, late, "late", "", ONE.submission_id)])
    (row,) = await store.rows(MAIL)
    assert (row.state, row.submission_id) == (RowState.LEAVING, TWO.submission_id)


async def test_a_late_delivery_of_an_earlier_try_is_known_to_the_later_one(store, clock):
    await opened(store)
    await cleared(store)
    clock.pass_(LEASE)
    await cleared(store, AGAIN, submission_id=TWO.submission_id)
    await store.finish(MAIL, [delivered(ADA, "", ONE.submission_id)])
    await store.finish(MAIL, [Settlement(ADA, None, "", "", TWO.submission_id)])
    assert await states(store) == {ADA: RowState.DELIVERED}


@pytest.mark.parametrize("later", [None, RowState.INDETERMINATE, RowState.REFUSED])
async def test_delivered_is_the_last_word(store, later):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    await store.finish(MAIL, [Settlement(ADA, later, "later")])
    assert await states(store) == {ADA: RowState.DELIVERED}


async def test_a_retry_with_a_subset_sees_only_its_own_rows_taken(store):
    await opened(store)
    await cleared(store, request(ADA), request(BOB))
    await store.finish(MAIL, [delivered(ADA), Settlement(BOB, None)])
    answers = await cleared(store, request(BOB), request(EVE), submission_id=TWO.submission_id)
    assert answers == [Cleared(), Cleared()]


async def test_a_closed_submission_is_a_new_message_the_next_time(store):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    await store.close(MAIL, Closing(ONE.submission_id))
    assert await store.rows(MAIL) == ()
    again = await opened(store, proposal=TWO)
    assert (again.first, again.rows) == (TWO, ())
    assert await cleared(store, submission_id=TWO.submission_id) == [Cleared()]


async def test_closing_what_is_not_open_is_no_fault(store):
    await store.close(digest("nothing"), Closing(ONE.submission_id))


async def test_a_resend_keeps_open_what_it_asked_about(store):
    await opened(store)
    await cleared(store, request(ADA), request(BOB))
    await store.open_submission(MAIL, Opening(TWO, TTL, [ADA]))
    await store.finish(MAIL, [delivered(ADA, "", ONE.submission_id), delivered(BOB, "", ONE.submission_id)])
    await store.close(MAIL, Closing(ONE.submission_id))
    assert await states(store) == {ADA: RowState.DELIVERED}
    await store.close(MAIL, Closing(TWO.submission_id))
    assert (await opened(store, proposal=first_try(3))).first == first_try(3)


async def test_a_resend_that_came_before_the_claim_keeps_it_open_too(store):
    await opened(store)
    await store.open_submission(MAIL, Opening(TWO, TTL, [ADA]))
    await cleared(store)
    assert isinstance((await cleared(store, submission_id=TWO.submission_id))[0], Taken)
    await store.finish(MAIL, [delivered(ADA, "", ONE.submission_id)])
    await store.close(MAIL, Closing(ONE.submission_id))
    assert await states(store) == {ADA: RowState.DELIVERED}


async def test_the_same_bytes_to_others_at_the_same_time_are_closed_apart(store):
    await opened(store)
    await cleared(store, request(ADA))
    await store.open_submission(MAIL, Opening(TWO, TTL, [BOB]))
    await cleared(store, request(BOB), submission_id=TWO.submission_id)
    await store.finish(MAIL, [delivered(BOB, "", TWO.submission_id)])
    await store.close(MAIL, Closing(TWO.submission_id))
    assert await states(store) == {ADA: RowState.LEAVING}


async def test_a_later_claim_belongs_to_its_own_try(store, clock):
    await opened(store)
    await cleared(store)
    clock.pass_(LEASE)
    await cleared(store, AGAIN, submission_id=TWO.submission_id)
    await store.close(MAIL, Closing(ONE.submission_id))
    assert await states(store) == {ADA: RowState.LEAVING}
    await store.close(MAIL, Closing(TWO.submission_id))
    assert await states(store) == {}


async def test_an_answer_after_the_end_does_not_bring_the_submission_back(store):
    await opened(store)
    await cleared(store)
    await store.close(MAIL, Closing(ONE.submission_id))
    await store.finish(MAIL, [delivered(ADA)])
    assert await store.rows(MAIL) == ()
    assert (await opened(store, proposal=TWO)).first == TWO


async def test_an_open_submission_is_forgotten_after_its_time(store, clock):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    clock.pass_(TTL)
    assert await store.rows(MAIL) == ()
    again = await opened(store, proposal=TWO)
    assert (again.first, again.rows) == (TWO, ())


async def test_it_is_remembered_from_its_last_try_on(store, clock):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    for number in range(2, 5):
        clock.pass_(TTL - 1)
        assert [row.state for row in (await opened(store, proposal=first_try(number))).rows] == [RowState.DELIVERED]
    clock.pass_(TTL)
    assert (await opened(store, proposal=first_try(5))).first == first_try(5)


async def test_one_that_expired_before_it_was_cleared_is_remembered_as_long_as_any(store, clock):
    await opened(store)
    clock.pass_(TTL)
    await store.clear(MAIL, ONE.submission_id, [request()], LEASE, 600.0)
    await store.finish(MAIL, [delivered(ADA)])
    clock.pass_(599)
    assert await states(store) == {ADA: RowState.DELIVERED}
    clock.pass_(1)
    assert await states(store) == {}


async def test_clearing_a_forgotten_submission_starts_it_from_nothing(store, clock):
    await opened(store)
    await cleared(store)
    await store.finish(MAIL, [delivered(ADA)])
    clock.pass_(TTL)
    assert await cleared(store, submission_id=TWO.submission_id) == [Cleared()]
    await store.finish(MAIL, [delivered(ADA)])
    assert await states(store) == {ADA: RowState.DELIVERED}
    entry = await opened(store, proposal=first_try(3))
    assert [row.recipient for row in entry.rows] == [ADA]
    assert (entry.first.date, entry.first.message_id) == (first_try(3).date, first_try(3).message_id)
    assert (await opened(store, proposal=first_try(4))).first == entry.first


@pytest.mark.parametrize(("purpose", "reason"), list(itertools.product(Purpose, Reason)))
async def test_a_copy_leaves_only_past_refusals_that_do_not_bind_it(store, purpose, reason):
    await store.suppress(refusal(ADA, reason))
    await opened(store)
    (answer,) = await cleared(store, request(ADA, reasons=BINDS[purpose]))
    assert type(answer) is (Refused if reason in BINDS[purpose] else Cleared)


async def test_a_refusal_in_another_scope_does_not_bind(store):
    await store.suppress(refusal(ADA, scope=NEWS))
    await opened(store)
    assert await cleared(store, request(ADA, scopes=(ORGANISATION, stream_scope("offers")))) == [Cleared()]


async def test_the_gravest_refusal_that_binds_is_named_and_nothing_is_claimed(store):
    await store.suppress(refusal(ADA, Reason.MANUAL, scope=NEWS))
    await store.suppress(refusal(ADA, Reason.COMPLAINT, scope=NEWS))
    await store.suppress(refusal(ADA, Reason.LEGAL, scope=stream_scope("offers")))
    await opened(store)
    limit = charge(1)
    (answer,) = await cleared(store, request(ADA, limit, scopes=(ORGANISATION, NEWS)))
    assert answer == Refused(refusal(ADA, Reason.COMPLAINT, scope=NEWS))
    assert await store.rows(MAIL) == ()
    assert isinstance(await store.reserve([limit], LEASE), Reserved)


async def test_a_refusal_under_an_old_key_binds_too(store):
    old = digest("old generation of ada")
    await store.suppress(refusal(old))
    await opened(store)
    ada = request(ADA)
    both = type(ada)(ADA, (ADA, old), ada.scopes, ada.reasons)
    (answer,) = await cleared(store, both)
    assert isinstance(answer, Refused)


async def test_what_was_lifted_or_has_expired_does_not_bind(store, clock):
    await store.suppress(refusal(ADA))
    await store.suppress(refusal(ADA, Reason.HARD_BOUNCE, expires_at=START + 10))
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    clock.pass_(10)
    await opened(store)
    assert await cleared(store) == [Cleared()]


async def test_a_refusal_outranks_the_ledger(store):
    await opened(store)
    await cleared(store)
    await store.suppress(refusal(ADA))
    (answer,) = await cleared(store, submission_id=TWO.submission_id)
    assert isinstance(answer, Refused)


async def test_recipients_are_cleared_one_by_one_in_order(store):
    await store.suppress(refusal(BOB))
    await opened(store)
    limit = charge(2)
    people = [ADA, BOB, EVE, digest("dan")]
    answers = await cleared(store, *(request(who, limit) for who in people))
    assert [type(a) for a in answers] == [Cleared, Refused, Cleared, OverLimit]
    assert set(await states(store)) == {ADA, EVE}


async def test_a_recipient_over_the_limit_has_no_row_and_no_charge(store):
    await fill(store, charge(1, key="narrow"), 1)
    await opened(store)
    (answer,) = await cleared(store, request(ADA, charge(1, key="wide"), charge(1, key="narrow", name="narrow")))
    assert isinstance(answer, OverLimit)
    assert answer.name == "narrow"
    assert await store.rows(MAIL) == ()
    assert isinstance(await store.reserve([charge(1, key="wide")], LEASE), Reserved)


async def test_a_taken_recipient_is_not_charged(store):
    await opened(store)
    await cleared(store, request(ADA, charge(2)))
    await cleared(store, request(ADA, charge(2)), submission_id=TWO.submission_id)
    assert isinstance(await store.reserve([charge(2)], LEASE), Reserved)


@pytest.mark.parametrize(
    ("state", "free_at_once", "free_a_minute_later"),
    [
        (RowState.DELIVERED, False, True),
        (RowState.INDETERMINATE, False, False),  # its lease still runs
        (RowState.REFUSED, True, True),
        (None, True, True),
    ],
)
async def test_the_outcome_decides_about_the_charge(store, clock, state, free_at_once, free_a_minute_later):
    await opened(store)
    limit = charge(1)
    (answer,) = await cleared(store, request(ADA, limit))
    assert answer.reservation
    await store.finish(MAIL, [Settlement(ADA, state, "reply", answer.reservation, ONE.submission_id)])
    now = await store.reserve([limit], LEASE)
    assert isinstance(now, Reserved) == free_at_once
    if isinstance(now, Reserved):
        await store.refund(now.id)
    clock.pass_(62)
    assert isinstance(await store.reserve([limit], LEASE), Reserved) == free_a_minute_later


async def test_the_charge_of_an_answer_after_the_end_is_still_settled(store):
    await opened(store)
    limit = charge(1)
    (answer,) = await cleared(store, request(ADA, limit))
    await store.close(MAIL, Closing(ONE.submission_id))
    await store.finish(MAIL, [Settlement(ADA, None, "", answer.reservation)])
    assert isinstance(await store.reserve([limit], LEASE), Reserved)


async def test_a_thousand_recipients_are_cleared_and_finished_at_once(store):
    await opened(store)
    limit = charge(800, unit=3600.0)
    people = [digest(n) for n in range(1000)]
    await store.suppress_many([refusal(who) for who in people[:100]])
    answers = await cleared(store, *(request(who, limit) for who in people))
    assert [type(a) for a in answers] == [Refused] * 100 + [Cleared] * 800 + [OverLimit] * 100
    await store.finish(
        MAIL, [delivered(who, a.reservation) for who, a in zip(people, answers, strict=True) if type(a) is Cleared]
    )
    rows = await store.rows(MAIL)
    assert {row.recipient for row in rows if row.state is RowState.DELIVERED} == set(people[100:900])
    over = await store.reserve([limit], LEASE)
    assert isinstance(over, OverLimit)
    assert not over.in_flight


async def test_clearing_or_finishing_nobody_is_no_fault(store):
    await opened(store)
    assert await store.clear(MAIL, ONE.submission_id, [], LEASE, TTL) == []
    await store.finish(MAIL, [])
    assert await store.rows(MAIL) == ()
