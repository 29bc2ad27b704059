"""Several processes on one relay.db: exact limits, one delivery, refusals at once, nothing lost by kill -9."""

import asyncio
import multiprocessing
import os
import sqlite3

import pytest

from relay.policy.cases.transfers import Transferred
from relay.stores.limits import OverLimit
from relay.stores.sqlite import SQLiteStore
from tests.support import store_processes
from tests.support.stores import META, charge, digest, refusal

PROCESSES = 4
spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path):
    SQLiteStore.create(tmp_path / "relay.db", META)
    return tmp_path / "relay.db"


@pytest.fixture
def started():
    """Starts processes and ends those that are left."""
    running = []

    def start(work, *arguments):
        process = spawn.Process(target=work, args=arguments, daemon=True)
        process.start()
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.join(30)


def together(started, work, path, *arguments):
    """Run the work in all processes at once and return their answers."""
    start, answers = spawn.Barrier(PROCESSES), spawn.Queue()
    for worker in range(PROCESSES):
        started(work, str(path), worker, start, answers, *arguments)
    return [answers.get(timeout=120) for _ in range(PROCESSES)]


async def test_limits_are_exact_over_all_processes(path, started):
    worked = together(started, store_processes.spend, path, 150, 100)
    assert sum(worked) == 150
    store = SQLiteStore.open(path, META)
    assert isinstance(await store.reserve([charge(150, unit=3600.0)], 60.0), OverLimit)
    await store.aclose()


def test_tries_of_one_submission_in_all_processes_deliver_each_recipient_once(path, started):
    cleared = together(started, store_processes.try_to_deliver, path, 60)
    assert sorted(number for numbers in cleared for number in numbers) == list(range(60))


async def test_persons_whose_data_leave_are_counted_exactly_over_all_processes(path, started):
    """Each process lets the same people leave, in an order of its own, while no more than twenty may."""
    let = together(started, store_processes.let_leave, path, 20, 30)
    left = {number for numbers in let for number in numbers}
    assert len(left) == 20
    store = SQLiteStore.open(path, META)
    assert await store.transfer_years() == [Transferred(2027, 20)]
    await store.aclose()


def while_delivering(started, path, change):
    """Let all processes deliver, change something, and return what each says of the fifty that it began afterwards."""
    told, answers = spawn.Event(), spawn.Queue()
    for worker in range(PROCESSES):
        started(store_processes.deliver_until_told, str(path), worker, told, answers, 50)
    assert [answers.get(timeout=120) for _ in range(PROCESSES)] == ["busy"] * PROCESSES
    change(told)
    return [answers.get(timeout=120) for _ in range(PROCESSES)]


def test_a_refusal_in_one_process_binds_the_next_recipient_in_all(path, started):
    def refuse(told):
        async def work():
            store = SQLiteStore.open(path, META)
            await store.suppress(refusal())
            told.set()
            await store.aclose()

        asyncio.run(work())

    assert while_delivering(started, path, refuse) == [(0, [])] * PROCESSES


def test_a_deleted_file_under_load_lets_nothing_leave(path, started):
    def delete(told):
        for file in path.parent.glob("relay.db*"):
            file.unlink()
        told.set()

    assert while_delivering(started, path, delete) == [(0, ["removed"])] * PROCESSES


async def test_what_was_acknowledged_before_kill_9_is_there_and_the_file_is_sound(path, started):
    acknowledged = set()
    for _ in range(3):
        ours, theirs = spawn.Pipe(duplex=False)
        process = started(store_processes.write_until_killed, str(path), theirs)
        theirs.close()
        for _ in range(200):
            acknowledged.add(int.from_bytes(read_exactly(ours, 8), "big"))
        process.kill()
        process.join(30)
        ours.close()
    store = SQLiteStore.open(path, META)
    numbers = sorted(acknowledged)
    found = await store.find([(digest(number),) for number in numbers])
    assert [number for number, entries in zip(numbers, found, strict=True) if not entries] == []
    assert await store.suppress(refusal(digest("after")))
    await store.aclose()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def read_exactly(pipe, octets: int) -> bytes:
    return b"".join(os.read(pipe.fileno(), 1) for _ in range(octets))
