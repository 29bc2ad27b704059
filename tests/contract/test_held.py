"""Every store holds copies the same way: durably, one courier to a copy, each lane in its turn."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest

from relay.errors import StoreUnavailable
from relay.stores.held import NEVER, HeldUpdate, HoldFull, Holding, Why
from relay.stores.ledger import Cleared, Closing, Row, RowState, Settlement, Taken
from tests.support.held import (
    DAY,
    LANE,
    LEASE,
    OWNER,
    REPLY,
    done,
    due_again,
    held_copy,
    held_message,
    hold,
    hold_one,
    key_of,
    lane,
    opened,
)
from tests.support.stores import ADA, BOB, EVE, META, START, delivered, digest, first_try, refusal, request

MESSAGE = held_message()
OTHER = digest("other owner")
LATER = START + 3600.0


async def every_copy(store, message=None):
    return await store.held_copies(None, 1000, message)


async def people(store, most=1000):
    """Claim and say who came, in order."""
    return [copy.recipient for copy in await store.claim(most, LEASE)]


# Keeping


async def test_what_was_held_outlives_the_process(another):
    one = await another(META)
    copies = [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob", why=Why.LIMIT, due_at=LATER, attempts=1)]
    await hold(one, MESSAGE, copies)
    await one.aclose()
    two = await another(META)
    kept = sorted((replace(copy, held_at=START) for copy in copies), key=lambda copy: copy.recipient)
    assert await every_copy(two) == kept
    assert await two.held_message(MESSAGE.id) == MESSAGE


async def test_a_message_may_be_asked_about_without_its_body(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    assert await store.held_message(MESSAGE.id, with_body=False) == replace(MESSAGE, body=b"")


async def test_of_what_is_not_held_nothing_is_known(store):
    assert await store.held_message(MESSAGE.id) is None
    assert await every_copy(store) == []
    assert await store.claim(10, LEASE) == []


async def test_what_is_held_to_no_time_is_kept_so(store):
    await hold_one(store, due_at=NEVER, why=Why.RULE)
    (copy,) = await every_copy(store)
    assert copy.due_at == NEVER


async def test_a_body_of_many_octets_comes_back_whole(store):
    large = held_message(octets=3_000_001)
    await hold(store, large, [held_copy(large, "ada")])
    assert await store.held_message(large.id) == large


async def test_to_hold_again_adds_what_is_missing_and_changes_nothing(store, clock):
    ada, bob = held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob")
    await hold(store, MESSAGE, [ada])
    clock.pass_(60)
    await hold(store, MESSAGE, [replace(ada, due_at=LATER, sealed=b"other"), bob])
    kept = {copy.recipient: copy for copy in await every_copy(store)}
    assert kept == {ADA: replace(ada, held_at=START), BOB: replace(bob, held_at=START + 60)}
    totals = await store.held_totals()
    assert (totals.copies, totals.octets) == ({Why.UPSTREAM: 2}, MESSAGE.octets)
    assert await store.held_message(MESSAGE.id) == MESSAGE


async def test_to_hold_again_what_is_leaving_takes_nobodys_lease(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    (claimed,) = await store.claim(10, LEASE)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    assert await store.claim(10, LEASE) == []
    assert await done(store, claimed) == 1


async def test_to_hold_again_what_has_left_brings_nothing_back(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    await done(store, *await store.claim(10, LEASE))
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    assert await every_copy(store) == []
    assert await store.held_message(MESSAGE.id) is None


async def test_many_may_be_held_at_once(store):
    messages = [held_message(number) for number in range(30)]
    await asyncio.gather(*(hold(store, message, [held_copy(message, "ada")]) for message in messages))
    assert [copy.message for copy in await every_copy(store)] == [message.id for message in messages]
    assert [await store.held_message(message.id) for message in messages] == messages


async def test_when_there_is_no_room_nothing_is_kept(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], max_octets=2500)
    await hold(store, held_message(2), [held_copy(held_message(2), "ada")], max_octets=2500)
    third = held_message(3)
    with pytest.raises(HoldFull):
        await hold(store, third, [held_copy(third, "ada")], max_octets=2500, credentials=(OTHER, b"login", LATER))
    assert await store.held_message(third.id) is None
    assert await store.rows(key_of(third)) == ()
    assert await store.credentials_of(OTHER) is None
    assert (await store.held_totals()).octets == 2000


async def test_what_is_kept_already_needs_no_more_room(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], max_octets=1000)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob")], max_octets=1000)
    assert len(await every_copy(store)) == 2


async def test_what_has_left_makes_room(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], max_octets=1000)
    await done(store, *await store.claim(10, LEASE))
    await hold_one(store, 2)
    assert (await store.held_totals()).octets == 1000


# The ledger


async def test_a_resend_finds_the_rows_held(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    row = Row(ADA, RowState.HELD, REPLY, MESSAGE.id)
    assert await store.rows(key_of(MESSAGE)) == (row,)
    assert await store.clear(key_of(MESSAGE), first_try(2).submission_id, [request(ADA)], 90.0, 3600.0) == [Taken(row)]


async def test_a_row_that_was_leaving_or_indeterminate_becomes_held(store):
    key = key_of(MESSAGE)
    await opened(store, MESSAGE)
    await store.clear(key, MESSAGE.id, [request(ADA), request(BOB)], 90.0, 3600.0)
    await store.finish(key, [Settlement(BOB, RowState.INDETERMINATE, "lost", submission_id=MESSAGE.id)])
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob", why=Why.UNKNOWN)])
    assert {row.recipient: row.state for row in await store.rows(key)} == {ADA: RowState.HELD, BOB: RowState.HELD}


async def test_what_is_held_is_not_on_its_way(store):
    """A refusal names the copies that it did not stop: this one it will."""
    await opened(store, MESSAGE)
    await store.clear(key_of(MESSAGE), MESSAGE.id, [request(ADA)], 90.0, 3600.0)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    await store.suppress(refusal(ADA))
    ((entry,), _) = await store.history([ADA])
    assert entry.in_flight == ()


@pytest.mark.parametrize("number", [1, 600])
async def test_a_report_that_is_held_has_a_row_of_its_own(store, number):
    """Its copies are those of whom it tells; their rows say that they are refused, and go on saying so."""
    key, report = key_of(MESSAGE), digest("the report")
    await opened(store, MESSAGE)
    people = [digest(who) for who in range(number)]
    await store.finish(key, [Settlement(who, RowState.REFUSED, "550 no", submission_id=MESSAGE.id) for who in people])
    copies = [held_copy(MESSAGE, who, lane("report", 0), why=Why.REPORT) for who in range(number)]
    await store.hold(key, Holding(MESSAGE, copies, {report: REPLY}, max_octets=10_000))
    states = {row.recipient: row.state for row in await store.rows(key)}
    assert states == dict.fromkeys(people, RowState.REFUSED) | {report: RowState.HELD}
    assert len(await every_copy(store)) == number


async def test_when_the_client_knows_held_rows_are_forgotten_and_the_same_bytes_are_new(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    await store.close(key_of(MESSAGE), Closing(MESSAGE.id))
    again = await opened(store, held_message(2), key=key_of(MESSAGE))
    assert again.first.submission_id == held_message(2).id
    assert len(await every_copy(store)) == 1


async def test_what_another_try_has_delivered_or_holds_is_not_held_twice(store):
    key, again = key_of(MESSAGE), held_message(2)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    await store.finish(key, [delivered(BOB)])
    await hold(store, again, [held_copy(again, who) for who in ("ada", "bob", "eve")], key=key)
    assert [copy.recipient for copy in await every_copy(store, again.id)] == [EVE]
    states = {row.recipient: (row.state, row.submission_id) for row in await store.rows(key)}
    assert states[ADA] == (RowState.HELD, MESSAGE.id)
    assert states[BOB][0] is RowState.DELIVERED
    assert states[EVE] == (RowState.HELD, again.id)


async def test_what_another_try_was_answered_for_meanwhile_is_not_held_beside_it(store):
    """Its client gave this try up, heard 250 at the next one and went on: the recipient must not get two."""
    again = held_message(2)
    await opened(store, MESSAGE)
    await hold(store, again, [held_copy(again, "ada")], key=key_of(MESSAGE))
    await store.close(key_of(MESSAGE), Closing(again.id))
    copy = held_copy(MESSAGE, "ada")
    await store.hold(key_of(MESSAGE), Holding(MESSAGE, [copy], {copy.recipient: REPLY}, max_octets=1 << 30))
    assert [copy.message for copy in await every_copy(store)] == [again.id]
    assert (await store.held_totals()).octets == again.octets


async def test_of_a_message_all_of_which_others_hold_nothing_is_kept(store):
    again = held_message(2)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])
    await hold(store, again, [held_copy(again, "ada", owner=OTHER)], key=key_of(MESSAGE), credentials=(OTHER, b"login", LATER))
    assert await store.held_message(again.id) is None
    assert await store.credentials_of(OTHER) is None
    assert (await store.held_totals()).octets == MESSAGE.octets


async def test_what_another_try_is_sending_now_is_not_held_and_nothing_beside_it(store, clock):
    key, again = key_of(MESSAGE), held_message(2)
    await opened(store, MESSAGE)
    assert await store.clear(key, MESSAGE.id, [request(ADA)], 90.0, 3600.0) == [Cleared()]
    with pytest.raises(StoreUnavailable):
        await hold(store, again, [held_copy(again, "ada"), held_copy(again, "bob")], key=key)
    assert await every_copy(store) == []
    clock.pass_(90)  # its lease is over: nobody knows
    await hold(store, again, [held_copy(again, "ada"), held_copy(again, "bob")], key=key)
    assert {copy.recipient: copy.why for copy in await every_copy(store)} == {ADA: Why.UNKNOWN, BOB: Why.UPSTREAM}


@pytest.mark.parametrize("number", [1, 450])
async def test_whom_another_try_may_have_reached_waits_for_nobody_who_would_not_know(store, number):
    """A login frees what waits for one; this must be tried, and on record as what may come twice."""
    key, again = key_of(MESSAGE), held_message(2)
    await opened(store, MESSAGE)
    await store.clear(key, MESSAGE.id, [request(ADA), request(BOB)], 90.0, 3600.0)
    await store.finish(key, [Settlement(who, RowState.INDETERMINATE, "lost", "", MESSAGE.id) for who in (ADA, BOB)])
    people = [held_copy(again, n, why=Why.AUTHENTICATION, due_at=NEVER) for n in range(number)]
    parked = held_copy(again, "ada", why=Why.AUTHENTICATION, due_at=NEVER)
    await hold(store, again, [*people, parked, held_copy(again, "bob", due_at=LATER)], key=key)
    held = {copy.recipient: copy for copy in await every_copy(store)}
    assert (held[ADA].why, held[ADA].due_at) == (Why.UNKNOWN, START)
    assert (held[BOB].why, held[BOB].due_at) == (Why.UNKNOWN, LATER)
    assert {(held[copy.recipient].why, held[copy.recipient].due_at) for copy in people} == {(Why.AUTHENTICATION, NEVER)}
    assert (await store.held_totals()).copies == {Why.UNKNOWN: 2, Why.AUTHENTICATION: number}


# Claiming


async def test_a_claim_is_of_what_is_due(store, clock):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob", due_at=LATER)])
    (copy,) = await store.claim(10, LEASE)
    assert (copy.recipient, copy.claim, copy.attempts, copy.sealed) == (ADA, 1, 0, b"sealed ada")
    assert await store.claim(10, LEASE) == []
    clock.now = LATER
    assert await people(store) == [ADA, BOB]  # the lease on the first is over too


async def test_within_a_lane_what_was_due_first_comes_first(store, clock):
    clock.pass_(60)
    for number, due_at in enumerate((START + 30, START + 10, START + 20)):
        await hold_one(store, number, due_at=due_at)
    assert [copy.due_at for copy in await store.claim(10, LEASE)] == [START + 10, START + 20, START + 30]


async def test_two_claimers_never_get_one_copy(another):
    stores = [await another(META), await another(META)]
    for number in range(30):
        await hold_one(stores[0], number, lane(number % 3))
    claims = await asyncio.gather(*(stores[number % 2].claim(4, LEASE) for number in range(40)))
    found = [copy.message for claim in claims for copy in claim]
    assert len(found) == len(set(found)) == 30
    assert max(len(claim) for claim in claims) <= 4


async def test_a_lease_that_ran_out_makes_the_copy_due_under_a_new_number(store, clock):
    await hold_one(store)
    (first,) = await store.claim(10, LEASE)
    clock.pass_(LEASE - 1)
    assert await store.claim(10, LEASE) == []
    clock.pass_(1)
    (second,) = await store.claim(10, LEASE)
    assert (first.claim, second.claim) == (1, 2)


async def test_what_an_old_claim_says_is_not_heard(store, clock):
    await hold_one(store)
    (stale,) = await store.claim(10, LEASE)
    clock.pass_(LEASE)
    (fresh,) = await store.claim(10, LEASE)
    assert await done(store, stale) == 0
    assert await due_again(store, stale, LATER, why=Why.LIMIT) == 0
    assert await every_copy(store) == [fresh]
    assert await done(store, fresh) == 1
    assert await every_copy(store) == []


async def test_what_is_said_of_a_copy_that_is_gone_is_not_heard(store):
    await hold_one(store)
    (copy,) = await store.claim(10, LEASE)
    assert await done(store, copy) == 1
    assert await done(store, copy) == 0
    assert await due_again(store, copy, LATER) == 0
    assert await every_copy(store) == []


async def test_what_is_said_twice_of_a_copy_does_not_undo_what_a_person_did_in_between(store):
    """The courier's update was heard and the answer to it got lost; it says it again when the store is back."""
    await hold_one(store)
    (claimed,) = await store.claim(10, LEASE)
    assert await due_again(store, claimed, LATER, why=Why.RULE) == 1
    (waiting,) = await every_copy(store)
    assert waiting.claim > claimed.claim
    released = replace(waiting, due_at=START, sealed=b"released")
    assert await store.update_held([HeldUpdate(waiting, released)]) == 1
    assert await due_again(store, claimed, LATER, why=Why.RULE) == 0
    assert await done(store, claimed) == 0
    assert await store.update_held([HeldUpdate(waiting, replace(waiting, due_at=NEVER))]) == 0  # nor another person's
    (left,) = await every_copy(store)
    assert left == replace(released, claim=left.claim)


