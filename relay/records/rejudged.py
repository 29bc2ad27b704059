"""The record of a second judgement: another policy set came in force before the copies left."""

from collections.abc import Callable, Iterable, Sequence

from relay.policy.case import Ruling
from relay.records.facts import Roll, ruling_facts
from relay.records.kinds import Kind, Person, Record


def rejudged_record(
    submission_id: str,
    at: float,
    stream: str,
    policy_hash: str,
    rulings: Sequence[Ruling],
    person: Callable[[str], Person],
    upstream_countries: Iterable[str],
) -> Record:
    """What was decided for those who had not left yet; for them it takes the place of what `received` says."""
    roll = Roll(person)
    facts = {
        "stream": stream,
        "policy": policy_hash,
        "upstream_countries": sorted(upstream_countries),
        "rulings": [ruling_facts(roll, ruling) for ruling in rulings],
    }
    return Record(Kind.REJUDGED, submission_id, at, roll.people, facts)
