"""The file of the records: its tables, the chain of hashes through them, and whether it is still the same file.

Every record is kept as the JSON text that was hashed.  Its hash is

    SHA-256(hash of the record before || JSON text in UTF-8)

and the first one follows the SHA-256 of the chain's id, so that a record
cannot be changed, removed, added or moved without breaking every later hash.
The other columns only index the text; `relay records verify` compares them.
"""

import hashlib
import os
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from relay.errors import RecordsUnavailable
from relay.files import sync_folder, write_durably
from relay.records.kinds import Kind, Person, Record
from relay.writeahead import LOG_PRAGMA

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX records_by_id ON records (id);
CREATE INDEX records_by_time ON records (at);
CREATE INDEX records_by_rare_kind ON records (kind, at) WHERE kind NOT IN ('received', 'finished');
CREATE TABLE people (digest BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (digest, seq)) WITHOUT ROWID;
CREATE TABLE refusals (
  number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL, scope TEXT NOT NULL, reason TEXT NOT NULL,
  origin TEXT NOT NULL, at REAL NOT NULL, sealed BLOB NOT NULL, note TEXT NOT NULL, expires_at REAL, applied_at REAL,
  again_at REAL, record TEXT, sequence INTEGER
);
CREATE INDEX refusals_pending ON refusals (digest) WHERE applied_at IS NULL;
CREATE TRIGGER records_follow_each_other BEFORE INSERT ON records
  WHEN NEW.seq IS NOT (SELECT ifnull(max(seq), 0) + 1 FROM records) BEGIN SELECT RAISE(ABORT, 'records follow each other'); END;
CREATE TRIGGER records_stay_as_written BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records stay as written'); END;
CREATE TRIGGER records_stay BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records stay'); END;
CREATE TRIGGER people_stay_as_written BEFORE UPDATE ON people BEGIN SELECT RAISE(ABORT, 'records stay as written'); END;
CREATE TRIGGER people_stay BEFORE DELETE ON people BEGIN SELECT RAISE(ABORT, 'records stay'); END;
CREATE TRIGGER meta_stays_as_written BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'records stay as written'); END;
CREATE TRIGGER meta_stays BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'records stay'); END;
"""
COLLECTED = """
CREATE TABLE IF NOT EXISTS mailboxes (
  mailbox BLOB PRIMARY KEY, validity INTEGER NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unmarked (
  mailbox BLOB NOT NULL, validity INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (mailbox, validity, number)
) WITHOUT ROWID;
"""
"""How far each watched mailbox was read, and which of its mails are still to be marked as read."""
EFFECTS = """
CREATE TABLE IF NOT EXISTS effects (
  quarter INTEGER NOT NULL, seconds INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (quarter, seconds)
) WITHOUT ROWID;
"""
"""How many refusals of which quarter of an hour (epoch / 900) the store had within so many seconds."""
SAID = "CREATE INDEX IF NOT EXISTS refusals_said ON refusals (digest, scope, reason)"
"""Finds the refusal that a recipient says again."""
_LATER_COLUMNS = {"again_at": "REAL", "record": "TEXT", "sequence": "INTEGER"}
"""Of refusals. `record` is the id of the record of the refusal, `sequence` the store's number that a record told last."""
TRIGGERS = frozenset(line.split()[2] for line in SCHEMA.splitlines() if line.startswith("CREATE TRIGGER"))
FORMAT = "1"
ASSOCIATED = b"address"
"""What sealed addresses in records are bound to (`relay.keys.Ring.seal`)."""

_BUSY_SECONDS = 5.0


class Line(NamedTuple):
    """A record ready to be chained."""

    id: str
    kind: Kind
    at: float
    body: str
    digests: tuple[bytes, ...]


def line_of(record: Record) -> Line:
    """Write the record as its canonical JSON: sorted keys, no blanks, people as hexadecimal digest and base64.

    Marks stand there only when there are any.
    Raises TypeError when the facts are not plain JSON data.
    """
    people = [{"digest": p.digest.hex(), "sealed": b64encode(p.sealed).decode()} for p in record.people]
    document: dict[str, Any] = {
        "at": record.at, "facts": record.facts, "id": record.id, "kind": record.kind, "people": people,
    }  # fmt: skip
    if record.marks:
        document["marks"] = [mark.hex() for mark in record.marks]
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    return Line(record.id, record.kind, record.at, body, record.digests)


def record_of(body: str) -> Record:
    """Read a record's JSON text.

    Raises ValueError when it is not one.
    """
    try:
        document = orjson.loads(body)
        people = tuple(Person(bytes.fromhex(p["digest"]), b64decode(p["sealed"], validate=True)) for p in document["people"])
        marks = tuple(map(bytes.fromhex, document.get("marks", ())))
        return Record(Kind(document["kind"]), document["id"], float(document["at"]), people, document["facts"], marks)
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"not a record: {fault}") from None