async def test_a_copy_that_is_due_again_has_no_lease(store, clock):
    await hold_one(store)
    (copy,) = await store.claim(10, LEASE)
    assert await due_again(store, copy, START + 5, sealed=b"what was said", why=Why.LIMIT) == 1
    assert await store.claim(10, LEASE) == []
    clock.pass_(5)
    (again,) = await store.claim(10, LEASE)
    assert (again.claim, again.attempts, again.sealed, again.why) == (3, 1, b"what was said", Why.LIMIT)
    assert again.held_at == START


async def test_updates_are_heard_one_by_one(store):
    for number in range(3):
        await hold_one(store, number)
    claimed = await store.claim(10, LEASE)
    await done(store, claimed[1])
    assert await done(store, *claimed) == 2
    assert await every_copy(store) == []


async def test_what_expired_is_due_whatever_its_time_says(store, clock):
    await hold_one(store, 1, due_at=NEVER, why=Why.RULE, expires_at=START + DAY)
    await hold_one(store, 2, due_at=START + 2 * DAY, expires_at=START + DAY)
    clock.pass_(DAY - 1)
    assert await store.claim(10, LEASE) == []
    clock.pass_(1)
    assert len(await store.claim(10, LEASE)) == 2


async def test_an_expired_copy_is_leased_like_others(store, clock):
    await hold_one(store, expires_at=START + DAY)
    clock.pass_(DAY)
    assert len(await store.claim(10, LEASE)) == 1
    assert await store.claim(10, LEASE) == []
    clock.pass_(LEASE)
    assert len(await store.claim(10, LEASE)) == 1


