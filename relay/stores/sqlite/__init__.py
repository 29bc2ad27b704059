"""The embedded store: one file, relay.db, for one node with any number of processes."""

from relay.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
