"""A try that began before another one, and comes to the ledger after that was answered and closed: it finds how it ended."""

import sqlite3
from contextlib import closing

import pytest

from relay.stores.ledger import Cleared, Row, RowState
from relay.stores.sqlite import SQLiteStore
from tests.support.held import REPLY
from tests.support.stores import ADA, BOB, EVE, META, new_sqlite
from tests.support.tries import Try, a_try, held_by, states

REMEMBER = 900.0
SETTLED = [RowState.DELIVERED, RowState.REFUSED, RowState.HELD]


async def settled(one: Try, state: RowState) -> None:
    if state is RowState.HELD:
        await one.hold()
        return
    await one.clear()
    await one.finish(state)


async def answered(store, number: int, *names: str, state: RowState = RowState.DELIVERED) -> Try:
    """A try whose client heard how it ended, and went on."""
    one = await a_try(store, number, *names)
    await settled(one, state)
    await one.close(remember=REMEMBER)
    return one


def told(who, state: RowState = RowState.DELIVERED) -> Row:
    return Row(who, state, "" if state is RowState.DELIVERED else REPLY, answered=True)


@pytest.mark.parametrize("state", SETTLED)
async def test_a_late_try_finds_how_it_ended(store, clock, state):
    late = Try(store, 1, "ada")
    clock.pass_(60)  # its worker has other work; the client comes again
    await answered(store, 2, "ada", state=state)
    clock.pass_(30)
    entry = await late.open(90)
    assert entry.rows == (told(ADA, state),)
    assert entry.first.submission_id == late.id


@pytest.mark.parametrize("age", [0.0, 10.0, 29.0, 30.0])
async def test_what_begins_after_that_try_is_a_new_message(store, clock, age):
    await answered(store, 1, "ada")
    clock.pass_(30)
    new = Try(store, 2, "ada")
    assert (await new.open(age)).rows == ()
    assert await new.clear() == [Cleared()]


async def test_when_that_try_asked_counts_and_not_when_an_earlier_one_delivered(store, clock):
    """The first try reached the upstream, and its connection broke; the second is slow; the third is told what the first did."""
    one = await a_try(store, 1, "ada")
    await settled(one, RowState.DELIVERED)
    clock.pass_(10)
    slow = Try(store, 2, "ada")
    clock.pass_(20)
    three = await a_try(store, 3, "ada")
    await three.close(remember=REMEMBER)
    clock.pass_(5)
    assert (await slow.open(25)).rows == (told(ADA),)


async def test_so_does_what_one_was_told_who_asked_before_it_was_settled_and_again_afterwards(store, clock):
    one = await a_try(store, 1, "ada")
    await one.clear()
    waiting = await a_try(store, 2, "ada")
    clock.pass_(10)
    await one.finish(RowState.DELIVERED)
    clock.pass_(10)
    slow = Try(store, 3, "ada")
    clock.pass_(10)
    (taken,) = await waiting.clear()
    assert taken.row.state is RowState.DELIVERED
    await waiting.close(remember=REMEMBER)
    clock.pass_(5)
    assert (await slow.open(15)).rows == (told(ADA),)


async def test_so_does_what_one_that_waited_was_told(store, clock):
    one = await a_try(store, 1, "ada")
    await one.clear()
    slow = Try(store, 2, "ada")
    clock.pass_(20)
    three = await a_try(store, 3, "ada")
    clock.pass_(10)
    await one.finish(RowState.DELIVERED)
    await three.close(remember=REMEMBER)
    assert (await slow.open(30)).rows == (told(ADA),)


async def test_whom_nobody_was_answered_for_a_late_try_sends_to(store, clock):
    late = Try(store, 1, "ada", "bob")
    clock.pass_(60)
    await answered(store, 2, "ada")
    assert (await late.open(60)).rows == (told(ADA),)
    bob = Try(store, 1, "bob")
    assert await bob.clear() == [Cleared()]
    await bob.hold()
    assert await held_by(store) == {BOB: [late.id]}


