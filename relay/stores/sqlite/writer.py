"""The one connection of a process that writes, and the commits that its callers share.

A transaction goes back and forth between two threads:

    thread   wait for the turn of this process, BEGIN
    loop     run everything that waits, each operation in a savepoint of its own
    thread   COMMIT (the fsync), give up the turn
    loop     tell the callers

What may wait (the file lock, the disk) is the thread's; what computes is the
event loop's.  A thread that computes beside a busy loop would ask for the
interpreter lock at every statement and get it 5 ms later, with the whole node
waiting behind it; measured: a tenth of the rate.

An operation that fails takes nobody with it and leaves nothing half-done.
Nobody hears of success before the commit is on the disk.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from relay.errors import StoreUnavailable
from relay.files import Turn
from relay.stores.sqlite.file import StoreFile, unavailable
from relay.stores.sqlite.schema import Identity

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection, float], T]
"""What is done inside a transaction, at a time of the store's clock."""

MOST_AT_ONCE = 256
SWEEP_EVERY = 1.0
_CLOSED = ("unreachable", "the store is closed")


@dataclass(slots=True, eq=False)
class _Waiting:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    answer: Any = None
    fault: Exception | None = None

    def tell(self) -> None:
        if self.future.done():  # the caller was cancelled or has lost patience
            return
        if self.fault is not None:
            self.future.set_exception(self.fault)
        else:
            self.future.set_result(self.answer)


class Writer:
    """Runs operations in order, each exactly once or not at all, for one event loop.

    `sweep` removes what nobody needs any more, a bounded amount at a time, and
    says whether there is more.
    """

    def __init__(
        self, file: StoreFile, identity: Identity, clock: Callable[[], float], patience: float, sweep: Operation[bool]
    ) -> None:
        self.failed = False  # whether the last transaction could not be committed
        self._file, self._identity, self._clock, self._patience, self._sweep = file, identity, clock, patience, sweep
        self._swept_at = 0.0
        self._waiting: deque[_Waiting] = deque()
        self._batch: list[_Waiting] = []
        self._is_under_way = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Future[None] | None = None  # somebody waits for the end
        self._is_closed = False
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._db = file.connect()
        self._turn = Turn(file.path.with_name(file.path.name + ".lock"))
        self._thread = threading.Thread(target=self._work, name="relay.db writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """Run the operation in the next transaction and return its answer once that is durable.

        Raises StoreUnavailable, or the ValueError that the operation raised.
        """
        if self._is_closed:
            raise StoreUnavailable(*_CLOSED)
        self._loop = loop = asyncio.get_running_loop()
        waiting = _Waiting(operation, loop.create_future())
        self._waiting.append(waiting)
        if not self._is_under_way:
            self._is_under_way = True
            self._steps.put(self._begin)
        timer = loop.call_later(self._patience, self._give_up, waiting.future)
        try:
            answer: T = await waiting.future
        finally:
            timer.cancel()
        return answer

    async def close(self) -> None:
        """Finish what waits, then let go of the file."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_under_way:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._steps.put(None)
        await asyncio.to_thread(self._thread.join)

    def _give_up(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_exception(StoreUnavailable("timeout", f"relay.db: no answer within {self._patience:g} s"))

    # In the thread

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step()
        self._db.close()
        self._turn.close()

    def _begin(self) -> None:
        try:
            self._turn.take()
            self._file.verify()
            self._db.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, OSError) as error:
            self._end(error)
        else:
            self._hop(self._operate)

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
            self._file.verify()
        except (sqlite3.Error, OSError) as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, fault: Exception | None) -> None:
        """Give up the turn, with nothing of a faulty transaction left."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            fault = fault or error
        self._turn.give_up()
        self._hop(lambda: self._conclude(fault))

    def _hop(self, step: Callable[[], None]) -> None:
        """Go on in the event loop."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(step)
        except RuntimeError:  # the loop has ended, and with it everybody who waited
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._turn.give_up()
            self._batch, self._is_under_way = [], False

    # In the event loop

    def _operate(self) -> None:
        while self._waiting and len(self._batch) < MOST_AT_ONCE:
            self._batch.append(self._waiting.popleft())
        try:
            self._identity.require(self._db)
            now = self._clock()
            for waiting in self._batch:
                self._attempt(waiting, now)
            self._tidy(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, everybody in the transaction must hear of it
            fault = error
            self._steps.put(lambda: self._end(fault))
        else:
            self._steps.put(self._commit)

    def _attempt(self, waiting: _Waiting, now: float) -> None:
        if waiting.future.done():  # nobody waits for it any more
            return
        self._db.execute("SAVEPOINT attempt")
        try:
            waiting.answer = waiting.operation(self._db, now)
        except Exception as error:
            if not self._db.in_transaction:  # SQLite gave up the whole transaction: a full disk, an I/O error
                raise
            self._db.execute("ROLLBACK TO attempt")
            waiting.fault = _named(error)
        self._db.execute("RELEASE attempt")

    def _tidy(self, now: float) -> None:
        if abs(now - self._swept_at) >= SWEEP_EVERY and not self._sweep(self._db, now):
            self._swept_at = now

    def _conclude(self, fault: Exception | None) -> None:
        self.failed = fault is not None
        if fault is not None:
            self._batch += self._waiting  # those who came meanwhile would only meet the same fault
            self._waiting.clear()
        batch, self._batch = self._batch, []
        for waiting in batch:
            waiting.fault = _named(fault) if fault is not None else waiting.fault
            waiting.tell()
        if self._waiting:
            self._steps.put(self._begin)
            return
        self._is_under_way = False
        if self._idle is not None:
            self._idle.set_result(None)


def _named(error: Exception) -> Exception:
    """The fault as one caller may see it: StoreUnavailable, or what the operation itself refused."""
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(error.reason, str(error))
    if isinstance(error, OverflowError):
        return ValueError(str(error))
    return unavailable(error) if isinstance(error, sqlite3.Error | OSError) else error
