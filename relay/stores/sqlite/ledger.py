"""The ledger of unfinished submissions, inside a transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import Pause
from relay.policy.consents.consent import Ground
from relay.policy.suppressions.suppression import Digest, Suppression
from relay.stores.ledger import (
    ANSWERED_SECONDS,
    Clearance,
    Cleared,
    ClearRequest,
    Closing,
    Entry,
    FirstTry,
    Opening,
    Paused,
    Refused,
    Row,
    RowState,
    Settlement,
    Taken,
    Withdrawn,
)
from relay.stores.limits import OverLimit, Reserved
from relay.stores.sqlite import answers, consents, limits, numbers, reputation, suppressions, transfers

_INSERT = "INSERT OR IGNORE INTO submissions (key, submission_id, at, date, message_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
_OUTCOME = """
INSERT INTO ledger (key, recipient, state, reply, submission_id, lease_until, asked_by)
SELECT key, :recipient, :state, :reply, iif(:try = '', submission_id, :try), :now, iif(:try = '', submission_id, :try)
  FROM submissions WHERE key = :key AND expires_at > :now
    ON CONFLICT (key, recipient) DO UPDATE
   SET state = excluded.state, reply = excluded.reply, lease_until = :now,
       submission_id = iif(:try = '', ledger.submission_id, :try)
"""
_UNLESS_SETTLED = "WHERE ledger.state NOT IN ('delivered', 'held', 'answered') AND :try IN ('', ledger.submission_id)"
_DELIVERED = f"{_OUTCOME} WHERE ledger.state != 'answered'"
_SETTLED = f"{_OUTCOME} {_UNLESS_SETTLED}"
_TAKE_BACK = f"DELETE FROM ledger {_UNLESS_SETTLED} AND key = :key AND recipient = :recipient"  # noqa: S608 - names only
_CLAIM = """
INSERT INTO ledger (key, recipient, state, reply, submission_id, lease_until, asked_by, mailbox, older, copy_of)
VALUES (:key, :recipient, 'leaving', '', :try, :until, :try, :mailbox, :older, :copy_of)
    ON CONFLICT (key, recipient) DO UPDATE
   SET state = excluded.state, reply = '', submission_id = :try, lease_until = :until, asked_by = :try,
       mailbox = :mailbox, older = :older, copy_of = :copy_of
"""
_FIRST = "UPDATE submissions SET submission_id = ?, at = ?, date = ?, message_id = ? WHERE key = ?"
_FORGET_ANSWERED = "DELETE FROM ledger WHERE key = ? AND recipient = ? AND state = 'answered'"
_FORGET_OLD_ANSWERS = "DELETE FROM ledger WHERE key = ? AND state = 'answered' AND lease_until <= ?"
_NOTHING = Reserved("")  # what a copy without charges holds
_PROLONG = """
UPDATE submissions
   SET expires_at = :until, lasts_until = iif(lasts_until > 0 OR submission_id != :try, :until, 0)
 WHERE key = :key
"""
_OUTLAST = "UPDATE submissions SET expires_at = lasts_until WHERE key = ?"
_ASK = """
UPDATE ledger SET asked_by = ?1, lease_until = iif(state IN ('delivered', 'held', 'refused'), ?4, lease_until)
 WHERE key = ?2 AND recipient = ?3
"""
_ASK_IF_LATER = f"{_ASK} AND asked_by < ?1"  # ids are in the order of their time
_ANSWER = """
UPDATE ledger SET submission_id = state, state = 'answered', reply = iif(state = 'delivered', '', reply), lease_until = ?3,
       mailbox = NULL, older = NULL, copy_of = NULL
 WHERE key = ?1 AND asked_by = ?2 AND state IN ('delivered', 'held', 'refused')
"""
_FORGET_EMPTY = """
DELETE FROM submissions WHERE key = ?1 AND submission_id = ?2 AND NOT EXISTS (SELECT 1 FROM ledger WHERE key = ?1)
"""  # one that a late try, whom the ledger does not know, finds open is somebody else's
_ANSWERED = ("delivered", "held", "refused")
_GIVE_BACK = """
UPDATE ledger SET asked_by = iif(submission_id = ?2, '', submission_id)
 WHERE key = ?1 AND asked_by = ?2
"""
_GIVE_BACK_KEPT = f"{_GIVE_BACK} AND recipient = ?3"
_GIVE_BACK_UNKNOWN = f"{_GIVE_BACK} AND (state = 'indeterminate' OR (state = 'leaving' AND submission_id != ?2))"
_NOBODY_ELSES = """
SELECT 1 FROM submissions WHERE key = ?1 AND submission_id = ?2 AND lasts_until <= 0 AND NOT EXISTS (
   SELECT 1 FROM ledger WHERE key = ?1 AND (asked_by != ?2 OR state NOT IN ('delivered', 'held', 'refused'))
)
"""  # no other try knows the submission, and this one has an answer for all of its rows
_END = """
UPDATE submissions SET submission_id = '', date = '', message_id = '', expires_at = min(expires_at, ?2)
 WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM ledger WHERE key = ?1 AND state != 'answered')
