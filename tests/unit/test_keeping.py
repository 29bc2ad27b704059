"""Keys and store change together, on both kinds of store: nobody misses a refusal because of a new generation."""

import asyncio
import time
from dataclasses import replace
from datetime import date

import pytest

from relay.errors import StoreUnavailable
from relay.keys import Keys, new_keys, rotated
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.service import keeping
from relay.service.keeping import StoreKeeper
from relay.stores.closed import ClosedStore
from relay.stores.ledger import Cleared, ClearRequest, Refused, Taken
from relay.stores.opening import open_store
from relay.tasks import spawn
from tests.contract.test_opening import config_with
from tests.support.held import DAY, held_copy, held_message, hold
from tests.support.stores import START, digest, first_try

TODAY, LATER = date(2026, 11, 21), date(2027, 11, 21)
BOX = "ada@example.org"
MAIL = digest("submission")


class Process:
    """What a worker has: keys that all its parts share, and the keeper of its store."""

    def __init__(self, config, keys: Keys, store) -> None:
        self.keys = replace(keys)
        self.used = [store]
        self.keeper = StoreKeeper(config, self.keys, store, time.time, self.used.append)

    async def clear(self):
        reasons = frozenset({Reason.UNSUBSCRIBE})
        request = ClearRequest(digest("row"), self.keys.addresses.digests(BOX), (ORGANISATION,), reasons)
        (answer,) = await self.keeper.store.clear(MAIL, first_try().submission_id, [request], 30.0, 3600.0)
        return answer

    async def refuse(self) -> None:
        written = self.keys.addresses.digest(BOX)
        await self.keeper.store.suppress(Suppression(written, ORGANISATION, Reason.UNSUBSCRIBE, "one_click", START - 100, b""))

    async def why(self) -> str:
        with pytest.raises(StoreUnavailable) as caught:
            await self.clear()
        return caught.value.reason


@pytest.fixture(params=["sqlite", "redis"])
def config(request, tmp_path):
    if request.param == "sqlite":
        return config_with("sqlite", tmp_path)
    server = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    return config_with(server.url, tmp_path)


@pytest.fixture
async def processes(config):
    """Two processes of one relay."""
    keys = new_keys(TODAY)
    made = [Process(config, keys, await open_store(config, keys, time.time)) for _ in range(2)]
    yield made
    for process in made:
        await process.keeper.store.aclose()


@pytest.mark.parametrize("ring", ["addresses", "tokens", "held"])
async def test_who_has_not_read_the_new_generation_clears_nobody_until_it_has(processes, ring):
    one, other = processes
    newer = rotated(one.keys, ring, LATER)
    await one.keeper.take_up(newer)
    await one.refuse()
    assert await other.why() == "keys"
    assert (await other.keeper.mend()).startswith("keys: ")  # nothing that this process could do by itself
    assert await other.why() == "keys"
    await other.keeper.take_up(newer)
    assert isinstance(await other.clear(), Refused)
    assert await other.keeper.mend() == ""


async def test_a_refusal_under_the_old_generation_binds_under_the_new_one(processes):
    one, other = processes
    await one.refuse()
    newer = rotated(one.keys, "addresses", LATER)
    for process in processes:
        await process.keeper.take_up(newer)
        assert isinstance(await process.clear(), Refused)
    assert one.keys == other.keys == newer


async def test_what_was_asked_under_the_old_keys_is_not_answered_under_the_new_ones(processes):
    """The digests of this question lack the new generation, so it must not reach a store that was opened with it."""
    one, _ = processes
    before = one.keeper.store
    asked = one.keys.addresses.digests(BOX)
    await one.keeper.take_up(rotated(one.keys, "addresses", LATER))
    assert one.used == [before, one.keeper.store]
    assert len(one.keys.addresses.digests(BOX)) == len(asked) + 1
    with pytest.raises(StoreUnavailable):
        await before.find([asked])


async def test_keys_that_the_store_does_not_open_with_are_not_taken_up(processes):
    one, _ = processes
    before = replace(one.keys)
    await one.keeper.take_up(replace(new_keys(LATER), records=before.records))
    assert await one.why() == "keys"
    assert one.keys == before
    assert "lack" in one.keeper.keys_fault
    await one.keeper.take_up(before)
    assert isinstance(await one.clear(), Cleared)
    assert one.keeper.keys_fault == ""


async def test_a_running_relay_gives_no_key_of_its_records_up(processes):
    """The store cannot tell; bounces and refusals by mail are found under these keys."""
    one, _ = processes
    before, careless = replace(one.keys), replace(one.keys, records=new_keys(LATER).records)
    await one.keeper.take_up(careless)
    assert await one.why() == "keys"
    assert one.keys == before
    assert "records:1:" in one.keeper.keys_fault
    newer = rotated(before, "records", LATER)
    await one.keeper.take_up(newer)
    assert isinstance(await one.clear(), Cleared)
    assert one.keys == newer


