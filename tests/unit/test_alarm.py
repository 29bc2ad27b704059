"""Alarms: one thing to do, at the last time that was asked for, and one timer however often that changes."""

import asyncio

import pytest

from relay.tasks import Alarm

SOON, LATER = 0.01, 0.05


class Bell:
    """An alarm that notes what it was told to do."""

    def __init__(self):
        self.alarm = Alarm()
        self.rung = []
        self.was_rung = asyncio.Event()

    def at(self, seconds, name="rung"):
        self.alarm.set(asyncio.get_running_loop().time() + seconds, lambda: self.ring(name))

    def ring(self, name):
        self.rung.append((name, asyncio.get_running_loop().time()))
        self.was_rung.set()

    async def names(self):
        """What was rung, when the first ring has come and enough time for another one has gone."""
        await self.was_rung.wait()
        await asyncio.sleep(2 * LATER)
        return [name for name, _ in self.rung]


@pytest.fixture
async def timers(monkeypatch):
    """The timers that alarms asked the loop for."""
    loop, made = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def noted(due, call, *facts, **how):
        timer = call_at(due, call, *facts, **how)
        if getattr(call, "__func__", None) is Alarm._look:
            made.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_at", noted)
    return made


async def test_it_rings_once():
    bell = Bell()
    bell.at(SOON)
    assert await bell.names() == ["rung"]


async def test_what_is_asked_for_last_is_done():
    bell = Bell()
    bell.at(SOON, "first")
    bell.at(SOON, "second")
    assert await bell.names() == ["second"]


async def test_it_can_be_put_off():
    bell, loop = Bell(), asyncio.get_running_loop()
    bell.at(SOON)
    due = loop.time() + LATER
    bell.alarm.set(due, lambda: bell.ring("put off"))
    assert await bell.names() == ["put off"]
    assert bell.rung[0][1] >= due - 0.001


async def test_it_can_be_brought_forward():
    bell = Bell()
    bell.at(3600, "late")
    bell.at(SOON, "early")
    assert await bell.names() == ["early"]


async def test_it_may_be_set_again_while_it_rings():
    bell = Bell()

    def again():
        bell.ring("first")
        bell.at(SOON, "second")

    bell.alarm.set(asyncio.get_running_loop().time(), again)
    assert await bell.names() == ["first", "second"]


@pytest.mark.parametrize("end", [Alarm.silence, Alarm.cancel])
async def test_it_can_be_told_to_keep_quiet_and_be_set_again(end):
    bell = Bell()
    bell.at(SOON, "quiet")
    end(bell.alarm)
    await asyncio.sleep(LATER)
    assert bell.rung == []
    bell.at(SOON, "again")
    assert await bell.names() == ["again"]


async def test_one_timer_serves_all_that_is_put_off(timers):
    bell = Bell()
    for number in range(100):
        bell.at(3600 + number)
        bell.alarm.silence()
    assert len(timers) == 1
    bell.alarm.cancel()


async def test_no_timer_is_left_when_it_is_cancelled_or_brought_forward(timers):
    bell = Bell()
    bell.at(3600)
    bell.at(1800)
    assert [timer.cancelled() for timer in timers] == [True, False]
    bell.alarm.cancel()
    bell.alarm.cancel()
    assert [timer.cancelled() for timer in timers] == [True, True]
