"""Whose turn it is among lanes of held copies, inside a transaction: deficit round robin by octets.

In each round every lane that has something due may send `QUANTUM` octets, and
what it may not send yet it saves for the next.  Nobody looks at a lane in
rounds in which it could only save: a lane stands in line for the round in
which it can send its first copy, however many rounds away that is.

The line is in the file, so that all processes share it.  A lane that rests or
has nothing due does not stand in it, and saves nothing.
"""

import sqlite3
from dataclasses import replace
from typing import Any

from relay.policy.suppressions.suppression import Digest
from relay.stores.held import HeldCopy, Lane, Why

QUANTUM = 256 * 1024

_WAKE = 100  # lanes that may join a line in one claim
_COPY = "message, recipient, priority, lane, owner, why, due_at, sealed, attempts, held_copies.held_at, claim, lease_until"
COPIES = f"SELECT {_COPY} FROM held_copies"  # noqa: S608 - names only
_DUE = f"""
SELECT octets, {_COPY} FROM held_copies JOIN held_messages ON id = message
 WHERE priority = ? AND lane = ? AND next_at <= ? ORDER BY next_at, message, recipient LIMIT ?
"""  # noqa: S608 - names only
_FIRST = (
    "SELECT lane, round, place, deficit FROM held_lanes WHERE priority = ? AND round IS NOT NULL ORDER BY round, place LIMIT 1"
)
_AWAKE = "SELECT lane FROM held_lanes WHERE priority = ? AND round IS NULL AND next_at <= ? ORDER BY next_at LIMIT ?"
_STAND = "UPDATE held_lanes SET round = ?, place = ?, deficit = ? WHERE priority = ? AND lane = ?"
_LEASE = "UPDATE held_copies SET claim = claim + 1, lease_until = ?1, next_at = ?1 WHERE message = ?2 AND recipient = ?3"
_CHANGED = """
INSERT INTO held_lanes (priority, lane, next_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (priority, lane) DO UPDATE SET next_at = max(rests_until, ?3)
"""
_REST = """
UPDATE held_lanes SET rests_until = ?, round = NULL, place = NULL, deficit = 0 WHERE priority = ? AND lane = ?
"""


def any_due(db: sqlite3.Connection, now: float) -> bool:
    """Whether a claim might find something."""
    return any(
        db.execute(_FIRST, (priority,)).fetchone() or db.execute(_AWAKE, (priority, now, 1)).fetchone()
        for priority in _priorities(db)
    )


def claim(db: sqlite3.Connection, now: float, most: int, lease_seconds: float) -> list[HeldCopy]:
    """Lease what is due, each priority to its end before the next."""
    claimed: list[HeldCopy] = []
    for priority in _priorities(db):
        line = _Line(db, now, priority, now + lease_seconds)
        claimed += line.serve(most - len(claimed), is_first=not claimed)
        if len(claimed) >= most or line.is_waiting:
            break
    return claimed


def changed(db: sqlite3.Connection, lane: Lane) -> None:
    """Something has come into the lane, has left it, or changed its time."""
    (first,) = db.execute(
        "SELECT min(next_at) FROM held_copies WHERE priority = ? AND lane = ?", (lane.priority, lane.key)
    ).fetchone()
    if first is None:
        db.execute("DELETE FROM held_lanes WHERE priority = ? AND lane = ?", (lane.priority, lane.key))
    else:
        db.execute(_CHANGED, (lane.priority, lane.key, first))


def rest(db: sqlite3.Connection, lane: Lane, until: float) -> None:
    """The lane is not served before that time; one of which nothing is held is not known."""
    db.execute(_REST, (until, lane.priority, lane.key))
    changed(db, lane)


def read_copy(message: str, recipient: Digest, priority: int, lane: Digest, owner: Digest, why: str, *facts: Any) -> HeldCopy:
    """A row of `COPIES`."""
    return HeldCopy(message, recipient, Lane(priority, lane), owner, Why(why), *facts)


