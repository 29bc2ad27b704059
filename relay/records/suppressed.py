"""A suppression was written down, came in force, or was lifted."""

from collections.abc import Mapping
from typing import Any

from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.records.kinds import Kind, Person, Record


def suppressed_record(record_id: str, at: float, entry: Suppression, by: str, submission_id: str = "") -> Record:
    """A mailbox was put on the suppression list; `by` says who did it: "recipient", or a name.

    `submission_id` is the mail whose link was followed or which was answered, "" when there is none.

    Its person is the entry's own digest, since a refusal by link knows no
    address; `Records.digests` finds it all the same.
    """
    facts = {"expires_at": entry.expires_at, "note": entry.note, "by": by, "submission": submission_id}
    return _record_of(Kind.SUPPRESSED, record_id, at, entry, facts)


def applied_record(record_id: str, at: float, entry: Suppression) -> Record:
    """The store has brought a suppression in force; `entry` is as the store says it."""
    return _record_of(Kind.APPLIED, record_id, at, entry, {"number": entry.number, "in_flight": list(entry.in_flight)})


def imported_record(
    record_id: str, at: float, *, origin: str, file_sha256: str, rows: int, new: int, rejected: int, by: str
) -> Record:
    """A file of suppressions was imported: one record for all of its rows, which the store holds with this origin."""
    facts = {"origin": origin, "file_sha256": file_sha256, "rows": rows, "new": new, "rejected": rejected, "by": by}
    return Record(Kind.SUPPRESSED, record_id, at, (), facts)


def lifted_record(
    record_id: str,
    at: float,
    *,
    digest: Digest,
    sealed: bytes,
    scope: str,
    reason: Reason,
    by: str,
    consent: ConsentEvent | None,
    note: str,
) -> Record:
    """A suppression was lifted, by whom and on what consent."""
    evidence = {"id": consent.id, "at": consent.at, "evidence": consent.evidence} if consent else None
    facts = {"person": 0, "scope": scope, "reason": reason.value, "by": by, "consent": evidence, "note": note}
    return Record(Kind.LIFTED, record_id, at, (Person(digest, sealed),), facts)


def _record_of(kind: Kind, record_id: str, at: float, entry: Suppression, more: Mapping[str, Any]) -> Record:
    """With what every record about an entry says of it."""
    said = {"person": 0, "scope": entry.scope, "reason": entry.reason.value, "origin": entry.origin, "since": entry.at}
    return Record(kind, record_id, at, (Person(entry.digest, entry.sealed),), {**said, **more})
