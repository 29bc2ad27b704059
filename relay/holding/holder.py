"""Hold what cannot leave now, and know what may be held.

The line holds all recipients of a message that are open, or none of them: in
one durable step of the store, which also makes their ledger rows HELD, so that
a resend finds them.  Their record follows, and then the client's 250.  Where
the relay dies between step and record, the client got no reply, a resend finds
the rows, and what becomes of the copies is recorded by the courier all the
same; where the store's answer got lost, the client is told 451 and the resend
finds the rows too.

What the relay cannot answer for is not held but left to the client: where the
store or the records failed, while another try of the same bytes is under way,
where policy says "defer", while its stream is paused, and for a client's own
login, unless the relay has an [[account]] of that identity to send with once
the client is gone, or takes the login into custody.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from relay import telemetry
from relay.answer import Result, Standing
from relay.config import Config
from relay.consignment import Consignment
from relay.errors import StoreUnavailable
from relay.gathering import recipient_digest
from relay.holding.codec import Codec, Detail, expiry, lane_of, owner_of, report_lane
from relay.holding.custody import Custody
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Identity, IdentityKind, Recipient, Submission
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import Digest
from relay.routing import Route
from relay.stores.contracts import Store
from relay.stores.held import HeldCopy, HeldMessage, HeldTotals, HeldUpdate, HoldFull, Holding, Lane, Why
from relay.upstream.delivery import Upstreams

_log = logging.getLogger("relay.holding")
_SEALED_AT_ONCE = 1024**2  # octets: below a millisecond
_STEP = 200  # copies: about 3 ms
_FORGET_TRIES = 60
_FORGET_PAUSE = 10.0  # seconds between them, at most: nobody can claim the copies either while the store is away
_MOST_COPIES = 10_000  # of one message: `[smtp] max_recipients` is at most that


class Holder:
    """One per worker. `octets` is how much was held a second ago."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        store: Store,
        upstreams: Upstreams,
        custody: Custody,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._keys = keys
        self.store = store
        self._upstreams = upstreams
        self._custody = custody
        self._clock = clock
        self._codec = Codec(keys)
        self._room = config.hold.max_bytes
        self.wake: Callable[[], object] = lambda: None  # who carries what is held hears that there is something

    # What may be held ------------------------------------------------------------------------------------------------

    def can_send_later(self, identity: Identity, upstreams: Collection[str]) -> bool:
        """Whether mail of this identity can leave by these upstreams once its client is gone, and its own password with it."""
        if identity.kind is not IdentityKind.PASSTHROUGH:
            return bool(upstreams)
        return self.has_account(identity, upstreams) or self._custody.keeps(identity)

    def has_account(self, identity: Identity, upstreams: Collection[str]) -> bool:
        """Whether the relay has an [[account]] of this identity at one of them."""
        return any(self._upstreams.account_for(name, identity.name, None) for name in upstreams)

    def may_wait(self, stream: Stream) -> bool:
        """Whether mail of this stream may be held that no rule holds."""
        return self._waits_for_upstream or stream.limits.over == "hold"

    def learn(self, totals: HeldTotals) -> None:
        """Hear how much is held, and what the store itself has left for more."""
        room = self._config.hold.max_bytes - totals.octets
        self._room = room if totals.room is None else min(room, totals.room)

    def has_room(self, identity: Identity, stream: Stream, size: int) -> bool:
        """Whether a message of this size can be held, by what was known a second ago; true for mail that never is."""
        if size <= self._room:
            return True
        return not self.may_wait(stream) or not self.can_send_later(identity, (identity.upstream or "",))

    def lanes(self, submission: Submission, stream: Stream, routes: Sequence[Route]) -> dict[str, Lane]:
        """The lane of each recipient, by mailbox key; empty where nothing may be held, so that nothing need wait."""
        if not self.may_wait(stream) or not self.can_send_later(submission.identity, _names(routes)):
            return {}
        return self._lanes(submission, stream, submission.recipients)

    def _lanes(self, submission: Submission, stream: Stream, recipients: Iterable[Recipient]) -> dict[str, Lane]:
        domains = {recipient.key: recipient.mailbox.domain for recipient in recipients}
        identity = submission.identity.name
        lanes = {domain: lane_of(self._keys, stream.purpose, identity, domain) for domain in set(domains.values())}
        return {key: lanes[domain] for key, domain in domains.items()}

    @property
    def _waits_for_upstream(self) -> bool:
        return self._config.delivery.on_transient == "hold"

    def may_hold(self, consignment: Consignment, why: Why | None) -> bool:
        """Whether a recipient of this message may be held for this reason."""
        match why:
            case Why.LIMIT:
                is_wanted = consignment.stream.limits.over == "hold"
            case Why.UPSTREAM | Why.UNKNOWN | Why.AUTHENTICATION | Why.REPORT:
                is_wanted = self._waits_for_upstream
            case Why.LANE | Why.HOURS | Why.RULE:
                is_wanted = True
            case _:
                is_wanted = False
        return is_wanted and self.can_send_later(consignment.submission.identity, _names(consignment.routes))

    # Holding ---------------------------------------------------------------------------------------------------------

    async def hold(self, consignment: Consignment, results: Sequence[Result]) -> list[Result]:
        """Hold every open recipient, or none; the results as they are then. Never raises."""
        waiting = [result for result in results if result.is_open]
        if not waiting or not all(self.may_hold(consignment, _reason(result)) for result in waiting):
            return list(results)
        lanes = self._lanes(consignment.submission, consignment.stream, [result.recipient for result in waiting])
        digests = {recipient_digest(self._keys, r.recipient): r.reply.wire().decode() for r in waiting}
        fault = await self._keep(consignment, waiting, lanes, digests)
        if fault is None:
            consignment.held.update(lanes)
            return [replace(result, standing=Standing.HELD) if result.is_open else result for result in results]
        if isinstance(fault, HoldFull):
            return [replace(result, reply=replies.HOLD_FULL) if result.is_open else result for result in results]
        return list(results)

    async def hold_report(self, consignment: Consignment, refused: Sequence[Result], digest: Digest) -> bool:
        """Hold a report that could not be delivered now: whom it is about, for the courier; `digest` is its own in the ledger."""
        if not self.may_hold(consignment, Why.REPORT):
            return False
        lane = report_lane(self._keys, consignment.submission.id)
        about = [replace(result, why=Why.REPORT, due=0.0) for result in refused]
        lanes = dict.fromkeys((result.recipient.key for result in about), lane)
        return await self._keep(consignment, about, lanes, {digest: replies.OK.wire().decode()}) is None

    async def _keep(
        self, consignment: Consignment, results: Sequence[Result], lanes: Mapping[str, Lane], rows: Mapping[Digest, str]
    ) -> Exception | None:
        """Keep these; the fault when they are not kept, or nobody knows."""
        try:
            # An outcome that the store has not heard of yet would be written over the row that says HELD.
            for settling in consignment.settling:
                if not await asyncio.shield(settling):
                    return StoreUnavailable("unreachable", "an outcome is not settled yet")
            message = await self._sealed(consignment, expiry(consignment.submission, consignment.stream, results))
            copies = []
            for number, result in enumerate(results, 1):
                copies.append(self._copy(consignment, result, lanes[result.recipient.key]))
                if number % _STEP == 0:
                    await asyncio.sleep(0)
            identity, most = consignment.submission.identity, self._config.hold.max_bytes
            login = None if self.has_account(identity, _names(consignment.routes)) else self._custody.sealed_for(identity)
            await self.store.hold(consignment.key, Holding(message, copies, rows, max_octets=most, credentials=login))
        except HoldFull as fault:
            telemetry.count_refusal("hold")
            return fault
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            return fault
        except Exception as fault:  # noqa: BLE001 - law 1: what has left must still be recorded and answered for
            _log.exception("%s could not be held", consignment.submission.id)
            return fault
        self.wake()
        reasons = Counter(str(result.why) for result in results)
        telemetry.event("held", id=consignment.submission.id, stream=consignment.stream.name, copies=reasons)
        return None

    async def _sealed(self, consignment: Consignment, until: float) -> HeldMessage:
        submission = consignment.submission
        octets = consignment.message.octets
        if len(octets) <= _SEALED_AT_ONCE:
            body = self._codec.body(submission.id, octets)
        else:
            body = await asyncio.to_thread(self._codec.body, submission.id, octets)
        head = self._codec.head(submission, consignment.first)
        return HeldMessage(submission.id, head, body, len(body), submission.at, until)

    def _copy(self, consignment: Consignment, result: Result, lane: Lane) -> HeldCopy:
        if result.why is None:
            raise ValueError("there is no reason to hold this")
        now, submission, route = self._clock(), consignment.submission, consignment.routes[0]
        detail = Detail(result.recipient).after(result)
        return HeldCopy(
            submission.id,
            recipient_digest(self._keys, result.recipient),
            lane,
            owner_of(self._keys, route.upstream, route.identity),
            result.why,
            max(now, self._due(result, now)),
            self._codec.detail(submission.id, detail),
            held_at=now,
        )

    def _due(self, result: Result, now: float) -> float:
        """When to look at it; an upstream that is given a rest may be free sooner: a person ends it, or changes the password."""
        return min(result.due, now + self._config.hold.longest_retry) if result.why is Why.UPSTREAM else result.due

    async def arrived(self, submission_id: str, recipients: Sequence[Recipient]) -> None:
        """The upstream said late that it has the message after all: these need not be sent again."""
        if not recipients:
            return
        digests = {recipient_digest(self._keys, recipient) for recipient in recipients}
        for attempt in range(_FORGET_TRIES):
            try:
                copies = await self.store.held_copies(None, _MOST_COPIES, submission_id)
                await self.store.update_held([HeldUpdate(copy, None) for copy in copies if copy.recipient in digests])
            except StoreUnavailable as fault:
                telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            else:
                return
            await asyncio.sleep(min(2.0 ** (attempt - 2), _FORGET_PAUSE))
        _log.warning("%s: copies that have arrived could not be forgotten, and may be sent again", submission_id)


def _reason(result: Result) -> Why | None:
    """Why it waits: marketing that is paused at its upstream waits for that one; mail of a paused stream is the client's."""
    return Why.UPSTREAM if result.why is Why.PAUSED and result.rule == replies.UPSTREAM_PAUSED else result.why


def _names(routes: Sequence[Route]) -> tuple[str, ...]:
    return tuple(route.upstream for route in routes)
