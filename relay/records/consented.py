"""The record of what was added to the consent ledger."""

from relay.policy.consents.consent import ConsentEvent
from relay.records.kinds import Kind, Person, Record


def consent_record(record_id: str, at: float, event: ConsentEvent) -> Record:
    """One event was added; the ledger has the rest of its evidence under this id."""
    facts = {
        "person": 0,
        "consent_id": event.id,
        "event": event.event,
        "purpose": event.purpose,
        "basis": event.basis,
        "since": event.at,
        "source": event.details.source,
        "lacks": sorted(event.details.lacking) if event.is_granting else [],
        "evidence": event.evidence,
        "by": event.by,
    }
    return Record(Kind.CONSENT, record_id, at, (Person(event.digest, event.sealed),), facts)


def consents_record(
    record_id: str, at: float, *, file_sha256: str, rows: int, new: int, refused: int, rejected: int, by: str
) -> Record:
    """A file of consents was imported: one record for all of its rows; `refused` mailboxes were suppressed because of it."""
    facts = {"file_sha256": file_sha256, "rows": rows, "new": new, "refused": refused, "rejected": rejected, "by": by}
    return Record(Kind.CONSENT, record_id, at, (), facts)
