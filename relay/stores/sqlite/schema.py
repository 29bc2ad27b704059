"""The tables of relay.db: the first, and what came after them, in the order of its time (`migration`).

Keys are digests, so every table is a b-tree in the order of its key and has no
row numbers.  What the laws forbid, the file forbids too: suppressions are
never deleted, consents never changed.
"""

from relay.policy.consents.consent import NAMES_COUNTRY

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
    lease_until REAL NOT NULL,              -- leaving, answered: until when that is so; settled: when somebody asked last
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

TRANSFERS = """
CREATE TABLE IF NOT EXISTS transferred_persons (
    year INTEGER NOT NULL,
    category TEXT NOT NULL,                 -- ordinary, sensitive
    person BLOB NOT NULL,                   -- as the ledger names a recipient
    PRIMARY KEY (year, category, person)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transferred (
    year INTEGER NOT NULL,
    category TEXT NOT NULL,
    persons INTEGER NOT NULL,
    PRIMARY KEY (year, category)
) WITHOUT ROWID;
"""

ANSWERS = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB NOT NULL,
    submission_id TEXT NOT NULL,            -- the try that was closed
    until REAL NOT NULL,
    told BLOB NOT NULL,                     -- JSON: recipient, state, reply, when that try asked
    PRIMARY KEY (key, submission_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_until ON answers (until);
"""

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
    """CREATE TABLE consents (
    id TEXT NOT NULL,                       -- of one event of the mailbox: another may have one that is called the same
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    event TEXT NOT NULL,
    at REAL NOT NULL,
    recorded_at REAL NOT NULL,
    evidence TEXT NOT NULL,
    by TEXT NOT NULL,
    purpose TEXT NOT NULL DEFAULT '',       -- '': of an earlier version, which named none
    basis TEXT NOT NULL DEFAULT 'explicit',
    said TEXT NOT NULL DEFAULT '',          -- JSON: how it came about
    number INTEGER NOT NULL DEFAULT 0,      -- of the step, where it ends consents
    PRIMARY KEY (digest, id)
) WITHOUT ROWID""",
    """CREATE TRIGGER consents_stay BEFORE DELETE ON consents
BEGIN SELECT RAISE(ABORT, 'consents are append-only'); END""",
    """CREATE TRIGGER consents_stay_as_they_are BEFORE UPDATE ON consents
BEGIN SELECT RAISE(ABORT, 'consents are append-only'); END""",
)
"""What people agreed to, on what ground, and what proves it."""

CONSENT_COUNTRIES = f"CREATE INDEX consents_country ON consents (digest) WHERE instr(said, '{NAMES_COUNTRY}') > 0"
"""Of the events that name a country, so that it is empty while none does; made where it lacks."""

TRIES = ("ALTER TABLE submissions ADD COLUMN lasts_until REAL NOT NULL DEFAULT 0",)
"""Where more than one try knows a submission: until when it is remembered once one of them writes a row; made where it lacks."""

RESERVED = (
    "DROP INDEX IF EXISTS reserved_key",  # of the key alone: each row that it found had to be looked up
    "CREATE INDEX reserved_counts ON reserved (key, bucket, lease_until, count)",
)
"""All that counting what is reserved against a limit reads; made where it lacks."""
