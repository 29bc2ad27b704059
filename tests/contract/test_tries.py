"""Several tries of one submission at a time: a client that came again, or one that hands one message in by parts."""

import sqlite3
from contextlib import closing

import pytest

from relay.config import Delivery, Smtp
from relay.errors import StoreUnavailable
from relay.stores.ledger import ANSWERED_SECONDS, Cleared, RowState, Settlement
from relay.stores.sqlite import SQLiteStore
from relay.upstream.transaction import LEAST_RATE
from tests.support.held import REPLY, TTL, held_message
from tests.support.stores import ADA, BOB, EVE, META, delivered, new_sqlite
from tests.support.tries import KEY, Try, a_try, held_by, states


@pytest.mark.parametrize("number", [20, 450])
async def test_a_message_handed_in_by_parts_is_held_part_by_part(store, number):
    one = await a_try(store, 1, *(f"one {n}" for n in range(number)))
    two = await a_try(store, 2, *(f"two {n}" for n in range(number)))
    await two.hold()
    await two.close()
    await one.hold()
    assert await held_by(store) == {who: [part.id] for part in (one, two) for who in part.rows}


async def test_a_part_is_held_though_another_was_refused_and_left_nothing_behind(store):
    one, two = await a_try(store, 1, "ada"), await a_try(store, 2, "bob")
    await two.close()
    await one.hold()
    assert await held_by(store) == {ADA: [one.id]}


@pytest.mark.parametrize("others", [(), ("bob",)])
async def test_what_the_resend_was_answered_for_is_not_held_by_the_try_that_was_given_up(store, others):
    given_up, part = await a_try(store, 1, "ada", "eve"), await a_try(store, 2, *others)
    await part.hold()  # whose client has not gone on: the submission stays open
    again = await a_try(store, 3, "ada")
    await again.hold()
    await again.close()
    await given_up.hold()
    assert await held_by(store) == {ADA: [again.id], EVE: [given_up.id]} | ({BOB: [part.id]} if others else {})


async def test_nor_is_what_was_delivered(store):
    given_up, again = await a_try(store, 1, "ada"), await a_try(store, 2, "ada")
    await again.clear()
    await again.finish(RowState.DELIVERED)
    await again.close()
    await given_up.hold()
    assert await held_by(store) == {}


async def test_who_was_refused_does_not_get_it_afterwards(store):
    given_up, again = await a_try(store, 1, "ada", "eve"), await a_try(store, 2, "ada")
    await again.clear()
    await again.finish(RowState.REFUSED)
    await again.close()
    with pytest.raises(StoreUnavailable):
        await given_up.hold()
    assert await held_by(store) == {}


@pytest.mark.parametrize("state", [RowState.DELIVERED, RowState.REFUSED, RowState.HELD])
async def test_what_the_resend_was_answered_for_is_not_sent_by_the_try_that_was_given_up(store, state):
    """It had waited for a connection all the while."""
    given_up, again = await a_try(store, 1, "ada", "bob"), await a_try(store, 2, "ada")
    if state is RowState.HELD:
        await again.hold()
    else:
        await again.clear()
        await again.finish(state)
    await again.close()
    ((answered, free),) = [await given_up.clear()]
    assert (answered.row.state, answered.row.answered, free) == (state, True, Cleared())
    assert answered.row.reply == ("" if state is RowState.DELIVERED else REPLY)
    assert await given_up.found() == {ADA: (state, True), BOB: (RowState.LEAVING, False)}
    await given_up.close()
    assert await given_up.found() == {ADA: (state, True)}  # nor by its own turn later


async def test_who_waits_for_another_try_finds_how_it_ended_after_that_was_answered(store):
    slow, again = await a_try(store, 1, "ada", "bob"), await a_try(store, 2, "ada")
    await again.clear()
    assert await slow.found() == {ADA: (RowState.LEAVING, False)}
    await again.open()  # whose client came once more
    await again.finish(RowState.DELIVERED)
    await again.close()
    assert {row.recipient: row.state for row in await store.rows(KEY)}[ADA] is RowState.DELIVERED


