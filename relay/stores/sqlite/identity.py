"""Who a relay.db says it is, and whether that is the store which this process expects."""

import sqlite3

from relay.errors import StoreUnavailable
from relay.stores.contracts import StoreMeta
from relay.stores.sqlite.file import has


def write_meta(db: sqlite3.Connection, meta: StoreMeta) -> None:
    """Let a new file say who it is."""
    db.execute("INSERT INTO meta VALUES (1, ?, ?, ?, NULL)", (meta.store_id, meta.schema, _lines(meta.fingerprints)))


def read_meta(db: sqlite3.Connection) -> StoreMeta:
    """Who this file says it is. Raises StoreUnavailable when it says nothing."""
    if not has(db, "meta"):
        raise StoreUnavailable("empty", "the store has lost its tables; restore the backup")
    row = db.execute("SELECT store_id, schema, fingerprints FROM meta").fetchone()
    if row is None:
        raise StoreUnavailable("empty", "the store does not know who it is; restore the backup")
    return StoreMeta(row[0], row[1], frozenset(row[2].split()))


def add_fingerprints(db: sqlite3.Connection, fingerprints: frozenset[str]) -> None:
    """Let the meta name these generations too."""
    (known,) = db.execute("SELECT fingerprints FROM meta").fetchone()
    db.execute("UPDATE meta SET fingerprints = ?", (_lines(fingerprints.union(known.split())),))


def try_disk(db: sqlite3.Connection, now: float) -> None:
    """Change something, so that the commit has something to write."""
    db.execute("UPDATE meta SET tried_at = ?", (now,))


class Identity:
    """Compares the meta with what this process expects; asked in every transaction."""

    def __init__(self, expected: StoreMeta) -> None:
        self.expected = expected
        self._accepted: tuple[str, int, str] | None = None

    def require(self, db: sqlite3.Connection) -> None:
        """Raise StoreUnavailable unless this is our store, written with keys that we have."""
        row = db.execute("SELECT store_id, schema, fingerprints FROM meta").fetchone()
        if row is None or row != self._accepted:
            _require_same(read_meta(db), self.expected)
            self._accepted = row


def _require_same(found: StoreMeta, expected: StoreMeta) -> None:
    """Raise StoreUnavailable unless `found` is the expected store and all its key generations are at hand."""
    if found.store_id != expected.store_id:
        raise StoreUnavailable("foreign", f"this is store {found.store_id}, not {expected.store_id}")
    if found.schema != expected.schema:
        raise StoreUnavailable("schema", f"the store has schema {found.schema}, this version reads {expected.schema}")
    if lacking := found.fingerprints - expected.fingerprints:
        raise StoreUnavailable(
            "keys", f"the key file lacks generations that the store was written with: {' '.join(sorted(lacking))}"
        )


def _lines(fingerprints: frozenset[str]) -> str:
    return "\n".join(sorted(fingerprints))
