"""Make the tables of a new file, and those that a file of an earlier version lacks."""

import sqlite3
from collections.abc import Callable, Iterable

from relay.stores.contracts import StoreMeta
from relay.stores.sqlite.file import has
from relay.stores.sqlite.identity import write_meta
from relay.stores.sqlite.schema import (
    ADAPTATIONS,
    ANSWERS,
    CONSENT_COUNTRIES,
    CONSENTS,
    HELD,
    NUMBERS,
    REPUTATION,
    RESERVED,
    SENDING,
    TABLES,
    TRANSFERS,
    TRIES,
)

_LATER = {
    "feedback_sent": REPUTATION, "held_credentials_end": HELD, "sending_days": SENDING, "adaptations": ADAPTATIONS,
    "transferred": TRANSFERS, "answers_until": ANSWERS,
}  # fmt: skip
"""Made where they lack, so that a file from before they existed goes on being used; the name of what is made last of each."""

_EARLIER_CONSENTS = (
    "ALTER TABLE consents ADD COLUMN purpose TEXT NOT NULL DEFAULT ''",  # '': of an earlier version, which named none
    "ALTER TABLE consents ADD COLUMN basis TEXT NOT NULL DEFAULT 'explicit'",
    "ALTER TABLE consents ADD COLUMN said TEXT NOT NULL DEFAULT ''",  # JSON: how it came about
    "ALTER TABLE consents ADD COLUMN number INTEGER NOT NULL DEFAULT 0",  # of the step, where it ends consents
)
"""The columns that the first version had not."""

_CONSENTS_BY_ID = ("DROP TRIGGER consents_stay", "DROP TRIGGER consents_stay_as_they_are", "ALTER TABLE consents RENAME TO by_id")
"""An id named one event of the whole ledger once, and no other mailbox could have it."""


def create_tables(db: sqlite3.Connection, meta: StoreMeta) -> None:
    """Make a fresh store of an empty file, whole or not at all."""
    db.executescript(f"BEGIN IMMEDIATE; {TABLES} {' '.join(_LATER.values())}")
    _execute(db, (*NUMBERS, *CONSENTS, CONSENT_COUNTRIES, *TRIES, *RESERVED))
    write_meta(db, meta)
    db.execute("COMMIT")


def add_tables(db: sqlite3.Connection) -> None:
    """Give a file of an earlier version what it lacks."""
    for last, tables in _LATER.items():
        if not has(db, last):
            db.executescript(f"BEGIN IMMEDIATE; {tables} COMMIT;")
    for is_made, make in _STEPS:
        if not is_made(db):
            db.execute("BEGIN IMMEDIATE")
            if not is_made(db):  # another process may have been first
                make(db)
            db.execute("COMMIT")


def _renew_consents(db: sqlite3.Connection) -> None:
    if not _has_column(db, "consents", "number"):
        _execute(db, _EARLIER_CONSENTS)
    _execute(db, (*_CONSENTS_BY_ID, *CONSENTS))
    columns = "id, digest, sealed, event, at, recorded_at, evidence, by, purpose, basis, said, number"
    db.execute(f"INSERT INTO consents ({columns}) SELECT {columns} FROM by_id")  # noqa: S608 - column names
    db.execute("DROP TABLE by_id")


def _is_by_mailbox(db: sqlite3.Connection) -> bool:
    (place,) = db.execute("SELECT pk FROM pragma_table_info('consents') WHERE name = 'digest'").fetchone()
    return bool(place)


_Connection = sqlite3.Connection
_STEPS: tuple[tuple[Callable[[_Connection], bool], Callable[[_Connection], None]], ...] = (
    (lambda db: has(db, "sequence"), lambda db: _execute(db, NUMBERS)),
    (_is_by_mailbox, _renew_consents),
    (lambda db: has(db, "consents_country"), lambda db: _execute(db, (CONSENT_COUNTRIES,))),
    (lambda db: _has_column(db, "submissions", "lasts_until"), lambda db: _execute(db, TRIES)),
    (lambda db: has(db, "reserved_counts"), lambda db: _execute(db, RESERVED)),
)
"""What changed tables that were there before, in the order of its time: whether it is made, and how that is done."""


def _execute(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        db.execute(statement)


def _has_column(db: sqlite3.Connection, table: str, name: str) -> bool:
    return db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, name)).fetchone() is not None
