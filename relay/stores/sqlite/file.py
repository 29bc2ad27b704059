"""relay.db as a file: opened so that a commit is kept, queued for by all writers, watched while it is open."""

import os
import sqlite3
from pathlib import Path

from relay.errors import StoreUnavailable
from relay.writeahead import LOG_PRAGMA

BUSY_SECONDS = 5.0
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = FAST",
    LOG_PRAGMA,
)
_REASONS = {
    sqlite3.SQLITE_FULL: "disk",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_READONLY: "disk",
    sqlite3.SQLITE_CORRUPT: "disk",
    sqlite3.SQLITE_NOMEM: "disk",
    sqlite3.SQLITE_BUSY: "timeout",
    sqlite3.SQLITE_LOCKED: "timeout",
    sqlite3.SQLITE_NOTADB: "foreign",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def unavailable(error: sqlite3.Error | OSError) -> StoreUnavailable:
    """What a fault of SQLite or of the file system means to the relay; it may have been told in its words already."""
    if isinstance(error, StoreUnavailable):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, OSError) or code is None:
        return StoreUnavailable("disk" if isinstance(error, OSError) else "unreachable", f"relay.db: {error}")
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return StoreUnavailable("removed", "relay.db was removed or replaced while it was open")
    remedy = "; stop the relay and restore the backup" if code & 0xFF in _DAMAGED else ""
    return StoreUnavailable(_REASONS.get(code & 0xFF, "unreachable"), f"relay.db: {error}{remedy}")


def has(db: sqlite3.Connection, name: str) -> bool:
    """Whether the file has a table, or an index, of this name."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


class StoreFile:
    """One file. `verify` tells when it is no longer the one that was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = (os.fspath(path), f"{path}-wal")  # text, since they are looked up in every transaction
        self._opened: tuple[tuple[int, int], ...] = ()

    def connect(self) -> sqlite3.Connection:
        """A connection in autocommit mode that any one thread at a time may use. The file must exist."""
        db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512,
        )  # fmt: skip
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def remember(self) -> None:
        """From now on this is the file that `verify` expects. Needs an open connection."""
        self._opened = self._look()

    def verify(self) -> None:
        """Raise StoreUnavailable when the file or its write-ahead log was removed or replaced."""
        if self._look() != self._opened:
            raise StoreUnavailable(
                "removed", "relay.db was removed or replaced while it was open; restart the relay when it is back"
            )

    def _look(self) -> tuple[tuple[int, int], ...]:
        try:
            main, log = map(os.stat, self._names)
        except FileNotFoundError:
            return ()
        return (main.st_dev, main.st_ino), (log.st_dev, log.st_ino)


def _prepare(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreUnavailable("durability", "this file system cannot keep a write-ahead log; use a local disk")
    for pragma in _PRAGMAS:
        db.execute(pragma)
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the write-ahead log
