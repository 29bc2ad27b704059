"""The record of what a person did with held mail."""

from collections.abc import Callable, Sequence

from relay.mail.envelope import Recipient
from relay.records.facts import Roll
from relay.records.kinds import Kind, Person, Record


def handled_record(
    submission_id: str,
    recipients: Sequence[Recipient],
    what: str,
    *,
    by: str,
    reason: str,
    at: float,
    person: Callable[[str], Person],
) -> Record:
    """A person asked that held copies leave in spite of a rule, are tried now, or never leave: `release`, `retry` or `drop`."""
    roll = Roll(person)
    facts = {"what": what, "about": [roll.number(recipient.key) for recipient in recipients], "by": by, "reason": reason}
    return Record(Kind.HANDLED, submission_id, at, roll.people, facts)