async def test_a_copy_may_change_its_lane_and_its_owner(store):
    await hold_one(store, 1)
    await hold_one(store, 2, lane("other"))
    (first, _) = sorted(await store.claim(10, LEASE), key=lambda copy: copy.message)
    assert await store.update_held([HeldUpdate(first, replace(first, lane=lane("other"), owner=OTHER, due_at=START))]) == 1
    (moved,) = await store.claim(10, LEASE)
    assert (moved.lane, moved.owner, moved.message) == (lane("other"), OTHER, first.message)


# Turns


async def test_a_lower_number_is_served_first(store):
    for number in range(6):
        await hold_one(store, number, lane("many", 2))
    await hold_one(store, 10, lane("person", 1))
    await hold_one(store, 11, lane("service", 0))
    assert [copy.lane.priority for copy in await store.claim(3, LEASE)] == [0, 1, 2]


async def test_a_service_mail_leaves_at_the_next_turn_whatever_waits(store):
    for number in range(40):
        await hold_one(store, number, lane(number % 4))
    await store.claim(5, LEASE)
    await hold_one(store, 100, lane("service", 0))
    (copy,) = await store.claim(1, LEASE)
    assert copy.lane == lane("service", 0)


async def octets_of_turns(store, sizes, turns):
    """Claim one copy at a time; the octets that each lane got."""
    got = dict.fromkeys(sizes, 0)
    for _ in range(turns):
        (copy,) = await store.claim(1, LEASE)
        got[copy.lane] += sizes[copy.lane]
    return got


