"""A hold of many copies in Redis takes more than one step: whoever dies between them has held all of it, or nothing."""

import asyncio
import multiprocessing
import random
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from relay.errors import StoreUnavailable
from relay.stores.held import HeldCopy, HoldFull, Holding, Why
from relay.stores.ledger import Closing, Opening, RowState, Settlement
from relay.stores.redis.store import RedisStore
from tests.support.fixtures import a_clock, a_redis_store, an_emptied_redis
from tests.support.held import LEASE, OWNER, REPLY, ROOM, done, held_copy, held_message, hold, key_of, lane, opened
from tests.support.stores import META, PATIENT_MS, START, delivered, die_before, first_try, new_redis, request

MESSAGE = held_message()
PEOPLE = range(450)  # five parts
COPIES = [held_copy(MESSAGE, who, lane(who % 7)) for who in PEOPLE]
ROWS = {copy.recipient: REPLY for copy in COPIES}
LOGIN = (OWNER, b"sealed login", START + 3600)


clock = a_clock(START)
server = an_emptied_redis()
store = a_redis_store()


async def ask(store: Any, *words: object) -> Any:
    return await store._link._client.execute_command(*words)


async def hold_and_die(server, clock, step: str, number: int, **facts) -> None:
    """Another node holds them, and is gone before its operation of that name for the so manieth time."""

    async def doing(dying: RedisStore) -> None:
        await opened(dying, MESSAGE)
        await dying.hold(key_of(MESSAGE), Holding(MESSAGE, COPIES, ROWS, max_octets=ROOM, **facts))

    await die_before(server.url, clock, step, doing, number)


async def everyone(store) -> list[HeldCopy]:
    """All who can be claimed, until there are no more."""
    claimed: list[HeldCopy] = []
    while (some := await store.claim(100, LEASE)) or await ask(store, "EXISTS", "{relay}:folded"):
        claimed += some
    return claimed


@pytest.mark.parametrize(("step", "number"), [("fold", 2), ("fold", 5), ("hold_folded", 1)])
async def test_before_the_step_that_counts_nothing_is_held(server, store, clock, step, number):
    await hold_and_die(server, clock, step, number, credentials=LOGIN)
    assert await everyone(store) == []
    assert await store.held_copies(None, 1000) == []
    assert await store.held_message(MESSAGE.id) is None
    assert await store.rows(key_of(MESSAGE)) == ()
    assert await store.credentials_of(OWNER) is None
    assert (await store.held_totals()).octets == 0
    (left,) = await ask(store, "KEYS", "{relay}:hs:*")
    assert 0 < await ask(store, "PTTL", left) <= 600_000  # Redis sweeps it up
    await hold(store, MESSAGE, COPIES)  # the resend, elsewhere
    assert len(await everyone(store)) == len(COPIES)


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_after_the_step_that_counts_all_of_it_is_held(server, store, clock, number):
    await hold_and_die(server, clock, "unfold", number, credentials=LOGIN)
    assert await store.held_message(MESSAGE.id) == MESSAGE
    assert await store.credentials_of(OWNER) == b"sealed login"
    claimed = await everyone(store)
    assert sorted(copy.recipient for copy in claimed) == sorted(ROWS)
    assert {(row.recipient, row.state) for row in await store.rows(key_of(MESSAGE))} == {(who, RowState.HELD) for who in ROWS}
    assert await ask(store, "KEYS", "{relay}:hs:*") == await ask(store, "KEYS", "{relay}:folded") == []
    assert await done(store, *claimed) == len(COPIES)
    assert await store.held_message(MESSAGE.id) is None
    assert await store.credentials_of(OWNER) is None
    assert await ask(store, "EXISTS", "{relay}:owners") == 0


async def test_what_leaves_before_the_rest_has_its_place_takes_neither_body_nor_login_with_it(server, store, clock):
    await hold_and_die(server, clock, "unfold", 2, credentials=LOGIN)
    first = await store.held_copies(("", b""), 1000)  # as it is: the first page of a look would bring the rest in
    assert len(first) == 100
    assert await done(store, *first) == 100
    assert await store.held_message(MESSAGE.id) == MESSAGE
    assert await store.credentials_of(OWNER) == b"sealed login"
    assert len(await everyone(store)) == len(COPIES) - 100


async def test_what_a_resend_takes_up_before_it_has_its_place_is_the_resends(server, store, clock):
    await hold_and_die(server, clock, "unfold", 1)
    key, again = key_of(MESSAGE), first_try(2).submission_id
    one, two = COPIES[3].recipient, COPIES[4].recipient
    await store.clear(key, again, [request(one), request(two)], 90.0, 3600.0)
    await store.finish(key, [delivered(one, submission_id=again)])
    claimed = await everyone(store)
    assert {copy.recipient for copy in claimed} == set(ROWS) - {one, two}
    rows = {row.recipient: row.state for row in await store.rows(key)}
    assert (rows[one], rows[two]) == (RowState.DELIVERED, RowState.LEAVING)
    assert await done(store, *claimed) == len(claimed)
    assert await store.held_message(MESSAGE.id) is None


