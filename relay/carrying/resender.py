"""Judge held copies of one message again and send those that may leave; send the report on those that never will.

The policy set in force, every refusal and pause of now, the bytes of the first
try.  The ledger knows held copies under a key of their own, and each turn of
the courier as a try: whoever crashes at any point, the next turn finds who is
known to be delivered.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay import telemetry
from relay.answer import ReportFate, Result, Standing
from relay.carrying.messages import Reopened
from relay.carrying.schedule import BackOff, Wait, wait_for, wait_for_rule
from relay.consignment import Consignment, counted_of, grounds_of, residences_of
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.gathering import Gathered, gather
from relay.holding.codec import Detail, held_key
from relay.holding.custody import Custody
from relay.ids import ENTROPY_OCTETS, new_id
from relay.judging import held_for, judge_in_steps, objected, stream_of
from relay.mail import replies
from relay.mail.envelope import Identity, IdentityKind, Recipient, Submission
from relay.mail.message import Message
from relay.pipeline import Line
from relay.policy.cases.case import Action, Ruling
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.records.judged import judged_record
from relay.refusing import count_objections
from relay.reporting import Reporter
from relay.stores.held import HeldCopy, Why
from relay.tasks import in_steps
from relay.tries import earlier_result, settled_rows, unknown_digests

LEDGER_TTL = 6 * 86400.0
"""Seconds that the ledger remembers a turn: longer than any copy, or the report on it, is held after it."""

NO_WAY_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A claimed copy and what is known of its recipient."""

    copy: HeldCopy
    detail: Detail

    @property
    def recipient(self) -> Recipient:
        return self.detail.recipient