async def many_copies(store, number, in_lane, octets, count):
    message = held_message(number, octets)
    await hold(store, message, [held_copy(message, (number, recipient), in_lane) for recipient in range(count)])


async def test_a_lane_of_large_messages_and_a_lane_of_small_ones_get_the_same_octets(store):
    large, small = lane("large"), lane("small")
    await many_copies(store, 1, large, 1 << 20, 20)
    await many_copies(store, 2, small, 1 << 16, 100)
    got = await octets_of_turns(store, {large: 1 << 20, small: 1 << 16}, 68)
    assert abs(got[large] - got[small]) <= (1 << 20) + 2 * (1 << 18)  # a message, and what a round gives


async def test_a_small_message_does_not_wait_for_a_campaign(store):
    campaign, small = lane("campaign"), lane("small")
    await many_copies(store, 1, campaign, 25 << 20, 30)
    assert len(await store.claim(3, LEASE)) == 3
    await hold_one(store, 2, small)
    assert small in [copy.lane for copy in await store.claim(2, LEASE)]


async def test_a_lane_that_is_alone_does_not_wait_for_its_turn(store):
    await many_copies(store, 1, LANE, 4 << 20, 3)
    assert len(await store.claim(10, LEASE)) == 3


async def test_lanes_of_large_messages_take_turns(store):
    lanes = [lane(number) for number in range(4)]
    for number, one in enumerate(lanes):
        await many_copies(store, number, one, 1 << 20, 3)
    assert {copy.lane for copy in await store.claim(4, LEASE)} == set(lanes)