async def test_who_comes_later_sees_nothing_of_what_was_answered(store):
    one, two = await a_try(store, 1, "eve"), await a_try(store, 2, "ada")
    await two.hold()
    await two.close()
    assert await states(store) == {}
    assert (await one.open()).rows == ()
    three = await a_try(store, 3, "ada")
    assert await three.clear() == [Cleared()]


async def test_a_try_that_was_given_up_and_a_new_message_send_one_between_them(store):
    """The resend was answered and went on; now the same bytes come as a new message, and the first try is still there."""
    given_up, again = await a_try(store, 1, "ada"), await a_try(store, 2, "ada")
    await again.clear()
    await again.finish(RowState.DELIVERED)
    await again.close()
    new = await a_try(store, 3, "ada")
    assert await given_up.clear() == [Cleared()]
    assert await new.found() == {ADA: (RowState.LEAVING, False)}


async def test_the_same_bytes_are_a_new_message_for_whom_they_name(store):
    await a_try(store, 1, "ada")
    for number in (2, 3):
        again = Try(store, number, "ada")
        entry = await again.open()
        assert entry.rows == ()
        assert entry.first.submission_id == (held_message(1).id if number == 2 else again.id)
        await again.hold()
        await again.close()
    assert await held_by(store) == {ADA: [held_message(2).id, held_message(3).id]}


async def test_after_a_while_what_was_answered_stands_in_nobodys_way(store, clock):
    slow, part, again = await a_try(store, 1, "ada"), await a_try(store, 2, "bob"), await a_try(store, 3, "ada")
    await part.hold()
    await again.hold()
    await again.close()
    clock.pass_(ANSWERED_SECONDS - 1)
    assert await slow.found() == {ADA: (RowState.HELD, True)}
    clock.pass_(1)
    await slow.hold()
    assert (await held_by(store))[ADA] == [slow.id, again.id]
    await slow.close()
    assert await states(store) == {BOB: RowState.HELD}


def test_no_try_lasts_longer():
    patience, past_dot, octets = Delivery().patience, Delivery().past_dot, Smtp().max_message_size
    assert patience + octets / LEAST_RATE + 2 * past_dot < ANSWERED_SECONDS


async def test_a_submission_that_was_answered_is_forgotten_with_that(store, clock):
    slow, again = await a_try(store, 1, "ada"), await a_try(store, 2, "ada")
    await again.hold()
    await again.close()
    clock.pass_(ANSWERED_SECONDS)
    with pytest.raises(StoreUnavailable):
        await slow.hold()


@pytest.mark.parametrize("by", ["hold", "clear"])
async def test_what_a_slow_part_writes_is_remembered_as_long_as_any(store, clock, by):
    one, two = await a_try(store, 1, "ada"), await a_try(store, 2, "bob")
    await two.hold()
    await two.close()
    if by == "hold":
        await one.hold()
    else:
        await one.clear()
        await one.finish(RowState.DELIVERED)
    clock.pass_(TTL - 1)
    assert await states(store) == {ADA: RowState.HELD if by == "hold" else RowState.DELIVERED}
    clock.pass_(1)
    assert await states(store) == {}


async def test_what_a_later_try_finds_held_is_forgotten_with_that_one(store):
    one, two = await a_try(store, 1, "ada"), await a_try(store, 2, "ada")
    await one.hold()
    await two.hold()
    assert await held_by(store) == {ADA: [one.id]}
    await two.close()
    assert await states(store) == {}


async def test_what_an_earlier_try_finds_held_stays_the_later_ones(store):
    one, two = await a_try(store, 1, "ada"), await a_try(store, 2, "ada")
    await two.hold()
    await one.hold()
    await two.close()
    assert await states(store) == {}


# What a try may forget


@pytest.mark.parametrize("how", ["left so", "leaving", "lease over"])
async def test_whom_another_try_may_have_reached_no_try_forgets(store, clock, how):
    """Its recipient is refused by policy meanwhile, so its client is answered; nobody knows yet what came of the first try."""
    one, two = await a_try(store, 1, "ada", "bob"), await a_try(store, 2, "bob")
    await one.clear()
    if how == "left so":
        await one.finish(RowState.INDETERMINATE)
    elif how == "lease over":
        clock.pass_(90)
    await two.open()
    await two.close()
    state = RowState.LEAVING if how == "leaving" else RowState.INDETERMINATE
    assert await states(store) == {ADA: state, BOB: state}
    ((row,),) = [[answer.row for answer in await two.clear()]]
    assert (row.state, row.submission_id) == (state, one.id)


