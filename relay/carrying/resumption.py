"""One turn of what is held of a message: open it, send what may leave, write down what became of it, keep the rest.

A copy is forgotten last.  What became of it is in the ledger, then on record,
and only then leaves the store: after a crash in between the next turn finds the
outcome in the ledger and writes it down again.  The other way round a crash
would leave mail that was delivered, or never will be, without a word on it
(law 2), and a copy whose outcome the ledger lacks would be sent again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from relay import telemetry
from relay.answer import ReportFate, Result, Standing
from relay.bounced import Outcomes
from relay.carrying.hastening import hasten_report
from relay.carrying.messages import HeldMessages, Reopened, Unreadable
from relay.carrying.resender import Piece, Resender, Tried
from relay.carrying.schedule import REPORT_LIFETIME, Fate, Next, Wait, put_off, refused, unknown
from relay.errors import RecordsUnavailable, RuleFailed, StoreUnavailable
from relay.gathering import recipient_digest
from relay.holding.codec import Codec, Detail, held_key, lane_of, report_lane, unreadable_lane
from relay.holding.custody import Custody
from relay.judging import spoken
from relay.mail import replies
from relay.mail.envelope import IdentityKind, Submission
from relay.mail.reply import parse_reply
from relay.pipeline import Line
from relay.policy.suppressions.suppression import Digest
from relay.records.facts import report_records, unreported_record
from relay.stores.held import HeldCopy, HeldUpdate, Lane, Why
from relay.stores.ledger import Closing, RowState
from relay.tasks import beside, in_steps
from relay.tries import earlier_result, is_settled

_log = logging.getLogger("relay.carrying")
_UNREADABLE_FIRST = 60.0  # a new generation of the ring is known to one process a moment before the next
_UNREADABLE_SECONDS = 3600.0
_UPDATE_TRIES = 20
_UPDATE_PAUSE = 30.0  # seconds between them, at most
_HOUR = 3600
_RESTS = 1000  # lanes of which it is remembered for those who are in hand
_ENDS = (Fate.DELIVERED, Fate.REFUSED, Fate.EXPIRED)
_COMES_AGAIN = (Fate.PUT_OFF, Fate.INDETERMINATE)


@dataclass(frozen=True, slots=True)
class _Settled:
    """What becomes of a copy, with what is known of its recipient now."""

    copy: HeldCopy
    next: Next
    detail: Detail


@dataclass(frozen=True, slots=True)
class _Rest:
    """Why a lane waits and until when, and since when that is known, in the loop's time."""

    why: Why
    until: float
    known_at: float