async def test_every_lane_has_its_turn(store):
    lanes = [lane(number) for number in range(50)]
    for number, one in enumerate(lanes):
        await many_copies(store, number, one, 200_000, 3)
    served = [copy.lane for _ in range(15) for copy in await store.claim(10, LEASE)]
    assert len(served) == 150
    assert set(served[:100]) == set(lanes)


async def test_all_who_claim_share_the_turns(another):
    stores = [await another(META), await another(META)]
    lanes = [lane(number) for number in range(4)]
    for number, one in enumerate(lanes):
        await many_copies(stores[0], number, one, 1 << 18, 2)
    served = [copy.lane for number in range(4) for copy in await stores[number % 2].claim(1, LEASE)]
    assert set(served) == set(lanes)


@pytest.mark.parametrize("names", [(1, 2), (2, 1)])
async def test_a_lane_that_is_filled_again_and_again_keeps_nobody_waiting(store, names):
    busy, patient = map(lane, names)
    await hold_one(store, 0, busy)
    await hold_one(store, 1, patient)
    served = []
    for number in range(2, 6):
        served += [copy.lane for copy in await store.claim(1, LEASE)]
        await hold_one(store, number, busy)
    assert patient in served[:2]


async def test_what_has_no_octets_is_served(store):
    await hold(store, replace(held_message(), body=b"", octets=0), [held_copy(held_message(), "ada")])
    assert await people(store) == [ADA]


# Lanes that rest


async def test_a_lane_that_rests_is_passed_over(store, clock):
    await hold_one(store, 1)
    await hold_one(store, 2)
    (copy,) = await store.claim(1, LEASE)
    await hold_one(store, 3, lane("other"))
    await store.update_held([HeldUpdate(copy, replace(copy, due_at=START + 60))], {LANE: START + 60})
    assert [copy.lane for copy in await store.claim(10, LEASE)] == [lane("other")]
    clock.pass_(60)
    assert [copy.lane for copy in await store.claim(10, LEASE)] == [LANE, LANE]


async def test_a_lane_that_is_woken_rests_no_longer(store):
    await hold_one(store, 1)
    await hold_one(store, 2)
    (copy,) = await store.claim(1, LEASE)
    await store.update_held([HeldUpdate(copy, replace(copy, due_at=LATER))], {LANE: LATER})
    assert await store.claim(10, LEASE) == []
    await store.wake_lane(LANE)
    assert len(await store.claim(10, LEASE)) == 1


async def test_a_new_copy_in_a_lane_that_rests_waits_with_the_others(store, clock):
    await hold_one(store, 1)
    await store.update_held([], {LANE: START + 60})
    await hold_one(store, 2)
    assert await store.claim(10, LEASE) == []
    clock.pass_(60)
    assert len(await store.claim(10, LEASE)) == 2


async def test_to_wake_a_lane_of_which_nothing_is_known_is_no_fault(store):
    await store.wake_lane(lane("nobody's"))
    await store.update_held([], {lane("nobody's"): LATER})
    assert await store.claim(10, LEASE) == []


# Reports


def to_report(message, who, **facts):
    return held_copy(message, who, lane(f"report {message.id}", 0), why=Why.REPORT, **facts)


