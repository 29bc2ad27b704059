"""The tables of relay.db, and who a file says it is.

Keys are digests, so every table is a b-tree in the order of its key and has no
row numbers.  What the laws forbid, the file forbids too: suppressions are
never deleted, consents never changed.
"""

import sqlite3

from relay.errors import StoreUnavailable
from relay.stores.contracts import StoreMeta

TABLES = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL,
    schema INTEGER NOT NULL,
    fingerprints TEXT NOT NULL,             -- sorted, one a line
    tried_at REAL                           -- when somebody last tried whether the disk takes a commit
);
CREATE TABLE suppressions (
    digest BLOB NOT NULL,
    scope TEXT NOT NULL,
    reason TEXT NOT NULL,
    number INTEGER NOT NULL,                -- 1, 2, ...: only the last can be in force
    origin TEXT NOT NULL,
    at REAL NOT NULL,
    sealed BLOB NOT NULL,
    note TEXT NOT NULL,
    expires_at REAL,
    lifted_at REAL,
    lifted_by TEXT NOT NULL DEFAULT '',
    again_at REAL,                          -- when it was said last, if more than once
    consented_at REAL,                      -- the time of the consent that lifted it
    PRIMARY KEY (digest, scope, reason, number)
) WITHOUT ROWID;
CREATE TRIGGER suppressions_are_lifted_not_deleted BEFORE DELETE ON suppressions
BEGIN SELECT RAISE(ABORT, 'suppressions are lifted, never deleted'); END;
CREATE TABLE consents (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    event TEXT NOT NULL,
    at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    evidence TEXT NOT NULL,
    by TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX consents_of ON consents (digest);
CREATE TRIGGER consents_stay BEFORE DELETE ON consents
BEGIN SELECT RAISE(ABORT, 'consents are append-only'); END;
CREATE TRIGGER consents_stay_as_they_are BEFORE UPDATE ON consents
BEGIN SELECT RAISE(ABORT, 'consents are append-only'); END;
CREATE TABLE spent (
    key BLOB NOT NULL,
    bucket INTEGER NOT NULL,                -- a sixtieth of the window since the epoch; a day: 20261121
    count INTEGER NOT NULL,
    ends REAL NOT NULL,                     -- when no window contains it any more
    PRIMARY KEY (key, bucket)
) WITHOUT ROWID;
CREATE INDEX spent_ends ON spent (ends);
CREATE TABLE reserved (
    id BLOB NOT NULL,                       -- begins with the time
    number INTEGER NOT NULL,                -- of the charge in its reservation
    key BLOB NOT NULL,
    bucket INTEGER NOT NULL,                -- when it was reserved
    count INTEGER NOT NULL,
    length INTEGER NOT NULL,                -- of the window in microseconds; 0: a day
    lease_until REAL NOT NULL,
    ends REAL NOT NULL,                     -- of the day, or of anybody's interest
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
CREATE INDEX reserved_key ON reserved (key);
CREATE TABLE submissions (
    key BLOB NOT NULL PRIMARY KEY,
    submission_id TEXT NOT NULL,
    at REAL NOT NULL,
    date TEXT NOT NULL,
    message_id TEXT NOT NULL,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX submissions_expire ON submissions (expires_at);
CREATE TABLE ledger (
    key BLOB NOT NULL REFERENCES submissions ON DELETE CASCADE,
    recipient BLOB NOT NULL,
    state TEXT NOT NULL,
    reply TEXT NOT NULL,
    submission_id TEXT NOT NULL,            -- the try that wrote it
    lease_until REAL NOT NULL,
    asked_by TEXT NOT NULL,                 -- the try that asked about it last: its client must hear the outcome
    PRIMARY KEY (key, recipient)
) WITHOUT ROWID;
"""

REPUTATION = """
CREATE TABLE IF NOT EXISTS streams (
    stream TEXT NOT NULL PRIMARY KEY,
    counted_from REAL NOT NULL DEFAULT 0,   -- when it was resumed last: what was sent before counts no more
    paused_at REAL,                         -- null: not paused
    by TEXT NOT NULL DEFAULT '',
    measure TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    reason_zh TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (
    stream TEXT NOT NULL,
    day INTEGER NOT NULL,                   -- of UTC, since the epoch
    delivered INTEGER NOT NULL,
    refused INTEGER NOT NULL,               -- there was no such mailbox
    PRIMARY KEY (stream, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feedback (
    stream TEXT NOT NULL,
    measure TEXT NOT NULL,
    submission_id TEXT NOT NULL,
    recipient BLOB NOT NULL,
    sent_at REAL NOT NULL,
    PRIMARY KEY (stream, measure, submission_id, recipient)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feedback_sent ON feedback (sent_at);
"""

ADAPTATIONS = """
CREATE TABLE IF NOT EXISTS adaptations (
    key BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    upstream TEXT NOT NULL,
    scope TEXT NOT NULL,
    sealed BLOB NOT NULL,
    since REAL NOT NULL,
    until REAL,                             -- null: a person ends it
    value INTEGER NOT NULL,
    login BLOB NOT NULL,
    reply_class TEXT NOT NULL,
    said TEXT NOT NULL,
    by TEXT NOT NULL
) WITHOUT ROWID;
"""

HELD = """
CREATE TABLE IF NOT EXISTS held_messages (
    id TEXT NOT NULL PRIMARY KEY,
    file TEXT NOT NULL,                     -- its sealed body, in the folder held beside this file
    octets INTEGER NOT NULL,                -- of the body
    sha256 BLOB NOT NULL,                   -- of the body
    head BLOB NOT NULL,
    at REAL NOT NULL,
    expires_at REAL NOT NULL,
    held_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_messages_held ON held_messages (held_at);
CREATE TABLE IF NOT EXISTS held_copies (
    message TEXT NOT NULL REFERENCES held_messages,
    recipient BLOB NOT NULL,
    priority INTEGER NOT NULL,
    lane BLOB NOT NULL,
    owner BLOB NOT NULL,
    why TEXT NOT NULL,
    due_at REAL NOT NULL,
    sealed BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    held_at REAL NOT NULL,
    claim INTEGER NOT NULL,
    lease_until REAL NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,                  -- when it is claimed at the earliest: due or expired, and the lease over
    PRIMARY KEY (message, recipient)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_copies_next ON held_copies (priority, lane, next_at);
CREATE INDEX IF NOT EXISTS held_copies_owner ON held_copies (owner, why, due_at);
CREATE INDEX IF NOT EXISTS held_copies_wait ON held_copies (lane) WHERE due_at < 9e999 AND why != 'report';
CREATE TABLE IF NOT EXISTS held_lanes (
    priority INTEGER NOT NULL,
    lane BLOB NOT NULL,
    next_at REAL NOT NULL,                  -- when it stands in line again; of no meaning while it does
    rests_until REAL NOT NULL DEFAULT 0,
    round INTEGER,                          -- in which it is served; null: does not stand in line
    place INTEGER,                          -- among those of the same round
    deficit INTEGER NOT NULL DEFAULT 0,     -- octets that it may send in that round
    PRIMARY KEY (priority, lane)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_lanes_line ON held_lanes (priority, round, place) WHERE round IS NOT NULL;
CREATE INDEX IF NOT EXISTS held_lanes_next ON held_lanes (priority, next_at) WHERE round IS NULL;
CREATE TABLE IF NOT EXISTS held_turns (
    priority INTEGER NOT NULL PRIMARY KEY,
    round INTEGER NOT NULL,                 -- that is served
    place INTEGER NOT NULL                  -- given last
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held_counts (
    what TEXT NOT NULL PRIMARY KEY,         -- a reason: copies that are held for it; octets: of all bodies
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held_credentials (
    owner BLOB NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_credentials_end ON held_credentials (until);
"""

SENDING = """
CREATE TABLE IF NOT EXISTS sending_days (
    stream TEXT NOT NULL PRIMARY KEY,
    days INTEGER NOT NULL,
    last TEXT NOT NULL                      -- of the organisation's calendar: 2026-11-21
) WITHOUT ROWID;
"""

_LATER = {"feedback_sent": REPUTATION, "held_credentials_end": HELD, "sending_days": SENDING, "adaptations": ADAPTATIONS}
"""Made where they lack, so that a file from before they existed goes on being used; the name of what is made last of each."""

NUMBERS = (
    "CREATE TABLE sequence (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL)",
    "INSERT INTO sequence VALUES (1, 0)",
    "ALTER TABLE suppressions ADD COLUMN sequence INTEGER",  # the number of the step that brought it in force
    "ALTER TABLE suppressions ADD COLUMN in_flight TEXT",  # submissions with a copy on its way at that moment, one a word
    "ALTER TABLE ledger ADD COLUMN mailbox BLOB",  # as suppressions know the recipient, under the current key generation
    "ALTER TABLE ledger ADD COLUMN older BLOB",  # under the generations before, one behind the other
    "ALTER TABLE ledger ADD COLUMN copy_of TEXT",  # the submission, where the try has a name of its own
    "CREATE INDEX ledger_leaving ON ledger (mailbox) WHERE state = 'leaving'",
    "CREATE INDEX ledger_leaving_older ON ledger (older) WHERE state = 'leaving' AND older IS NOT NULL",
)
"""The commit sequence, and what finds the copies that are on their way to a mailbox; made where they lack."""


CONSENTS = (
    "ALTER TABLE consents ADD COLUMN purpose TEXT NOT NULL DEFAULT ''",  # '': of an earlier version, which named none
    "ALTER TABLE consents ADD COLUMN basis TEXT NOT NULL DEFAULT 'explicit'",
    "ALTER TABLE consents ADD COLUMN said TEXT NOT NULL DEFAULT ''",  # JSON: how it came about
    "ALTER TABLE consents ADD COLUMN number INTEGER NOT NULL DEFAULT 0",  # of the step, where it ends consents
)
"""What consents are to, on what ground, and what proves them; made where they lack."""


def create_tables(db: sqlite3.Connection, meta: StoreMeta) -> None:
    """Make a fresh store of an empty file, whole or not at all."""
    db.executescript(f"BEGIN IMMEDIATE; {TABLES} {REPUTATION} {HELD} {SENDING} {ADAPTATIONS}")
    _add_numbers(db)
    _add_consents(db)
    db.execute("INSERT INTO meta VALUES (1, ?, ?, ?, NULL)", (meta.store_id, meta.schema, _lines(meta.fingerprints)))
    db.execute("COMMIT")


def add_tables(db: sqlite3.Connection) -> None:
    """Give a file of an earlier version what it lacks."""
    for last, tables in _LATER.items():
        if not _has(db, last):
            db.executescript(f"BEGIN IMMEDIATE; {tables} COMMIT;")
    if not _has(db, "sequence"):
        db.execute("BEGIN IMMEDIATE")
        _add_numbers(db)
        db.execute("COMMIT")
    if not _has_column(db, "consents", "number"):
        db.execute("BEGIN IMMEDIATE")
        _add_consents(db)
        db.execute("COMMIT")


def _add_consents(db: sqlite3.Connection) -> None:
    """As `_add_numbers`."""
    if not _has_column(db, "consents", "number"):
        for statement in CONSENTS:
            db.execute(statement)


def _add_numbers(db: sqlite3.Connection) -> None:
    """Inside a transaction: another process may have been first."""
    if not _has(db, "sequence"):
        for statement in NUMBERS:
            db.execute(statement)


def _has(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _has_column(db: sqlite3.Connection, table: str, name: str) -> bool:
    return db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, name)).fetchone() is not None


def read_meta(db: sqlite3.Connection) -> StoreMeta:
    """Who this file says it is. Raises StoreUnavailable when it says nothing."""
    if not _has(db, "meta"):
        raise StoreUnavailable("empty", "the store has lost its tables; restore the backup")
    row = db.execute("SELECT store_id, schema, fingerprints FROM meta").fetchone()
    if row is None:
        raise StoreUnavailable("empty", "the store does not know who it is; restore the backup")
    return StoreMeta(row[0], row[1], frozenset(row[2].split()))


def add_fingerprints(db: sqlite3.Connection, fingerprints: frozenset[str]) -> None:
    """Let the meta name these generations too."""
    (known,) = db.execute("SELECT fingerprints FROM meta").fetchone()
    db.execute("UPDATE meta SET fingerprints = ?", (_lines(fingerprints.union(known.split())),))


def try_disk(db: sqlite3.Connection, now: float) -> None:
    """Change something, so that the commit has something to write."""
    db.execute("UPDATE meta SET tried_at = ?", (now,))


class Identity:
    """Compares the meta with what this process expects; asked in every transaction."""

    def __init__(self, expected: StoreMeta) -> None:
        self.expected = expected
        self._accepted: tuple[str, int, str] | None = None

    def require(self, db: sqlite3.Connection) -> None:
        """Raise StoreUnavailable unless this is our store, written with keys that we have."""
        row = db.execute("SELECT store_id, schema, fingerprints FROM meta").fetchone()
        if row is None or row != self._accepted:
            require_same(read_meta(db), self.expected)
            self._accepted = row


def require_same(found: StoreMeta, expected: StoreMeta) -> None:
    """Raise StoreUnavailable unless `found` is the expected store and all its key generations are at hand."""
    if found.store_id != expected.store_id:
        raise StoreUnavailable("foreign", f"this is store {found.store_id}, not {expected.store_id}")
    if found.schema != expected.schema:
        raise StoreUnavailable("schema", f"the store has schema {found.schema}, this version reads {expected.schema}")
    if lacking := found.fingerprints - expected.fingerprints:
        raise StoreUnavailable(
            "keys", f"the key file lacks generations that the store was written with: {' '.join(sorted(lacking))}"
        )


def _lines(fingerprints: frozenset[str]) -> str:
    return "\n".join(sorted(fingerprints))
