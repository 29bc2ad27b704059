"""The consent ledger, inside a transaction."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple

from relay.policy.consents.consent import ENDING, NAMES_COUNTRY, ConsentEvent, Ground, overlaps
from relay.policy.suppressions.suppression import Digest
from relay.stores.consents import in_order
from relay.stores.sqlite import numbers
from relay.stores.sqlite.many import all_of, in_parts

_COLUMNS = "id, digest, sealed, event, at, recorded_at, evidence, by, purpose, basis, said, number"
_ADD = f"INSERT OR IGNORE INTO consents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - column names
_ENDING = ", ".join(f"'{event}'" for event in sorted(ENDING))
_ALL = f"SELECT {_COLUMNS} FROM consents WHERE"  # noqa: S608 - column names
_NAMING = f"SELECT {_COLUMNS} FROM consents INDEXED BY consents_country WHERE instr(said, '{NAMES_COUNTRY}') > 0"  # noqa: S608 - names
_ANY_NAMING = f"{_NAMING} LIMIT 1"


def find(db: sqlite3.Connection, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
    """All events of each recipient, in their order."""
    return _find(db, recipients, _ALL)


def naming_country(db: sqlite3.Connection, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
    """Those of them that name a country; where no event of anybody does, nobody is looked for."""
    if db.execute(_ANY_NAMING).fetchone() is None:
        return [()] * len(recipients)
    return _find(db, recipients, f"{_NAMING} AND")


def _find(db: sqlite3.Connection, recipients: Sequence[Sequence[Digest]], select: str) -> list[tuple[ConsentEvent, ...]]:
    found: dict[Digest, list[ConsentEvent]] = {}
    for marks, part in in_parts(all_of(recipients)):
        for row in db.execute(f"{select} digest IN ({marks})", part):
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
        elif db.execute("SELECT 1 FROM consents WHERE digest = ? AND id = ?", (event.digest, event.id)).fetchone() is None:
            number = number or numbers.take(db)
            new += db.execute(_ADD, (*row, number)).rowcount
    return new


def withdrawn(db: sqlite3.Connection, asked: Sequence[tuple[Sequence[Digest], Sequence[Ground]]]) -> list[Ground | None]:
    """Of each recipient the first ground that does not stand any more, None where all do."""
    if not any(grounds for _, grounds in asked):  # most mail rests on no consent
        return [None] * len(asked)
    ends: dict[Digest, list[tuple[float, str]]] = {}
    for marks, part in in_parts(all_of(digests for digests, grounds in asked if grounds)):
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


def page(db: sqlite3.Connection, after: tuple[Digest, str], size: int) -> list[ConsentEvent]:
    """The next events in the order of the table: digest, id."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM consents WHERE (digest, id) > (?, ?) ORDER BY digest, id LIMIT ?",  # noqa: S608 - column names
        (*after, size),
    )
    return [ConsentEvent(*row) for row in rows]