async def test_copies_of_one_report_come_together(store):
    for number in range(3):
        message = held_message(number, 4 << 20 if number == 1 else 1000)
        await hold(store, message, [to_report(message, who) for who in ("ada", "bob", "eve")])
    claims = [await store.claim(4, LEASE) for _ in range(4)]
    assert [len(claim) for claim in claims] == [3, 3, 3, 0]
    assert all(len({copy.message for copy in claim}) == 1 for claim in claims[:3])


async def test_a_report_of_more_than_were_asked_for_comes_whole(store):
    await hold(store, MESSAGE, [to_report(MESSAGE, number) for number in range(20)])
    assert len(await store.claim(5, LEASE)) == 20


async def test_nobody_overtakes_a_report_that_does_not_fit(store):
    first, second, third = held_message(1), held_message(2), held_message(3)
    await hold(store, first, [held_copy(first, "ada", lane("service", 0))])
    await hold(store, second, [replace(to_report(second, who), lane=lane("report", 1)) for who in ("ada", "bob", "eve")])
    await hold(store, third, [held_copy(third, "eve", lane("campaign", 2))])
    assert [[copy.message for copy in await store.claim(3, LEASE)] for _ in range(3)] == [
        [first.id], [second.id] * 3, [third.id],
    ]  # fmt: skip


async def test_of_a_report_only_what_is_due_comes(store, clock):
    await hold(store, MESSAGE, [to_report(MESSAGE, "ada"), to_report(MESSAGE, "bob", due_at=LATER)])
    assert await people(store) == [ADA]


# What waits


async def test_a_new_copy_learns_that_its_lane_waits(store):
    nobody = await opened(store, held_message(9), [LANE.key, lane("other").key])
    assert nobody.waiting == frozenset()
    await hold_one(store, due_at=LATER)
    entry = await opened(store, held_message(8), [LANE.key, lane("other").key])
    assert entry.waiting == {LANE.key}
    again = await opened(store, held_message(7), [LANE.key], key=key_of(held_message(8)))
    assert (again.first.submission_id, again.waiting) == (held_message(8).id, {LANE.key})


async def test_a_lane_waits_while_its_copy_is_leaving_and_no_longer_when_it_has_left(store):
    await hold_one(store)
    (copy,) = await store.claim(10, LEASE)
    assert (await opened(store, held_message(8), [LANE.key])).waiting == {LANE.key}
    await done(store, copy)
    assert (await opened(store, held_message(9), [LANE.key])).waiting == frozenset()


async def test_what_a_person_must_free_and_what_must_be_reported_keep_no_lane_waiting(store):
    await hold_one(store, 1, lane(1), due_at=NEVER, why=Why.RULE)
    await hold_one(store, 2, lane(2), why=Why.REPORT)
    held = await hold_one(store, 3, lane(3))
    lanes = [lane(number).key for number in (1, 2, 3)]
    assert (await opened(store, held_message(8), lanes)).waiting == {lane(3).key}
    await store.update_held([HeldUpdate(held, replace(held, due_at=NEVER, why=Why.AUTHENTICATION))])
    assert (await opened(store, held_message(9), lanes)).waiting == frozenset()


async def test_a_copy_that_is_freed_makes_its_lane_wait(store):
    await hold_one(store, due_at=NEVER, why=Why.AUTHENTICATION)
    await store.free_owner(OWNER, Why.AUTHENTICATION)
    assert (await opened(store, held_message(9), [LANE.key])).waiting == {LANE.key}


# For people


async def test_copies_are_listed_in_pages(store):
    messages = [held_message(number) for number in range(3)]
    for message in messages:
        await hold(store, message, [held_copy(message, who) for who in ("ada", "bob")])
    everything = await every_copy(store)
    assert [(copy.message, copy.recipient) for copy in everything] == [
        (message.id, who) for message in messages for who in sorted((ADA, BOB))
    ]
    pages, after = [], None
    while page := await store.held_copies(after, 4):
        pages.append(page)
        after = page[-1].message, page[-1].recipient
    assert [len(page) for page in pages] == [4, 2]
    assert [copy for page in pages for copy in page] == everything
    assert await every_copy(store, messages[1].id) == everything[2:4]
    assert await store.held_copies((messages[1].id, min(ADA, BOB)), 10, messages[1].id) == everything[3:4]


async def test_who_looks_at_copies_sees_which_are_leaving(store, clock):
    await hold_one(store)
    assert [copy.leased_until for copy in await every_copy(store)] == [0.0]
    (copy,) = await store.claim(10, LEASE)
    assert [copy.leased_until for copy in await every_copy(store)] == [START + LEASE]
    await due_again(store, copy, LATER)
    assert [copy.leased_until for copy in await every_copy(store)] == [0.0]