@dataclass(frozen=True, slots=True)
class Tried:
    """What a turn found out about a copy. `wait` says what keeps it, None when its result is the last word or not known.

    `judged` names the decision on it that is on record.
    """

    piece: Piece
    result: Result
    judged: str
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A piece under the policy set in force. `is_new` says that the record lacks this decision, or what is not known of it.

    `binding` is what is left of the ruling when a person released the copy.
    """

    piece: Piece
    ruling: Ruling
    binding: Ruling
    decision: str
    is_new: bool
    is_again: bool


class Resender:
    """One per worker. What follows from what it finds is `relay.carrying.resumption`'s."""

    def __init__(
        self,
        line: Line,
        reporter: Reporter,
        custody: Custody,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._line, self._reporter, self._custody = line, reporter, custody
        self._clock, self._entropy = clock, entropy
        self.back_off = BackOff(line.config.hold.first_retry, line.config.hold.longest_retry)

    def new_attempt(self) -> str:
        """The name of a turn in the ledger."""
        return new_id(self._clock(), self._entropy(ENTROPY_OCTETS))

    async def send(self, opened: Reopened, pieces: Sequence[Piece], attempt: str) -> list[Tried]:
        """What is known of each copy now.

        Raises StoreUnavailable, RecordsUnavailable and RuleFailed: then nothing was sent.
        """
        line, policy, kept = self._line, self._line.policy, opened.submission
        if not line.routing.has_way(kept.identity):
            upstream = line.routing.proved_by(kept.identity)
            telemetry.event("held without an upstream", id=kept.id, upstream=upstream, copies=len(pieces))
            return [self._without_a_way(piece) for piece in pieces]
        stream = stream_of(policy, kept)
        if stream is None:
            telemetry.event("held without a stream", id=kept.id, stream=kept.stream, copies=len(pieces))
            return [self._without_a_way(piece) for piece in pieces]
        submission = await self._as_now(kept, pieces)
        if _lacks_login(submission.identity):  # another node may have an [[account]] for it
            upstream = line.routing.proved_by(submission.identity)
            telemetry.event("held without a login", id=kept.id, upstream=upstream, copies=len(pieces))
        consignment = self._consignment(opened, submission, policy, stream, attempt)
        countries = line.routing.countries(consignment.routes)
        mail = await line.domains.of(attempt, stream, submission.recipients, countries)
        gathered = await gather(
            submission, opened.message, policy, replace(opened.first, submission_id=attempt), countries,
            datetime.fromtimestamp(self._clock(), policy.zone).date(),
            store=line.store, records=line.records, keys=line.keys, mail=mail, ledger_ttl=LEDGER_TTL, key=consignment.key,
        )  # fmt: skip
        judged = await self._judge(policy, stream, opened.message, gathered, pieces)
        grounds, counted = grounds_of(one.ruling for one in judged), counted_of(one.binding for one in judged)
        again = frozenset(one.piece.recipient.key for one in judged if one.is_again)
        residences = residences_of(one.ruling for one in judged)
        consignment = replace(consignment, grounds=grounds, counted=counted, residences=residences, again=again)
        await self._record(submission, policy, judged, countries)
        tried = await self._tried(consignment, gathered, judged)
        await self._reporter.confirm(consignment, [one.result for one in tried])
        for settling in consignment.settling:
            await asyncio.shield(settling)
        return tried

    async def _as_now(self, kept: Submission, pieces: Sequence[Piece]) -> Submission:
        """The submission with these recipients, and with the login that there is now."""
        recipients = tuple(piece.recipient for piece in pieces)
        return replace(kept, recipients=recipients, identity=await self._with_login(kept.identity))

    async def _with_login(self, identity: Identity) -> Identity:
        """A passthrough identity leaves with its [[account]] there, else with the login that is in custody."""
        if identity.kind is not IdentityKind.PASSTHROUGH:
            return identity
        upstream = self._line.routing.proved_by(identity)
        login = self._line.upstreams.account_for(upstream, identity.name, None)
        return replace(identity, credentials=login or await self._custody.opened(upstream, identity.name))

    def _is_own_login(self, consignment: Consignment) -> bool:
        """Whether nothing but its client's own login lets it leave: the relay has no [[account]] for it."""
        identity = consignment.submission.identity
        upstream = self._line.routing.proved_by(identity) if identity.kind is IdentityKind.PASSTHROUGH else ""
        return bool(upstream) and self._line.upstreams.account_for(upstream, identity.name, None) is None

    def _without_a_way(self, piece: Piece) -> Tried:
        """No stream of the policy set in force, or another one, takes this mail; or the upstream of its own login is gone."""
        wait = Wait(piece.copy.why, self._clock() + NO_WAY_SECONDS)
        return Tried(piece, Result(piece.recipient, Standing.TRANSIENT, replies.POLICY_UNUSABLE), piece.detail.judged, wait)

    def _consignment(
        self, opened: Reopened, submission: Submission, policy: PolicySet, stream: Stream, attempt: str
    ) -> Consignment:
        line, delivery = self._line, self._line.config.delivery
        loop = asyncio.get_running_loop()
        recorded: asyncio.Future[RecordsUnavailable | None] = loop.create_future()
        recorded.set_result(None)  # nothing begins to leave before `_record` has returned
        deadline = loop.time() + delivery.patience
        routes = line.routing.routes(submission.identity, stream, submission.reverse_path, opened.message)
        if _lacks_login(submission.identity):
            routes = ()
        return Consignment(
            submission, opened.message, policy, stream, held_key(line.keys, submission.id), opened.first, routes, recorded,
            deadline, deadline + delivery.past_dot, attempt=attempt,
        )  # fmt: skip

    async def _judge(
        self, policy: PolicySet, stream: Stream, message: Message, gathered: Gathered, pieces: Sequence[Piece]
    ) -> list[_Judged]:
        now = datetime.fromtimestamp(self._clock(), policy.zone)
        steps = judge_in_steps(policy, stream, gathered.cases, now)
        rulings = await self._line.reader.apart(message, lambda: next(steps, []))
        while len(rulings) < len(gathered.cases):
            await asyncio.sleep(0)
            rulings += next(steps)
        unknown = unknown_digests(gathered.entry.rows)
        judged = []
        for piece, ruling, case in zip(pieces, rulings, gathered.cases, strict=True):
            decision = decision_of(policy, ruling)
            known = piece.detail.judged or first_decision(case.submission, ruling)
            again = piece.copy.why is Why.UNKNOWN or gathered.digests[piece.recipient.key] in unknown
            binding = released(ruling) if piece.detail.released else ruling
            judged.append(_Judged(piece, ruling, binding, decision, decision != known or again, again))
        return judged

    async def _record(
        self, submission: Submission, policy: PolicySet, judged: Sequence[_Judged], countries: frozenset[str]
    ) -> None:
        """Write down what the record lacks; before that not one byte leaves (law 5). Raises RecordsUnavailable."""
        new = [one for one in judged if one.is_new]
        if not new:
            return
        count_objections(one.ruling for one in new)
        again = [one.piece.recipient for one in new if one.is_again]
        rulings = [one.ruling for one in new]
        records = self._line.records
        await records.append(judged_record(submission, rulings, policy.hash, self._clock(), records.person, again, countries))

    async def _tried(self, consignment: Consignment, gathered: Gathered, judged: Sequence[_Judged]) -> list[Tried]:
        """Known from a turn before, kept back by a rule, or sent now."""
        earlier = settled_rows(gathered.entry.rows)
        tried: dict[str, Tried] = {}
        leaving: dict[str, _Judged] = {}
        for one in judged:
            recipient = one.piece.recipient
            row = earlier.get(gathered.digests[recipient.key])
            if row is not None:
                tried[recipient.key] = Tried(one.piece, earlier_result(recipient, row), one.decision)
            elif one.binding.leading is None:
                leaving[recipient.key] = one
            else:
                tried[recipient.key] = self._kept_back(consignment, one)
        for result in await self._sent(consignment, leaving):
            one, wait = leaving[result.recipient.key], None
            if result.standing is Standing.TRANSIENT:
                own = self._is_own_login(consignment)
                wait = wait_for(one.piece.copy, result, self._clock(), self.back_off, is_own_login=own)
            tried[result.recipient.key] = Tried(one.piece, result, one.decision, wait)
        return [tried[one.piece.recipient.key] for one in judged]

    def _kept_back(self, consignment: Consignment, one: _Judged) -> Tried:
        """Somebody objects: for good, or for a time."""
        submission, now = consignment.submission, self._clock()
        result = objected(one.binding, self._line.config.http.page(submission.id), now)
        if result.standing is Standing.REFUSED:
            return Tried(one.piece, result, one.decision)
        own = self._is_own_login(consignment)
        wait = wait_for_rule(one.piece.copy, one.binding, result, now, self.back_off, is_own_login=own)
        return Tried(one.piece, result, one.decision, wait)

    async def _sent(self, consignment: Consignment, leaving: Mapping[str, _Judged]) -> list[Result]:
        if not leaving:
            return []
        with telemetry.stage("resend"):
            results = await self._line.dispatcher.send(consignment, [one.piece.recipient for one in leaving.values()])
        await self._heed_logins(consignment, results)
        return results

    async def _heed_logins(self, consignment: Consignment, results: Sequence[Result]) -> None:
        """A login in custody that the upstream refused is forgotten at once."""
        identity = consignment.submission.identity
        refused = any(result.why is Why.AUTHENTICATION for result in results)
        if refused and identity.kind is IdentityKind.PASSTHROUGH and identity.credentials is not None:
            upstream = self._line.routing.proved_by(identity)
            try:
                await self._custody.refused(upstream, identity.name, identity.credentials)
            except StoreUnavailable as fault:  # what was sent must still be settled; the next 535 says it again
                telemetry.store_errors_total.labels(self._line.store.name, fault.reason).inc()

    async def report(self, opened: Reopened, pieces: Sequence[Piece], attempt: str) -> ReportFate:
        """Tell the sender of these recipients, whom the message will never reach, in one report. Raises StoreUnavailable."""
        policy, kept = self._line.policy, opened.submission
        stream = _stream_of_report(policy, kept)
        if stream is None or not self._line.routing.has_way(kept.identity):
            return ReportFate.TRANSIENT
        submission = await self._as_now(kept, pieces)
        refused = await in_steps(lambda piece: piece.detail.refused(), pieces)
        return await self._reporter.report_held(self._consignment(opened, submission, policy, stream, attempt), refused)


def _lacks_login(identity: Identity) -> bool:
    return identity.kind is IdentityKind.PASSTHROUGH and identity.credentials is None


def _stream_of_report(policy: PolicySet, submission: Submission) -> Stream | None:
    """Whose upstreams carry the report: that stream, though it takes such mail no more, else the sender's of now."""
    named = (stream for stream in policy.streams if stream.name == submission.stream)
    return next(named, None) or policy.stream_for(submission.identity, submission.client.listener, submission.reverse_path)


def released(ruling: Ruling) -> Ruling:
    """What binds after a person has looked at the mail: everything but what wanted a person to look at it."""
    left = tuple(one for one in ruling.objections if held_for(one, 0.0)[0] is not Why.RULE)
    counted = tuple(replace(one, action=Action.WARN) if one.action is Action.HOLD else one for one in ruling.counted)
    action = max((one.action for one in left), default=Action.PERMIT)
    return Ruling(ruling.recipient, action, left, counted=counted, residence=ruling.residence)


def decision_of(policy: PolicySet, ruling: Ruling) -> str:
    """A name for what was decided and by which set: the same name, nothing new to record."""
    return _decision(policy.hash, ruling)


def first_decision(submission: Submission, ruling: Ruling) -> str:
    """What this ruling would be called if the set that the submission came under had made it without an objection."""
    return _decision(submission.policy, Ruling(ruling.recipient, Action.PERMIT))


def _decision(policy_hash: str, ruling: Ruling) -> str:
    said = [f"{objection.rule} {objection.action.word} {objection.observed}" for objection in ruling.objections]
    said += [f"{ground.rule} {ground.consent}" for ground in ruling.grounds]
    said += sorted(ruling.residence.countries) if ruling.residence else []
    return hashlib.sha256("\0".join([policy_hash, ruling.action.word, *said]).encode()).hexdigest()[:16]
