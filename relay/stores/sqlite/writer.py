"""The one connection of a process that writes, and the transactions that its callers share (`relay.commits`).

An operation that fails takes nobody with it and leaves nothing half-done.
Nobody hears of success before the commit is on the disk, unless the operation
says that it need not be (`relay.commits`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from relay.commits import Commits, Unserved
from relay.errors import StoreUnavailable
from relay.files import Turn
from relay.stores.sqlite.file import StoreFile, unavailable
from relay.stores.sqlite.identity import Identity
from relay.writeahead import WRITER_PRAGMAS, WriteAheadLog, WriterInTurn

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection, float], T]
"""What is done inside a transaction, at a time of the store's clock. It may be done anew after a roll-back."""

SWEEP_EVERY = 1.0
_UNSERVED = {"closed": "unreachable", "crowded": "timeout", "late": "timeout"}


class Writer(WriterInTurn):
    """Runs operations in order, each exactly once or not at all, for one event loop.

    `sweep` removes what nobody needs any more, a bounded amount at a time, and
    says whether there is more.
    """

    def __init__(
        self, file: StoreFile, identity: Identity, clock: Callable[[], float], patience: float, sweep: Operation[bool]
    ) -> None:
        self.failed = False  # whether the last transaction could not be committed, or not all of it
        self._is_whole = True  # whether the transaction that `confirm` speaks of did all it was asked, and nothing failed since
        self._file, self._identity, self._clock, self._sweep = file, identity, clock, sweep
        self._swept_at = 0.0
        self._is_closed = False
        connection = file.connect()
        for pragma in WRITER_PRAGMAS:
            connection.execute(pragma)
        turn = Turn(file.path.with_name(file.path.name + ".lock"))
        super().__init__(connection, turn, WriteAheadLog(file.path, file.connect, turn))
        self._commits: Commits[Operation[Any], Any] = Commits(self, file.path.name, patience=patience, for_absent=False)

    def run(self, operation: Operation[T], *, durable: bool = True) -> Coroutine[Any, Any, T]:
        """Run the operation in the next transaction and return its answer once that is durable, or committed (`relay.commits`).

        Raises StoreUnavailable, or the ValueError that the operation raised.
        """
        return self._commits.submit(operation, durable=durable)

    async def close(self) -> None:
        """Finish what waits, then let go of the file."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._commits.finish()
        await asyncio.to_thread(self._commits.close)
        self._log.close()
        self._connection.close()
        self._turn.close()

    def fail(self) -> None:
        """Count as failed until a transaction after this has been committed; that an older one reaches the disk mends nothing."""
        self.failed, self._is_whole = True, False

    # The steps of a transaction that the store has of its own (`relay.commits.Medium`)

    def write(self, jobs: Sequence[Operation[Any]]) -> Sequence[Any]:
        """Do all of them together; when one fails, do each by itself instead."""
        self._identity.require(self._connection)
        now = self._clock()
        try:
            answers = [operation(self._connection, now) for operation in jobs]
        except Exception:
            if not self._connection.in_transaction:  # SQLite gave up the whole transaction: a full disk, an I/O error
                raise
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")  # it is our turn still
            answers = [self._attempt(operation, now) for operation in jobs]
        self._is_whole = not any(isinstance(answer, StoreUnavailable) for answer in answers)
        self._tidy(now)
        return answers

    def confirm(self) -> None:
        """What was committed to a file that is gone was not written."""
        self.failed = True
        self._file.verify()
        self.failed = not self._is_whole

    def abandon(self) -> None:
        """Leave nothing of an open transaction."""
        self.fail()
        super().abandon()

    def told(self, fault: Exception) -> Exception:
        """StoreUnavailable, or what the operation itself refused."""
        if isinstance(fault, Unserved):
            return StoreUnavailable(_UNSERVED[fault.reason], str(fault))
        if isinstance(fault, StoreUnavailable):
            return StoreUnavailable(fault.reason, str(fault))
        if isinstance(fault, OverflowError):
            return ValueError(str(fault))
        return unavailable(fault) if isinstance(fault, sqlite3.Error | OSError) else fault

    def _attempt(self, operation: Operation[Any], now: float) -> Any:
        self._connection.execute("SAVEPOINT attempt")
        try:
            answer = operation(self._connection, now)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO attempt")
            answer = self.told(error)
        self._connection.execute("RELEASE attempt")
        return answer

    def _tidy(self, now: float) -> None:
        if abs(now - self._swept_at) >= SWEEP_EVERY and not self._sweep(self._connection, now):
            self._swept_at = now
