"""Suppressions and consents, inside a transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from relay.policy.suppression import Digest, Reason, Suppression
from relay.stores.contracts import ConsentEvent
from relay.stores.entries import gravest_first, lifted_by, require_liftable

Place = tuple[bytes, str, str, int]
"""Where an entry lies in the order of the table."""

START: Place = (b"", "", "", 0)
_COLUMNS = "digest, scope, reason, origin, at, sealed, note, expires_at, lifted_at, lifted_by, again_at, consented_at"
_IN_FORCE = "lifted_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"
_AT_ONCE = 200  # digests in one statement
_INTO = f"INTO suppressions ({_COLUMNS}, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LAST = """
SELECT number, coalesce(consented_at, lifted_at), expires_at FROM suppressions
 WHERE digest = ? AND scope = ? AND reason = ? ORDER BY number DESC LIMIT 1
"""
_SAID_AGAIN = """
UPDATE suppressions SET again_at = :again
 WHERE digest = :digest AND scope = :scope AND reason = :reason AND number = :number AND coalesce(again_at, at) < :again
"""
_CONSENT_COLUMNS = "id, digest, sealed, event, at, recorded_at, evidence, by"
_KEEP_CONSENT = f"INSERT OR IGNORE INTO consents ({_CONSENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


def find(db: sqlite3.Connection, now: float, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
    """All entries in force on each recipient, gravest first."""
    digests = list({digest for generations in recipients for digest in generations})
    found: dict[Digest, list[Suppression]] = {}
    for start in range(0, len(digests), _AT_ONCE):
        part = digests[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        for row in db.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE digest IN ({marks}) AND {_IN_FORCE}", (*part, now)):  # noqa: S608 - marks only
            found.setdefault(row[0], []).append(_entry(row))
    if not found:
        return [()] * len(recipients)
    return [gravest_first(e for digest in generations for e in found.get(digest, ())) for generations in recipients]


def record(db: sqlite3.Connection, now: float, entry: Suppression) -> bool:
    """Record the entry unless one is in force, or its lifting answers it too, or it has expired like the one before."""
    if db.execute(f"INSERT OR IGNORE {_INTO}", (*_values(entry), 1)).rowcount:
        return True
    place = {"digest": entry.digest, "scope": entry.scope, "reason": entry.reason.value}
    number, answered_at, expires_at = db.execute(_LAST, tuple(place.values())).fetchone()
    if answered_at is not None:
        is_new = entry.last_at > float(answered_at)
    else:
        has_expired = expires_at is not None and float(expires_at) <= now
        is_new = has_expired and (entry.expires_at is None or entry.expires_at > now)
    if is_new:
        db.execute(f"INSERT {_INTO}", (*_values(entry), number + 1))
    elif answered_at is None:
        db.execute(_SAID_AGAIN, {**place, "number": number, "again": entry.last_at})
    return is_new


def record_many(db: sqlite3.Connection, now: float, entries: Iterable[Suppression]) -> int:
    return sum(record(db, now, entry) for entry in entries)


def lift(
    db: sqlite3.Connection,
    now: float,
    digests: Sequence[Digest],
    scope: str,
    reason: Reason,
    consent: ConsentEvent | None,
    note: str,
) -> bool:
    """Lift what is in force under any of the digests, and keep the consent. Raises ValueError without a later one."""
    found = [e for entries in find(db, now, [digests]) for e in entries if e.scope == scope and e.reason is reason]
    require_liftable(found, consent)
    for entry in found:
        db.execute(
            "UPDATE suppressions SET lifted_at = max(coalesce(again_at, at), ?), lifted_by = ?, consented_at = ?"
            " WHERE digest = ? AND scope = ? AND reason = ? AND lifted_at IS NULL",
            (now, lifted_by(consent, note), consent and consent.at, entry.digest, scope, reason.value),
        )
    if found and consent is not None:
        db.execute(_KEEP_CONSENT, astuple(consent))
    return bool(found)


def history(db: sqlite3.Connection, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
    """Everything ever recorded on a mailbox, oldest first."""
    entries: list[Suppression] = []
    consents: list[ConsentEvent] = []
    for digest in dict.fromkeys(digests):
        entries += map(_entry, db.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE digest = ?", (digest,)))  # noqa: S608 - column names
        rows = db.execute(
            "SELECT id, digest, sealed, event, at, recorded_at, evidence, by FROM consents WHERE digest = ?", (digest,)
        )
        consents += [ConsentEvent(*row) for row in rows]
    return sorted(entries, key=lambda e: e.at), sorted(consents, key=lambda c: c.recorded_at)


def page(db: sqlite3.Connection, after: Place, size: int) -> tuple[list[Suppression], Place]:
    """The next entries in the order of the table, and where the last of them lies."""
    rows = db.execute(
        f"SELECT {_COLUMNS}, number FROM suppressions WHERE (digest, scope, reason, number) > (?, ?, ?, ?)"  # noqa: S608 - column names
        " ORDER BY digest, scope, reason, number LIMIT ?",
        (*after, size),
    ).fetchall()
    place = (rows[-1][0], rows[-1][1], rows[-1][2], rows[-1][-1]) if rows else after
    return [_entry(row) for row in rows], place


def count(db: sqlite3.Connection, now: float) -> dict[tuple[str, str], int]:
    """Entries in force by (reason, scope)."""
    rows = db.execute(f"SELECT reason, scope, count(*) FROM suppressions WHERE {_IN_FORCE} GROUP BY reason, scope", (now,))  # noqa: S608
    return {(reason, scope): number for reason, scope, number in rows}


def _values(entry: Suppression) -> tuple[Any, ...]:
    return (
        entry.digest, entry.scope, entry.reason.value, entry.origin, entry.at, entry.sealed, entry.note,
        entry.expires_at, entry.lifted_at, entry.lifted_by, entry.again_at, entry.consented_at,
    )  # fmt: skip


def _entry(row: tuple[Any, ...]) -> Suppression:
    return Suppression(row[0], row[1], Reason(row[2]), *row[3:12])
