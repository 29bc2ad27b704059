"""Held bodies are files: there before the row that names them, gone after it, missed aloud."""

import asyncio
import multiprocessing
import os
import resource
import sqlite3
import stat
import time
from contextlib import closing
from functools import partial

import pytest

from relay.errors import StoreUnavailable
from relay.files import Turn
from relay.stores.held import BodyLost, HeldUpdate, HoldFull, Holding, Why
from relay.stores.sqlite import SQLiteStore, held, turns
from relay.stores.sqlite.bodies import ORPHANED
from tests.support import store_processes
from tests.support.clocks import Clock
from tests.support.fixtures import a_clock, a_sqlite_store
from tests.support.held import LANE, LEASE, OWNER, done, due_again, held_copy, held_message, hold, hold_one, key_of
from tests.support.stores import META, START, digest, largest_file, new_sqlite

MESSAGE = held_message(octets=200_000)
COPY = held_copy(MESSAGE, "ada")
OTHER = held_message(2, octets=100_000)


clock = a_clock(START)
store = a_sqlite_store()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "held"


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def age(folder, seconds=ORPHANED + 60):
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


async def reopened(tmp_path):
    return SQLiteStore.open(tmp_path / "relay.db", META, clock=Clock(START))


async def test_a_body_is_one_file_for_nobody_else_to_read(store, folder):
    await hold(store, MESSAGE, [COPY, held_copy(MESSAGE, "bob")])
    (name,) = files(folder)
    assert name.startswith(MESSAGE.id)
    assert (folder / name).read_bytes() == MESSAGE.body
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_body_goes_with_its_last_copy(store, folder):
    await hold(store, MESSAGE, [COPY, held_copy(MESSAGE, "bob")])
    one, other = await store.claim(10, LEASE)
    await done(store, one)
    assert len(files(folder)) == 1
    await done(store, other)
    assert files(folder) == []


async def test_what_is_not_kept_leaves_no_file(store, folder):
    await hold(store, MESSAGE, [COPY])
    before = files(folder)
    await hold(store, MESSAGE, [COPY])  # is held already
    with pytest.raises(HoldFull):
        await hold(store, OTHER, [held_copy(OTHER, "ada")], max_octets=250_000)
    assert files(folder) == before


async def test_of_two_messages_for_the_last_room_one_leaves_no_file(store, folder):
    messages = [held_message(number, 100_000) for number in range(6)]
    answers = await asyncio.gather(
        *(hold(store, message, [held_copy(message, "ada")], max_octets=350_000) for message in messages), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["HoldFull"] * 3 + ["NoneType"] * 3
    assert len(files(folder)) == 3


# Between file and row


def read_rows(tmp_path):
    with closing(sqlite3.connect(tmp_path / "relay.db")) as db:
        return db.execute("SELECT id FROM held_messages").fetchall()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_process_that_dies_between_file_and_row_keeps_nothing_and_its_file_is_swept(tmp_path, folder):
    SQLiteStore.create(tmp_path / "relay.db", META)
    await (await reopened(tmp_path)).aclose()
    turn = Turn(tmp_path / "relay.db.lock")
    turn.take()  # nobody commits
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=store_processes.hold_unopened, args=(str(tmp_path / "relay.db"),), daemon=True)
    process.start()
    try:
        async with asyncio.timeout(60):
            await until(lambda: files(folder) and not files(folder)[0].endswith(".new"))
    finally:
        process.kill()
        process.join(30)
        turn.close()
    store = await reopened(tmp_path)
    assert read_rows(tmp_path) == []
    assert await store.claim(10, LEASE) == []
    assert len(files(folder)) == 1  # somebody may be about to name it
    await store.aclose()
    age(folder)
    store = await reopened(tmp_path)
    await hold(store, OTHER, [held_copy(OTHER, "ada")])
    assert len(await store.claim(10, LEASE)) == 1
    (kept,) = files(folder)
    assert kept.startswith(OTHER.id)
    await store.aclose()