async def test_whom_another_try_is_leaving_with_is_that_ones_to_forget(store):
    one, two = await a_try(store, 1, "ada"), await a_try(store, 2)
    await one.clear()
    again = await a_try(store, 3, "ada")
    await again.close()
    await one.finish(RowState.DELIVERED)
    await two.close()
    assert await states(store) == {ADA: RowState.DELIVERED}
    await one.close()
    assert await states(store) == {}


async def test_what_a_try_left_indeterminate_may_still_be_settled_after_it(store):
    one = await a_try(store, 1, "ada", "bob")
    await one.clear()
    await store.finish(KEY, [Settlement(ADA, RowState.INDETERMINATE, REPLY, "", one.id), delivered(BOB, "", one.id)])
    await one.close()
    assert await states(store) == {ADA: RowState.INDETERMINATE}
    await store.finish(KEY, [delivered(ADA, "", one.id)])
    assert await states(store) == {ADA: RowState.DELIVERED}


@pytest.mark.parametrize("state", [RowState.DELIVERED, RowState.REFUSED, RowState.HELD])
async def test_a_try_keeps_of_whom_it_did_not_find_out_how_it_ended(store, state):
    one = await a_try(store, 1, "ada", "bob")
    two = await a_try(store, 2, "ada", "bob")
    if state is RowState.HELD:
        await one.hold()
    else:
        await one.clear()
        await one.finish(state)  # after that one asked
    await two.open()
    await two.close(keep=[ADA])
    assert await states(store) == {ADA: state}
    three = await a_try(store, 3, "ada")
    assert await three.found() == {ADA: (state, False)}
    await three.close()
    assert await states(store) == {}


async def test_what_is_kept_alone_keeps_a_submission_open(store):
    one = await a_try(store, 1, "ada")
    await one.clear()
    await one.finish(RowState.DELIVERED)
    await one.close(keep=[ADA])
    assert (await Try(store, 2, "ada").open()).first.submission_id == one.id


# What comes late


@pytest.mark.parametrize("late", [None, RowState.INDETERMINATE, RowState.REFUSED])
async def test_what_is_held_stays_so_whatever_its_try_hears_late(store, late):
    one = await a_try(store, 1, "ada")
    await one.clear()
    await one.finish(RowState.INDETERMINATE)
    await one.hold()
    await one.finish(late)
    assert await states(store) == {ADA: RowState.HELD}
    again = await a_try(store, 2, "ada")
    await again.hold()
    assert await held_by(store) == {ADA: [one.id]}


async def test_what_was_held_and_arrived_is_delivered(store):
    one = await a_try(store, 1, "ada")
    await one.clear()
    await one.hold()
    await one.finish(RowState.DELIVERED)
    assert await states(store) == {ADA: RowState.DELIVERED}


@pytest.mark.parametrize("late", [RowState.DELIVERED, RowState.REFUSED])
async def test_what_comes_after_the_client_was_answered_brings_no_row_back(store, late):
    one, part = await a_try(store, 1, "ada"), await a_try(store, 2, "eve")
    await part.hold()
    await one.clear()
    await one.finish(RowState.INDETERMINATE)
    await one.hold()
    await one.close()
    await store.finish(
        KEY, [delivered(ADA, "", one.id) if late is RowState.DELIVERED else Settlement(ADA, late, REPLY, "", one.id)]
    )
    assert await states(store) == {EVE: RowState.HELD}


async def test_a_file_of_an_earlier_version_learns_of_tries(tmp_path, clock):
    older = await new_sqlite(tmp_path, clock)
    await a_try(older, 1, "ada")
    await older.aclose()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as db:
        db.execute("ALTER TABLE submissions DROP COLUMN lasts_until")
    for _ in range(2):
        store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
        two = await a_try(store, 2, "bob")
        await two.close()
        await Try(store, 1, "ada").hold()
        assert await held_by(store) == {ADA: [held_message(1).id]}
        await store.aclose()
