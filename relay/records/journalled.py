"""The journal of refusals in the file of the records, inside the writer's transaction.

A row waits until the store has its refusal.  Then a record `applied` tells
under which number the store brought it in force, and which copies were on
their way at that moment; it has the id of the record of the refusal itself.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relay.policy.suppressions.suppression import Reason, Suppression
from relay.records import chain
from relay.records.chain import Line
from relay.records.kinds import Kind
from relay.records.suppressed import applied_record

ENTRY = "digest, scope, reason, origin, at, sealed, note, expires_at, again_at, sequence"
LAST_AT = "coalesce(again_at, at)"
_KEEP = f"INSERT INTO refusals ({ENTRY}, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)"  # noqa: S608 - column names
_SAY_AGAIN = f"""
UPDATE refusals SET again_at = max({LAST_AT}, :at), applied_at = NULL
 WHERE number = (
   SELECT max(number) FROM refusals WHERE digest = :digest AND scope = :scope AND reason = :reason
      AND ({LAST_AT} > :answered_at OR :answered_at IS NULL AND applied_at IS NULL)
 )
"""  # noqa: S608 - column names
_UNTOLD = "SELECT record FROM refusals WHERE number = ? AND sequence IS NOT ? AND record IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Said:
    """A refusal that may have been said before (`relay.records.append.Records.journal_refusal`)."""

    entry: Suppression
    answered_at: float | None


def is_said_again(connection: sqlite3.Connection, said: Said, record_id: str) -> bool:
    """Move the time on where the refusal is in the journal and unanswered; else write it there."""
    entry = said.entry
    place = {"digest": entry.digest, "scope": entry.scope, "reason": entry.reason.value}
    if connection.execute(_SAY_AGAIN, {**place, "at": entry.last_at, "answered_at": said.answered_at}).rowcount:
        return True
    connection.execute(_KEEP, _row(entry, record_id))
    return False


def keep(connection: sqlite3.Connection, entries: Sequence[Suppression], lines: Sequence[Line]) -> None:
    """Journal what follows from records; the lines about suppressions are those of the entries, in their order."""
    ids = iter([line.id for line in lines if line.kind is Kind.SUPPRESSED])
    connection.executemany(_KEEP, [_row(entry, next(ids, None)) for entry in entries])


def tell_applied(connection: sqlite3.Connection, carried: Sequence[tuple[int, Suppression]], now: float) -> Iterator[Line]:
    """The record of each refusal whose number in the store no record has told yet."""
    for number, entry in carried:
        found = connection.execute(_UNTOLD, (number, entry.number)).fetchone() if entry.number else None
        if found is not None:
            connection.execute("UPDATE refusals SET sequence = ? WHERE number = ?", (entry.number, number))
            yield chain.line_of(applied_record(found[0], now, entry))


def entry_of(row: tuple[Any, ...]) -> Suppression:
    """The refusal of a row; its number is the one that a record has told, 0 when none has."""
    digest, scope, reason, origin, at, sealed, note, expires_at, again_at, number = row[:10]
    said = digest, scope, Reason(reason), origin, at, sealed, note, expires_at
    return Suppression(*said, again_at=again_at, number=number or 0)


def _row(entry: Suppression, record_id: str | None) -> tuple[Any, ...]:
    return (
        entry.digest, entry.scope, entry.reason.value, entry.origin, entry.at, entry.sealed, entry.note, entry.expires_at,
        entry.again_at, record_id,
    )  # fmt: skip
