"""What the mailbox collector remembers and asks: how far it has read, which submission a mail is about.

A mail is handled when the transaction that carries its effect has moved the
mailbox's number past its own; numbers (UIDs) only grow as long as UIDVALIDITY
stays the same (RFC 9051 section 2.3.1.1).  The collected record's mark knows
the mail by its octets too, for when the server numbers anew.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from relay.ids import is_id
from relay.keys import Keys
from relay.policy.suppressions.suppression import Digest
from relay.records import chain
from relay.records.kinds import Kind, Person, Record
from relay.records.reading import Reader
from relay.records.search import found_by_id

_LATEST = 20  # records looked at for one Message-ID: a client that reuses one must not cost more


@dataclass(frozen=True, slots=True)
class Handled:
    """A mail by its place: the mailbox (a keyed digest of its account), UIDVALIDITY, UID.

    `to_mark` says that it shall be marked as read once this is on disk.
    """

    mailbox: bytes
    validity: int
    number: int
    to_mark: bool = False


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient of one of our submissions, as its record names them; `sender` is its reverse-path, "" when null."""

    submission_id: str
    at: float
    stream: str
    sender: str
    mailbox: str  # the mailbox key
    person: Person


def mailbox_digest(keys: Keys, identity: str) -> bytes:
    """Name a watched mailbox."""
    return keys.records.lasting_digest(f"mailbox\0{identity}")


def message_id_digests(keys: Keys, message_id: str) -> tuple[bytes, ...]:
    """What a Message-ID is found by, the current generation first; angle brackets do not matter."""
    return keys.records.digests(f"message-id\0{message_id.strip().strip('<>').strip()}")


def mail_digests(keys: Keys, octets: bytes) -> tuple[bytes, ...]:
    """What a collected mail is found by, the current generation first."""
    return keys.records.digests(b"collected\0" + hashlib.sha256(octets).digest())


def write_handled(connection: sqlite3.Connection, mail: Handled) -> None:
    """Move the mailbox's number on, inside the writer's transaction."""
    connection.execute(
        "INSERT INTO mailboxes VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET"
        " number = CASE WHEN validity = excluded.validity THEN max(number, excluded.number) ELSE excluded.number END,"
        " validity = excluded.validity",
        (mail.mailbox, mail.validity, mail.number),
    )
    if mail.to_mark:
        connection.execute("INSERT OR IGNORE INTO unmarked VALUES (?, ?, ?)", (mail.mailbox, mail.validity, mail.number))


def write_marked(connection: sqlite3.Connection, mail: Handled) -> None:
    """Forget what was marked, and what can no longer be because the server numbers anew."""
    connection.execute(
        "DELETE FROM unmarked WHERE mailbox = ? AND (validity != ? OR number <= ?)", (mail.mailbox, mail.validity, mail.number)
    )


def last_number(reader: Reader, mailbox: bytes, validity: int) -> int | None:
    """The number up to which the mailbox was read; None when it never was, or is numbered anew.

    Raises RecordsUnavailable.
    """
    rows = reader.read("SELECT number FROM mailboxes WHERE mailbox = ? AND validity = ?", (mailbox, validity))
    return int(rows[0][0]) if rows else None


def still_to_mark(reader: Reader, mailbox: bytes, validity: int) -> list[int]:
    """Handled mails that are not known to be marked as read, ascending. Raises RecordsUnavailable."""
    rows = reader.read("SELECT number FROM unmarked WHERE mailbox = ? AND validity = ? ORDER BY number", (mailbox, validity))
    return [int(number) for (number,) in rows]


def was_collected(reader: Reader, octets: bytes) -> bool:
    """Whether this very mail was handled before, in whatever mailbox and under whatever number.

    Raises RecordsUnavailable.
    """
    return bool(_found(reader, mail_digests(reader.keys, octets), Kind.COLLECTED, 1))


def addressees_of(reader: Reader, message_id: str, hostname: str) -> list[Addressee]:
    """The recipients of the submissions whose message had this Message-ID, its own or ours.

    Raises RecordsUnavailable.
    """
    bare = message_id.strip().strip("<>").strip()
    submission_id, at, host = bare.partition("@")
    records = _found(reader, message_id_digests(reader.keys, bare), Kind.RECEIVED, _LATEST)
    if at and host.lower() == hostname.lower() and is_id(submission_id):
        rows = reader.read("SELECT body FROM records WHERE id = ? AND kind = 'received' LIMIT 1", (submission_id,))
        records += [chain.record_of(body) for (body,) in rows]
    return [addressee for record in records for addressee in _addressees(reader, record)]


def addressee_named(reader: Reader, submission_id: str, digest: Digest) -> Addressee | None:
    """The recipient of a submission whose address has this digest: whom an unsubscribe token is about.

    None when this node has no such record.  Raises RecordsUnavailable.
    """
    received = (record for record in found_by_id(reader, submission_id) if record.kind is Kind.RECEIVED)
    named = (addressee for record in received for addressee in _addressees(reader, record))
    return next((one for one in named if digest in reader.keys.addresses.digests(one.mailbox)), None)


def gone_digests(keys: Keys, mailbox: str) -> tuple[bytes, ...]:
    """What an outcome is found by in which the upstream said that there is no such mailbox, the current generation first."""
    return keys.records.digests(f"gone\0{mailbox}")


def earlier_bounces(reader: Reader, digests: tuple[bytes, ...], mailbox: str, since: float) -> frozenset[str]:
    """The submissions of which it is on record that the mailbox was said to be gone, at once or by a mail that came back.

    `mailbox` is the mailbox key, "" when only digests are known.

    Raises RecordsUnavailable.
    """
    returned = (record for record in _found(reader, digests, Kind.COLLECTED, 100) if record.facts["gone"])
    found = [(str(record.facts["submission"]), record.at) for record in returned]
    if mailbox:
        marks = gone_digests(reader.keys, mailbox)
        said = (record for kind in (Kind.FINISHED, Kind.LATE) for record in _found(reader, marks, kind, _LATEST))
        found += [(record.id, record.at) for record in said]
    return frozenset(submission_id for submission_id, at in found if at >= since)


def _found(reader: Reader, digests: tuple[bytes, ...], kind: Kind, limit: int) -> list[Record]:
    marks = ",".join("?" * len(digests))
    rows = reader.read(
        f"SELECT body FROM records WHERE kind = ? AND seq IN (SELECT seq FROM people WHERE digest IN ({marks}))"  # noqa: S608
        " ORDER BY seq DESC LIMIT ?",
        (kind.value, *digests, limit),
    )
    return [chain.record_of(body) for (body,) in rows]


def _addressees(reader: Reader, record: Record) -> Iterator[Addressee]:
    path = record.facts["reverse_path"]
    sender = "" if path is None else reader.reveal(record.people[path])
    for ruling in record.facts["rulings"]:
        person = record.people[ruling["person"]]
        if mailbox := reader.reveal(person):
            yield Addressee(record.id, record.at, str(record.facts["stream"]), sender, mailbox, person)