async def test_a_person_may_free_or_drop_a_copy_that_waits(store):
    held = await hold_one(store, 1, due_at=NEVER, why=Why.RULE)
    dropped = await hold_one(store, 2, due_at=NEVER, why=Why.RULE)
    assert await store.update_held([HeldUpdate(held, replace(held, due_at=START)), HeldUpdate(dropped, None)]) == 2
    assert [copy.message for copy in await store.claim(10, LEASE)] == [held.message]


async def test_an_owners_login_frees_the_copies_that_wait_for_one(store, clock):
    await hold_one(store, 1, due_at=NEVER, why=Why.AUTHENTICATION)
    await hold_one(store, 2, lane("other"), due_at=NEVER, why=Why.AUTHENTICATION)
    await hold_one(store, 3, due_at=NEVER, why=Why.RULE)
    await hold_one(store, 4, due_at=NEVER, why=Why.AUTHENTICATION, owner=OTHER)
    clock.pass_(5)
    assert await store.free_owner(OWNER, Why.AUTHENTICATION) == 2
    claimed = await store.claim(10, LEASE)
    assert sorted(copy.message for copy in claimed) == [held_message(1).id, held_message(2).id]
    assert {copy.due_at for copy in claimed} == {START + 5}
    assert await store.free_owner(digest("nobody"), Why.AUTHENTICATION) == 0


async def test_the_lane_of_what_is_freed_rests_no_longer(store, clock):
    await hold_one(store, 1, due_at=START + 3600, why=Why.UPSTREAM)
    await hold_one(store, 2, why=Why.LANE)
    await hold_one(store, 3, lane("other"), why=Why.LANE, owner=OTHER)
    await store.update_held([], {LANE: START + 3600, lane("other"): START + 3600})
    clock.pass_(5)
    assert await store.claim(10, LEASE) == []
    assert await store.free_owner(OWNER, Why.UPSTREAM) == 1
    assert sorted(copy.message for copy in await store.claim(10, LEASE)) == [held_message(1).id, held_message(2).id]


async def test_what_is_freed_while_it_is_leaving_stays_leased(store, clock):
    await hold_one(store, why=Why.AUTHENTICATION)
    (copy,) = await store.claim(10, LEASE)
    await store.free_owner(OWNER, Why.AUTHENTICATION)
    assert await store.claim(10, LEASE) == []
    assert await done(store, copy) == 1


async def test_totals_say_what_is_held_and_since_when(store, clock):
    nothing = await store.held_totals()
    assert (dict(nothing.copies), nothing.octets, nothing.oldest_at) == ({}, 0, None)
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob", why=Why.LIMIT)])
    clock.pass_(60)
    await hold_one(store, 2, octets=500)
    totals = await store.held_totals()
    assert (dict(totals.copies), totals.octets, totals.oldest_at) == ({Why.UPSTREAM: 2, Why.LIMIT: 1}, 1500, START)
    ada, bob = sorted(await every_copy(store, MESSAGE.id), key=lambda copy: copy.why is Why.LIMIT)
    await store.update_held([HeldUpdate(ada, None), HeldUpdate(bob, replace(bob, why=Why.REPORT, lane=lane("report", 0)))])
    totals = await store.held_totals()
    assert (dict(totals.copies), totals.octets, totals.oldest_at) == ({Why.UPSTREAM: 1, Why.REPORT: 1}, 1500, START)
    await done(store, *await every_copy(store, MESSAGE.id))
    totals = await store.held_totals()
    assert (dict(totals.copies), totals.octets, totals.oldest_at) == ({Why.UPSTREAM: 1}, 500, START + 60)
    await done(store, *await every_copy(store))
    assert await store.held_totals() == nothing


async def test_with_its_last_copy_a_message_is_forgotten(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob")])
    ada, bob = await store.claim(10, LEASE)
    await done(store, ada)
    assert await store.held_message(MESSAGE.id) == MESSAGE
    await done(store, bob)
    assert await store.held_message(MESSAGE.id) is None


# Logins


async def test_a_login_is_kept_with_the_copies_and_forgotten_with_the_last(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada"), held_copy(MESSAGE, "bob")], credentials=(OWNER, b"login", LATER))
    assert await store.credentials_of(OWNER) == b"login"
    ada, bob = await store.claim(10, LEASE)
    await done(store, ada)
    assert await store.credentials_of(OWNER) == b"login"
    await done(store, bob)
    assert await store.credentials_of(OWNER) is None
    await hold_one(store, 2)
    assert await store.credentials_of(OWNER) is None


async def test_a_login_is_of_no_use_when_its_time_is_over(store, clock):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"login", START + 60))
    clock.pass_(59)
    assert await store.credentials_of(OWNER) == b"login"
    clock.pass_(1)
    assert await store.credentials_of(OWNER) is None