"""


def open_submission(db: sqlite3.Connection, now: float, key: Digest, opening: Opening, began_at: float) -> Entry:
    """Insert the submission if absent and return it with its rows; those of its `recipients` belong to this try now.

    Not so those whom a try was answered for that asked later than `began_at`: this one comes late.
    """
    proposal, expires_at = opening.proposal, now + opening.ttl_seconds
    pause = reputation.pause_of(db, opening.stream)
    late = answers.find(db, now, key, opening.recipients, began_at)
    told, recipients = tuple(late.values()), [recipient for recipient in opening.recipients if recipient not in late]
    if told and not recipients:
        return Entry(proposal, told, pause)
    is_new = _insert(db, key, proposal, expires_at)
    if not is_new and not _is_known(db, now, key):  # it had expired
        is_new = _insert(db, key, proposal, expires_at)
    if is_new:
        return Entry(proposal, told, pause)
    db.execute(_PROLONG, {"until": expires_at, "try": proposal.submission_id, "key": key})
    first = _first_try(db, key, proposal)
    db.executemany(_FORGET_ANSWERED, [(key, recipient) for recipient in recipients])
    db.executemany(_ASK, [(proposal.submission_id, key, recipient, now) for recipient in recipients])
    known_rows = tuple(row for row in rows(db, now, key) if not row.answered and row.recipient not in late)
    return Entry(first, (*told, *known_rows), pause)


def _first_try(db: sqlite3.Connection, key: Digest, proposal: FirstTry) -> FirstTry:
    """What the first try used; from now on it is this one that is proposed, as far as nobody knows any more."""
    first = known = FirstTry(
        *db.execute("SELECT submission_id, at, date, message_id FROM submissions WHERE key = ?", (key,)).fetchone()
    )
    if not first.submission_id:  # all who asked before were answered
        first = proposal
    if not first.date and not first.message_id:  # `clear` had to re-create it and did not know them
        first = replace(first, date=proposal.date, message_id=proposal.message_id)
    if first != known:
        db.execute(_FIRST, (first.submission_id, first.at, first.date, first.message_id, key))
    return first


def rows(db: sqlite3.Connection, now: float, key: Digest) -> tuple[Row, ...]:
    """The rows of a submission that has not expired."""
    found = db.execute(
        "SELECT recipient, state, reply, ledger.submission_id, lease_until"
        " FROM submissions JOIN ledger USING (key) WHERE key = ? AND expires_at > ? ORDER BY recipient",
        (key, now),
    )
    return tuple(row for facts in found if (row := _row(now, *facts)) is not None)


def clear(
    db: sqlite3.Connection,
    now: float,
    key: Digest,
    submission_id: str,
    requests: Sequence[ClearRequest],
    lease_seconds: float,
    ttl_seconds: float,
) -> list[Clearance]:
    """Clear each recipient by itself, in order: whatever stands in the way, else claim (`Ledger.clear`).

    Those who may leave share the number of this step.
    """
    if not _is_known(db, now, key, outlasts=True):
        _insert(db, key, FirstTry(submission_id, now, "", ""), now + ttl_seconds)
    usage = limits.Usage(db, now)
    found = suppressions.find(db, now, [request.suppression_digests for request in requests])
    ended = consents.withdrawn(db, [(request.suppression_digests, request.grounds) for request in requests])
    pauses = {stream: reputation.pause_of(db, stream) for stream in {request.stream for request in requests}}
    number = 0
    answers: list[Clearance] = []
    for request, entries, ground in zip(requests, found, ended, strict=True):
        obstacle: Clearance | None = _obstacle(db, now, key, request, entries, ground, pauses[request.stream])
        obstacle = obstacle or transfers.exhausted(db, request.crossing, request.recipient)
        answer = obstacle or _reserve(usage, request, lease_seconds)
        if isinstance(answer, Reserved):
            number = number or numbers.take(db)
            db.execute(_CLAIM, _claim(key, submission_id, request, now + lease_seconds))
            answers.append(Cleared(answer.id, number, transfers.count(db, request.crossing, request.recipient)))
            continue
        if isinstance(answer, Taken) and not answer.row.answered:
            db.execute(_ASK, (submission_id, key, request.recipient, now))
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
            db.execute(_TAKE_BACK, facts)
        elif db.execute(_DELIVERED if settlement.state is RowState.DELIVERED else _SETTLED, facts).rowcount and is_counted:
            counts.add(settlement)
    counts.write()


def hold(
    db: sqlite3.Connection, now: float, key: Digest, submission_id: str, replies: Mapping[Digest, str]
) -> tuple[frozenset[Digest], frozenset[Digest]]:
    """Make the rows HELD; return who is held or delivered already, whoever did that, and whom another try may have reached.

    Raises StoreUnavailable when another try is leaving with one of them: what comes of it cannot be known yet; and when the
    client of another try heard meanwhile that one was refused: it must not arrive after that.
    """
    done: set[Digest] = set()
    doubtful: set[Digest] = set()
    if not replies:
        return frozenset(), frozenset()
    if not _is_known(db, now, key, outlasts=True):
        raise _answered_meanwhile(submission_id)
    db.execute(_FORGET_OLD_ANSWERS, (key, now))
    for recipient, reply in replies.items():
        row = _find(db, now, key, recipient)
        if row is not None and row.state in (RowState.DELIVERED, RowState.HELD):
            done.add(recipient)
            if not row.answered:
                db.execute(_ASK_IF_LATER, (submission_id, key, recipient, now))
            continue
        if row is not None and row.submission_id != submission_id:
            _require_free(row, submission_id)
            if row.state is RowState.INDETERMINATE:
                doubtful.add(recipient)
        facts = {"key": key, "recipient": recipient, "state": RowState.HELD, "reply": reply, "try": submission_id, "now": now}
        db.execute(_OUTCOME, facts)
    return frozenset(done), frozenset(doubtful)


def _require_free(row: Row, submission_id: str) -> None:
    """Raise StoreUnavailable when the other try that wrote the row is leaving, or was answered."""
    if row.answered:
        raise _answered_meanwhile(submission_id)
    if row.state is RowState.LEAVING:
        raise StoreUnavailable("timeout", f"{row.submission_id}, another try of the same submission, is leaving now")


def _answered_meanwhile(submission_id: str) -> StoreUnavailable:
    return StoreUnavailable("timeout", f"{submission_id}: another try of the same submission was answered meanwhile")


def close(db: sqlite3.Connection, now: float, key: Digest, closing: Closing) -> None:
    """Forget the rows of this try, and with the last row the submission; what another try may still hold is known a while."""
    submission_id = closing.submission_id
    if not closing.keep and db.execute(_NOBODY_ELSES, (key, submission_id)).fetchone():  # nearly always
        if closing.remember > 0:
            answers.keep(db, key, submission_id, now + closing.remember)
        db.execute("DELETE FROM submissions WHERE key = ?", (key,))  # and its rows with it
        return
    db.execute(_GIVE_BACK_UNKNOWN, (key, submission_id))
    db.executemany(_GIVE_BACK_KEPT, [(key, submission_id, recipient) for recipient in closing.keep])
    if closing.remember > 0:
        answers.keep(db, key, submission_id, now + closing.remember)
    others = db.execute("SELECT 1 FROM submissions WHERE key = ? AND lasts_until > 0", (key,)).fetchone()
    if others:
        db.execute(_ANSWER, (key, submission_id, now + ANSWERED_SECONDS))
    db.execute("DELETE FROM ledger WHERE key = ? AND asked_by = ? AND state != 'answered'", (key, submission_id))
    if others:
        db.execute(_END, (key, now + ANSWERED_SECONDS))
    else:
        db.execute(_FORGET_EMPTY, (key, submission_id))


def sweep(db: sqlite3.Connection, now: float, most: int) -> bool:
    """Forget some submissions and answers whose time is over; whether there may be more."""
    more_answers = answers.sweep(db, now)
    removed = db.execute(
        "DELETE FROM submissions WHERE key IN (SELECT key FROM submissions WHERE expires_at <= ? LIMIT ?)", (now, most)
    ).rowcount
    return removed == most or more_answers


def _is_known(db: sqlite3.Connection, now: float, key: Digest, *, outlasts: bool = False) -> bool:
    """Whether the submission is there and has not expired; where it `outlasts`, it gets a row now and is remembered longer."""
    row = db.execute("SELECT expires_at, lasts_until FROM submissions WHERE key = ?", (key,)).fetchone()
    if row is None:
        return False
    expires_at, lasts_until = row
    if expires_at <= now:
        db.execute("DELETE FROM submissions WHERE key = ?", (key,))
        return False
    if outlasts and lasts_until > expires_at:
        db.execute(_OUTLAST, (key,))
    return True


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
    if row is not None and not (row.state is RowState.INDETERMINATE and request.may_repeat):
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


def _row(now: float, recipient: Digest, state: str, reply: str, submission_id: str, lease_until: float) -> Row | None:
    """None where the client was answered so long ago that nobody can ask any more."""
    if state == "answered":
        is_known = lease_until > now and submission_id in _ANSWERED
        return Row(recipient, RowState(submission_id), reply, answered=True) if is_known else None
    read = RowState(state)
    if read is RowState.LEAVING and lease_until <= now:
        read = RowState.INDETERMINATE
    return Row(recipient, read, reply, submission_id, lease_until if state == "leaving" else 0.0)