class _Line:
    """The lanes of one priority that have something due, in the order of their rounds."""

    def __init__(self, db: sqlite3.Connection, now: float, priority: int, lease_until: float) -> None:
        self.is_waiting = False  # whether the first did not fit into what was asked for
        self._db, self._now, self._priority, self._lease_until = db, now, priority, lease_until
        found = db.execute("SELECT round, place FROM held_turns WHERE priority = ?", (priority,)).fetchone()
        self._round: int
        self._place: int
        self._round, self._place = found or (0, 0)

    def serve(self, most: int, *, is_first: bool) -> list[HeldCopy]:
        """Take what the lanes may send, round by round; `is_first` lets a report be larger than `most`."""
        served: list[HeldCopy] = []
        is_more = self._wake()
        while len(served) < most and not self.is_waiting:
            first = self._db.execute(_FIRST, (self._priority,)).fetchone()
            if first is not None:
                lane, self._round, place, deficit = first
                served += self._serve_lane(lane, place, deficit, most - len(served), is_first=is_first and not served)
            elif is_more:
                is_more = self._wake()
            else:
                break
        self._db.execute("INSERT OR REPLACE INTO held_turns VALUES (?, ?, ?)", (self._priority, self._round, self._place))
        return served

    def _wake(self) -> bool:
        """Let lanes that have something due stand in line; whether there may be more of them."""
        lanes = self._db.execute(_AWAKE, (self._priority, self._now, _WAKE)).fetchall()
        for (lane,) in lanes:
            if due := self._due(lane, 1):
                self._stand(lane, 0, _cost(*due[0]))
            else:
                self._sleep(lane)
        return len(lanes) == _WAKE

    def _serve_lane(self, lane: Digest, place: int, deficit: int, most: int, *, is_first: bool) -> list[HeldCopy]:
        due = self._due(lane, most + 1)
        if due and due[0][1].why is Why.REPORT:
            due = self._due(lane, -1)
            if len(due) > most and not is_first:
                self.is_waiting = True
                return []
            most = len(due)
        served: list[HeldCopy] = []
        for octets, copy in due[:most]:
            if (cost := _cost(octets, copy)) > deficit:
                break
            deficit -= cost
            served.append(replace(copy, claim=copy.claim + 1))
        self._db.executemany(_LEASE, [(self._lease_until, copy.message, copy.recipient) for copy in served])
        self._leave_or_stay(lane, deficit, place, due[len(served) :])
        return served

    def _leave_or_stay(self, lane: Digest, deficit: int, place: int, left: list[tuple[int, HeldCopy]]) -> None:
        if not left:
            self._sleep(lane)
        elif (cost := _cost(*left[0])) > deficit:
            self._stand(lane, deficit, cost)
        else:  # no more was asked for: it goes on where it stands
            self._db.execute(_STAND, (self._round, place, deficit, self._priority, lane))

    def _stand(self, lane: Digest, deficit: int, cost: int) -> None:
        """Stand in line for the round in which it can pay for its first copy, behind the others of that round."""
        rounds = -(-(cost - deficit) // QUANTUM)
        self._place += 1
        self._db.execute(_STAND, (self._round + rounds, self._place, deficit + rounds * QUANTUM, self._priority, lane))

    def _sleep(self, lane: Digest) -> None:
        self._db.execute(_STAND, (None, None, 0, self._priority, lane))
        changed(self._db, Lane(self._priority, lane))

    def _due(self, lane: Digest, most: int) -> list[tuple[int, HeldCopy]]:
        rows = self._db.execute(_DUE, (self._priority, lane, self._now, most))
        return [(octets, read_copy(*facts)) for octets, *facts in rows]


def _cost(octets: int, copy: HeldCopy) -> int:
    """What it takes of a lane's octets; a report says little of the message."""
    return 1 if copy.why is Why.REPORT else max(1, octets)


def _priorities(db: sqlite3.Connection) -> list[int]:
    """Those in which something is held: a look-up each, however many lanes there are."""
    found: list[int] = []
    while True:
        after = found[-1] if found else -1
        (following,) = db.execute("SELECT min(priority) FROM held_lanes WHERE priority > ?", (after,)).fetchone()
        if following is None:
            return found
        found.append(following)
