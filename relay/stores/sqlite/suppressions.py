"""Suppressions, inside a transaction."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.stores.entries import entry_of, gravest_first, lifted_by, require_liftable, row_of
from relay.stores.lookup import NOTHING, Found
from relay.stores.sqlite import consents
from relay.stores.sqlite.many import all_of, in_parts
from relay.stores.sqlite.numbers import Withdrawing
from relay.stores.suppressions import EntryRow, Octets

Place = tuple[bytes, str, str, int]
"""Where an entry lies in the order of the table."""

START: Place = (b"", "", "", 0)
_COLUMNS = (
    "digest, scope, reason, origin, at, sealed, note, expires_at, lifted_at, lifted_by, again_at, consented_at,"
    " sequence, in_flight"
)
_IN_FORCE = "lifted_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"
_TOGETHER = 100  # rows between two looks at the clock
_SAID = "digest, scope, reason, origin, at, sealed, note"
_INTO = f"INTO suppressions ({_SAID}, expires_at, again_at, number, sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?"
_UNLESS_KNOWN = f"INSERT OR IGNORE {_INTO}, 1, "
_ONCE_MORE = f"INSERT {_INTO}, ?, ?)"
_SHORT = f"INSERT OR IGNORE INTO suppressions ({_SAID}, number, sequence) VALUES (?, ?, ?, ?, ?, ?, ?, 1, "  # noqa: S608
_NAME_IN_FLIGHT = "UPDATE suppressions SET in_flight = ? WHERE digest = ? AND sequence = ?"
_LAST = """
SELECT number, coalesce(consented_at, lifted_at), expires_at FROM suppressions
 WHERE digest = ? AND scope = ? AND reason = ? ORDER BY number DESC LIMIT 1
"""
_SAID_AGAIN = """
UPDATE suppressions SET again_at = :again
 WHERE digest = :digest AND scope = :scope AND reason = :reason AND number = :number AND coalesce(again_at, at) < :again
