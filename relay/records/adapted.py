"""The record of what is done because of an upstream's reply, and of its end."""

from relay.records.append import Records
from relay.records.kinds import Kind, Person, Record
from relay.records.reading import Reader
from relay.stores.adaptations import NEVER, Adaptation


def name_in(reader: Reader, adaptation: Adaptation) -> str:
    """The identity or the recipient domain that is adapted, "" for a whole upstream or where the keys do not open it."""
    return reader.reveal(Person(b"", adaptation.sealed))


def person_in(records: Records, adaptation: Adaptation) -> Person | None:
    """As a record names them; None where nobody can be named."""
    name = name_in(records.reader, adaptation)
    return records.person(name) if name else None


def adapted_record(
    record_id: str, at: float, adaptation: Adaptation, person: Person | None, *, ended: str = "", reason: str = "", by: str = ""
) -> Record:
    """Something is adapted to what an upstream replied, or that ended: of itself, by a person, or by a login that works again.

    `person` is the identity or the recipient domain that is adapted, None for a whole upstream.
    """
    until = None if adaptation.until == NEVER else adaptation.until
    facts = {
        "upstream": adaptation.upstream,
        "kind": adaptation.kind.value,
        "scope": adaptation.scope.value,
        "person": None if person is None else 0,
        "since": adaptation.since,
        "until": until,
        "value": adaptation.value,
        "class": adaptation.reply_class,
        "said": adaptation.said,
        "ended": ended,
        "reason": reason,
        "by": by or adaptation.by,
    }
    return Record(Kind.ADAPTED, record_id, at, () if person is None else (person,), facts)
