"""Write down what became of recipients, and what follows from it, in one transaction.

An upstream that says for good that there is no such mailbox says what a mail
that comes back would say: both are believed by one rule (`relay.policy.suppressions.bounces`).
Who has the record of the outcome has the suppression too, whenever the relay
is killed; without that record the next mail asks the upstream again.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum

from relay import telemetry
from relay.answer import Result
from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.envelope import Submission
from relay.mail.reply import Reply
from relay.policy.suppressions.bounces import BOUNCE_SECONDS, confirmations_for, hard_bounce, is_confirmed
from relay.policy.suppressions.suppression import Suppression
from relay.records.append import Records
from relay.records.collected import earlier_bounces, gone_digests
from relay.records.facts import finished_record, late_record
from relay.records.held import held_records
from relay.records.kinds import Record
from relay.records.suppressed import suppressed_record
from relay.tasks import beside


class Outcomes:
    """One per worker."""

    def __init__(self, keys: Keys, records: Records, *, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._records = records
        self._clock = clock
        self._entropy = entropy

    async def finished(
        self, submission: Submission, results: Sequence[Result], report: Enum, reply: Reply, held_until: float
    ) -> None:
        """Every outcome is known; what is held is given up at `held_until`. Raises RecordsUnavailable."""
        now, person, marks = self._clock(), self._records.person, self._marks(results)

        def made() -> list[Record]:
            records = finished_record(submission, results, report, reply, now, person, marks)
            return records + held_records(submission.id, results, report, now, held_until, person)

        await self._write(submission.id, await beside(made, size=len(results)), results)

    async def late(self, submission_id: str, results: Sequence[Result]) -> None:
        """An outcome came after the client had been answered. Raises RecordsUnavailable."""
        now, marks = self._clock(), self._marks(results)
        record = await beside(lambda: late_record(submission_id, results, now, self._records.person, marks), size=len(results))
        await self._write(submission_id, [record], results)

    def _marks(self, results: Sequence[Result]) -> tuple[bytes, ...]:
        """What the next "no such mailbox" finds this one by."""
        return tuple(gone_digests(self._keys, result.recipient.key)[0] for result in results if result.gone)

    async def _write(self, submission_id: str, records: Sequence[Record], results: Sequence[Result]) -> None:
        entries = [self._entry(result) for result in results if result.gone and await self._is_confirmed(submission_id, result)]
        said = [suppressed_record(self._id(entry.at), entry.at, entry, "relay", submission_id) for entry in entries]
        await self._records.append_many([*records, *said], entries)
        for entry in entries:
            telemetry.event("no such mailbox", submission=submission_id, origin=entry.origin, effect=entry.reason.value)

    async def _is_confirmed(self, submission_id: str, result: Result) -> bool:
        earlier: frozenset[str] = frozenset()
        if confirmations_for(result.gone, result.confirmations) > 1:
            await asyncio.sleep(0)  # a mail may name many; between two look-ups others get their turn
            mailbox, reader = result.recipient.key, self._records.reader
            earlier = earlier_bounces(reader, reader.digests(mailbox), mailbox, self._clock() - BOUNCE_SECONDS)
        return is_confirmed(result.gone, submission_id, earlier, result.confirmations)

    def _entry(self, result: Result) -> Suppression:
        mailbox = result.recipient.key
        sealed = self._records.person(mailbox).sealed
        return hard_bounce(self._keys.addresses.digest(mailbox), sealed, f"upstream:{result.upstream}", self._clock())

    def _id(self, at: float) -> str:
        return new_id(at, self._entropy(ENTROPY_OCTETS))
