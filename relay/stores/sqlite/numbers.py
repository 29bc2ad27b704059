"""The commit sequence, and which copies are on their way to whom, inside a transaction.

A step that lets copies leave takes one number, and so does one that brings
suppressions in force: numbers tell which of two came first, whatever the
clocks of several nodes say.
"""

import sqlite3
from collections.abc import Iterable

from relay.policy.suppressions.suppression import Digest
from relay.stores.suppressions import Octets

_NEXT = "UPDATE sequence SET last = last + 1 WHERE one = 1"  # RETURNING would take four times as long
_LAST = "SELECT last FROM sequence WHERE one = 1"
_IN_FLIGHT = """
SELECT coalesce(copy_of, submission_id) FROM ledger WHERE state = 'leaving' AND mailbox = :digest AND lease_until > :now
 UNION
SELECT coalesce(copy_of, submission_id) FROM ledger
 WHERE state = 'leaving' AND older IS NOT NULL AND instr(older, :digest) AND lease_until > :now
 ORDER BY 1
"""
_ANYBODY = """
SELECT mailbox FROM ledger WHERE state = 'leaving' AND mailbox IS NOT NULL
 UNION ALL
SELECT older FROM ledger WHERE state = 'leaving' AND older IS NOT NULL
"""
_DIGEST_OCTETS = 16


def take(db: sqlite3.Connection) -> int:
    """The number of this step."""
    db.execute(_NEXT)
    return _last(db)


def _last(db: sqlite3.Connection) -> int:
    (number,) = db.execute(_LAST).fetchone()
    return int(number)


class Withdrawing:
    """A step that may bring suppressions in force: they share its number, which is only taken if one does."""

    def __init__(self, db: sqlite3.Connection, now: float) -> None:
        self._db = db
        self._now = now
        self.number = _last(db) + 1

    def end(self, new: int) -> int:
        """The step has brought so many in force."""
        if new:
            take(self._db)
        return new

    def in_flight(self, digest: Digest) -> str:
        """The submissions of which a copy to this mailbox has leave at this moment and no outcome yet, one a word."""
        return " ".join(name for (name,) in self._db.execute(_IN_FLIGHT, {"digest": digest, "now": self._now}))

    def reached(self, digests: Iterable[Octets]) -> set[Digest]:
        """Those of many mailboxes to whom a copy may be on its way."""
        leaving: set[Digest] = set()
        for (some,) in self._db.execute(_ANYBODY):
            leaving.update(some[start : start + _DIGEST_OCTETS] for start in range(0, len(some), _DIGEST_OCTETS))
        return leaving.intersection(map(bytes, digests)) if leaving else leaving
