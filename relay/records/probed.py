"""The record of a canary."""

from collections.abc import Callable

from relay.records.facts import Roll
from relay.records.kinds import Kind, Person, Record


def probed_record(
    record_id: str, at: float, upstream: str, recipient_key: str, by: str, person: Callable[[str], Person]
) -> Record:
    """A canary is about to leave by this upstream."""
    roll = Roll(person)
    facts = {"person": roll.number(recipient_key), "upstream": upstream, "by": by}
    return Record(Kind.PROBED, record_id, at, roll.people, facts)
