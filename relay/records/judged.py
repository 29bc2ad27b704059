"""Build the record of a decision on mail that is held: it is judged again whenever it is tried."""

from collections.abc import Callable, Iterable, Sequence

from relay.mail.envelope import Recipient, Submission
from relay.policy.cases.case import Ruling
from relay.records.facts import Roll, ruling_facts
from relay.records.kinds import Kind, Person, Record


def judged_record(
    submission: Submission,
    rulings: Sequence[Ruling],
    policy_hash: str,
    at: float,
    person: Callable[[str], Person],
    again: Sequence[Recipient] = (),
    upstream_countries: Iterable[str] = (),
) -> Record:
    """Held copies of a message were judged again before another try; `again` and `upstream_countries` as in a received one."""
    roll = Roll(person)
    facts = {
        "stream": submission.stream,
        "policy": policy_hash,
        "upstream_countries": sorted(upstream_countries),
        "again": [roll.number(recipient.key) for recipient in again],
        "rulings": [ruling_facts(roll, ruling) for ruling in rulings],
    }
    return Record(Kind.JUDGED, submission.id, at, roll.people, facts)