async def test_parts_that_were_answered_apart_are_found_together(store, clock):
    late = Try(store, 1, "ada", "bob", "eve")
    clock.pass_(60)
    await answered(store, 2, "ada")
    await answered(store, 3, "bob", state=RowState.HELD)
    clock.pass_(1)
    rows = {row.recipient: row for row in (await late.open(61)).rows}
    assert rows == {ADA: told(ADA), BOB: told(BOB, RowState.HELD)}


async def test_a_new_message_under_way_is_not_the_late_ones(store, clock):
    late = Try(store, 1, "ada", "eve")
    clock.pass_(60)
    await answered(store, 2, "ada")
    clock.pass_(10)
    new = Try(store, 3, "ada")
    await new.open(5)
    assert await new.clear() == [Cleared()]
    assert (await late.open(70)).rows == (told(ADA),)
    await late.close()
    assert await states(store) == {ADA: RowState.LEAVING}
    await new.finish(RowState.DELIVERED)
    await new.close()
    assert await states(store) == {}


async def test_a_late_try_that_was_answered_for_leaves_nothing_and_forgets_nothing(store, clock):
    late = Try(store, 1, "ada")
    clock.pass_(60)
    await answered(store, 2, "ada")
    new = await a_try(store, 3, "ada")
    await late.open(60)
    await late.close()
    await new.hold()  # what it opened is open
    assert await held_by(store) == {ADA: [new.id]}
    await new.close()
    newer = Try(store, 4, "ada")
    assert (await newer.open()).first.submission_id == newer.id


async def test_the_last_answer_counts(store, clock):
    late = Try(store, 1, "ada")
    clock.pass_(10)
    await answered(store, 2, "ada")
    clock.pass_(50)
    again = Try(store, 3, "ada")
    await again.open(40)
    await settled(again, RowState.HELD)
    await again.close(remember=REMEMBER)
    assert (await late.open(60)).rows == (told(ADA, RowState.HELD),)


async def test_after_their_time_answers_are_forgotten(store, clock):
    late = Try(store, 1, "ada")
    clock.pass_(1)
    await answered(store, 2, "ada")
    clock.pass_(REMEMBER - 1)
    assert (await late.open(REMEMBER)).rows == (told(ADA),)
    clock.pass_(1)
    if isinstance(store, SQLiteStore):  # Redis forgets by its own clock
        assert (await late.open(REMEMBER + 1)).rows == ()
        assert store._reader.read(lambda db, now: db.execute("SELECT count(*) FROM answers").fetchone()) == (0,)
    else:
        (name,) = await store._link._client.execute_command("KEYS", "{relay}:a:*")
        assert REMEMBER * 1000 - 60_000 < await store._link._client.execute_command("PTTL", name) <= REMEMBER * 1000


async def test_what_is_not_to_be_remembered_is_not(store, clock):
    late = Try(store, 1, "ada")
    clock.pass_(60)
    one = await a_try(store, 2, "ada")
    await settled(one, RowState.DELIVERED)
    await one.close()
    assert (await late.open(60)).rows == ()


async def test_nor_is_what_its_own_try_was_still_leaving_with(store, clock):
    late = Try(store, 1, "ada")
    clock.pass_(60)
    one = await a_try(store, 2, "ada")
    await one.clear()
    await one.close(remember=REMEMBER)
    assert (await late.open(60)).rows == ()


async def test_a_thousand_are_found(store, clock):
    people = [str(number) for number in range(1000)]
    late = Try(store, 1, *people, "eve")
    clock.pass_(60)
    await answered(store, 2, *people)
    rows = (await late.open(60)).rows
    assert {row.recipient for row in rows} == set(late.rows) - {EVE}


async def test_a_file_of_an_earlier_version_learns_of_answers(tmp_path, clock):
    older = await new_sqlite(tmp_path, clock)
    await older.aclose()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as db:
        db.execute("DROP TABLE answers")
    for _ in range(2):
        store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
        late = Try(store, 1, "ada")
        clock.pass_(60)
        await answered(store, 2, "ada")
        assert (await late.open(60)).rows == (told(ADA),)
        await store.aclose()
