"""How it ended for those whose clients were answered, for tries that began before and come to the ledger after that.

Inside a transaction.  One row for each try that was closed, not for each
recipient: nearly all of them are swept up unread.
"""

import sqlite3
from collections.abc import Collection

import orjson

from relay.policy.suppressions.suppression import Digest
from relay.stores.ledger import Row, RowState

_SWEPT = 200  # tries at once
_SETTLED = """
SELECT recipient, state, iif(state = 'delivered', '', reply), lease_until FROM ledger
 WHERE key = ? AND asked_by = ? AND state IN ('delivered', 'held', 'refused')
"""
_KEEP = "INSERT OR REPLACE INTO answers (key, submission_id, until, told) VALUES (?, ?, ?, ?)"
_SWEEP = """
DELETE FROM answers WHERE (key, submission_id) IN (SELECT key, submission_id FROM answers WHERE until <= ? ORDER BY until LIMIT ?)
"""


def keep(db: sqlite3.Connection, key: Digest, submission_id: str, until: float) -> None:
    """Remember until then how it ended for those whom this try asked about last, and when it did."""
    told = [(recipient.hex(), *how) for recipient, *how in db.execute(_SETTLED, (key, submission_id))]
    if told:
        db.execute(_KEEP, (key, submission_id, until, orjson.dumps(told)))


def find(db: sqlite3.Connection, now: float, key: Digest, recipients: Collection[Digest], began_at: float) -> dict[Digest, Row]:
    """Those of the recipients about whom a try that was answered asked later than that."""
    if began_at >= now:
        return {}
    names = {recipient.hex(): recipient for recipient in recipients}
    found = db.execute("SELECT told FROM answers WHERE key = ? AND until > ?", (key, now))
    return {
        names[name]: Row(names[name], RowState(state), reply, answered=True)
        for (told,) in found
        for name, state, reply, asked_at in orjson.loads(told)
        if name in names and began_at < asked_at
    }


def sweep(db: sqlite3.Connection, now: float) -> bool:
    """Forget some whose time is over; whether there may be more."""
    return db.execute(_SWEEP, (now, _SWEPT)).rowcount == _SWEPT
