"""The shared commits: whoever waits gets an answer or the fault, each exactly once, whatever a step does."""

import asyncio
import threading

import pytest

from relay.errors import RecordsUnavailable
from relay.records import writer as module
from relay.records.writer import Writer


class Medium:
    """Answers in capitals; "bad" is refused alone, and `faults` names the step that fails next."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.steps: list[str] = []
        self.faults: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.faults and self.faults[0] == name:
            self.faults.pop(0)
            raise RecordsUnavailable(name)

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
        return [RecordsUnavailable("alone") if job == "bad" else job.upper() for job in jobs]

    def commit(self) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self._step("commit")

    def confirm(self) -> None:
        self._step("confirm")

    def abandon(self) -> None:
        self.steps.append("abandon")


@pytest.fixture
def medium():
    return Medium()


@pytest.fixture
def writer(medium):
    writer: Writer[str, str] = Writer(medium, "test")
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
    assert medium.steps == ["begin", "write", "commit", "confirm"]


@pytest.mark.parametrize("free", [True, False])
async def test_the_loop_begins_by_itself_when_it_is_nobody_elses_turn(writer, medium, free):
    if not free:
        medium.gate.clear()
    waiting = asyncio.ensure_future(writer.submit("a"))
    await asyncio.sleep(0.01)
    assert bool(medium.groups) is free
    medium.gate.set()
    assert await waiting == "A"


@pytest.mark.parametrize("step", ["begin", "write", "commit", "confirm"])
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


async def test_a_disk_that_does_not_answer_is_unavailable_and_nobody_waits_for_ever(writer, medium, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "_WAITING", 2)
    medium.gate.clear()
    tries = [asyncio.ensure_future(writer.submit(job)) for job in "abc"]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(result, RecordsUnavailable) for result in results)
    assert "not written within" in str(results[0])
    assert "wait to be written" in str(results[2])
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 15)
    monkeypatch.setattr(module, "_WAITING", 100)
    medium.gate.set()
    assert await writer.submit("d") == "D"


async def test_a_caller_that_went_away_harms_nobody(writer, medium):
    medium.gate.clear()
    gone, stays = (asyncio.ensure_future(writer.submit(job)) for job in "ab")
    await asyncio.sleep(0)
    gone.cancel()
    medium.gate.set()
    assert await stays == "B"


async def test_finishing_writes_what_waits_and_takes_nothing_more(writer):
    tries = [asyncio.ensure_future(writer.submit(job)) for job in "ab"]
    await asyncio.sleep(0)
    await writer.finish()
    assert await asyncio.gather(*tries) == ["A", "B"]
    with pytest.raises(RecordsUnavailable, match="closed"):
        await writer.submit("c")
    await writer.finish()


async def test_closing_at_once_tells_those_who_wait(writer, medium):
    medium.gate.clear()
    waiting = asyncio.ensure_future(writer.submit("a"))
    await asyncio.sleep(0)
    medium.gate.set()
    writer.close()
    with pytest.raises(RecordsUnavailable, match="closed"):
        await waiting
    assert "commit" not in medium.steps


def test_a_loop_that_ended_in_between_leaves_nothing_open(writer, medium):
    async def leave() -> None:
        medium.gate.clear()
        asyncio.ensure_future(writer.submit("a"))  # noqa: RUF006 - that nobody waits for it is the point
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