async def test_of_what_another_try_was_answered_for_meanwhile_nothing_leaves_beside_it(server, store, clock):
    await hold_and_die(server, clock, "unfold", 1)
    await ask(store, "DEL", f"{{relay}}:l:{key_of(MESSAGE).decode('latin-1')}".encode("latin-1"))
    assert await everyone(store) == []
    assert await store.held_message(MESSAGE.id) is None
    assert (await store.held_totals()).octets == 0


async def test_whoever_holds_hears_that_another_try_took_a_part_of_it_up(store, monkeypatch):
    operate = store._link.operate

    async def overtaken(name, *arguments, **options):
        answer = await operate(name, *arguments, **options)
        if name == "hold_folded":
            await store.clear(key_of(MESSAGE), first_try(2).submission_id, [request(COPIES[3].recipient)], 90.0, 3600.0)
        return answer

    monkeypatch.setattr(store._link, "operate", overtaken)
    with pytest.raises(StoreUnavailable):
        await hold(store, MESSAGE, COPIES)
    assert len(await everyone(store)) == len(COPIES) - 1


async def test_what_another_try_is_sending_is_found_before_anything_is_made_known(store):
    await opened(store, MESSAGE)
    last = COPIES[-1].recipient
    await store.clear(key_of(MESSAGE), first_try(2).submission_id, [request(last)], 90.0, 3600.0)
    with pytest.raises(StoreUnavailable):
        await hold(store, MESSAGE, COPIES)
    assert await everyone(store) == []
    assert await ask(store, "KEYS", "{relay}:hs:*") == []


async def test_where_there_is_no_room_nothing_is_brought(store):
    with pytest.raises(HoldFull):
        await hold(store, MESSAGE, COPIES, max_octets=10)
    assert await ask(store, "KEYS", "{relay}:h*") == []


async def test_a_part_that_redis_let_go_of_is_missed(store, monkeypatch):
    operate = store._link.operate

    async def too_late(name, *arguments, **options):
        if name == "hold_folded":
            await ask(store, "DEL", *await ask(store, "KEYS", "{relay}:hs:*"))
        return await operate(name, *arguments, **options)

    monkeypatch.setattr(store._link, "operate", too_late)
    with pytest.raises(StoreUnavailable):
        await hold(store, MESSAGE, COPIES)
    assert await everyone(store) == []
    assert await store.held_message(MESSAGE.id) is None


# Several tries at a time


async def resent(store, number: int = 2, people: Any = COPIES) -> None:
    """The client comes again, is answered that all of it is held, and goes on."""
    again = held_message(number)
    copies = [replace(copy, message=again.id) for copy in people]
    await store.hold(key_of(MESSAGE), Holding(again, copies, {copy.recipient: REPLY for copy in copies}, max_octets=ROOM))
    await store.close(key_of(MESSAGE), Closing(again.id))


async def opened_again(store, number: int = 2) -> None:
    await store.open_submission(
        key_of(MESSAGE), Opening(replace(first_try(), submission_id=held_message(number).id), 3600.0, tuple(ROWS))
    )


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_what_a_resend_was_answered_for_before_it_had_its_place_is_held_once(server, store, clock, looks):
    await hold_and_die(server, clock, "unfold", 1)
    await opened_again(store)
    claimed = [copy for _ in range(looks) for copy in await store.claim(1, LEASE)]
    await resent(store)
    claimed += await everyone(store)
    assert sorted(copy.recipient for copy in claimed) == sorted(ROWS)
    assert all(row.answered for row in await store.rows(key_of(MESSAGE)))


async def test_what_a_courier_unfolded_while_a_resend_was_unfolding_is_held_once_and_forgotten(server, store, clock, monkeypatch):
    await hold_and_die(server, clock, "unfold", 1)
    await opened_again(store)
    operate, claimed = store._link.operate, []

    async def beside(name, *arguments, **options):
        if name == "unfold":
            claimed.extend(await store.claim(1, LEASE))
        return await operate(name, *arguments, **options)

    monkeypatch.setattr(store._link, "operate", beside)
    await resent(store)
    monkeypatch.undo()
    claimed += await everyone(store)
    assert sorted(copy.recipient for copy in claimed) == sorted(ROWS)
    assert all(row.answered for row in await store.rows(key_of(MESSAGE)))


