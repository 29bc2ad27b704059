"""Held messages and copies, inside a transaction. Whose turn it is to leave: `turns`; the bodies: `bodies`."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from relay.policy.suppressions.suppression import Digest
from relay.stores.held import HeldCopy, HeldMessage, HeldTotals, HeldUpdate, HoldFull, Holding, Lane, Why
from relay.stores.sqlite import ledger, turns
from relay.stores.sqlite.bodies import Body, submission_of

_OCTETS = "octets"
_FREED = 200  # copies in one step: everybody else waits for as long
_WAITS = "SELECT 1 FROM held_copies WHERE lane = ? AND due_at < 9e999 AND why != 'report' LIMIT 1"
_KEEP = """
INSERT OR IGNORE INTO held_copies
       (message, recipient, priority, lane, owner, why, due_at, sealed, attempts, held_at, claim, next_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FOUND = """
SELECT priority, lane, owner, why, expires_at FROM held_copies JOIN held_messages ON id = message
 WHERE message = ? AND recipient = ? AND claim = ?
"""
_CHANGE = """
UPDATE held_copies
   SET priority = ?, lane = ?, owner = ?, why = ?, due_at = ?, sealed = ?, attempts = ?, next_at = ?, lease_until = 0,
       claim = claim + 1
 WHERE message = ? AND recipient = ?
"""
_COUNT = "INSERT INTO held_counts VALUES (?1, ?2) ON CONFLICT (what) DO UPDATE SET count = count + ?2"
_LOGIN = """
INSERT INTO held_credentials VALUES (?1, ?2, ?3) ON CONFLICT (owner) DO UPDATE SET sealed = ?2, until = ?3
 WHERE until <= max(?3, ?4)
"""
_PARKED = """
SELECT message, recipient, priority, lane FROM held_copies WHERE owner = ? AND why = ? AND due_at > ? ORDER BY due_at LIMIT ?
"""


def require_room(db: sqlite3.Connection, message: str, octets: int, max_octets: int) -> None:
    """Raise HoldFull when a body of so many octets has no room beside the others."""
    held = _count(db, _OCTETS)
    if held + octets > max_octets and _body(db, message) is None:
        raise HoldFull(f"{held} octets are held; {octets} more would be over {max_octets}")


def hold(db: sqlite3.Connection, now: float, key: Digest, holding: Holding, body: Body) -> bool:
    """Keep what is not held yet; whether `body` is the message's from now on, and not one that it had already."""
    message = holding.message
    done, doubtful = ledger.hold(db, now, key, message.id, holding.rows)
    left = [copy for copy in holding.copies if copy.recipient not in done]
    wanted = [copy.in_doubt(now) if copy.recipient in doubtful else copy for copy in left]
    is_new = bool(wanted) and _body(db, message.id) is None
    if is_new:
        require_room(db, message.id, body.octets, holding.max_octets)
        facts = (body.octets, body.sha256, message.head, message.at, message.expires_at, now)
        db.execute("INSERT INTO held_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (message.id, body.file, *facts))
    changes = _Changes(db)
    for copy in wanted:
        changes.keep(copy, message.expires_at, now)
    if is_new:
        changes.counts[_OCTETS] += body.octets
    if holding.credentials is not None and changes.lanes:
        keep_credentials(db, now, *holding.credentials)
    changes.write()
    return is_new


def message_of(db: sqlite3.Connection, message: str) -> tuple[HeldMessage, Body] | None:
    """The message without its body, and where that is."""
    row = db.execute("SELECT head, octets, at, expires_at, file, sha256 FROM held_messages WHERE id = ?", (message,)).fetchone()
    if row is None:
        return None
    head, octets, at, expires_at, file, sha256 = row
    return HeldMessage(message, head, b"", octets, at, expires_at), Body(file, octets, sha256)


def update(db: sqlite3.Connection, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None) -> tuple[int, list[str]]:
    """Change or forget copies; how many updates were heard, and the files that are nobody's any more."""
    changes = _Changes(db)
    heard = sum([changes.apply(update) for update in updates])
    files = changes.write()
    for lane, until in (resting or {}).items():
        turns.rest(db, lane, until)
    return heard, files


def copies_after(db: sqlite3.Connection, after: tuple[str, Digest] | None, most: int, message: str | None) -> list[HeldCopy]:
    """Copies in the order of message and recipient."""
    only, which = ("message = ? AND", (message,)) if message is not None else ("", ())
    query = f"{turns.COPIES} WHERE {only} (message, recipient) > (?, ?) ORDER BY message, recipient LIMIT ?"
    return [turns.read_copy(*row) for row in db.execute(query, (*which, *(after or ("", b"")), most))]


def free_some(db: sqlite3.Connection, owner: Digest, why: Why, at: float) -> int:
    """Make some copies due at that time that would be due later; how many, 0 when there are no more."""
    found = db.execute(_PARKED, (owner, why, at, _FREED)).fetchall()
    db.executemany(
        "UPDATE held_copies SET due_at = ?1, next_at = max(lease_until, ?1) WHERE message = ?2 AND recipient = ?3",
        [(at, message, recipient) for message, recipient, _, _ in found],
    )
    for priority, lane in {(priority, lane) for _, _, priority, lane in found}:
        turns.rest(db, Lane(priority, lane), 0)
    return len(found)


def waiting(db: sqlite3.Connection, lanes: Sequence[Digest]) -> frozenset[Digest]:
    """Those of the lanes in which a copy waits for a time."""
    if not lanes or db.execute("SELECT 1 FROM held_copies LIMIT 1").fetchone() is None:
        return frozenset()
    return frozenset(lane for lane in lanes if db.execute(_WAITS, (lane,)).fetchone())


def names_file(db: sqlite3.Connection, file: str) -> bool:
    """Whether the file is the body of a message."""
    body = _body(db, submission_of(file))
    return body is not None and body.file == file


def totals(db: sqlite3.Connection) -> HeldTotals:
    """What is held, from counts that are kept: it costs the same whatever is held."""
    counts = dict(db.execute("SELECT what, count FROM held_counts WHERE count > 0"))
    octets = counts.pop(_OCTETS, 0)
    (oldest,) = db.execute("SELECT min(held_at) FROM held_messages").fetchone()
    return HeldTotals({Why(what): count for what, count in counts.items()}, octets, oldest)


def holds_for(db: sqlite3.Connection, owner: Digest) -> bool:
    """Whether a copy leaves with this owner's login."""
    return db.execute("SELECT 1 FROM held_copies WHERE owner = ? LIMIT 1", (owner,)).fetchone() is not None


def keep_credentials(db: sqlite3.Connection, now: float, owner: Digest, sealed: bytes, until: float) -> bool:
    """Replace the owner's login, unless that may stay longer, where copies of the owner are held."""
    if not holds_for(db, owner):
        return False
    db.execute(_LOGIN, (owner, sealed, until, now))
    return True


def credentials_of(db: sqlite3.Connection, now: float, owner: Digest) -> bytes | None:
    """The owner's login while its time is not over."""
    row = db.execute("SELECT sealed FROM held_credentials WHERE owner = ? AND until > ?", (owner, now)).fetchone()
    return bytes(row[0]) if row else None


def drop_credentials(db: sqlite3.Connection, owner: Digest, sealed: bytes) -> None:
    """Forget the owner's login if it is still this one."""
    db.execute("DELETE FROM held_credentials WHERE owner = ? AND sealed = ?", (owner, sealed))


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Forget some logins whose time is over; whether there may be more."""
    removed = db.execute(
        "DELETE FROM held_credentials WHERE owner IN (SELECT owner FROM held_credentials WHERE until <= ? LIMIT ?)", (now, most)
    ).rowcount
    return removed == most


class _Changes:
    """What becomes of copies in one transaction; `write` then puts in order what depends on them, each thing once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.counts: Counter[str] = Counter()
        self.lanes: set[Lane] = set()
        self._owners: set[Digest] = set()  # who may have lost the last copy
        self._messages: set[str] = set()  # likewise

    def keep(self, copy: HeldCopy, expires_at: float, now: float) -> None:
        """Add the copy unless it is held already."""
        lane, next_at = copy.lane, min(copy.due_at, expires_at)
        facts = (copy.owner, copy.why, copy.due_at, copy.sealed, copy.attempts, copy.held_at or now, copy.claim, next_at)
        if self._db.execute(_KEEP, (copy.message, copy.recipient, lane.priority, lane.key, *facts)).rowcount:
            self.counts[copy.why] += 1
            self.lanes.add(lane)

    def apply(self, update: HeldUpdate) -> bool:
        """Whether the update was heard."""
        before, after = update.before, update.after
        place = (before.message, before.recipient)
        found = self._db.execute(_FOUND, (*place, before.claim)).fetchone()
        if found is None:
            return False
        priority, lane, owner, why, expires_at = found
        self.counts[why] -= 1
        self.lanes.add(Lane(priority, lane))
        self._owners.add(owner)
        if after is None:
            self._db.execute("DELETE FROM held_copies WHERE message = ? AND recipient = ?", place)
            self._messages.add(before.message)
        else:
            facts = (after.owner, after.why, after.due_at, after.sealed, after.attempts, min(after.due_at, expires_at))
            self._db.execute(_CHANGE, (after.lane.priority, after.lane.key, *facts, *place))
            self.counts[after.why] += 1
            self.lanes.add(after.lane)
        return True

    def write(self) -> list[str]:
        """Settle lanes, owners, messages and counts; the files of the messages that are forgotten."""
        for lane in self.lanes:
            turns.changed(self._db, lane)
        for owner in self._owners:
            if not holds_for(self._db, owner):
                self._db.execute("DELETE FROM held_credentials WHERE owner = ?", (owner,))
        files = self._forget(self._messages)
        self._db.executemany(_COUNT, [(str(what), number) for what, number in self.counts.items() if number])
        return files

    def _forget(self, messages: Iterable[str]) -> list[str]:
        files: list[str] = []
        for message in messages:
            body = _body(self._db, message)
            if body is None or self._db.execute("SELECT 1 FROM held_copies WHERE message = ? LIMIT 1", (message,)).fetchone():
                continue
            self._db.execute("DELETE FROM held_messages WHERE id = ?", (message,))
            self.counts[_OCTETS] -= body.octets
            files.append(body.file)
        return files


def _body(db: sqlite3.Connection, message: str) -> Body | None:
    row = db.execute("SELECT file, octets, sha256 FROM held_messages WHERE id = ?", (message,)).fetchone()
    return Body(*row) if row else None


def _count(db: sqlite3.Connection, what: str) -> int:
    row = db.execute("SELECT count FROM held_counts WHERE what = ?", (what,)).fetchone()
    return int(row[0]) if row else 0
