"""The records of a stream that is paused, and resumed."""

from relay.policy.cases.reputation import Pause, Tally
from relay.records.kinds import Kind, Record


def paused_record(record_id: str, at: float, pause: Pause, tally: Tally) -> Record:
    """A stream was paused, by the relay because of a rate, or by a person."""
    facts = {
        "stream": pause.stream,
        "measure": pause.measure.value,
        "reason": pause.reason,
        "reason_zh": pause.reason_zh,
        "by": pause.by,
        "counts": _counts(tally),
    }
    return Record(Kind.PAUSED, record_id, at, (), facts)


def resumed_record(record_id: str, at: float, pause: Pause, tally: Tally, *, reason: str, by: str) -> Record:
    """A person ended a pause; the counts, which begin anew, as they were."""
    facts = {
        "stream": pause.stream,
        "reason": reason,
        "by": by,
        "since": pause.at,
        "measure": pause.measure.value,
        "counts": _counts(tally),
    }
    return Record(Kind.RESUMED, record_id, at, (), facts)


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "delivered": tally.delivered,
        "refused": tally.refused,
        "returned": tally.returned,
        "complaints": tally.complaints,
    }
