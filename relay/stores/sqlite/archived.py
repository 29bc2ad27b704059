"""Held copies in a relay.db that is copied away or brought back, while nobody else has it open.

Mail goes on leaving after a backup.  So what a backup brings back may have
been delivered since, and nobody here knows: it waits for a person, except for
what is only to be reported.  Logins are not for backups.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from relay.stores.held import Why
from relay.stores.sqlite.bodies import submission_of
from relay.stores.sqlite.file import has

_FORGET = (
    "DELETE FROM held_copies WHERE message = ?",
    "DELETE FROM held_messages WHERE id = ?",
)
_PARK = """
UPDATE held_copies SET why = ?1, due_at = 9e999, lease_until = 0,
       next_at = (SELECT expires_at FROM held_messages WHERE id = message) WHERE why != ?2
"""
_PROLONG = """
UPDATE held_messages SET expires_at = max(expires_at, ?1)
 WHERE EXISTS (SELECT 1 FROM held_copies WHERE message = id AND why != ?2)
"""
_ANEW = """
BEGIN;
DELETE FROM held_lanes;
DELETE FROM held_counts;
INSERT INTO held_lanes (priority, lane, next_at) SELECT priority, lane, min(next_at) FROM held_copies GROUP BY priority, lane;
INSERT INTO held_counts SELECT why, count(*) FROM held_copies GROUP BY why;
INSERT INTO held_counts SELECT 'octets', coalesce(sum(octets), 0) FROM held_messages;
COMMIT
"""  # what is derived from the copies


def files_of(path: Path) -> list[str]:
    """The names of all bodies; none in a file from before copies were held. Raises sqlite3.Error."""
    with _opened(path) as db:
        return [file for (file,) in db.execute("SELECT file FROM held_messages ORDER BY id")] if has(db, "held_messages") else []


def leave_out(path: Path, files: Collection[str]) -> None:
    """Take the messages with these bodies out of a copy, and every login. Raises sqlite3.Error."""
    with _opened(path) as db:
        if not has(db, "held_messages"):
            return
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN")
        for statement in _FORGET:
            db.executemany(statement, [(submission_of(file),) for file in files])
        db.execute("DELETE FROM held_credentials")
        db.execute("COMMIT")
        db.executescript(_ANEW)
    _without_free_pages(path)


def _without_free_pages(path: Path) -> None:
    """Logins that were forgotten long ago may still stand on pages that are free, and their key is in the backup."""
    whole = path.with_name(f"{path.name}.whole")
    with _opened(path) as db:
        (mode,) = db.execute("PRAGMA journal_mode").fetchone()
        db.execute("VACUUM INTO ?", (str(whole),))
    whole.replace(path)
    with _opened(path) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")


def park(path: Path, until: float) -> int:
    """Let every copy wait for a person but those that are only to be reported; how many wait. Raises sqlite3.Error.

    Until then at least: an old backup's would be over at once, and their senders be told that nobody got them.
    """
    with _opened(path) as db:
        if not has(db, "held_messages"):
            return 0
        db.execute(_PROLONG, (until, Why.REPORT))
        parked = db.execute(_PARK, (Why.RULE, Why.REPORT)).rowcount
        db.executescript(_ANEW)
        return parked


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
        yield db