async def test_copies_that_a_process_could_not_open_are_left_for_one_that_can(processes):
    """One that claimed them would only put them off, and in the end give them up."""
    one, other = processes
    newer = rotated(one.keys, "held", LATER)
    await one.keeper.take_up(newer)
    now = time.time()
    message = replace(held_message(), at=now, expires_at=now + DAY)
    await hold(one.keeper.store, message, [held_copy(message, "ada", due_at=now)])
    with pytest.raises(StoreUnavailable) as caught:
        await other.keeper.store.claim(10, 60.0)
    assert caught.value.reason == "keys"
    (copy,) = await one.keeper.store.claim(10, 60.0)
    assert (copy.claim, copy.attempts) == (1, 0)


async def test_a_relay_gives_no_key_of_held_mail_up(processes):
    """Neither a running one nor one that starts: what is held could be opened by nobody."""
    one, _ = processes
    before, careless = replace(one.keys), replace(one.keys, held=new_keys(LATER).held)
    await one.keeper.take_up(careless)
    assert await one.why() == "keys"
    assert one.keys == before
    assert "lack" in one.keeper.keys_fault
    opened = await open_store(one.keeper._config, careless, time.time)
    assert isinstance(opened, ClosedStore)
    assert "lack" in opened.text


async def test_a_key_file_that_cannot_be_used_shuts_the_store_until_there_are_keys(processes):
    one, _ = processes
    await one.keeper.refuse("keys.toml: the key file is missing")
    await one.keeper.refuse("keys.toml: the key file is missing")
    assert await one.keeper.mend() == "keys: keys.toml: the key file is missing"
    assert await one.why() == "keys"
    await one.keeper.take_up(replace(one.keys))
    assert isinstance(await one.clear(), Cleared)


async def test_the_same_keys_leave_the_store_as_it_is(processes):
    one, _ = processes
    before = one.keeper.store
    await one.keeper.take_up(replace(one.keys))
    assert one.keeper.store is before


async def test_a_store_that_is_away_gets_the_new_keys_when_it_is_back(processes, config):
    """Until then nothing may be written under them: a process without them could not tell."""
    one, _ = processes
    before = replace(one.keys)
    newer = rotated(one.keys, "addresses", LATER)
    path = config.data_path / "store.id"
    known = path.read_bytes()
    path.write_bytes(b"damaged")
    await one.keeper.take_up(newer)
    assert isinstance(one.keeper.store, ClosedStore)
    assert one.keys == before
    assert (await one.keeper.mend()).startswith("foreign: ")
    path.write_bytes(known)
    assert await one.keeper.mend() == ""
    assert one.keys == newer
    assert newer.fingerprints <= (await one.keeper.store.meta()).fingerprints


async def test_a_redis_that_may_forget_is_closed_and_opened_again_when_it_may_not(redis_server, tmp_path):
    redis_server.command("FLUSHALL")
    config, keys = config_with(redis_server.url, tmp_path), new_keys(TODAY)
    process = Process(config, keys, await open_store(config, keys, time.time))
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert isinstance(await process.clear(), Cleared)  # it answers: only a look at its settings tells
        for _ in range(2):  # opening it anew does not help
            assert (await process.keeper.mend()).startswith("durability: ")
            assert await process.why() == "durability"
    finally:
        redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert await process.keeper.mend() == ""
    assert isinstance(await process.clear(), Taken)  # the same store, with what it was told before
    await process.keeper.store.aclose()


async def test_who_wants_to_know_whether_keys_lack_waits_for_the_next_look_and_asks_nothing(processes, monkeypatch):
    one, other = processes
    looks = []
    check = one.keeper.store.check

    async def checking():
        looks.append(len(waiting))
        await check()

    monkeypatch.setattr(one.keeper.store, "check", checking)
    waiting = [spawn(one.keeper.lacks_keys(), "asked") for _ in range(200)]
    await asyncio.sleep(0)
    assert not looks
    assert not any(task.done() for task in waiting)
    assert await one.keeper.mend() == ""
    assert await asyncio.gather(*waiting) == [False] * 200
    assert len(looks) == 1

    await other.keeper.take_up(rotated(one.keys, "tokens", LATER))
    asked = spawn(one.keeper.lacks_keys(), "asked")
    await asyncio.sleep(0)
    assert (await one.keeper.mend()).startswith("keys: ")
    assert await asked
    assert await one.keeper.lacks_keys()  # known: there is nothing to wait for


async def test_a_look_that_had_begun_before_says_nothing(processes, monkeypatch):
    """It may have seen the store as it was before another node wrote to it with a newer key."""
    one, other = processes
    check, seen, go_on = one.keeper.store.check, asyncio.Event(), asyncio.Event()

    async def checking():
        await check()
        seen.set()
        await go_on.wait()

    monkeypatch.setattr(one.keeper.store, "check", checking)
    look = spawn(one.keeper.mend(), "asked")
    await seen.wait()
    await other.keeper.take_up(rotated(one.keys, "tokens", LATER))
    asked = spawn(one.keeper.lacks_keys(), "asked")
    await asyncio.sleep(0)
    go_on.set()
    assert await look == ""
    assert not asked.done()
    assert (await one.keeper.mend()).startswith("keys: ")
    assert await asked


async def test_without_a_look_it_is_doubtful(processes, monkeypatch):
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.01)
    assert await processes[0].keeper.lacks_keys()
