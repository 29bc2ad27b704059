"""What is adapted because of upstreams' replies, inside a transaction."""

import sqlite3

from relay.policy.suppressions.suppression import Digest
from relay.stores.adaptations import MOST, NEVER, Adaptation, Kind, Scope

_KEEP = """
INSERT OR REPLACE INTO adaptations (key, kind, upstream, scope, sealed, since, until, value, login, reply_class, said, by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ALL = "SELECT key, kind, upstream, scope, sealed, since, until, value, login, reply_class, said, by FROM adaptations"
_IN_FORCE = "(until IS NULL OR until > ?)"
_ENDED = "WHERE until <= ?"


def adaptations(db: sqlite3.Connection, now: float) -> list[Adaptation]:
    """Those in force."""
    return [_adaptation(row) for row in db.execute(f"{_ALL} WHERE {_IN_FORCE}", (now,))]


def adapt(db: sqlite3.Connection, now: float, new: Adaptation) -> bool:
    """Keep it unless one as strong is in force, or there are too many others."""
    before = _find(db, now, new.key)
    if before is not None and not new.outdoes(before):
        return False
    (others,) = db.execute("SELECT count(*) FROM adaptations WHERE key <> ?", (new.key,)).fetchone()
    if others >= MOST:
        return False
    until = None if new.until == NEVER else new.until
    facts = (new.key, new.kind, new.upstream, new.scope, new.sealed, new.since, until, new.value, new.login)
    db.execute(_KEEP, (*facts, new.reply_class, new.said, new.by))
    return True


def end(db: sqlite3.Connection, now: float, key: Digest) -> Adaptation | None:
    """Forget the one in force."""
    ended = _find(db, now, key)
    if ended is not None:
        db.execute("DELETE FROM adaptations WHERE key = ?", (key,))
    return ended


def has_ended(db: sqlite3.Connection, now: float) -> bool:
    """Whether the time of any is over."""
    return db.execute(f"{_ALL} {_ENDED} LIMIT 1", (now,)).fetchone() is not None


def take_ended(db: sqlite3.Connection, now: float) -> list[Adaptation]:
    """Forget and return those whose time is over."""
    rows = db.execute(f"{_ALL} {_ENDED}", (now,)).fetchall()
    db.execute("DELETE FROM adaptations WHERE until <= ?", (now,))
    return [_adaptation(row) for row in rows]


def _find(db: sqlite3.Connection, now: float, key: Digest) -> Adaptation | None:
    row = db.execute(f"{_ALL} WHERE key = ? AND {_IN_FORCE}", (key, now)).fetchone()
    return _adaptation(row) if row else None


def _adaptation(row: tuple[bytes, str, str, str, bytes, float, float | None, int, bytes, str, str, str]) -> Adaptation:
    key, kind, upstream, scope, sealed, since, until, value, login, reply_class, said, by = row
    ends = NEVER if until is None else until
    return Adaptation(key, Kind(kind), upstream, Scope(scope), sealed, since, ends, value, login, reply_class, said, by)
