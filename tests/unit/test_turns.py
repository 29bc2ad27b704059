"""Turns: one in every pass of the loop, in order, and nobody's going away stops the others."""

import asyncio

from relay.tasks import Turns, spawn


class Passes:
    """Counts the passes of the loop."""

    def __init__(self):
        self.number = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._count)

    def _count(self):
        self.number += 1
        self._next = self._loop.call_soon(self._count)

    def stop(self):
        self._next.cancel()


async def test_one_has_the_turn_in_each_pass_first_come_first_served():
    turns, passes, taken = Turns(), Passes(), []

    async def work(number):
        await turns.take()
        taken.append((number, passes.number))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(work(number))
    passes.stop()
    assert [number for number, _ in taken] == list(range(20))
    assert len({at for _, at in taken}) == 20
    assert taken[-1][1] - taken[0][1] < 25  # and no pass is wasted


async def test_nobody_waits_for_a_turn_that_is_free():
    turns, passes = Turns(), Passes()
    for _ in range(3):
        await turns.take()
        before = passes.number
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert passes.number - before == 2
    passes.stop()


async def test_who_is_cancelled_while_waiting_has_no_turn():
    turns, taken = Turns(), []

    async def work(number):
        await turns.take()
        taken.append(number)

    tasks = [spawn(work(number), "work") for number in range(6)]
    await asyncio.sleep(0)
    for number in (1, 2, 4):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert taken == [0, 3, 5]
    await asyncio.wait_for(turns.take(), 10)
