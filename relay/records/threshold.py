"""The record of a count that nears, or has reached, what a recorded ground allows."""

from relay.policy.cases.transfers import Threshold
from relay.records.kinds import Kind, Record


def threshold_record(record_id: str, at: float, year: int, threshold: Threshold, persons: int, share: str) -> Record:
    """So many persons' data left the country this year: "80 %" of what the ground allows, or all of it, "100 %"."""
    facts = {
        "year": year,
        "category": threshold.category.value,
        "persons": persons,
        "below": threshold.below,
        "basis": threshold.basis,
        "countries": list(threshold.to),
        "rule": threshold.rule,
        "share": share,
    }
    return Record(Kind.THRESHOLD, record_id, at, (), facts)