async def test_a_later_login_takes_the_place_of_the_first(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"first", LATER))
    assert await store.keep_credentials(OWNER, b"second", LATER)
    assert await store.credentials_of(OWNER) == b"second"
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"first", LATER))  # a repetition
    assert await store.credentials_of(OWNER) == b"second"
    await hold(store, held_message(2), [held_copy(held_message(2), "ada")], credentials=(OWNER, b"third", LATER))
    assert await store.credentials_of(OWNER) == b"third"


async def test_a_login_that_was_proved_before_the_one_that_is_kept_does_not_take_its_place(store):
    """A session that has been open since then still has the old password."""
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"newer", LATER))
    second = held_message(2)
    await hold(store, second, [held_copy(second, "ada")], credentials=(OWNER, b"older", LATER - 1))
    assert await store.keep_credentials(OWNER, b"older", LATER - 1)  # there are copies, and they have a login
    assert await store.credentials_of(OWNER) == b"newer"


async def test_a_login_whose_time_is_over_keeps_nobodys_place(store, clock):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"first", START + 60))
    clock.pass_(60)
    assert await store.keep_credentials(OWNER, b"second", START + 90)
    assert await store.credentials_of(OWNER) == b"second"


async def test_a_login_of_whom_nothing_is_held_is_not_kept(store):
    await hold_one(store)
    assert not await store.keep_credentials(OTHER, b"login", LATER)
    assert await store.credentials_of(OTHER) is None


async def test_a_login_that_is_refused_is_forgotten_at_once_and_another_may_follow(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"login", LATER))
    await store.drop_credentials(OWNER, b"login")
    assert await store.credentials_of(OWNER) is None
    assert await store.keep_credentials(OWNER, b"new", LATER)
    await store.drop_credentials(OWNER, b"login")  # what was said of the old one came late
    assert await store.credentials_of(OWNER) == b"new"


async def test_with_the_last_copy_that_changed_its_owner_the_login_is_forgotten(store):
    await hold(store, MESSAGE, [held_copy(MESSAGE, "ada")], credentials=(OWNER, b"login", LATER))
    (copy,) = await store.claim(10, LEASE)
    await store.update_held([HeldUpdate(copy, replace(copy, owner=OTHER, due_at=LATER))])
    assert await store.credentials_of(OWNER) is None


# Whatever happens


@pytest.mark.parametrize("seed", range(4))
async def test_after_anything_every_copy_that_is_left_comes_once_and_the_totals_are_true(store, clock, seed):
    chance = random.Random(seed)
    leased = []
    for number in range(120):
        match chance.randrange(8):
            case 0 | 1 | 2:
                message = held_message(number, chance.choice((10, 5_000, 400_000)))
                in_lane = lane(chance.randrange(4), chance.randrange(3))
                due_at = clock.now + chance.choice((0, 0, 30, NEVER))
                copies = [held_copy(message, who, in_lane, due_at=due_at) for who in range(chance.randrange(1, 4))]
                await hold(store, message, copies)
            case 3 | 4:
                leased += await store.claim(chance.randrange(1, 6), LEASE)
            case 5 if leased:
                await done(store, leased.pop(chance.randrange(len(leased))))
            case 6 if leased:
                copy = leased.pop(chance.randrange(len(leased)))
                other = lane(chance.randrange(4), chance.randrange(3))
                after = replace(copy, lane=other, why=chance.choice(list(Why)), due_at=clock.now + 20)
                await store.update_held([HeldUpdate(copy, after)], {other: clock.now + 40} if chance.randrange(2) else None)
            case _:
                clock.pass_(chance.choice((1, 50, LEASE)))
    left = await every_copy(store)
    totals = await store.held_totals()
    assert dict(totals.copies) == Counter(copy.why for copy in left)
    bodies = [await store.held_message(message) for message in {copy.message for copy in left}]
    assert totals.octets == sum(len(message.body) for message in bodies)
    clock.pass_(5 * DAY)  # whatever is due at no time expires
    claimed = []
    while some := await store.claim(7, LEASE):
        claimed += some
    assert sorted(place(copy) for copy in claimed) == [place(copy) for copy in left]
    assert await done(store, *claimed) == len(left)
    assert (await store.held_totals()).octets == 0


def place(copy):
    return copy.message, copy.recipient
