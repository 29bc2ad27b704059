"""The writer: shared commits, one failing operation harms nobody, a full disk leaves nothing half-done."""

import asyncio
import fcntl
import sqlite3
import threading
from contextlib import closing

import pytest

from relay import commits
from relay.errors import StoreUnavailable
from relay.stores.ledger import Opening
from relay.stores.limits import Reserved
from relay.stores.sqlite import SQLiteStore
from tests.support.clocks import Clock
from tests.support.fixtures import a_clock, a_sqlite_store
from tests.support.stores import (
    ADA,
    BOB,
    META,
    START,
    charge,
    delivered,
    digest,
    first_try,
    largest_file,
    new_sqlite,
    refusal,
    request,
)
from tests.support.waiting import until

MAIL = digest("submission")


clock = a_clock(START)
store = a_sqlite_store()


def commits_of(store) -> list[str]:
    """What the write connection is told from now on."""
    told: list[str] = []
    store._writer._connection.set_trace_callback(told.append)
    return told


async def test_callers_who_wait_together_share_a_commit(store):
    told = commits_of(store)
    await asyncio.gather(*(store.suppress(refusal(digest(n))) for n in range(100)))
    assert told.count("COMMIT") <= 3


async def test_a_caller_alone_does_not_wait_for_others(store):
    told = commits_of(store)
    await store.suppress(refusal())
    assert told.count("COMMIT") == 1


async def test_an_operation_that_fails_takes_nobody_with_it(store):
    def half(db, now):
        db.execute("UPDATE meta SET store_id = 'half'")
        raise ValueError("no")

    answers = await asyncio.gather(
        store.suppress(refusal(ADA)), store._writer.run(half), store.suppress(refusal(BOB)), return_exceptions=True
    )
    assert answers[0] is True
    assert isinstance(answers[1], ValueError)
    assert answers[2] is True
    assert (await store.meta()) == META


async def test_operations_cost_no_savepoint_each_while_none_fails(store):
    told = commits_of(store)
    await asyncio.gather(*(store.suppress(refusal(digest(n))) for n in range(100)))
    assert not [statement for statement in told if statement.startswith("SAVEPOINT")]


async def test_when_one_fails_the_others_are_done_once(store):
    def count(db, now):
        db.execute("UPDATE meta SET tried_at = coalesce(tried_at, 0) + 1")

    def fail(db, now):
        raise ValueError("no")

    run = store._writer.run
    await asyncio.gather(run(count), run(fail), run(count), return_exceptions=True)
    assert store._reader.read(lambda db, now: db.execute("SELECT tried_at FROM meta").fetchone()) == (2,)


async def test_an_operation_that_breaks_a_law_of_the_file_is_a_fault_of_the_store(store):
    await store.suppress(refusal())
    with pytest.raises(StoreUnavailable, match="never deleted"):
        await store._writer.run(lambda db, now: db.execute("DELETE FROM suppressions"))
    with pytest.raises(StoreUnavailable):
        await store._writer.run(lambda db, now: db.execute("nonsense"))
    assert len((await store.find([(ADA,)]))[0]) == 1


@pytest.mark.parametrize("statement", ["DELETE FROM consents", "UPDATE consents SET evidence = ''"])
async def test_consents_stay_as_they_are(store, statement):
    await store._writer.run(
        lambda db, now: db.execute(
            "INSERT INTO consents (id, digest, sealed, event, at, recorded_at, evidence, by)"
            " VALUES ('1', x'00', x'', 'granted', 0, 0, 'paper', 'me')"
        )
    )
    with pytest.raises(StoreUnavailable, match="append-only"):
        await store._writer.run(lambda db, now: db.execute(statement))


async def test_a_number_too_large_to_keep_is_a_fault_of_the_caller(store):
    with pytest.raises(ValueError, match="too large"):
        await store.reserve([charge(1 << 70, units=1 << 66)], 30.0)
    await store.check()


async def test_a_caller_that_was_cancelled_before_its_turn_has_done_nothing(store, tmp_path):
    with (tmp_path / "relay.db.lock").open("wb") as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        first = asyncio.ensure_future(store.suppress(refusal(ADA)))
        second = asyncio.ensure_future(store.suppress(refusal(BOB)))
        await asyncio.sleep(0.05)
        first.cancel()
        fcntl.flock(queue, fcntl.LOCK_UN)
        assert await second
    assert [len(one) for one in await store.find([(ADA,), (BOB,)])] == [0, 1]


async def test_patience_ends(tmp_path):
    SQLiteStore.create(tmp_path / "relay.db", META)
    store = SQLiteStore.open(tmp_path / "relay.db", META, clock=Clock(START), patience=0.05)
    with (tmp_path / "relay.db.lock").open("wb") as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable) as caught:
            await store.suppress(refusal())
        assert caught.value.reason == "timeout"
    assert await store.find([(ADA,)]) == [()]
    await store.aclose()


