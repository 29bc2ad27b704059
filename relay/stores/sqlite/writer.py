"""The one thread of a process that writes, and the commits that its callers share.

Whatever waits when the thread gets its turn goes into one transaction and one
fsync.  Each operation has a savepoint of its own: one that fails takes nobody
with it and leaves nothing half-done.  Nobody hears of success before the
commit is on the disk.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from relay.errors import StoreUnavailable
from relay.stores.sqlite.file import StoreFile, Turn, unavailable
from relay.stores.sqlite.schema import Identity

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection, float], T]
"""What is done inside a transaction, at a time of the store's clock."""

MOST_AT_ONCE = 256
SWEEP_EVERY = 1.0


@dataclass(slots=True, eq=False)
class _Waiting:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    answer: Any = None
    fault: Exception | None = field(default=None)

    def tell(self) -> None:
        if self.future.done():  # the caller was cancelled or has lost patience
            return
        if self.fault is not None:
            self.future.set_exception(self.fault)
        else:
            self.future.set_result(self.answer)


class Writer:
    """Runs operations, in order, each exactly once or not at all.

    `sweep` removes what nobody needs any more, a bounded amount at a time, and
    says whether there is more.
    """

    def __init__(
        self, file: StoreFile, identity: Identity, clock: Callable[[], float], patience: float, sweep: Operation[bool]
    ) -> None:
        self._file, self._identity, self._clock, self._patience, self._sweep = file, identity, clock, patience, sweep
        self._turn = Turn(file.path.with_name(file.path.name + ".lock"))
        self._db = file.connect()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        self._swept_at = 0.0
        self.failed = False  # whether the last transaction could not be committed
        self._thread = threading.Thread(target=self._work, name="relay.db writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """Run the operation in the next transaction and return its answer once that is durable.

        Raises StoreUnavailable, or the ValueError that the operation raised.
        """
        if self._closed:
            raise StoreUnavailable("unreachable", "the store is closed")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(operation, loop.create_future(), loop)
        timer = loop.call_later(self._patience, self._give_up, waiting.future)
        self._queue.put(waiting)
        try:
            answer: T = await waiting.future
        finally:
            timer.cancel()
        return answer

    async def close(self) -> None:
        """Finish what waits, then let go of the file."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _give_up(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_exception(StoreUnavailable("timeout", f"relay.db: no turn to write within {self._patience:g} s"))

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            try:
                self._transact(batch)
                self.failed = False
            except Exception as error:  # noqa: BLE001 - every fault goes to those who wait; the thread must live on
                self.failed = True
                self._roll_back()
                for waiting in batch:
                    waiting.fault = _named(error)
            _tell(batch)
        self._db.close()
        self._turn.close()

    def _transact(self, batch: list[_Waiting]) -> None:
        with self._turn:
            self._file.verify()
            self._gather(batch)
            self._db.execute("BEGIN IMMEDIATE")
            self._identity.require(self._db)
            now = self._clock()
            for waiting in batch:
                self._attempt(waiting, now)
            self._tidy(now)
            self._db.execute("COMMIT")
            self._file.verify()

    def _gather(self, batch: list[_Waiting]) -> None:
        """Add what came in while we stood in line."""
        try:
            while len(batch) < MOST_AT_ONCE:
                waiting = self._queue.get_nowait()
                if waiting is None:
                    self._queue.put(None)  # closed: nothing can come after it, so it stays the last
                    return
                batch.append(waiting)
        except Empty:
            return

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
        if abs(now - self._swept_at) < SWEEP_EVERY:
            return
        more = self._sweep(self._db, now)
        if not more:
            self._swept_at = now

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            return  # the transaction is gone already


def _named(error: Exception) -> Exception:
    """The fault as callers may see it: StoreUnavailable, or what the operation itself refused."""
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(error.reason, str(error))
    if isinstance(error, OverflowError):
        return ValueError(str(error))
    return unavailable(error) if isinstance(error, sqlite3.Error | OSError) else error


def _tell(batch: list[_Waiting]) -> None:
    """Wake the callers, once per event loop."""
    for loop in {waiting.loop for waiting in batch}:
        theirs = [waiting for waiting in batch if waiting.loop is loop]
        try:
            loop.call_soon_threadsafe(_tell_all, theirs)
        except RuntimeError:  # that loop has ended, and everybody who waited in it
            continue


def _tell_all(batch: list[_Waiting]) -> None:
    for waiting in batch:
        waiting.tell()
