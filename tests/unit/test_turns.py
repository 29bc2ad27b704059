"""Turns and places: so many at a time, in order, and nobody's going away stops the others."""

import asyncio

from relay.tasks import Places, Turns, spawn


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


async def test_who_waits_for_a_place_is_let_in_by_rank_and_then_by_arrival():
    places, entered = Places(1), []
    release = asyncio.Event()

    async def work(name, rank):
        async with places.place(rank):
            entered.append(name)
            await release.wait()

    tasks = []
    for name, rank in [("first", 2), ("campaign", 2), ("letter", 1), ("receipt", 0), ("notice", 0)]:
        tasks.append(spawn(work(name, rank), name))
        await asyncio.sleep(0)
    assert entered == ["first"]
    release.set()
    await asyncio.gather(*tasks)
    assert entered == ["first", "receipt", "notice", "letter", "campaign"]


async def test_a_place_is_free_again_whoever_waited_for_it_went_away():
    places, entered = Places(2), []
    release = asyncio.Event()

    async def work(name):
        async with places.place(0):
            entered.append(name)
            await release.wait()

    tasks = []
    for name in ("one", "two", "gone", "let in and gone", "last"):
        tasks.append(spawn(work(name), name))
        await asyncio.sleep(0)
    assert entered == ["one", "two"]
    tasks[2].cancel()
    tasks[0].cancel()  # its place goes to the next in line, who is cancelled before it can take it
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["one", "two", "last"]
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with places.place(0), places.place(0):
        pass
