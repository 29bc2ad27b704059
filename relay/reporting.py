"""Tell the sender what became of a message, by a report of our own (RFC 3464).

The report on the refused goes before the reply: a 250 leaves nobody
uninformed (law 2).  It takes what time the copies have left; a client does
not wait longer for it.  A report is claimed in the ledger like a recipient, so
that a retry sends it only when no earlier try did.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from relay import telemetry
from relay.answer import ReportFate, Result, Standing, needs_report
from relay.consignment import Consignment
from relay.dispatch import Dispatcher
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.policy.suppressions.suppression import Digest
from relay.records.append import Records
from relay.records.facts import reported_record
from relay.render.report import FAILED, RELAYED, Notice, is_reportable
from relay.stores.ledger import ClearRequest, RowState, Settlement
from relay.tasks import beside
from relay.upstream.outcome import UpstreamUnavailable

_log = logging.getLogger("relay.reporting")


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of a report. `digest` is its own in the ledger; it `can_wait` unless the fault was the relay's."""

    fate: ReportFate
    digest: Digest = b""
    can_wait: bool = False


class Reporter:
    """One per worker."""

    def __init__(self, *, keys: Keys, records: Records, dispatcher: Dispatcher, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._records = records
        self._dispatcher = dispatcher
        self._clock = clock

    async def report(self, consignment: Consignment, results: Sequence[Result]) -> ReportFate:
        """Tell the reverse-path whom the message will never reach, where others have it or will; later, if that may be held.

        Never raises.
        """
        if not needs_report(results):
            return ReportFate.NOT_NEEDED
        refused = [result for result in results if result.standing is Standing.REFUSED]
        told = await self._tell_safely(consignment, refused, sum(r.standing is Standing.DELIVERED for r in results))
        if told.fate is ReportFate.TRANSIENT and told.can_wait:
            about = [result for result in refused if result.recipient.wants_failure_report]
            if await self._dispatcher.holder.hold_report(consignment, about, told.digest):
                return ReportFate.HELD
        return told.fate

    async def report_held(self, consignment: Consignment, refused: Sequence[Result]) -> ReportFate:
        """Tell the reverse-path of those of a held message whom it will never reach. Never raises."""
        return (await self._tell_safely(consignment, refused)).fate

    async def _tell_safely(self, consignment: Consignment, refused: Sequence[Result], delivered: int = 0) -> _Told:
        about = [result for result in refused if result.recipient.wants_failure_report]
        try:
            with telemetry.stage("report"):
                return await self._tell(consignment, FAILED, about, delivered)
        except Exception:  # noqa: BLE001 - law 1: what has left must still be recorded and answered for
            _log.exception("the report on %s failed", consignment.submission.id)
            return _Told(ReportFate.TRANSIENT)

    async def confirm(self, consignment: Consignment, results: Sequence[Result]) -> None:
        """Tell who asked to hear of success that an upstream took it which will say no more (RFC 3461 section 5.2.2).

        What a try before delivered is confirmed too, where that one did not live to do it; by a worker that knows the upstream,
        since of one that was not asked yet nobody knows who confirms.
        A confirmation that fails changes no reply: the message itself has arrived.
        """
        delivered = [r for r in results if r.standing is Standing.DELIVERED and not r.answered]
        asked = [result for result in delivered if "SUCCESS" in (result.recipient.notify or ())]
        if not asked or consignment.submission.reverse_path is None:
            return
        try:
            await self._confirm(consignment, [result for result in asked if result.handed_on])
            if consignment.routes and self._dispatcher.says_nothing_of_success(consignment.routes[0]):
                await self._confirm(consignment, await self._unconfirmed(consignment, [r for r in asked if r.earlier]))
        except Exception:  # noqa: BLE001 - as above
            _log.exception("the confirmation of %s failed", consignment.submission.id)

    async def _confirm(self, consignment: Consignment, about: Sequence[Result]) -> None:
        submission = consignment.submission
        if not about or submission.reverse_path is None:
            return
        headers_only = replace(consignment, submission=replace(submission, ret=None))
        told = await self._tell(headers_only, RELAYED, about)
        if told.fate is not ReportFate.DELIVERED:
            return
        said = replies.OK.wire().decode()
        marks = [
            Settlement(self._confirmed(consignment, result), RowState.DELIVERED, said, submission_id=consignment.try_id)
            for result in about
        ]
        await self._dispatcher.clearing.store.finish(consignment.key, marks)
        people = [result.recipient for result in about]
        await self._records.append(
            reported_record(submission.id, submission.reverse_path, people, self._clock(), self._records.person)
        )

    async def _unconfirmed(self, consignment: Consignment, earlier: Sequence[Result]) -> list[Result]:
        """Those of whom the ledger does not say that their sender heard of it."""
        if not earlier:
            return []
        known = {row.recipient for row in await self._dispatcher.clearing.store.rows(consignment.key)}
        return [result for result in earlier if self._confirmed(consignment, result) not in known]

    def _confirmed(self, consignment: Consignment, result: Result) -> Digest:
        """What the ledger knows the confirmation to this recipient's sender by."""
        return self._digest(consignment, "confirmed", result.recipient.key)

    def _digest(self, consignment: Consignment, *words: str) -> Digest:
        """The ledger's name of what the sender is told: at any try of this message, and not when the same bytes come anew."""
        return self._keys.addresses.lasting_digest("\0".join((*words, consignment.first.submission_id)))

    async def _tell(self, consignment: Consignment, notice: Notice, about: Sequence[Result], delivered: int = 0) -> _Told:
        submission = consignment.submission
        if submission.reverse_path is None or not about or not is_reportable(consignment.message, submission.reverse_path):
            return _Told(ReportFate.FORBIDDEN)
        recipient = Recipient(submission.reverse_path)
        names = "\0".join(sorted(result.recipient.key for result in about))  # another try may have others to report on
        digest = self._digest(consignment, "report", notice.action, names)
        request = ClearRequest(digest, (), (), frozenset(), may_repeat=True)  # better twice than never
        now = asyncio.get_running_loop().time()
        deadline = now + max(0.0, consignment.end - now) / 2  # the other half is for the reply to the dot
        for route in consignment.routes:
            render = partial(self._dispatcher.renderer.report, consignment, route, recipient, notice, about, digest, delivered)
            copy, sent_from = await beside(render, size=len(about))
            errand = replace(submission, reverse_path=sent_from, ret=None, envid=None)
            try:
                told, failed_over = await self._dispatcher.carry(
                    replace(consignment, submission=errand, deadline=deadline), route, copy, [request]
                )
            except UpstreamUnavailable:
                continue
            if not failed_over:
                return _Told(_FATES[told[0].standing], digest, can_wait=told[0].why is not None)
        return _Told(ReportFate.TRANSIENT, digest, can_wait=True)


_FATES = {
    Standing.DELIVERED: ReportFate.DELIVERED,
    Standing.HELD: ReportFate.HELD,
    Standing.REFUSED: ReportFate.REFUSED,
    Standing.TRANSIENT: ReportFate.TRANSIENT,
    Standing.INDETERMINATE: ReportFate.TRANSIENT,
}
