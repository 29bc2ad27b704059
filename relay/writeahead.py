"""The write-ahead log of a database whose writers commit first and wait for the disk afterwards.

A writer's connection has `synchronous = NORMAL`: SQLite then puts a commit
into the page cache and waits for the disk only at a checkpoint, in the right
order.  What makes a commit durable is one fdatasync of the log, which also
keeps everything that any process committed before it.  So the writers' lock is
held while pages are written and not while the disk turns.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from relay.commits import begin_immediate
from relay.files import Turn

WRITER_PRAGMAS = ("PRAGMA busy_timeout = 0", "PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 0")
"""For the connection whose commits `sync` makes durable; it never waits in SQLite, and never checkpoints in the loop."""

CHECKPOINT_EVERY = 400
"""Commits of one process between two checkpoints; after ordinary ones the log has a few megabytes then."""

LARGEST = 64 * 1024 * 1024
"""Octets of the log at which no commit waits for the next checkpoint: those of an import are large, and while the disk takes in
what one checkpoint brings home, every commit on it waits."""

LOG_PRAGMA = f"PRAGMA journal_size_limit = {LARGEST // 2}"
"""For every connection: what is left of a log that begins anew. With more, one that was large once would be brought home after
every commit."""

_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have no fdatasync


class WriteAheadLog:
    """One process's hold on the log of one database. Make it while a connection is open; use `sync` from one thread."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection], turn: Turn) -> None:
        """Raises OSError or sqlite3.Error."""
        self._turn = turn
        self._commits = 0
        self._fault = ""
        self._descriptor = os.open(f"{path}-wal", os.O_RDWR)
        try:
            self._connection = connect()
        except BaseException:
            os.close(self._descriptor)
            raise

    def require(self) -> None:
        """Raises OSError once the disk has failed: what it says of earlier pages cannot be believed any more."""
        if self._fault:
            raise OSError(f"the disk failed to keep what was written ({self._fault}); look at the disk, then restart the relay")

    def committed(self) -> bool:
        """Count a commit; whether it is time for a `sync`, which also keeps the log from growing."""
        self._commits += 1
        return self._commits >= CHECKPOINT_EVERY

    def sync(self) -> None:
        """Return when every commit so far is on the disk. Raises OSError."""
        self.require()
        try:
            _sync_data(self._descriptor)
        except OSError as fault:
            self._fault = str(fault)
            self.require()
        if self._commits >= CHECKPOINT_EVERY or os.fstat(self._descriptor).st_size > LARGEST:
            self._commits = 0
            self._checkpoint()

    def close(self) -> None:
        """Let go of the log."""
        self._connection.close()
        os.close(self._descriptor)

    def _checkpoint(self) -> None:
        """Bring the log home: the bulk beside the writers, the rest while none writes, so that the log begins anew."""
        with suppress(sqlite3.Error):  # the commits are safe in the log; the next checkpoint will do
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._turn.take()
            try:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                self._turn.give_up()


class WriterInTurn:
    """A writer of one database, whose transactions stand in line with those of all processes.

    These steps are alike whatever is written; the others, and what each is for: `relay.commits.Medium`.
    """

    def __init__(self, connection: sqlite3.Connection, turn: Turn, log: WriteAheadLog) -> None:
        self._connection = connection
        self._turn = turn
        self._log = log

    def begin(self, *, wait: bool) -> bool:
        """Stand in line with the writers of all processes, then open a transaction."""
        self._log.require()
        if not self._turn.take(wait=wait):
            return False
        if begin_immediate(self._connection, wait=wait):
            return True
        self._turn.give_up()
        return False

    def commit(self) -> bool:
        """Let everybody see it, and the next one write."""
        self._connection.execute("COMMIT")
        self._turn.give_up()
        return self._log.committed()

    def sync(self) -> None:
        """Make it durable."""
        self._log.sync()

    def abandon(self) -> None:
        """Leave nothing of an open transaction."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        with suppress(OSError):
            self._turn.give_up()
