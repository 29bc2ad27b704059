"""What came back by mail, as the rates of streams count it.

The `collected` records are the journal: each was written in one transaction
with its effect.  They are carried to the store in the order of their numbers,
and all that still count once more when the store may have forgotten them; the
store keeps the same thing once.
"""

from collections.abc import Iterable, Iterator

from relay.ids import is_id, time_of
from relay.policy.cases.reputation import DAY, KEPT_DAYS, Feedback, Measure
from relay.policy.suppressions.suppression import Reason
from relay.records import chain
from relay.records.kinds import Record
from relay.records.reading import Reader

_PAGE = 500
_OLD = """
SELECT body, at, seq FROM records
 WHERE kind = 'collected' AND kind NOT IN ('received', 'finished') AND (at, seq) > (?, ?) AND seq <= ? ORDER BY at, seq LIMIT ?
"""
_NEW = "SELECT body FROM records WHERE seq > ? AND seq <= ? AND +kind = 'collected' ORDER BY seq"


class FeedbackLog:
    """Reads on from where it was, or everything that may still count."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last: int | None = None

    def begin_anew(self) -> None:
        """Everything is read again the next time."""
        self._last = None

    def pages(self, now: float) -> Iterator[list[Feedback]]:
        """What is new, in parts; it counts as read when the last part was taken. Raises RecordsUnavailable."""
        last = int(self._reader.read("SELECT coalesce(max(seq), 0) FROM records")[0][0])
        if self._last is None:
            yield from self._all(now - (KEPT_DAYS + 1) * DAY, last)
        elif self._last < last and (new := feedback_of(body for (body,) in self._reader.read(_NEW, (self._last, last)))):
            yield new
        self._last = last

    def _all(self, since: float, last: int) -> Iterator[list[Feedback]]:
        place = (since, 0)
        while rows := self._reader.read(_OLD, (*place, last, _PAGE)):
            place = rows[-1][1:]
            if found := feedback_of(body for body, _, _ in rows):
                yield found


def feedback_of(bodies: Iterable[str]) -> list[Feedback]:
    """Complaints, and bounces that say for good that there is no such mailbox."""
    found = []
    for record in map(chain.record_of, bodies):
        measure, stream, submission_id = _measure(record), record.facts["stream"], str(record.facts["submission"])
        if measure and stream and is_id(submission_id):
            recipient = record.people[record.facts["person"]].digest
            found.append(Feedback(stream, measure, submission_id, recipient, time_of(submission_id)))
    return found


def _measure(record: Record) -> Measure | None:
    if record.facts["effect"] == Reason.COMPLAINT:
        return Measure.COMPLAINTS
    return Measure.HARD_BOUNCES if record.facts["gone"] else None
