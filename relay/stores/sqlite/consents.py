"""The consent ledger, inside a transaction."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple

from relay.policy.consent import ENDING, ConsentEvent, Ground, overlaps
from relay.policy.suppression import Digest
from relay.stores.consents import in_order
from relay.stores.sqlite import numbers

_COLUMNS = "id, digest, sealed, event, at, recorded_at, evidence, by, purpose, basis, said, number"
_ADD = f"INSERT OR IGNORE INTO consents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - column names
_AT_ONCE = 200  # digests in one statement
_ENDING = ", ".join(f"'{event}'" for event in sorted(ENDING))


def find(db: sqlite3.Connection, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
    """All events of each recipient, in their order."""
    found: dict[Digest, list[ConsentEvent]] = {}
    for part in _parts(recipients):
        marks = ",".join("?" * len(part))
        for row in db.execute(f"SELECT {_COLUMNS} FROM consents WHERE digest IN ({marks})", part):  # noqa: S608 - marks only
            found.setdefault(row[1], []).append(ConsentEvent(*row))
    if not found:
        return [()] * len(recipients)
    return [in_order([e for digest in dict.fromkeys(generations) for e in found.get(digest, ())]) for generations in recipients]


def record(db: sqlite3.Connection, events: Sequence[ConsentEvent]) -> int:
    """Add what is not known; how many that were."""
    number = new = 0
    for event in events:
        row = astuple(event)[:-1]
        if not event.is_ending:
            new += db.execute(_ADD, (*row, 0)).rowcount
        elif db.execute("SELECT 1 FROM consents WHERE id = ?", (event.id,)).fetchone() is None:
            number = number or numbers.take(db)
            new += db.execute(_ADD, (*row, number)).rowcount
    return new


def withdrawn(db: sqlite3.Connection, asked: Sequence[tuple[Sequence[Digest], Sequence[Ground]]]) -> list[Ground | None]:
    """Of each recipient the first ground that does not stand any more, None where all do."""
    ends: dict[Digest, list[tuple[float, str]]] = {}
    for part in _parts([digests for digests, grounds in asked if grounds]):
        marks = ",".join("?" * len(part))
        rows = db.execute(
            f"SELECT digest, at, purpose FROM consents WHERE digest IN ({marks}) AND event IN ({_ENDING})",  # noqa: S608 - marks
            part,
        )
        for digest, at, purpose in rows:
            ends.setdefault(digest, []).append((at, purpose))
    return [_first_ended(grounds, [end for digest in digests for end in ends.get(digest, ())]) for digests, grounds in asked]


def _first_ended(grounds: Sequence[Ground], ends: Sequence[tuple[float, str]]) -> Ground | None:
    return next((ground for ground in grounds if any(_ends(end, ground) for end in ends)), None)


def _ends(end: tuple[float, str], ground: Ground) -> bool:
    at, purpose = end
    return at >= ground.at and overlaps(purpose, ground.purpose)


def _parts(recipients: Sequence[Sequence[Digest]]) -> list[list[Digest]]:
    digests = list({digest for generations in recipients for digest in generations})
    return [digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE)]


def page(db: sqlite3.Connection, after: str, size: int) -> list[ConsentEvent]:
    """The next events in the order of their ids."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM consents WHERE id > ? ORDER BY id LIMIT ?", (after, size))  # noqa: S608
    return [ConsentEvent(*row) for row in rows]