async def test_a_file_whose_row_was_forgotten_is_swept_and_one_that_is_named_is_not(store, tmp_path, folder):
    await hold(store, MESSAGE, [COPY])
    await hold(store, OTHER, [held_copy(OTHER, "bob", due_at=START + 60)])
    (copy,) = await store.held_copies(None, 10, MESSAGE.id)
    await store._writer.run(lambda db, now: held.update(db, [HeldUpdate(copy, None)], None))  # and the process dies
    (folder / f"{MESSAGE.id}.0badcafe.77.new").write_bytes(b"half of a bo")
    assert len(files(folder)) == 3
    age(folder)
    after = await reopened(tmp_path)
    await after.claim(10, LEASE)
    await after.aclose()
    (kept,) = files(folder)
    assert kept.startswith(OTHER.id)
    assert await store.held_message(OTHER.id) == OTHER


async def test_beside_another_relay_db_nothing_is_swept(store, tmp_path, folder):
    await hold(store, MESSAGE, [COPY])
    age(folder)
    for path in tmp_path.glob("relay.db*"):
        path.unlink()
    SQLiteStore.create(tmp_path / "relay.db", META)
    with pytest.raises(StoreUnavailable):
        await store.claim(10, LEASE)
    assert len(files(folder)) == 1


async def test_what_was_acknowledged_outlives_kill_9(tmp_path, folder):
    SQLiteStore.create(tmp_path / "relay.db", META)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=store_processes.hold_until_killed, args=(str(tmp_path / "relay.db"), theirs), daemon=True)
    process.start()
    acknowledged = [ours.recv() for _ in range(25)]
    process.kill()
    process.join(30)
    store = await reopened(tmp_path)
    for number in acknowledged:
        assert await store.held_message(held_message(number).id) == held_message(number, 50_000)
    await store.aclose()


# A bad disk


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    octets = bytearray(path.read_bytes())
    octets[1000] ^= 1
    path.write_bytes(octets)


def close(path):
    """It is there, and the disk does not give it."""
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("damage", "words"), [(remove, "is missing"), (cut, "is damaged"), (alter, "is damaged"), (close, "cannot be read")]
)
async def test_a_body_that_is_not_as_it_was_written_is_missed_aloud_and_its_row_stays(store, folder, damage, words):
    await hold(store, MESSAGE, [COPY])
    (name,) = files(folder)
    damage(folder / name)
    with pytest.raises(BodyLost, match=words) as caught:
        await store.held_message(MESSAGE.id)
    assert caught.value.reason == "disk"
    assert str(folder / name) in str(caught.value)
    assert MESSAGE.id in str(caught.value)
    assert len(await store.held_copies(None, 10)) == 1
    assert (await store.held_message(MESSAGE.id, with_body=False)) is not None
    assert len(await store.claim(10, LEASE)) == 1  # it can be expired or dropped all the same


async def test_a_body_that_cannot_be_read_for_want_of_open_files_is_not_lost(store, folder):
    await hold(store, MESSAGE, [COPY])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await store.held_message(MESSAGE.id)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not isinstance(caught.value, BodyLost)
    assert (await store.held_message(MESSAGE.id)) == MESSAGE


async def test_a_body_that_was_forgotten_while_it_was_asked_for_is_no_fault(store, monkeypatch):
    await hold(store, MESSAGE, [COPY])
    (copy,) = await store.claim(10, LEASE)
    read, loop = store._bodies.read, asyncio.get_running_loop()

    def late(body):
        asyncio.run_coroutine_threadsafe(done(store, copy), loop).result(30)
        return read(body)

    monkeypatch.setattr(store._bodies, "read", late)
    assert await store.held_message(MESSAGE.id) is None


