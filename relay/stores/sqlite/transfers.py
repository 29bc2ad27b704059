"""Persons whose data left the country, inside a transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from relay.policy.cases.transfers import Category, Crossing, Transferred
from relay.policy.suppressions.suppression import Digest
from relay.stores.sqlite.many import in_parts
from relay.stores.transfers import KEPT_SECONDS, Exhausted, by_year

_ADD = "INSERT OR IGNORE INTO transferred_persons (year, category, person) VALUES (?, ?, ?)"
_COUNT = """
INSERT INTO transferred (year, category, persons) VALUES (?, ?, 1)
    ON CONFLICT (year, category) DO UPDATE SET persons = persons + 1 RETURNING persons
"""
_FORGET = """
DELETE FROM transferred_persons WHERE (year, category, person) IN
       (SELECT year, category, person FROM transferred_persons WHERE year < ? LIMIT ?)
"""


def find(db: sqlite3.Connection, year: int, recipients: Sequence[Digest]) -> list[Transferred]:
    """The counts of that year, and as what each recipient is in them."""
    if not recipients:
        return []
    counts = {category: _persons(db, year, category) for category in Category}
    counted: dict[Digest, set[Category]] = {}
    for marks, part in in_parts(recipients):
        for category in Category:
            rows = db.execute(
                f"SELECT person FROM transferred_persons WHERE year = ? AND category = ? AND person IN ({marks})",  # noqa: S608
                (year, category, *part),
            )
            for (person,) in rows:
                counted.setdefault(person, set()).add(category)
    told = counts[Category.ORDINARY], counts[Category.SENSITIVE]
    return [Transferred(year, *told, frozenset(counted.get(recipient, ()))) for recipient in recipients]


def years(db: sqlite3.Connection) -> list[Transferred]:
    """The counts of every year, oldest first."""
    return by_year(db.execute("SELECT year, category, persons FROM transferred"))


def exhausted(db: sqlite3.Connection, crossing: Crossing | None, person: Digest) -> Exhausted | None:
    """Why this person may not be counted; None when they may, or are, or nobody counts."""
    if crossing is None or crossing.most is None:
        return None
    persons = _persons(db, crossing.year, crossing.category)
    if persons < crossing.most:
        return None
    row = db.execute(
        "SELECT 1 FROM transferred_persons WHERE year = ? AND category = ? AND person = ?",
        (crossing.year, crossing.category, person),
    ).fetchone()
    return None if row else Exhausted(crossing, persons)


def count(db: sqlite3.Connection, crossing: Crossing | None, person: Digest) -> int:
    """Count this person; the number that they are, 0 when they were counted already or nobody counts."""
    if crossing is None or not db.execute(_ADD, (crossing.year, crossing.category, person)).rowcount:
        return 0
    (persons,) = db.execute(_COUNT, (crossing.year, crossing.category)).fetchone()
    return int(persons)


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Forget some of those who were counted in a year that is over for a while; whether there may be more."""
    year = datetime.fromtimestamp(now - KEPT_SECONDS, UTC).year
    return db.execute(_FORGET, (year, most)).rowcount == most


def _persons(db: sqlite3.Connection, year: int, category: Category) -> int:
    row = db.execute("SELECT persons FROM transferred WHERE year = ? AND category = ?", (year, category)).fetchone()
    return int(row[0]) if row else 0