def following(previous: bytes, body: str) -> bytes:
    """The hash of a record that follows the hash `previous`."""
    return hashlib.sha256(previous + body.encode()).digest()


def first_link(chain: str) -> bytes:
    """What the first record of a chain follows."""
    return hashlib.sha256(chain.encode()).digest()


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing file; never makes one."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(LOG_PRAGMA)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(path: Path) -> None:
    """Make the file at a node's very first start, else make sure that it is the one this node has always written.

    `path` with the suffix .id remembers the chain's id.  The caller holds the
    writers' lock.  Raises RecordsUnavailable, OSError or sqlite3.Error.
    """
    known = path.with_suffix(".id")
    remembered = known.read_text("ascii").strip() if known.exists() else ""
    if remembered and not path.exists():
        raise RecordsUnavailable(f"{path} is gone, but {known.name} says that this node has records; restore the backup")
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640))
    with closing(connect(path)) as connection:
        chain = chain_of(connection)
        if not chain and not remembered:
            chain = _create(connection)
        if chain:
            _complete(connection)
    if not chain or remembered not in ("", chain):
        raise RecordsUnavailable(f"{path} is not the file that {known.name} remembers; restore the backup")
    if not remembered:
        write_durably(known, f"{chain}\n".encode())
        sync_folder(known.parent)


def chain_of(connection: sqlite3.Connection) -> str:
    """The chain's id, "" in an empty file."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return ""
    found = dict(connection.execute("SELECT name, value FROM meta"))
    if found.get("format") != FORMAT:
        raise RecordsUnavailable(f"the records have format {found.get('format')}; this version reads format {FORMAT}")
    return str(found.get("chain", ""))


class Files:
    """The files that were opened, to notice that somebody removed or replaced one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._main = (os.fspath(path),)
        self._opened = {name: _identity(name) for name in (*self._main, f"{path}-wal", f"{path}-shm")}

    def check(self, names: Iterable[str] | None = None) -> None:
        """Raises RecordsUnavailable when a file is not the one that was opened."""
        for name in names or self._opened:
            try:
                same = _identity(name) == self._opened[name]
            except OSError:
                same = False
            if not same:
                raise RecordsUnavailable(f"{name} was removed or replaced while the relay was writing to it; restart the relay")

    def check_main(self) -> None:
        """The cheap look before every operation: the database file only."""
        self.check(self._main)


def _create(connection: sqlite3.Connection) -> str:
    chain = os.urandom(16).hex()
    connection.execute("BEGIN IMMEDIATE")
    for statement in sqlite_statements(SCHEMA):
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("chain", chain), ("format", FORMAT)])
    connection.execute("COMMIT")
    return chain


def _complete(connection: sqlite3.Connection) -> None:
    """Add what a file of an earlier version of this format does not have."""
    known = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('refusals')")}
    for name, column in _LATER_COLUMNS.items():
        if name not in known:
            connection.execute(f"ALTER TABLE refusals ADD COLUMN {name} {column}")
    for statement in (*sqlite_statements(COLLECTED + EFFECTS), SAID):
        connection.execute(statement)


def sqlite_statements(script: str) -> list[str]:
    """Split a script, because `executescript` would commit between its statements."""
    statements, current = [], ""
    for line in script.strip().splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements


def _identity(name: str) -> tuple[int, int]:
    status = os.stat(name)  # noqa: PTH116 - called for every record; Path would cost more than the call itself
    return status.st_dev, status.st_ino
