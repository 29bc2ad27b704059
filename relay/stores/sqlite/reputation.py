"""Counts and pauses of streams, inside a transaction."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from relay.policy.cases.reputation import DAY, KEPT_DAYS, Feedback, Measure, Pause, SendingDays, Tally, first_day
from relay.stores.ledger import RowState, Settlement

_PAUSE = """
INSERT INTO streams (stream, paused_at, by, measure, reason, reason_zh) VALUES (:stream, :at, :by, :measure, :reason, :reason_zh)
    ON CONFLICT (stream) DO UPDATE
   SET paused_at = :at, by = :by, measure = :measure, reason = :reason, reason_zh = :reason_zh
"""
_PAUSED = "SELECT stream, paused_at, by, measure, reason, reason_zh FROM streams WHERE paused_at IS NOT NULL"
_PAUSED_ONE = f"{_PAUSED} AND stream = ?"
_RESUME = """
INSERT INTO streams (stream, counted_from) VALUES (?1, ?2)
    ON CONFLICT (stream) DO UPDATE SET counted_from = ?2, paused_at = NULL, by = '', measure = '', reason = '', reason_zh = ''
"""
_NOTE = """
INSERT OR IGNORE INTO feedback (stream, measure, submission_id, recipient, sent_at)
SELECT :stream, :measure, :submission_id, :recipient, :sent_at
 WHERE :sent_at >= coalesce((SELECT counted_from FROM streams WHERE stream = :stream), 0)
"""
_COUNT = """
INSERT INTO sent (stream, day, delivered, refused) VALUES (:stream, :day, :delivered, :refused)
    ON CONFLICT (stream, day) DO UPDATE SET delivered = delivered + :delivered, refused = refused + :refused
"""

_SENDS = """
INSERT INTO sending_days (stream, days, last) VALUES (?1, 1, ?2)
    ON CONFLICT (stream) DO UPDATE SET days = days + 1, last = ?2 WHERE last < ?2
"""


def pause_of(db: sqlite3.Connection, stream: str) -> Pause | None:
    """The pause in force on one stream."""
    row = db.execute(_PAUSED_ONE, (stream,)).fetchone() if stream else None
    return _pause(*row) if row else None


def paused(db: sqlite3.Connection) -> dict[str, Pause]:
    return {row[0]: _pause(*row) for row in db.execute(_PAUSED)}


def pause(db: sqlite3.Connection, pause: Pause, counted_from: float | None) -> bool:
    """Pause a stream unless it is, or was resumed since it was counted."""
    if pause_of(db, pause.stream) or counted_from not in (None, _counted_from(db, pause.stream)):
        return False
    facts = {
        "stream": pause.stream, "at": pause.at, "by": pause.by, "measure": pause.measure.value,
        "reason": pause.reason, "reason_zh": pause.reason_zh,
    }  # fmt: skip
    db.execute(_PAUSE, facts)
    return True


def resume(db: sqlite3.Connection, now: float, stream: str) -> Pause | None:
    """End a pause and begin to count anew."""
    ended = pause_of(db, stream)
    if ended is not None:
        db.execute(_RESUME, (stream, now))
        db.execute("DELETE FROM sent WHERE stream = ?", (stream,))
        db.execute("DELETE FROM feedback WHERE stream = ?", (stream,))
    return ended


def note(db: sqlite3.Connection, now: float, feedback: Sequence[Feedback]) -> None:
    """Keep what came back about mail that can still count."""
    begin = first_day(now, KEPT_DAYS) * DAY
    rows = [
        {
            "stream": one.stream, "measure": one.measure.value, "submission_id": one.submission_id,
            "recipient": one.recipient, "sent_at": one.sent_at,
        }
        for one in feedback
        if one.sent_at >= begin
    ]  # fmt: skip
    db.executemany(_NOTE, rows)


def tallies(db: sqlite3.Connection, now: float, windows: Mapping[str, int]) -> dict[str, Tally]:
    """Add up each stream's window."""
    return {stream: _tally(db, stream, first_day(now, window)) for stream, window in windows.items()}


def _tally(db: sqlite3.Connection, stream: str, begin: int) -> Tally:
    delivered, refused = db.execute(
        "SELECT coalesce(sum(delivered), 0), coalesce(sum(refused), 0) FROM sent WHERE stream = ? AND day >= ?", (stream, begin)
    ).fetchone()
    counts = dict(
        db.execute(
            "SELECT measure, count(*) FROM feedback WHERE stream = ? AND sent_at >= ? GROUP BY measure", (stream, begin * DAY)
        )
    )
    returned, complaints = counts.get(Measure.HARD_BOUNCES, 0), counts.get(Measure.COMPLAINTS, 0)
    return Tally(delivered, refused, returned, complaints, _counted_from(db, stream))


def note_sending(db: sqlite3.Connection, stream: str, day: str) -> None:
    """Count the day unless it was counted, or a later one."""
    db.execute(_SENDS, (stream, day))


def sending_days(db: sqlite3.Connection, streams: Sequence[str]) -> dict[str, SendingDays]:
    """The days of sending of each stream."""
    rows = {stream: SendingDays(days, last) for stream, days, last in db.execute("SELECT stream, days, last FROM sending_days")}
    return {stream: rows.get(stream, SendingDays()) for stream in streams}


class Counts:
    """What one `finish` adds to the counts: rows that become delivered, or refused for want of a mailbox, each once."""

    def __init__(self, db: sqlite3.Connection, now: float, key: bytes) -> None:
        self._db = db
        self._day = int(now // DAY)
        self._key = key
        self._found: Counter[tuple[str, RowState]] = Counter()

    def may_count(self, settlement: Settlement) -> bool:
        """Whether the row is not in this state yet. Ask before it is written."""
        state = settlement.state
        if not settlement.stream or not (state is RowState.DELIVERED or (state is RowState.REFUSED and settlement.no_mailbox)):
            return False
        before = self._db.execute(
            "SELECT state FROM ledger WHERE key = ? AND recipient = ?", (self._key, settlement.recipient)
        ).fetchone()
        return before is None or before[0] != state

    def add(self, settlement: Settlement) -> None:
        """The row was written."""
        if settlement.state is not None:
            self._found[settlement.stream, settlement.state] += 1

    def write(self) -> None:
        """Add everything up: one row a stream."""
        for stream in {stream for stream, _ in self._found}:
            delivered, refused = self._found[stream, RowState.DELIVERED], self._found[stream, RowState.REFUSED]
            facts = {"stream": stream, "day": self._day, "delivered": delivered, "refused": refused}
            self._db.execute(_COUNT, facts)


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Forget some of what no window contains any more; whether there may be more."""
    begin = first_day(now, KEPT_DAYS)
    db.execute("DELETE FROM sent WHERE day < ?", (begin,))
    removed = db.execute(
        "DELETE FROM feedback WHERE (stream, measure, submission_id, recipient) IN"
        " (SELECT stream, measure, submission_id, recipient FROM feedback WHERE sent_at < ? LIMIT ?)",
        (begin * DAY, most),
    ).rowcount
    return removed == most


def _counted_from(db: sqlite3.Connection, stream: str) -> float:
    row = db.execute("SELECT counted_from FROM streams WHERE stream = ?", (stream,)).fetchone()
    return float(row[0]) if row else 0.0


def _pause(stream: str, at: float, by: str, measure: str, reason: str, reason_zh: str) -> Pause:
    return Pause(stream, at, by, Measure(measure), reason, reason_zh)
