"""The shared commits: whoever waits gets an answer or the fault, each exactly once, whatever a step does."""

import asyncio
import sqlite3
import threading

import pytest

from relay import commits as module
from relay.commits import TURNS, Commits, begin_immediate
from tests.support.waiting import until


class Medium:
    """Answers in capitals; "bad" is refused alone, and `faults` names the step that fails next."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.steps: list[str] = []
        self.faults: list[str] = []
        self.is_due = False
        self.gate = threading.Event()
        self.gate.set()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.faults and self.faults[0] == name:
            self.faults.pop(0)
            raise ValueError(name)

    def begin(self, *, wait: bool) -> bool:
        assert (threading.current_thread() is threading.main_thread()) is not wait
        if wait:
            self.gate.wait(10)
        elif not self.gate.is_set():
            return False
        self._step("begin")
        return True

    def write(self, jobs):
        assert threading.current_thread() is threading.main_thread()
        self._step("write")
        self.groups.append(list(jobs))
        return [ValueError("alone") if job == "bad" else job.upper() for job in jobs]

    def commit(self) -> bool:
        assert threading.current_thread() is threading.main_thread()
        self._step("commit")
        return self.is_due

    def sync(self) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self._step("sync")

    def confirm(self) -> None:
        self._step("confirm")

    def abandon(self) -> None:
        self.steps.append("abandon")

    def told(self, fault):
        return ValueError(*fault.args)


@pytest.fixture
def medium():
    return Medium()


@pytest.fixture
def writer(medium):
    writer: Commits[str, str] = Commits(medium, "test", patience=15.0, for_absent=True)
    yield writer
    medium.gate.set()
    writer.close()


async def test_jobs_that_wait_share_one_commit_and_get_their_own_answers(writer, medium):
    medium.gate.clear()
    tries = [asyncio.ensure_future(writer.submit(job)) for job in ("a", "bad", "c")]
    await asyncio.sleep(0)
    medium.gate.set()
    first, second, third = await asyncio.gather(*tries, return_exceptions=True)
    assert (first, str(second), third) == ("A", "alone", "C")
    assert medium.groups == [["a", "bad", "c"]]
    assert medium.steps == ["begin", "write", "commit", "sync", "confirm"]


async def test_jobs_that_the_next_turns_of_the_loop_bring_share_the_commit(writer, medium):
    first = asyncio.ensure_future(writer.submit("a"))
    for _ in range(TURNS - 1):
        await asyncio.sleep(0)
    assert (await writer.submit("b"), await first) == ("B", "A")
    assert medium.groups == [["a", "b"]]


async def test_the_disk_is_waited_for_only_when_a_job_needs_it(writer, medium):
    assert await writer.submit("a", durable=False) == "A"
    assert medium.steps == ["begin", "write", "commit", "confirm"]
    medium.steps.clear()
    first, second = await asyncio.gather(writer.submit("b", durable=False), writer.submit("c"))
    assert (first, second) == ("B", "C")
    assert medium.steps == ["begin", "write", "commit", "sync", "confirm"]


async def test_the_disk_has_within_a_second_what_nobody_waited_for(writer, medium, monkeypatch):
    assert module._UNKEPT <= 1
    monkeypatch.setattr(module, "_UNKEPT", 0.01)
    assert await writer.submit("a", durable=False) == "A"
    await until(lambda: medium.steps.count("confirm") == 2)
    assert medium.steps == ["begin", "write", "commit", "confirm", "sync", "confirm"]
    assert await writer.submit("b") == "B"


async def test_the_medium_may_ask_for_the_disk(writer, medium):
    medium.is_due = True
    assert await writer.submit("a", durable=False) == "A"
    assert medium.steps == ["begin", "write", "commit", "sync", "confirm"]


@pytest.mark.parametrize("step", ["begin", "write", "commit", "confirm"])
async def test_a_job_that_need_not_be_durable_hears_of_faults(writer, medium, step):
    medium.faults = [step]
    with pytest.raises(ValueError, match=step):
        await writer.submit("a", durable=False)
    assert await writer.submit("b", durable=False) == "B"


@pytest.mark.parametrize("free", [True, False])
async def test_the_loop_begins_by_itself_when_it_is_nobody_elses_turn(writer, medium, free):
    if not free:
        medium.gate.clear()
    waiting = asyncio.ensure_future(writer.submit("a"))
    for _ in range(2 * TURNS):
        await asyncio.sleep(0)
    assert bool(medium.groups) is free
    medium.gate.set()
    assert await waiting == "A"


@pytest.mark.parametrize("step", ["begin", "write", "commit", "sync", "confirm"])
async def test_a_step_that_fails_tells_everybody_and_the_next_group_is_written(writer, medium, step):
    medium.faults = [step]
    results = await asyncio.gather(*(writer.submit(job) for job in "ab"), return_exceptions=True)
    assert [str(result) for result in results] == [step, step]
    assert ("abandon" in medium.steps) == (step != "confirm")
    assert await writer.submit("c") == "C"


async def test_a_group_has_a_bound(writer, medium, monkeypatch):
    monkeypatch.setattr(module, "_GROUP", 2)
    medium.gate.clear()
    tries = [asyncio.ensure_future(writer.submit(job)) for job in "abcde"]
    await asyncio.sleep(0)
    medium.gate.set()
    assert await asyncio.gather(*tries) == list("ABCDE")
    assert medium.groups == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_disk_that_does_not_answer_is_unavailable_and_nobody_waits_for_ever(medium, monkeypatch):
    writer: Commits[str, str] = Commits(medium, "test", patience=0.05, for_absent=True)
    monkeypatch.setattr(module, "_WAITING", 2)
    medium.gate.clear()
    tries = [asyncio.ensure_future(writer.submit(job)) for job in "abc"]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [str(result) for result in results[:2]] == ["test: not written within 0.05 s"] * 2
    assert "wait to be written" in str(results[2])
    medium.gate.set()
    await writer.finish()
    assert medium.groups == [["a", "b"]]
    writer.close()


@pytest.mark.parametrize("for_absent", [True, False])
async def test_a_caller_that_went_away_harms_nobody(medium, for_absent):
    writer: Commits[str, str] = Commits(medium, "test", patience=15.0, for_absent=for_absent)
    medium.gate.clear()
    gone, stays = (asyncio.ensure_future(writer.submit(job)) for job in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    medium.gate.set()
    assert await stays == "B"
    assert medium.groups == [["a", "b"] if for_absent else ["b"]]
    writer.close()


async def test_callers_in_one_group_have_a_fault_of_their_own_each(writer, medium):
    medium.faults = ["commit"]
    one, two = await asyncio.gather(*(writer.submit(job) for job in "ab"), return_exceptions=True)
    assert one is not two


async def test_finishing_writes_what_waits_and_takes_nothing_more(writer):
    tries = [asyncio.ensure_future(writer.submit(job)) for job in "ab"]
    await asyncio.sleep(0)
    await writer.finish()
    assert await asyncio.gather(*tries) == ["A", "B"]
    with pytest.raises(ValueError, match="closed"):
        await writer.submit("c")
    await writer.finish()


async def test_closing_at_once_tells_those_who_wait(writer, medium):
    medium.gate.clear()
    waiting = asyncio.ensure_future(writer.submit("a"))
    await asyncio.sleep(0)
    medium.gate.set()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        await waiting
    assert "commit" not in medium.steps


async def test_a_group_that_was_to_begin_does_not_after_closing(writer, medium):
    waiting = asyncio.ensure_future(writer.submit("a"))
    await asyncio.sleep(0)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        await waiting
    for _ in range(2 * TURNS):
        await asyncio.sleep(0)
    assert medium.steps == ["abandon"]


def test_a_loop_that_ended_in_between_leaves_nothing_open(writer, medium):
    async def leave() -> None:
        medium.gate.clear()
        asyncio.ensure_future(writer.submit("a"))  # noqa: RUF006 - that nobody waits for it is the point
        for _ in range(2 * TURNS):  # until the group has begun
            await asyncio.sleep(0)

    asyncio.run(leave())
    medium.gate.set()

    async def again() -> str:
        async with asyncio.timeout(20):
            while "abandon" not in medium.steps:
                await asyncio.sleep(0.001)
            answer: str = await writer.submit("b")
            return answer

    assert asyncio.run(again()) == "B"


@pytest.fixture
def databases(tmp_path):
    """Two connections to one file, the first of which never waits in SQLite."""
    both = [sqlite3.connect(tmp_path / "file.db", isolation_level=None, check_same_thread=False) for _ in range(2)]
    both[0].execute("PRAGMA journal_mode = WAL")
    both[0].execute("PRAGMA busy_timeout = 0")
    yield both
    for one in both:
        one.close()


def test_a_stranger_in_the_file_is_waited_for_outside_the_loop(databases):
    ours, strangers = databases
    strangers.execute("BEGIN IMMEDIATE")
    assert not begin_immediate(ours, wait=False)
    release = threading.Timer(0.1, lambda: strangers.execute("ROLLBACK"))
    release.start()
    assert begin_immediate(ours, wait=True)
    release.join()


def test_a_stranger_is_not_waited_for_for_ever(databases, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    ours, strangers = databases
    strangers.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        begin_immediate(ours, wait=True)


def test_any_other_fault_is_told_at_once(databases):
    ours, _ = databases
    ours.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        begin_immediate(ours, wait=True)