async def test_when_the_disk_has_no_room_for_the_body_nothing_is_kept(store, folder):
    large = held_message(octets=2_000_000)
    with largest_file(1_000_000), pytest.raises(StoreUnavailable) as caught:
        await hold(store, large, [held_copy(large, "ada")])
    assert caught.value.reason == "disk"
    assert (files(folder), await store.rows(key_of(large)), await store.held_copies(None, 10)) == ([], (), [])
    await hold(store, large, [held_copy(large, "ada")])
    assert await store.held_message(large.id) == large


async def test_when_the_disk_has_no_room_for_the_row_nothing_is_kept(store, folder):
    store._writer._connection.execute("PRAGMA max_page_count = 1")  # as many as there are: SQLite's own "disk is full"
    message = held_message()
    with pytest.raises(StoreUnavailable) as caught:
        await store.hold(
            key_of(message),
            Holding(message, [held_copy(message, who, sealed=bytes(5000)) for who in range(9)], {}, max_octets=9999),
        )
    assert caught.value.reason == "disk"
    assert (files(folder), await store.held_copies(None, 10)) == ([], [])
    store._writer._connection.execute("PRAGMA max_page_count = 1000000")
    await hold(store, message, [held_copy(message, "ada")])
    await store.check()


# What it costs


async def test_when_nothing_is_due_a_claim_waits_for_nobody(store, tmp_path):
    await hold_one(store, due_at=START + 60)
    turn = Turn(tmp_path / "relay.db.lock")
    turn.take()
    try:
        async with asyncio.timeout(5):
            assert await store.claim(10, LEASE) == []
            assert not await store.keep_credentials(digest("nobody"), b"login", START + 60)
    finally:
        turn.close()


STATEMENTS = {
    "the first in line": (turns._FIRST, (0,)),
    "lanes that wake": (turns._AWAKE, (0, START, 20)),
    "copies that are due": (turns._DUE, (0, LANE.key, START, 20)),
    "whether a lane waits": (held._WAITS, (LANE.key,)),
    "copies that wait for a login": (held._PARKED, (OWNER, Why.AUTHENTICATION, START, 20)),
    "a page for people": (
        f"{turns.COPIES} WHERE (message, recipient) > (?, ?) ORDER BY message, recipient LIMIT ?",
        ("", b"", 9),
    ),
    "the oldest": ("SELECT min(held_at) FROM held_messages", ()),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_all_that_is_held(tmp_path, name):
    SQLiteStore.create(tmp_path / "relay.db", META)
    statement, values = STATEMENTS[name]
    with closing(sqlite3.connect(tmp_path / "relay.db")) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert plan
    assert all(step.startswith("SEARCH") for step in plan), plan


# What there was before


def drop(table, db, now):
    db.execute(f"DROP TABLE {table}")


async def test_a_file_from_before_copies_were_held_gets_its_tables(tmp_path):
    old = await new_sqlite(tmp_path, Clock(START))
    for table in ("copies", "messages", "lanes", "turns", "counts", "credentials"):
        await old._writer.run(partial(drop, f"held_{table}"))
    await old.aclose()
    store = await reopened(tmp_path)
    await hold(store, MESSAGE, [COPY])
    assert len(await store.claim(10, LEASE)) == 1
    await store.aclose()


async def test_a_login_whose_time_is_over_is_removed_from_the_file(store):
    clock = store._clock
    await hold(store, MESSAGE, [COPY], credentials=(OWNER, b"a login that is sealed", START + 60))
    clock.pass_(61)
    (copy,) = await store.claim(10, LEASE)
    await due_again(store, copy, START + 90)
    assert store._reader.read(lambda db, now: db.execute("SELECT count(*) FROM held_credentials").fetchone()) == (0,)


async def test_what_was_forgotten_is_overwritten_in_the_file(store, tmp_path):
    await hold(store, MESSAGE, [COPY], credentials=(OWNER, b"a login that is sealed", START + 60))
    await store.drop_credentials(OWNER, b"a login that is sealed")
    await store.aclose()  # the log is brought home
    assert b"a login that is sealed" not in (tmp_path / "relay.db").read_bytes()
    assert COPY.sealed in (tmp_path / "relay.db").read_bytes()