async def test_letting_go_finishes_what_waits(tmp_path):
    store = await new_sqlite(tmp_path, Clock(START))
    waiting = [asyncio.ensure_future(store.suppress(refusal(digest(n)))) for n in range(600)]
    await asyncio.sleep(0)
    await store.aclose()
    assert all(await asyncio.gather(*waiting))
    assert not [thread for thread in threading.enumerate() if thread.name == "relay.db writer"]


def test_an_event_loop_that_ends_in_the_middle_keeps_nobody_waiting(tmp_path):
    """Its transaction is rolled back, and the others get their turn."""

    async def leave_waiting(queue):
        fcntl.flock(queue, fcntl.LOCK_EX)
        store = await new_sqlite(tmp_path, Clock(START))
        left_waiting = asyncio.ensure_future(store.suppress(refusal(ADA)))
        await asyncio.sleep(0.05)
        assert not left_waiting.done()
        return store

    async def go_on():
        store = SQLiteStore.open(tmp_path / "relay.db", META, clock=Clock(START), patience=5.0)
        assert await store.suppress(refusal(BOB))
        assert [len(one) for one in await store.find([(ADA,), (BOB,)])] == [0, 1]
        await store.aclose()

    with (tmp_path / "relay.db.lock").open("wb") as queue:
        left = asyncio.run(leave_waiting(queue))
    asyncio.run(go_on())
    asyncio.run(left.aclose())


async def test_a_full_disk_is_said_and_leaves_nothing_half_done(store, tmp_path):
    await store.open_submission(MAIL, Opening(first_try(), 60.0))
    await store.suppress(refusal(ADA))
    with largest_file((tmp_path / "relay.db-wal").stat().st_size):
        for work in (
            store.suppress_many([refusal(digest(n), note="x" * 500) for n in range(2000)]),
            store.clear(MAIL, first_try().submission_id, [request(BOB, charge(1))], 30.0, 3600.0),
            store.finish(MAIL, [delivered(BOB)]),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await work
            assert caught.value.reason == "disk"
        assert len((await store.find([(ADA,)]))[0]) == 1  # what is known is still known
        assert await store.find([(digest(1),)]) == [()]
        assert await store.rows(MAIL) == ()


async def test_a_full_disk_is_what_check_says_until_a_commit_works_again(store, tmp_path):
    await store.suppress(refusal(ADA))
    await store.check()
    with largest_file((tmp_path / "relay.db-wal").stat().st_size):
        with pytest.raises(StoreUnavailable):
            await store.suppress(refusal(BOB))
        with pytest.raises(StoreUnavailable) as caught:
            await store.check()
    assert caught.value.reason == "disk"
    await store.check()
    assert await store.suppress(refusal(BOB))
    assert isinstance(await store.reserve([charge(1)], 30.0), Reserved)


async def test_a_locked_file_is_unavailable_not_a_crash(store, tmp_path, monkeypatch):
    monkeypatch.setattr(commits, "BUSY_SECONDS", 0.02)
    stranger = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        await store.suppress(refusal())
    assert caught.value.reason == "timeout"
    stranger.execute("ROLLBACK")
    stranger.close()
    assert await store.suppress(refusal())


async def test_that_an_earlier_commit_reaches_the_disk_does_not_hide_the_fault(store, tmp_path, monkeypatch):
    """A commit that nobody waits for is synced up to a second later; the file may be locked or broken by then."""
    monkeypatch.setattr(commits, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(commits, "_UNKEPT", 0.05)
    kept = []
    monkeypatch.setattr(store._writer._log, "sync", lambda: kept.append("synced"))
    await store.note_sending("newsletter", "2026-11-01")
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.suppress(refusal())
        await until(lambda: kept and not store._writer._commits._is_under_way)
        with pytest.raises(StoreUnavailable) as caught:
            await store.check()
        assert caught.value.reason == "timeout"
    await store.check()


async def test_what_nobody_needs_is_swept_a_bounded_amount_at_a_time(tmp_path):
    clock = Clock(START)
    store = await new_sqlite(tmp_path, clock)
    for n in range(30):
        await store.open_submission(digest(n), Opening(first_try(), 60.0))
        await store.clear(digest(n), first_try().submission_id, [request(ADA, charge(1, key=n))], 30.0, 3600.0)
        await store.finish(digest(n), [delivered(ADA)])
        await store.reserve([charge(1, key=("held", n))], 30.0)
    for _ in range(20):
        clock.pass_(3600.0)
        await store.settle("00")
    left = [store._reader.read(rows_in(table)) for table in TABLES]
    assert left == [0, 0, 0, 0]
    await store.aclose()


TABLES = ("spent", "reserved", "submissions", "ledger")


def rows_in(table):
    return lambda db, now: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