class Resumption:
    """One per worker. What was claimed is in hand for `lease` seconds; then it is another's."""

    def __init__(
        self,
        line: Line,
        resender: Resender,
        custody: Custody,
        outcomes: Outcomes,
        *,
        lease: float,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._line, self._resender, self._custody, self._outcomes = line, resender, custody, outcomes
        self.wake: Callable[[], object] = lambda: None  # who claims hears that something may be due
        self._lease, self._clock, self._random = lease, clock, random
        self._back_off = resender.back_off
        self._codec = Codec(line.keys)
        self._messages = HeldMessages(line.keys)
        self._rests: dict[Lane, _Rest] = {}

    async def resume(self, copies: Sequence[HeldCopy], claimed_at: float) -> None:
        """Take copies of one message, claimed together at that time of the loop, as far as they get.

        Raises StoreUnavailable when the store does not answer: then their leases end by themselves.
        """
        message = copies[0].message
        try:
            opened = await self._messages.get(self._line.store, message)
            if opened is None:
                return
        except Unreadable as fault:
            await self._keep_unreadable(copies, str(fault))
            return
        if opened.lost and self._clock() < opened.expires_at:
            if waiting := [copy for copy in copies if copy.why is not Why.REPORT]:
                await self._keep_unreadable(waiting, opened.lost)
            copies = [copy for copy in copies if copy.why is Why.REPORT]
        pieces = [piece for piece in await in_steps(lambda copy: self._piece(opened, copy), copies) if piece is not None]
        readable = {piece.copy.recipient for piece in pieces}
        if closed := [copy for copy in copies if copy.recipient not in readable]:
            await self._keep_unreadable(closed, "its recipients cannot be opened")
        if asyncio.get_running_loop().time() - claimed_at >= self._lease:
            # The process stood still. Another turn may have sent them since, and the ledger have forgotten that one.
            telemetry.event("held too late", level=logging.WARNING, id=message, copies=len(pieces))
            return
        attempt = self._resender.new_attempt()
        reports = [piece for piece in pieces if piece.copy.why is Why.REPORT]
        others = [piece for piece in pieces if piece.copy.why is not Why.REPORT]
        resting = [] if self._clock() >= opened.expires_at else [p for p in others if self._rests_since(p, claimed_at)]
        settled = await self._resumed(opened, [piece for piece in others if piece not in resting], attempt)
        settled = [*map(self._resting, resting), *settled]
        heard = await self._settle(opened, settled)
        told = await self._reported(opened, reports, attempt)
        heard += await self._settle(opened, told)
        if heard == len(pieces) and not _coming_again(told):  # the ledger has another name for a report
            key = held_key(self._line.keys, opened.submission.id)
            await self._line.store.close(key, Closing(attempt, durable=False, keep=_coming_again(settled)))

    def _rests_since(self, piece: Piece, claimed_at: float) -> bool:
        """Whether another copy of the lane found out meanwhile that nothing of it has a chance."""
        rest = self._rests.get(piece.copy.lane)
        return rest is not None and rest.known_at > claimed_at

    def _resting(self, piece: Piece) -> _Settled:
        """Put off without a try; that an earlier one may have arrived stays known, for the record of the next."""
        rest, copy = self._rests[piece.copy.lane], piece.copy
        why = copy.why if copy.why is Why.UNKNOWN else rest.why
        return _Settled(copy, Next(Fate.PUT_OFF, why, rest.until, copy.attempts), piece.detail)

    def _piece(self, opened: Reopened, copy: HeldCopy) -> Piece | None:
        """The copy, opened, in the lane of its like; None when it cannot be opened."""
        detail = self._codec.detail_of(copy)
        if detail is None or copy.lane != unreadable_lane(self._line.keys, copy.message):
            return Piece(copy, detail) if detail else None
        return Piece(replace(copy, lane=self._lane(opened.submission, copy, detail)), detail)

    def _lane(self, submission: Submission, copy: HeldCopy, detail: Detail) -> Lane:
        """Where a copy belongs that could not be opened for a while; where its stream is gone, where it is."""
        stream = next((stream for stream in self._line.policy.streams if stream.name == submission.stream), None)
        if copy.why is Why.REPORT:
            return report_lane(self._line.keys, copy.message)
        if stream is None:
            return copy.lane
        return lane_of(self._line.keys, stream.purpose, submission.identity.name, detail.recipient.mailbox.domain)

    # Sending ---------------------------------------------------------------------------------------------------------

    async def _resumed(self, opened: Reopened, pieces: Sequence[Piece], attempt: str) -> list[_Settled]:
        now = self._clock()
        if not pieces:
            return []
        if now >= opened.expires_at or opened.lost:
            tried = await self._given_up(opened, pieces)
            fate = Fate.EXPIRED
        else:
            tried = await self._tried(opened, pieces, attempt)
            fate = Fate.REFUSED
        known = [one for one in tried if one.wait is None]
        try:
            if known:
                await self._outcomes.late(opened.submission.id, [one.result for one in known])
        except RecordsUnavailable as fault:
            _log.error("outcomes of held copies cannot be recorded; they are kept until they are: %s", fault)
            tried = [one for one in tried if one.wait is not None]
        return [self._settled(opened, one, fate) for one in tried]

    async def _tried(self, opened: Reopened, pieces: Sequence[Piece], attempt: str) -> list[Tried]:
        """What is known of each copy; a fault of ours keeps it for a while (law 1)."""
        try:
            return await self._resender.send(opened, pieces, attempt)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self._line.store.name, fault.reason).inc()
            reply = replies.STORE_UNAVAILABLE
        except RecordsUnavailable as fault:
            _log.error("no record, no mail: %s", fault)
            reply = replies.RECORDS_UNAVAILABLE
        except RuleFailed as fault:
            _log.error("held mail %s: %s", opened.submission.id, fault, exc_info=fault)
            reply = replies.POLICY_UNUSABLE
        except Exception:  # noqa: BLE001 - law 1: a fault of ours is never a 5yz and never a permit
            _log.exception("held mail %s could not be sent", opened.submission.id)
            reply = replies.INTERNAL
        until = self._clock() + self._back_off.first
        return [
            Tried(piece, Result(piece.recipient, Standing.TRANSIENT, reply), piece.detail.judged, Wait(piece.copy.why, until))
            for piece in pieces
        ]

    async def _given_up(self, opened: Reopened, pieces: Sequence[Piece]) -> list[Tried]:
        """Their time is over, unless the ledger knows how it ended before that. Raises StoreUnavailable."""
        rows = {row.recipient: row for row in await self._line.store.rows(held_key(self._line.keys, opened.submission.id))}
        hours = round((opened.expires_at - opened.submission.at) / _HOUR)
        tried = []
        for piece in pieces:
            row = rows.get(recipient_digest(self._line.keys, piece.recipient))
            if row is not None and row.state is RowState.LEAVING:  # with a turn before this one, whose answer is not here yet
                result = Result(piece.recipient, Standing.TRANSIENT, replies.RESEND_IN_PROGRESS)
                wait = Wait(piece.copy.why, row.lease_until, whole_lane=True)
                tried.append(Tried(piece, result, piece.detail.judged, wait))
                continue
            if row is not None and is_settled(row):
                result = earlier_result(piece.recipient, row)
            else:
                last = parse_reply(piece.detail.reply).text[0] if piece.detail.reply else ""
                result = spoken(piece.recipient, Standing.REFUSED, replies.expired(hours, last))
            tried.append(Tried(piece, result, piece.detail.judged))
        return tried

    def _settled(self, opened: Reopened, tried: Tried, fate: Fate) -> _Settled:
        copy, result, now, expires_at = tried.piece.copy, tried.result, self._clock(), opened.expires_at
        if tried.wait is not None:
            following = put_off(copy, tried.wait, now, expires_at, self._back_off, self._random())
        elif result.standing is Standing.INDETERMINATE:
            following = unknown(copy, result, now, expires_at, self._back_off, self._random())
        elif result.standing is Standing.DELIVERED:
            following = Next(Fate.DELIVERED)
        else:
            following = refused(fate, now)
        return _Settled(copy, following, _detail_after(tried))

    # Reports ---------------------------------------------------------------------------------------------------------

    async def _reported(self, opened: Reopened, pieces: Sequence[Piece], attempt: str) -> list[_Settled]:
        """One report on all of them; who cannot be told of is on record as such."""
        if not pieces:
            return []
        submission, now = opened.submission, self._clock()
        if dropped := [piece.detail for piece in pieces if piece.detail.is_unrecorded]:
            if not await self._recorded(submission, dropped):
                return []
            pieces = await in_steps(_on_record, pieces)
        fate = await self._resender.report(opened, pieces, attempt)
        records = self._line.records
        about = await in_steps(lambda piece: piece.detail.refused(), pieces)
        written = await beside(lambda: report_records(submission, about, fate.value, now, records.person), size=len(about))
        since = min(max(piece.copy.held_at, piece.detail.refused_at) for piece in pieces)
        if fate is ReportFate.REFUSED or (fate is ReportFate.TRANSIENT and now - since >= REPORT_LIFETIME):
            why = "refused" if fate is ReportFate.REFUSED else "undeliverable"
            untold = [one.recipient for one in about]
            written = [await beside(lambda: unreported_record(submission.id, untold, why, now, records.person), size=len(untold))]
        if not written:
            wait = Wait(Why.REPORT, is_try=True, whole_lane=True)
            following = partial(
                put_off, wait=wait, now=now, expires_at=opened.expires_at, back_off=self._back_off, random=self._random()
            )  # one number for all: they stay together
            return await in_steps(lambda piece: _Settled(piece.copy, following(piece.copy), piece.detail), pieces)
        try:
            await records.append_many(written)
        except RecordsUnavailable as fault:
            _log.error("a report cannot be recorded; it is kept until it is: %s", fault)
            return []
        end = Fate.REPORTED if fate is ReportFate.DELIVERED else Fate.UNREPORTED
        return await in_steps(lambda piece: _Settled(piece.copy, Next(end), piece.detail), pieces)

    async def _recorded(self, submission: Submission, dropped: Sequence[Detail]) -> bool:
        """Write down the outcome of what a person dropped who died before that was on record (`relay.holding.intervention`)."""
        try:
            await self._outcomes.late(submission.id, await in_steps(Detail.refused, dropped))
        except RecordsUnavailable as fault:
            _log.error("a drop cannot be recorded; its report waits until it is: %s", fault)
            return False
        return True

    # Keeping ---------------------------------------------------------------------------------------------------------

    async def _settle(self, opened: Reopened, settled: Sequence[_Settled]) -> int:
        """Tell the store; of how many copies it heard. When of all, the ledger may forget those who do not come again."""
        if not settled:
            return 0
        submission = opened.submission
        updates = await in_steps(lambda one: HeldUpdate(one.copy, self._after(submission.id, one)), settled)
        resting = self._lanes_to_rest(submission.id, settled)
        heard = await self._update(updates, resting)
        fates = Counter(one.next.fate for one in settled)
        for fate, number in fates.items():
            telemetry.courier_copies_total.labels(fate.value).inc(number)
        said = {fate.name.lower(): number for fate, number in fates.items()}
        telemetry.event("resumed", id=submission.id, stream=submission.stream, **said)
        if any(one.next.why is Why.AUTHENTICATION for one in settled):
            await self._parked(submission)
        if not fates.keys().isdisjoint(_ENDS):
            await self._hasten_report(submission.id)
        return heard

    def _after(self, message: str, one: _Settled) -> HeldCopy | None:
        following, lane, detail = one.next, one.copy.lane, one.detail
        if following.why is None:
            return None
        if following.fate in (Fate.REFUSED, Fate.EXPIRED):
            lane, detail = report_lane(self._line.keys, message), replace(detail, refused_at=self._clock())
        return replace(
            one.copy, lane=lane, why=following.why, due_at=following.due_at, attempts=following.attempts,
            sealed=self._codec.detail(message, detail),
        )  # fmt: skip

    def _lanes_to_rest(self, message: str, settled: Sequence[_Settled]) -> dict[Lane, float]:
        """The first copy of a lane speaks for it; what has expired is due whatever it says, so its reports wait as a lane."""
        resting: dict[Lane, float] = {}
        for one in settled:
            if one.next.lane_until is not None and one.next.why is not None and one.copy.lane not in resting:
                resting[one.copy.lane] = one.next.lane_until
                self._remember_rest(one.copy.lane, one.next.why, one.next.lane_until)
            elif one.next.fate is Fate.EXPIRED:
                resting.setdefault(report_lane(self._line.keys, message), one.next.due_at)
        return resting

    def _remember_rest(self, lane: Lane, why: Why, until: float) -> None:
        self._rests.pop(lane, None)
        self._rests[lane] = _Rest(why, until, asyncio.get_running_loop().time())
        while len(self._rests) > _RESTS:
            del self._rests[next(iter(self._rests))]

    async def _update(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float]) -> int:
        """How many updates were heard. While the store is away they are kept here: the leases are long.

        Raises StoreUnavailable when it stays away.
        """
        for attempt in range(_UPDATE_TRIES):
            try:
                return await self._line.store.update_held(updates, resting)
            except StoreUnavailable as fault:
                telemetry.store_errors_total.labels(self._line.store.name, fault.reason).inc()
            await asyncio.sleep(min(2.0**attempt, _UPDATE_PAUSE))
        return await self._line.store.update_held(updates, resting)

    async def _parked(self, submission: Submission) -> None:
        """A login may have come while these copies were on their way to wait for one."""
        identity = submission.identity
        if identity.kind is IdentityKind.PASSTHROUGH:
            await self._custody.parked(self._line.routing.proved_by(identity), identity.name)

    async def _hasten_report(self, message: str) -> None:
        """When nobody of the submission is open any more, its sender hears of the refused at once."""
        lane = report_lane(self._line.keys, message)
        if await hasten_report(self._line.store, message, lane, self._clock()):
            self.wake()

    async def _keep_unreadable(self, copies: Sequence[HeldCopy], fault: str) -> None:
        """It may be restored; when its time has been over for as long as a report may take, it is given up."""
        message, now = copies[0].message, self._clock()
        kept = await self._line.store.held_message(message, with_body=False)
        if kept is None:
            return
        telemetry.event("held mail unreadable", level=logging.ERROR, id=message, copies=len(copies), text=fault)
        if now >= kept.expires_at + REPORT_LIFETIME:
            await self._line.records.append(unreported_record(message, (), "unreadable", now, self._line.records.person))
            await self._update([HeldUpdate(copy, None) for copy in copies], {})
            telemetry.courier_copies_total.labels(Fate.UNREPORTED.value).inc(len(copies))
            return
        tried = max(copy.attempts for copy in copies)
        pause = min(_UNREADABLE_FIRST * 2.0 ** min(tried, 16), _UNREADABLE_SECONDS)
        until, lane = now + pause, unreadable_lane(self._line.keys, message)
        updates = [HeldUpdate(copy, replace(copy, lane=lane, due_at=until, attempts=copy.attempts + 1)) for copy in copies]
        await self._update(updates, {lane: until})
        telemetry.courier_copies_total.labels(Fate.PUT_OFF.value).inc(len(copies))


def _coming_again(settled: Sequence[_Settled]) -> list[Digest]:
    """The recipients of whom the ledger may know more than this turn found out: it forgets none of them."""
    return [one.copy.recipient for one in settled if one.next.fate in _COMES_AGAIN]


def _on_record(piece: Piece) -> Piece:
    return replace(piece, detail=replace(piece.detail, is_unrecorded=False))


def _detail_after(tried: Tried) -> Detail:
    """What is known of the recipient after this turn; what nobody was asked about leaves the last words standing."""
    result, detail = tried.result, replace(tried.piece.detail, judged=tried.judged)
    if tried.wait is not None and result.why is None:
        return detail
    return detail.after(result)
