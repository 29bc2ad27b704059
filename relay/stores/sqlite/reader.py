"""The one connection of a process that reads: on the event loop, beside the writers of all processes."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from relay.errors import StoreUnavailable
from relay.stores.sqlite.file import StoreFile, unavailable
from relay.stores.sqlite.identity import Identity
from relay.stores.sqlite.writer import Operation

T = TypeVar("T")


class Reader:
    """Runs queries on an open connection; `failed` is told of each that the file could not answer."""

    def __init__(
        self,
        db: sqlite3.Connection,
        file: StoreFile,
        identity: Identity,
        clock: Callable[[], float],
        failed: Callable[[], None],
    ) -> None:
        self.db: sqlite3.Connection | None = db
        self._file, self._identity, self._clock, self._failed = file, identity, clock, failed

    def read(self, query: Operation[T]) -> T:
        """Run one short indexed query; who the store is, is asked afterwards, since what it has lost it does not get back.

        Raises StoreUnavailable.
        """
        if self.db is None:
            raise StoreUnavailable("unreachable", "the store is closed")
        try:
            try:
                answer = query(self.db, self._clock())
            finally:  # a store that has lost its tables says so, whatever the query said
                self._tell_apart(self.db)
            self._file.verify()
        except (sqlite3.Error, OSError) as error:
            self._failed()
            raise unavailable(error) from None
        return answer

    def snapshot(self, query: Operation[T]) -> T:
        """Run some short indexed queries that must agree with each other, or of which each would lock the file for itself.

        Raises StoreUnavailable.
        """

        def together(db: sqlite3.Connection, now: float) -> T:
            db.execute("BEGIN")  # `read` ends it: who the store is, is asked of the same moment
            return query(db, now)

        return self.read(together)

    def check(self) -> None:
        """Raise StoreUnavailable when the file is not there, or is not our store any more."""
        self.read(_nothing)

    async def aside(self, query: Operation[T]) -> T:
        """Run a query over millions of rows, which takes a second: in a thread, with a connection of its own.

        Raises StoreUnavailable.
        """
        self.check()
        return await asyncio.to_thread(self._aside, query)

    def close(self) -> None:
        """Let go of the file."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def _tell_apart(self, db: sqlite3.Connection) -> None:
        """Make sure that it is our store, and end the transaction of a snapshot."""
        try:
            self._identity.require(db)
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    def _aside(self, query: Operation[T]) -> T:
        try:
            with closing(self._file.connect()) as db:
                return query(db, self._clock())
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None


def _nothing(db: sqlite3.Connection, now: float) -> None:
    """What is asked when only the store itself matters."""
