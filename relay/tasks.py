"""Background tasks that are kept, named, and whose failure is heard; turns at what holds the loop; alarms.

asyncio holds tasks by weak reference only, and a task that nobody awaits
swallows its exception; both lose work silently.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")
_IN_A_PASS = 50  # steps of about a tenth of a millisecond
_EARLY = 0.001  # seconds that a timer may be early: the loop counts in milliseconds
_running: set[asyncio.Task[Any]] = set()
_log = logging.getLogger("relay.tasks")


def spawn(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run the coroutine as a task that lives until it ends and logs what it raises."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s failed", task.get_name(), exc_info=error)


async def sheltered(task: asyncio.Future[T]) -> T:
    """What the task comes to; it goes on when whoever waits for it goes away."""
    return task.result() if task.done() else await asyncio.shield(task)


async def in_steps(make: Callable[[S], T], of: Iterable[S]) -> list[T]:
    """Make one of each, in order; so many at a time that everybody else is heard in between."""
    made: list[T] = []
    for one in of:
        made.append(make(one))
        if len(made) % _IN_A_PASS == 0:
            await asyncio.sleep(0)
    return made


async def beside(work: Callable[[], T], *, size: int) -> T:
    """Do it at once where it is about few; else in a thread, so that everybody else is heard meanwhile."""
    return work() if size <= _IN_A_PASS else await asyncio.to_thread(work)


class Turns:
    """One in every pass of the loop, first come first served.

    What takes a millisecond each, asked for by a hundred at once, would keep everybody else waiting for a hundred.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return when nobody else has the turn of this pass."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            self._waiting.append(loop.create_future())
            await self._waiting[-1]
        else:
            self._is_taken = True
            loop.call_soon(self._pass_on, loop)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # who was cancelled has no turn
                waiter.set_result(None)
                loop.call_soon(self._pass_on, loop)
                return
        self._is_taken = False


class Places:
    """So many at a time; who waits is let in by rank, the lowest first, and within a rank by arrival."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._arrivals = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def place(self, rank: int) -> AsyncIterator[None]:
        """Wait for a place and keep it for the block."""
        if self._free:
            self._free -= 1
        else:
            place = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (rank, next(self._arrivals), place))
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():  # it was let in at the same moment
                    self._leave()
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        while self._waiting:
            *_, place = heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Alarm:
    """One thing to do at a time that is put off, or comes to nothing, far more often than it comes.

    The timer is left running and looks, when its time is up, whether there is still something to do, and when.  Times are of
    the loop's clock.
    """

    __slots__ = ("_at", "_call", "_due", "_timer")

    def __init__(self) -> None:
        self._due = 0.0
        self._call: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf  # when the timer is up; infinite without one

    def set(self, due: float, call: Callable[[], object]) -> None:
        """Call this then, in place of what was asked for before."""
        self._due, self._call = due, call
        if due < self._at - _EARLY:
            self._start()

    def silence(self) -> None:
        """There is nothing to do, for now."""
        self._call = None

    def cancel(self) -> None:
        """There will be nothing to do any more."""
        self._call = None
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = self._due
        self._timer = asyncio.get_running_loop().call_at(self._due, self._look)

    def _look(self) -> None:
        call, self._timer, self._at = self._call, None, math.inf
        if call is None:
            return
        if self._due > asyncio.get_running_loop().time() + _EARLY:
            self._start()
        else:
            self._call = None
            call()
