"""The ledger of unfinished submissions, inside a transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.errors import StoreUnavailable
from relay.policy.consent import Ground
from relay.policy.reputation import Pause
from relay.policy.suppression import Digest, Suppression
from relay.stores.contracts import (
    Clearance,
    Cleared,
    ClearRequest,
    Entry,
    FirstTry,
    OverLimit,
    Paused,
    Refused,
    Reserved,
    Row,
    RowState,
    Settlement,
    Taken,
    Withdrawn,
)
from relay.stores.sqlite import consents, limits, numbers, reputation, suppressions

_INSERT = "INSERT OR IGNORE INTO submissions (key, submission_id, at, date, message_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
_OUTCOME = """
INSERT INTO ledger (key, recipient, state, reply, submission_id, lease_until, asked_by)
SELECT key, :recipient, :state, :reply, iif(:try = '', submission_id, :try), 0, iif(:try = '', submission_id, :try)
  FROM submissions WHERE key = :key AND expires_at > :now
    ON CONFLICT (key, recipient) DO UPDATE
   SET state = excluded.state, reply = excluded.reply, lease_until = 0,
       submission_id = iif(:try = '', ledger.submission_id, :try)
"""
_UNLESS_DELIVERED = " WHERE ledger.state != 'delivered' AND :try IN ('', ledger.submission_id)"
_CLAIM = """
INSERT INTO ledger (key, recipient, state, reply, submission_id, lease_until, asked_by, mailbox, older, copy_of)
VALUES (:key, :recipient, 'leaving', '', :try, :until, :try, :mailbox, :older, :copy_of)
    ON CONFLICT (key, recipient) DO UPDATE
   SET state = excluded.state, reply = '', submission_id = :try, lease_until = :until, asked_by = :try,
       mailbox = :mailbox, older = :older, copy_of = :copy_of
"""
_NOTHING = Reserved("")  # what a copy without charges holds
_PROLONG = "UPDATE submissions SET expires_at = ? WHERE key = ?"
_ASK = "UPDATE ledger SET asked_by = ? WHERE key = ? AND recipient = ?"


def open_submission(
    db: sqlite3.Connection,
    now: float,
    key: Digest,
    proposal: FirstTry,
    ttl_seconds: float,
    recipients: Sequence[Digest],
    stream: str,
) -> Entry:
    """Insert the submission if absent and return it with its rows; those of `recipients` belong to this try now."""
    pause = reputation.pause_of(db, stream)
    is_new = _insert(db, key, proposal, now + ttl_seconds)
    if not is_new and not _is_known(db, now, key):  # it had expired
        is_new = _insert(db, key, proposal, now + ttl_seconds)
    if is_new:
        return Entry(proposal, pause=pause)
    db.execute(_PROLONG, (now + ttl_seconds, key))
    first = FirstTry(*db.execute("SELECT submission_id, at, date, message_id FROM submissions WHERE key = ?", (key,)).fetchone())
    if not first.date and not first.message_id:  # `clear` had to re-create it and did not know them
        first = replace(first, date=proposal.date, message_id=proposal.message_id)
        db.execute("UPDATE submissions SET date = ?, message_id = ? WHERE key = ?", (first.date, first.message_id, key))
    db.executemany(_ASK, [(proposal.submission_id, key, recipient) for recipient in recipients])
    return Entry(first, rows=rows(db, now, key), pause=pause)


def rows(db: sqlite3.Connection, now: float, key: Digest) -> tuple[Row, ...]:
    """The rows of a submission that has not expired."""
    found = db.execute(
        "SELECT recipient, state, reply, ledger.submission_id, lease_until"
        " FROM submissions JOIN ledger USING (key) WHERE key = ? AND expires_at > ? ORDER BY recipient",
        (key, now),
    )
    return tuple(_row(now, *row) for row in found)


def clear(
    db: sqlite3.Connection,
    now: float,
    key: Digest,
    submission_id: str,
    requests: Sequence[ClearRequest],
    lease_seconds: float,
    ttl_seconds: float,
) -> list[Clearance]:
    """Clear each recipient by itself, in order: refusal? consent withdrawn? row free? stream paused? limits free? then claim.

    Those who may leave share the number of this step.
    """
    if not _is_known(db, now, key):
        _insert(db, key, FirstTry(submission_id, now, "", ""), now + ttl_seconds)
    usage = limits.Usage(db, now)
    found = suppressions.find(db, now, [request.suppression_digests for request in requests])
    ended = consents.withdrawn(db, [(request.suppression_digests, request.grounds) for request in requests])
    pauses = {stream: reputation.pause_of(db, stream) for stream in {request.stream for request in requests}}
    number = 0
    answers: list[Clearance] = []
    for request, entries, ground in zip(requests, found, ended, strict=True):
        obstacle = _obstacle(db, now, key, request, entries, ground, pauses[request.stream])
        answer = obstacle or _reserve(usage, request, lease_seconds)
        if isinstance(answer, Reserved):
            number = number or numbers.take(db)
            db.execute(_CLAIM, _claim(key, submission_id, request, now + lease_seconds))
            answers.append(Cleared(answer.id, number))
            continue
        if isinstance(answer, Taken):
            db.execute(_ASK, (submission_id, key, request.recipient))
        answers.append(answer)
    return answers


def finish(db: sqlite3.Connection, now: float, key: Digest, settlements: Sequence[Settlement]) -> None:
    """Write outcomes; a submission that was closed or has expired meanwhile stays forgotten."""
    counts = reputation.Counts(db, now, key)
    for settlement in settlements:
        _settle(db, now, settlement)
        is_counted = counts.may_count(settlement)
        facts = {
            "key": key, "recipient": settlement.recipient, "state": settlement.state, "reply": settlement.reply,
            "try": settlement.submission_id, "now": now,
        }  # fmt: skip
        if settlement.state is None:
            db.execute(f"DELETE FROM ledger{_UNLESS_DELIVERED} AND key = :key AND recipient = :recipient", facts)  # noqa: S608
            continue
        statement = _OUTCOME if settlement.state is RowState.DELIVERED else _OUTCOME + _UNLESS_DELIVERED
        if db.execute(statement, facts).rowcount and is_counted:
            counts.add(settlement)
    counts.write()


def hold(db: sqlite3.Connection, now: float, key: Digest, submission_id: str, replies: Mapping[Digest, str]) -> frozenset[Digest]:
    """Make the rows HELD; return the recipients that are held or delivered already, whoever did that.

    Raises StoreUnavailable when another try is leaving with one of them: what comes of it cannot be known yet; and when the
    submission is closed, since another try of it was answered meanwhile, and its client must not get these beside that.
    """
    done: set[Digest] = set()
    if replies and not _is_known(db, now, key):
        raise StoreUnavailable("timeout", f"{submission_id} is closed: another try of the same submission was answered")
    for recipient, reply in replies.items():
        row = _find(db, now, key, recipient)
        if row is not None and row.state in (RowState.DELIVERED, RowState.HELD):
            done.add(recipient)
            continue
        if row is not None and row.state is RowState.LEAVING and row.submission_id != submission_id:
            raise StoreUnavailable("timeout", f"{row.submission_id}, another try of the same submission, is leaving now")
        facts = {"key": key, "recipient": recipient, "state": RowState.HELD, "reply": reply, "try": submission_id, "now": now}
        db.execute(_OUTCOME, facts)
    return frozenset(done)


def close(db: sqlite3.Connection, key: Digest, submission_id: str) -> None:
    """Forget the rows of this try, and with the last row the submission."""
    db.execute("DELETE FROM ledger WHERE key = ? AND asked_by = ?", (key, submission_id))
    db.execute("DELETE FROM submissions WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM ledger WHERE key = ?1)", (key,))


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Forget some submissions whose time is over; whether there may be more."""
    removed = db.execute(
        "DELETE FROM submissions WHERE key IN (SELECT key FROM submissions WHERE expires_at <= ? LIMIT ?)", (now, most)
    ).rowcount
    return removed == most