"""


def find(db: sqlite3.Connection, now: float, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
    """All entries in force on each recipient, gravest first."""
    found: dict[Digest, list[Suppression]] = {}
    for marks, part in in_parts(all_of(recipients)):
        for row in db.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE digest IN ({marks}) AND {_IN_FORCE}", (*part, now)):  # noqa: S608 - marks only
            found.setdefault(row[0], []).append(_entry(row))
    if not found:
        return [()] * len(recipients)
    return [gravest_first(e for digest in generations for e in found.get(digest, ())) for generations in recipients]


def look_up(db: sqlite3.Connection, now: float, recipients: Sequence[Sequence[Digest]], *, with_consents: bool) -> list[Found]:
    """All entries in force on each recipient, what each agreed to if that is asked, and where each is."""
    entries = find(db, now, recipients)
    events = consents.find(db, recipients) if with_consents else consents.naming_country(db, recipients)
    there = zip(entries, events, strict=True)
    return [Found.of(some, told, with_consents=with_consents) if some or told else NOTHING for some, told in there]


def record(db: sqlite3.Connection, now: float, entry: Suppression) -> bool:
    """Record the entry unless one is in force, or its lifting answers it too, or it has expired like the one before."""
    return record_many(db, now, [entry]) == 1


def record_many(db: sqlite3.Connection, now: float, entries: Iterable[Suppression]) -> int:
    step = Withdrawing(db, now)
    return step.end(sum(_record(db, now, entry, step) for entry in entries))


def _record(db: sqlite3.Connection, now: float, entry: Suppression, step: Withdrawing) -> bool:
    is_new = _insert(db, now, entry, step.number)
    if is_new and (in_flight := step.in_flight(entry.digest)):
        db.execute(_NAME_IN_FLIGHT, (in_flight, entry.digest, step.number))
    return is_new


def _insert(db: sqlite3.Connection, now: float, entry: Suppression, sequence: int) -> bool:
    """Whether it was not in force yet, nor answered."""
    if db.execute(f"{_UNLESS_KNOWN}?)", (*row_of(entry), sequence)).rowcount:
        return True
    place = {"digest": entry.digest, "scope": entry.scope, "reason": entry.reason.value}
    number, answered_at, expires_at = db.execute(_LAST, tuple(place.values())).fetchone()
    if answered_at is not None:
        is_new = entry.last_at > float(answered_at)
    else:
        has_expired = expires_at is not None and float(expires_at) <= now
        is_new = has_expired and (entry.expires_at is None or entry.expires_at > now)
    if is_new:
        db.execute(_ONCE_MORE, (*row_of(entry), number + 1, sequence))
    elif answered_at is None:
        db.execute(_SAID_AGAIN, {**place, "number": number, "again": entry.last_at})
    return is_new


def record_some(db: sqlite3.Connection, now: float, rows: Sequence[EntryRow], seconds: float) -> tuple[int, int]:
    """Record as many of the rows as the time allows; how many that were, and how many of them were new."""
    until, step = time.monotonic() + seconds, Withdrawing(db, now)
    done = new = 0
    are_known = False
    while done < len(rows) and (not done or time.monotonic() < until):
        some = rows[done : done + _TOGETHER]
        of_them = _record_rows(db, now, some, step, are_known=are_known)
        are_known = of_them < len(some) // 2  # a list that comes again: so are the next
        done, new = done + len(some), new + of_them
    if step.end(new):
        for digest in step.reached(row[0] for row in rows[:done]):
            db.execute(_NAME_IN_FLIGHT, (step.in_flight(digest), digest, step.number))
    return done, new


def _record_rows(db: sqlite3.Connection, now: float, rows: Sequence[EntryRow], step: Withdrawing, *, are_known: bool) -> int:
    """`record` for each, without a question of its own about those of which nothing was known or that say nothing new.

    `are_known` is a guess: most of them need not be tried to insert.
    """
    new = 0 if are_known else _insert_rows(db, rows, step.number)
    if new == len(rows):
        return new
    said = _last_said(db, [row[0] for row in rows])
    for row in rows:
        said_at = said.get((bytes(row[0]), row[1], row[2]))
        if said_at is None or said_at < (row[4] if len(row) == 7 else entry_of(row).last_at):
            new += _record(db, now, entry_of(row), step)
    return new


def _insert_rows(db: sqlite3.Connection, rows: Sequence[EntryRow], sequence: int) -> int:
    """How many were inserted. For None and bytes sqlite3 seeks an adapter, for a bytearray not: that takes half of the time.

    The step's number is part of the statement, so that the rows go in as they came.
    """
    lengths = set(map(len, rows))
    if lengths == {7}:
        return db.executemany(f"{_SHORT}{sequence})", rows).rowcount
    whole = rows if lengths == {9} else [(*row, None, None)[:9] for row in rows]
    return db.executemany(f"{_UNLESS_KNOWN}{sequence})", whole).rowcount


def _last_said(db: sqlite3.Connection, digests: Sequence[Octets]) -> dict[tuple[Digest, str, str], float]:
    """When it was said last, of all entries that are in force for good; none comes after such a one until it is lifted."""
    rows = db.execute(
        "SELECT digest, scope, reason, coalesce(again_at, at) FROM suppressions"  # noqa: S608 - marks only
        f" WHERE digest IN ({','.join('?' * len(digests))}) AND lifted_at IS NULL AND expires_at IS NULL",
        digests,
    )
    return {(digest, scope, reason): at for digest, scope, reason, at in rows}


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
        consents.record(db, [consent])
    return bool(found)


def history(db: sqlite3.Connection, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
    """Everything ever recorded on a mailbox, oldest first."""
    entries: list[Suppression] = []
    for digest in dict.fromkeys(digests):
        entries += map(_entry, db.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE digest = ?", (digest,)))  # noqa: S608 - column names
    (events,) = consents.find(db, [digests])
    return sorted(entries, key=lambda e: e.at), list(events)


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


def _entry(row: tuple[Any, ...]) -> Suppression:
    rest = *row[3:12], row[12] or 0, tuple((row[13] or "").split())
    return Suppression(row[0], row[1], Reason(row[2]), *rest)