async def test_a_part_is_held_though_another_was_answered_before_it_had_its_place(store, monkeypatch):
    part = held_message(2)
    others = [held_copy(part, f"other {who}") for who in range(20)]
    await opened(store, MESSAGE)
    await opened(store, part, key=key_of(MESSAGE))
    operate = store._link.operate

    async def beside(name, *arguments, **options):
        answer = await operate(name, *arguments, **options)
        if name == "hold_folded":
            await resent(store, 2, others)
            for _ in range(2):
                await store.claim(1, LEASE)
        return answer

    monkeypatch.setattr(store._link, "operate", beside)
    await store.hold(key_of(MESSAGE), Holding(MESSAGE, COPIES, ROWS, max_octets=ROOM))
    there = await store.held_copies(None, 1000)
    assert {copy.recipient for copy in there if copy.message == MESSAGE.id} == set(ROWS)
    assert len(there) == len(COPIES) + len(others)


async def test_what_a_courier_left_to_another_try_its_holder_hears_of(store, monkeypatch):
    """That try finds the upstream away and takes nothing with it: were its holder told "held", nobody had this one."""
    operate, one = store._link.operate, COPIES[3].recipient

    async def overtaken(name, *arguments, **options):
        answer = await operate(name, *arguments, **options)
        if name == "hold_folded":
            await store.clear(key_of(MESSAGE), first_try(2).submission_id, [request(one)], 90.0, 3600.0)
            for _ in COPIES:
                await store.claim(1, LEASE)  # all of it is unfolded before its holder asks
        return answer

    monkeypatch.setattr(store._link, "operate", overtaken)
    with pytest.raises(StoreUnavailable):
        await hold(store, MESSAGE, COPIES)
    await store.finish(key_of(MESSAGE), [Settlement(one, None, submission_id=first_try(2).submission_id)])
    assert {copy.recipient for copy in await store.held_copies(None, 1000)} == set(ROWS) - {one}


@pytest.mark.parametrize("is_carried_out", [False, True])
async def test_a_step_whose_answer_does_not_come_is_asked_for_again(store, monkeypatch, is_carried_out):
    operate, asked = store._link.operate, 0

    async def late(name, *arguments, **options):
        nonlocal asked
        asked += name == "unfold"
        is_late = name == "unfold" and asked in (2, 5)
        answer = await operate(name, *arguments, **options) if is_carried_out or not is_late else None
        if is_late:
            raise StoreUnavailable("timeout", "Redis did not answer within 200 ms")
        return answer

    monkeypatch.setattr(store._link, "operate", late)
    await hold(store, MESSAGE, COPIES)
    assert sorted(copy.recipient for copy in await everyone(store)) == sorted(ROWS)


async def test_a_redis_that_does_not_answer_is_not_asked_for_ever(store, monkeypatch):
    operate = store._link.operate

    async def away(name, *arguments, **options):
        if name == "unfold":
            raise StoreUnavailable("timeout", "Redis did not answer within 200 ms")
        return await operate(name, *arguments, **options)

    monkeypatch.setattr(store._link, "operate", away)
    with pytest.raises(StoreUnavailable):
        await hold(store, MESSAGE, COPIES)


# Looks


async def test_who_looks_at_what_is_held_sees_what_has_no_place_yet(server, store, clock):
    await hold_and_die(server, clock, "unfold", 1)
    assert {copy.recipient for copy in await store.held_copies(None, 1000)} == set(ROWS)


async def test_so_does_who_counts_it(server, store, clock):
    await hold_and_die(server, clock, "unfold", 1)
    assert (await store.held_totals()).copies == {Why.UPSTREAM: len(COPIES)}


def hold_for_ever(url: str) -> None:
    """A worker that holds one message of many copies after the other, until it is killed."""

    async def work() -> None:
        store = await RedisStore.open(url, META, timeout_ms=PATIENT_MS)
        for number in range(1000):
            message = held_message(number, expires_at=time.time() + 3600)
            await hold(store, message, [held_copy(message, who, due_at=0.0, why=Why.LIMIT) for who in range(1000)])

    asyncio.run(work())


async def test_a_worker_that_is_killed_in_the_middle_has_held_each_message_whole_or_not_at_all(server):
    store = await new_redis(server.url, None)
    chance = random.Random(7)
    found: dict[str, set[bytes]] = {}
    for _ in range(4):
        worker = multiprocessing.get_context("spawn").Process(target=hold_for_ever, args=(server.url,))
        worker.start()
        known = await ask(store, "DBSIZE")
        while await ask(store, "DBSIZE") < known + 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(chance.random() * 0.5)
        worker.kill()
        worker.join()
        for copy in await everyone(store):
            found.setdefault(copy.message, set()).add(copy.recipient)
    assert found
    assert {len(recipients) for recipients in found.values()} == {1000}
    with suppress(StoreUnavailable):
        await store.aclose()