def _is_known(db: sqlite3.Connection, now: float, key: Digest) -> bool:
    row = db.execute("SELECT expires_at FROM submissions WHERE key = ?", (key,)).fetchone()
    if row is not None and row[0] <= now:
        db.execute("DELETE FROM submissions WHERE key = ?", (key,))
        return False
    return row is not None


def _insert(db: sqlite3.Connection, key: Digest, first: FirstTry, expires_at: float) -> bool:
    """Whether it was not there yet."""
    return db.execute(_INSERT, (key, first.submission_id, first.at, first.date, first.message_id, expires_at)).rowcount == 1


def _obstacle(
    db: sqlite3.Connection,
    now: float,
    key: Digest,
    request: ClearRequest,
    entries: tuple[Suppression, ...],
    ended: Ground | None,
    pause: Pause | None,
) -> Refused | Withdrawn | Taken | Paused | None:
    for entry in entries:
        if entry.scope in request.scopes and entry.reason in request.reasons:
            return Refused(entry)
    if ended is not None:
        return Withdrawn(ended)
    row = _find(db, now, key, request.recipient)
    if row is not None and row.state is not RowState.INDETERMINATE:
        return Taken(row)
    return Paused(pause) if pause else None


def _find(db: sqlite3.Connection, now: float, key: Digest, recipient: Digest) -> Row | None:
    found = db.execute(
        "SELECT recipient, state, reply, submission_id, lease_until FROM ledger WHERE key = ? AND recipient = ?", (key, recipient)
    ).fetchone()
    return _row(now, *found) if found else None


def _reserve(usage: limits.Usage, request: ClearRequest, lease_seconds: float) -> Reserved | OverLimit:
    return usage.reserve(request.charges, lease_seconds) if request.charges else _NOTHING


def _claim(key: Digest, submission_id: str, request: ClearRequest, until: float) -> dict[str, Any]:
    mailbox, *older = request.suppression_digests or (None,)
    return {
        "key": key, "recipient": request.recipient, "try": submission_id, "until": until,
        "mailbox": mailbox, "older": b"".join(older) or None, "copy_of": request.submission_id or None,
    }  # fmt: skip


def _settle(db: sqlite3.Connection, now: float, settlement: Settlement) -> None:
    if not settlement.reservation or settlement.state is RowState.INDETERMINATE:
        return
    if settlement.state is RowState.DELIVERED:
        limits.settle(db, now, settlement.reservation)
    else:
        limits.refund(db, settlement.reservation)


def _row(now: float, recipient: Digest, state: str, reply: str, submission_id: str, lease_until: float) -> Row:
    read = RowState(state)
    if read is RowState.LEAVING and lease_until <= now:
        read = RowState.INDETERMINATE
    return Row(recipient, read, reply, submission_id, lease_until)
