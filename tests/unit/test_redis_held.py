"""What only copies held in Redis can suffer: lost power, lost nodes, half a body, a full memory; and what a step may cost."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from relay.errors import StoreUnavailable
from relay.stores.held import NEVER, BodyLost, HeldUpdate, HoldFull, Holding, Why
from relay.stores.ledger import ClearRequest, RowState, Settlement
from relay.stores.redis.store import RedisStore
from tests.support.fixtures import a_clock, a_redis_store, a_sentinel_group, an_emptied_redis
from tests.support.held import DAY, LANE, LEASE, OWNER, ROOM, done, held_copy, held_message, hold, hold_one, key_of, lane, opened
from tests.support.redis_server import RedisServer
from tests.support.stores import META, PATIENT_MS, START, die_before, digest, new_redis, patiently, refusal

MESSAGE = held_message()
LARGE = held_message(2, 25 << 20)
PIECE = 1 << 18


clock = a_clock(START)
server = an_emptied_redis()
store = a_redis_store()
group = a_sentinel_group()


async def another_node(server, clock):
    return await RedisStore.open(server.url, META, timeout_ms=PATIENT_MS, clock=clock)


async def ask(store, *words):
    return await store._link._client.execute_command(*words)


async def keys(store, kind="*"):
    return sorted(await ask(store, "KEYS", f"{{relay}}:{kind}"))


async def why(awaitable):
    with pytest.raises(StoreUnavailable) as caught:
        await awaitable
    return caught.value.reason


# Power and nodes that are lost


async def test_what_was_held_survives_a_power_cut(tmp_path, clock):
    with RedisServer(tmp_path / "own") as server:
        store = await new_redis(server.url, clock)
        small = [held_message(number) for number in range(10, 40)]
        await hold(store, LARGE, [held_copy(LARGE, "ada")], credentials=(OWNER, b"sealed login", START + 3600))
        for message in small:
            await hold(store, message, [held_copy(message, "ada"), held_copy(message, "bob", due_at=NEVER, why=Why.RULE)])
        server.kill()
        assert await why(store.claim(10, LEASE)) == "unreachable"
        server.start()
        assert len(await store.held_copies(None, 1000)) == 61
        assert [await store.held_message(message.id) for message in (LARGE, *small)] == [LARGE, *small]
        assert {row.state for row in await store.rows(key_of(LARGE))} == {RowState.HELD}
        assert await store.credentials_of(OWNER) == b"sealed login"
        assert len(await store.claim(100, LEASE)) == 31
        await store.aclose()


async def test_what_a_node_had_claimed_when_it_died_leaves_by_the_other(server, store, clock):
    for number in range(40):
        await hold_one(store, number, lane(number % 3), octets=PIECE)
    dead = await another_node(server, clock)
    claimed = await dead.claim(40, LEASE)
    assert len(claimed) == 40
    await dead.aclose()
    assert await store.claim(40, LEASE) == []
    clock.pass_(LEASE)
    again = await store.claim(40, LEASE)
    assert {copy.message for copy in again} == {copy.message for copy in claimed}
    assert {copy.claim for copy in again} == {2}
    assert await done(store, *claimed) == 0
    assert await done(store, *again) == 40


# Bodies


async def test_a_body_is_kept_in_pieces_that_keep_nobody_waiting(store):
    await hold(store, LARGE, [held_copy(LARGE, "ada")])
    (body,) = await keys(store, "hb:*")
    assert await ask(store, "HLEN", body) == 100
    assert max([await ask(store, "HSTRLEN", body, number) for number in range(100)]) == PIECE
    assert await ask(store, "PTTL", body) == -1
    assert await store.held_message(LARGE.id) == LARGE
    await done(store, *await store.claim(1, LEASE))
    assert await keys(store, "hb:*") == []


async def test_pieces_of_which_no_step_tells_are_forgotten_by_redis(server, store, clock):
    """A node dies between the last piece and the step that makes the message known."""
    await die_before(server.url, clock, "hold", lambda dying: hold(dying, LARGE, [held_copy(LARGE, "ada")]))
    (body,) = await keys(store, "hb:*")
    assert 0 < await ask(store, "PTTL", body) <= 600_000
    assert await store.held_message(LARGE.id) is None
    assert (await store.held_totals()).octets == 0
    await hold(store, LARGE, [held_copy(LARGE, "ada")])  # the resend, elsewhere
    assert await store.held_message(LARGE.id) == LARGE
    await ask(store, "PEXPIRE", body, 1)
    while await ask(store, "EXISTS", body):
        await asyncio.sleep(0.001)
    assert await store.held_message(LARGE.id) == LARGE


async def test_pieces_that_went_before_their_step_came_are_not_taken_for_a_body(store, monkeypatch):
    operate = store._link.operate

    async def too_late(name, *arguments, **options):
        if name == "hold":
            await ask(store, "DEL", *await keys(store, "hb:*"))
        return await operate(name, *arguments, **options)

    monkeypatch.setattr(store._link, "operate", too_late)
    assert await why(hold(store, LARGE, [held_copy(LARGE, "ada")])) == "timeout"
    assert await store.held_copies(None, 10) == []
    assert [row.state for row in await store.rows(key_of(LARGE))] == []


async def test_of_two_who_hold_one_message_at_once_one_body_is_kept_whole(server, store, clock):
    """Each seals with a nonce of its own, so the octets differ."""
    other = await another_node(server, clock)
    bodies = [bytes([number]) * (5 * PIECE + 7) for number in (1, 2)]
    messages = [replace(MESSAGE, body=body, octets=len(body)) for body in bodies]
    await opened(store, MESSAGE)
    rows = {digest("ada"): "450 not now"}
    holding = [
        node.hold(key_of(MESSAGE), Holding(message, [held_copy(message, "ada")], rows, max_octets=ROOM))
        for node, message in zip((store, other), messages, strict=True)
    ]
    await asyncio.gather(*holding)
    kept = await store.held_message(MESSAGE.id)
    assert kept is not None
    assert kept.body in bodies
    assert len(await store.held_copies(None, 10)) == 1
    assert len([body for body in await keys(store, "hb:*") if await ask(store, "PTTL", body) < 0]) == 1
    assert (await store.held_totals()).octets == len(bodies[0])
    await other.aclose()


async def test_a_known_message_of_which_a_piece_is_lost_is_a_fault_and_not_a_shorter_message(store):
    message = held_message(3, 3 * PIECE)
    await hold(store, message, [held_copy(message, "ada")])
    (body,) = await keys(store, "hb:*")
    await ask(store, "HDEL", body, 1)
    with pytest.raises(BodyLost) as caught:
        await store.held_message(message.id)
    assert caught.value.reason == "schema"
    await done(store, *await store.claim(1, LEASE))
    assert await store.held_message(message.id) is None


# Room


async def until_full(store):
    """Hold messages of one piece; how many there was room for."""
    for number in range(100):
        try:
            await hold_one(store, 100 + number, octets=PIECE)
        except HoldFull:
            return number
    raise AssertionError("it was never full")


async def test_what_has_left_is_settled_and_forgotten_though_redis_is_full(tmp_path, clock):
    """Unheard it would be sent again; and nothing would make room."""
    with RedisServer(tmp_path / "own") as server:
        store = await new_redis(server.url, clock)
        gone, kept = await hold_one(store, 1), await hold_one(store, 2)
        key, attempt = digest("courier's"), held_message(1).id
        await opened(store, held_message(1), key=key)
        await store.clear(key, attempt, [ClearRequest(gone.recipient, (), (), frozenset())], LEASE, DAY)
        info = await ask(store, "INFO", "memory")
        await ask(store, "CONFIG", "SET", "maxmemory", info["used_memory"] // 2)
        settled = [Settlement(gone.recipient, RowState.DELIVERED, "250 ok", submission_id=attempt)]
        outcomes = await asyncio.gather(
            store.claim(1, LEASE), store.finish(key, settled), done(store, gone), store.held_totals(), return_exceptions=True
        )
        assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["memory", None, 1, "memory"]
        await ask(store, "CONFIG", "SET", "maxmemory", 0)
        assert [row.state for row in await store.rows(key)] == [RowState.DELIVERED]
        assert [copy.message for copy in await store.held_copies(None, 10)] == [kept.message]
        await store.aclose()


async def test_held_mail_leaves_redis_room_for_refusals(tmp_path, clock):
    with RedisServer(tmp_path / "own") as server:
        store = await new_redis(server.url, clock)
        info = await ask(store, "INFO", "memory")
        maximum = info["used_memory"] + (8 << 20)
        assert (await store.held_totals()).room is None
        await ask(store, "CONFIG", "SET", "maxmemory", maximum)
        room = (await store.held_totals()).room
        assert room is not None
        assert 0 < room < 0.7 * maximum
        kept = await until_full(store)
        assert 0 < kept < 32
        full = (await store.held_totals()).room
        assert full is not None
        assert full < 2 * PIECE < room
        message = held_message(1, 2 * PIECE)
        with pytest.raises(HoldFull):  # before its first piece
            await hold(store, message, [held_copy(message, "ada")])
        assert len(await keys(store, "hb:*")) == kept
        assert await store.suppress_many([refusal(digest(number)) for number in range(1000)]) == 1000
        copies = await store.claim(100, LEASE)
        await done(store, *copies)
        await hold_one(store, 500, octets=PIECE)  # there is room again
        await store.aclose()


async def test_with_the_last_copy_everything_is_forgotten(store, clock):
    before = set(await keys(store))
    for number in range(30):
        message = held_message(number, 2 * PIECE if number == 3 else 100)
        copies = [held_copy(message, (number, who), lane(who, who % 3), owner=digest(who)) for who in range(4)]
        await hold(store, message, copies, credentials=(digest(1), b"login", START + 3600))
    claimed = await store.claim(200, LEASE)
    assert len(claimed) == 120
    changed = [replace(copy, why=Why.LIMIT, lane=lane("another"), owner=digest("x"), due_at=START + 60) for copy in claimed[:50]]
    resting = {lane("another"): START + 120, lane("nobody's"): START + 120}
    await store.update_held([HeldUpdate(copy, after) for copy, after in zip(claimed, changed, strict=False)], resting)
    clock.pass_(120)
    await done(store, *claimed[50:], *await store.claim(200, LEASE))
    assert await store.held_copies(None, 10) == []
    assert await store.claim(10, LEASE) == []
    left = {key for key in set(await keys(store)) - before if not key.startswith(b"{relay}:l:")}
    assert left == {b"{relay}:held"}
    assert set(await ask(store, "HKEYS", "{relay}:held")) == {b"round:0", b"round:1", b"round:2"}


# Cost


async def commands_of(store, work):
    """How many commands Redis carried out for it: what a step costs, on any machine."""
    await ask(store, "CONFIG", "RESETSTAT")
    await work
    stats = await ask(store, "INFO", "commandstats")
    return sum(found["calls"] for found in stats.values())


@pytest.mark.parametrize("lanes", [1, 40])
async def test_what_a_claim_costs_does_not_grow_with_what_is_held(store, lanes):
    async def fill(first, number):
        for message in (held_message(n, 1000) for n in range(first, first + number // 200)):
            await hold(store, message, [held_copy(message, (message.id, who), lane(who % lanes)) for who in range(200)])

    await fill(0, 400)
    await store.claim(20, LEASE)  # wakes what is due
    few = await commands_of(store, store.claim(20, LEASE))
    await fill(10, 8000)
    many = await commands_of(store, store.claim(20, LEASE))
    assert many <= few + 4 * lanes  # a lane that was touched may have to be looked at


async def test_lanes_that_wake_at_once_are_woken_some_at_a_time(store):
    for number in range(6):
        message = held_message(number)
        await hold(store, message, [held_copy(message, (number, who), lane((number, who))) for who in range(200)])
    assert await commands_of(store, store.claim(10, LEASE)) < 1500
    claimed = 10
    while got := await store.claim(100, LEASE):
        claimed += len(got)
    assert claimed == 1200


@pytest.mark.parametrize("octets", [1000, 3 * PIECE])
async def test_thousands_of_copies_are_held_changed_and_freed_in_their_order(store, clock, octets):
    message = held_message(1, octets)
    people = [(number, digest(number)) for number in range(1200)]
    await hold(store, message, [held_copy(message, number, due_at=NEVER, why=Why.AUTHENTICATION) for number, _ in people])
    assert await store.held_message(message.id) == message
    assert [copy.recipient for copy in await store.held_copies(None, 5000)] == sorted(who for _, who in people)
    assert await store.free_owner(OWNER, Why.AUTHENTICATION) == 1200
    claimed = await store.claim(5000, LEASE)
    assert len(claimed) == 1200
    later = [HeldUpdate(copy, replace(copy, due_at=START + 60, why=Why.LIMIT)) for copy in claimed]
    assert await store.update_held(later, {LANE: START + 300}) == 1200
    clock.pass_(60)
    assert await store.claim(10, LEASE) == []
    clock.pass_(240)
    assert len(await store.claim(5000, LEASE)) == 1200


async def test_bodies_leave_ways_to_redis_free(store, monkeypatch):
    """However many large messages come and go at once: of the four ways, two are for everybody else."""
    now, most = Counter[str](), Counter[str]()
    operate = store._link.operate

    async def counted(name, *arguments, **options):
        now[name] += 1
        most[name] = max(most[name], now[name])
        try:
            return await operate(name, *arguments, **options)
        finally:
            now[name] -= 1

    monkeypatch.setattr(store._link, "operate", counted)
    messages = [held_message(number, 5 * PIECE) for number in range(8)]
    await asyncio.gather(*(hold(store, message, [held_copy(message, "ada")]) for message in messages))
    assert await asyncio.gather(*(store.held_message(message.id) for message in messages)) == messages
    assert (most["keep_piece"], most["piece_of"]) == (2, 2)


# Where a replica may be promoted


async def test_sentinel_fails_over_and_no_held_copy_is_lost(group, clock):
    await patiently(lambda: RedisStore.create(group.url, META, timeout_ms=PATIENT_MS))
    store = await RedisStore.open(group.url, META, timeout_ms=PATIENT_MS, clock=clock)
    message = held_message(3, 3 * PIECE)
    group.replica.pause()
    try:
        assert await why(hold(store, MESSAGE, [held_copy(MESSAGE, "ada")])) == "durability"
    finally:
        group.replica.resume()
    await patiently(lambda: hold(store, message, [held_copy(message, who) for who in ("ada", "bob")]))
    group.master.kill()
    await asyncio.to_thread(group.fail_over)
    assert await patiently(lambda: store.held_message(message.id)) == message
    assert len(await store.held_copies(None, 10, message.id)) == 2
    await store.aclose()
