"""May it leave? Ask for each recipient directly before MAIL, and tell the ledger what became of it.

`clear` is one atomic step of the store per copy (refusal? consent withdrawn?
already leaving? stream paused? too many abroad? limits free?) after a look at
the refusals that are journalled here and not in the store yet: no refusal that
was said before it is passed by.  A policy set is in force in a process, not in
the store; that the copy was judged by that one is looked at before the step and
again between its answer and MAIL (`relay.dispatch`), so it was in force when the
step was carried out.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay import telemetry
from relay.adapting import Adapting, Place
from relay.answer import Result, Standing
from relay.config import Config
from relay.consignment import Consignment
from relay.crossing import Crossings
from relay.errors import StoreUnavailable
from relay.gathering import recipient_digest
from relay.judging import kept_back, spoken
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.policy.deciding.charges import charges_for
from relay.policy.sets.policy_set import PolicySet
from relay.policy.suppressions.suppression import BINDS, ORGANISATION, Digest, Suppression, stream_scope
from relay.records.append import Records
from relay.render.copy import Copy
from relay.routing import Route
from relay.stores.contracts import Store
from relay.stores.held import Why
from relay.stores.ledger import Cleared, ClearRequest, Paused, Refused, RowState, Settlement, Taken, Withdrawn
from relay.stores.limits import OverLimit
from relay.stores.transfers import Exhausted
from relay.tasks import spawn
from relay.tries import earlier_result
from relay.upstream.outcome import Outcome, OutcomeState
from relay.upstream.transaction import longest
from relay.warming import Warming

_log = logging.getLogger("relay.clearing")
_LEASE_SLACK = 5.0  # seconds a row stays claimed beyond the longest transaction
_FINISH_TRIES = 20
_FINISH_PAUSE = 30.0  # seconds between them, at most
_SUPPRESSION = "base/suppression"
_WITH_ANOTHER_TRY = (RowState.LEAVING, RowState.INDETERMINATE)


@dataclass(frozen=True, slots=True)
class Leave:
    """A recipient who was cleared."""

    recipient: Recipient
    digest: Digest
    reservation: str
    stream: str
    number: int = 0  # of the step that cleared it, in the store's commit sequence


class Clearing:
    """One per worker. `policy` is the set in force in this process."""

    def __init__(
        self,
        config: Config,
        policy: PolicySet,
        *,
        keys: Keys,
        store: Store,
        records: Records,
        adapting: Adapting,
        crossings: Crossings,
        clock: Callable[[], float],
    ) -> None:
        self.policy = policy
        self._config = config
        self._keys = keys
        self.store = store
        self._records = records
        self._adapting = adapting
        self._crossings = crossings
        self._clock = clock
        self.warming = Warming()
        self._limits = {upstream.name: upstream.limits for upstream in config.upstream}

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock()

    def is_overtaken(self, consignment: Consignment) -> bool:
        """Whether the message was judged by another policy set than the one in force: then no copy of it may leave."""
        return consignment.policy.hash != self.policy.hash

    async def clear(
        self, consignment: Consignment, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[Leave], list[Result]]:
        """Who may leave now, with their reservations, and the results of the others.

        POLICY_UNUSABLE is the reply about those whom another policy set has overtaken; a report was judged by none.
        """
        if self.is_overtaken(consignment) and any(request.stream for request in requests):
            return [], overtaken(copy.recipients)
        pending = self._records.pending([d for request in requests for d in request.suppression_digests])
        asked, results = list(zip(copy.recipients, requests, strict=True)), []
        if pending:
            held_back = [any(_binds(entry, request) for entry in pending) for request in requests]
            results = [self._refused(consignment, r) for r, held in zip(copy.recipients, held_back, strict=True) if held]
            asked = [pair for pair, held in zip(asked, held_back, strict=True) if not held]
        if not asked:
            return [], results
        past_dot = consignment.past_dot
        lease = max(0.0, consignment.deadline - asyncio.get_running_loop().time()) + longest(copy, past_dot) + past_dot
        clearances = await self.store.clear(
            consignment.key,
            consignment.try_id,
            [request for _, request in asked],
            lease + _LEASE_SLACK,
            self._config.delivery.ledger_ttl,
        )
        leaving = []
        for (recipient, request), clearance in zip(asked, clearances, strict=True):
            if isinstance(clearance, Cleared):
                if clearance.persons and request.crossing:
                    await self._crossings.note(consignment.policy, request.crossing, clearance.persons)
                leaving.append(Leave(recipient, request.recipient, clearance.reservation, request.stream, clearance.number))
            else:
                results.append(self._not_cleared(consignment, recipient, clearance))
        return leaving, results

    def _not_cleared(
        self,
        consignment: Consignment,
        recipient: Recipient,
        clearance: Refused | Withdrawn | Taken | Paused | Exhausted | OverLimit,
    ) -> Result:
        match clearance:
            case Refused():
                return self._refused(consignment, recipient)
            case Withdrawn(ground):
                return self._refused(consignment, recipient, ground.rule)
            case Taken(row) if row.state in _WITH_ANOTHER_TRY:
                return Result(recipient, Standing.TRANSIENT, replies.RESEND_IN_PROGRESS)
            case Taken(row):
                return earlier_result(recipient, row)
            case Paused(pause):
                return kept_back(recipient, pause, self._help_url(consignment), self._clock())
            case Exhausted():
                return self._crossings.refused(consignment, recipient, clearance, self._help_url(consignment))
            case OverLimit(name, retry_after):
                telemetry.limit_reached_total.labels(consignment.stream.name).inc()
                reply = replies.over_limit(name, retry_after, self._help_url(consignment))
                return spoken(recipient, Standing.TRANSIENT, reply, Why.LIMIT, self._clock() + retry_after)

    def request(self, consignment: Consignment, route: Route, country: str, recipient: Recipient) -> ClearRequest:
        """What the store must know to let this recipient's copy leave by this way, for an upstream server in this country."""
        stream = consignment.stream
        now = datetime.fromtimestamp(self._clock(), consignment.policy.zone)
        charges = charges_for(
            consignment.policy,
            stream,
            route.upstream,
            self._limits[route.upstream],
            consignment.submission,
            recipient,
            now,
            self._keys.addresses.lasting_digest,
            self.warming.days(stream),
        )
        place = Place(route, stream, consignment.policy.zone, recipient.mailbox.domain)
        return ClearRequest(
            recipient_digest(self._keys, recipient),
            self._keys.addresses.digests(recipient.key),
            (ORGANISATION, stream_scope(stream.name)),
            BINDS[stream.purpose],
            charges + self._adapting.charges(place),
            stream.name,
            consignment.submission.id,
            consignment.grounds.get(recipient.key, ()),
            self._crossings.of(consignment, country, recipient),
            recipient.key in consignment.again,
        )

    def _refused(self, consignment: Consignment, recipient: Recipient, name: str = _SUPPRESSION) -> Result:
        """A refusal, or the end of a consent, came between the ruling and the leaving."""
        rule = next(rule for rule in consignment.stream.rules if rule.name == name)  # every stream has the one on refusals
        reply = replies.refused(rule.name, rule.text, self._help_url(consignment))
        return Result(
            recipient,
            Standing.REFUSED,
            reply,
            rule.name,
            why_zh=f"{rule.text_zh}。{rule.fix_zh}",
            why_en=f"{rule.text}. {rule.fix}",
        )

    def _help_url(self, consignment: Consignment) -> str:
        return self._config.http.page(consignment.submission.id)

    async def settle(self, consignment: Consignment, leaving: Sequence[Leave], outcomes: Sequence[Outcome]) -> bool:
        """Write the outcomes into the ledger, later if the store is away; say whether it was told. Never raises for that."""
        settlements = [
            Settlement(
                leave.digest,
                _ROW_STATES[outcome.state],
                outcome.reply.wire().decode(),
                leave.reservation,
                consignment.try_id,
                leave.stream,
                no_mailbox=bool(outcome.gone),
            )
            for leave, outcome in zip(leaving, outcomes, strict=True)
        ]
        is_told = await self._tell_store(consignment.key, settlements)
        if any(one.state is RowState.DELIVERED and one.stream for one in settlements):
            await self.warming.note(self.store, consignment.policy, consignment.stream, self._clock())
        return is_told

    async def give_back(self, consignment: Consignment, leaving: Sequence[Leave]) -> None:
        """Nobody left, nobody's leave was used."""
        settlements = [
            Settlement(leave.digest, None, reservation=leave.reservation, submission_id=consignment.try_id) for leave in leaving
        ]
        await self._tell_store(consignment.key, settlements)

    async def _tell_store(self, key: Digest, settlements: Sequence[Settlement]) -> bool:
        """An answer that got lost counts as no, although the store may have heard."""
        try:
            await self.store.finish(key, settlements)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            spawn(self._settle_later(key, settlements), "settle later")
            return False
        return True

    async def _settle_later(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        """The store was away when the upstream answered: tell it as soon as it is back; what is delivered counts late too."""
        for attempt in range(_FINISH_TRIES):
            await asyncio.sleep(min(2.0**attempt, _FINISH_PAUSE))
            try:
                await self.store.finish(key, settlements)
            except StoreUnavailable:
                continue
            return
        _log.warning("%d outcomes could not be told to the store; a retry may deliver them again", len(settlements))


_ROW_STATES: dict[OutcomeState, RowState | None] = {
    OutcomeState.DELIVERED: RowState.DELIVERED,
    OutcomeState.PERMANENT: RowState.REFUSED,
    OutcomeState.INDETERMINATE: RowState.INDETERMINATE,
    OutcomeState.TRANSIENT: None,
}


def overtaken(recipients: Sequence[Recipient]) -> list[Result]:
    """They must be judged again."""
    return [Result(recipient, Standing.TRANSIENT, replies.POLICY_UNUSABLE) for recipient in recipients]


def _binds(entry: Suppression, request: ClearRequest) -> bool:
    return entry.digest in request.suppression_digests and entry.scope in request.scopes and entry.reason in request.reasons
