"""Hold what cannot leave now: what may be held, how it is sealed, and the names of lanes and owners.

The line holds all recipients of a message that are open, or none of them: in
one durable step of the store, which also makes their ledger rows HELD, so that
a resend finds them.  Their record follows, and then the client's 250.  Where
the relay dies between step and record, the client got no reply, a resend finds
the rows, and what becomes of the copies is recorded by the courier all the
same; where the store's answer got lost, the client is told 451 and the resend
finds the rows too.

What the relay cannot answer for is not held but left to the client: where the
store or the records failed, while another try of the same bytes is under way,
where policy says "defer", and for a client's own login, unless the relay has
an [[account]] of that identity to send with once the client is gone.

Everything that says who writes what to whom is sealed under the ring `held`
(AES-GCM).  The associated data names the kind of value and the submission, so
that none can take another's place.  What a store must compare are digests
under the oldest generation of the address ring: they stay the same when the
ring gets a new one.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from relay import telemetry
from relay.answer import Result, Standing
from relay.config import Config
from relay.consignment import Consignment
from relay.errors import StoreUnavailable
from relay.gathering import recipient_digest
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.policy.sets import Stream
from relay.policy.suppression import Digest, Purpose
from relay.routing import Route
from relay.stores.contracts import FirstTry, Store
from relay.stores.held import HeldCopy, HeldMessage, HeldUpdate, HoldFull, Lane, Why
from relay.upstream.delivery import Upstreams

_log = logging.getLogger("relay.holding")
FIRST_WAIT = 60.0
"""Seconds until a copy that the upstream did not take is tried again."""

_SEALED_AT_ONCE = 1024**2  # octets: below a millisecond
_MOST_COPIES = 10_000  # of one message: `[smtp] max_recipients` is at most that
_DAY = 86400.0
LIFETIMES: Mapping[Purpose, float] = {
    Purpose.MARKETING: _DAY,
    Purpose.SERVICE: 5 * _DAY,
    Purpose.CORRESPONDENCE: 5 * _DAY,
    Purpose.NOTICE: 5 * _DAY,
}
"""Seconds after which held mail is given up, and its sender told."""

_PRIORITIES = {Purpose.NOTICE: 0, Purpose.SERVICE: 0, Purpose.CORRESPONDENCE: 1, Purpose.MARKETING: 2}
_REPORTS = 0  # the priority of reports


@dataclass(frozen=True, slots=True)
class Detail:
    """What is kept of one recipient, for the next try and for the report.

    `reply` is the wire form of the last reply about it, `rule`, `why_zh` and `why_en` are of the rule that spoke last;
    `upstream`, `upstream_text` and `gone` are as in `relay.answer.Result`.  `judged` names the decision that is on record,
    "" for the one of the submission itself; `released` says that a person let it pass the rules that hold mail back.
    """

    recipient: Recipient
    reply: str = ""
    rule: str = ""
    why_zh: str = ""
    why_en: str = ""
    upstream: str = ""
    upstream_text: str = ""
    gone: str = ""
    judged: str = ""
    released: bool = False


class Codec:
    """Seals what is held and opens it again. Whatever was altered or belongs to another submission raises ValueError."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def head(self, submission: Submission, first: FirstTry) -> bytes:
        """The envelope without its recipients, and what the first try used."""
        client, identity = submission.client, submission.identity
        return self._seal("head", submission.id, {
            "at": submission.at,
            "client": [client.listener, client.address, client.helo, client.tls, client.protocol],
            "identity": [identity.name, identity.kind.value, sorted(identity.owns), identity.upstream],
            "path": submission.reverse_path.wire if submission.reverse_path else None,
            "stream": submission.stream,
            "policy": submission.policy,
            "body": submission.body,
            "smtputf8": submission.smtputf8,
            "ret": submission.ret,
            "envid": submission.envid,
            "first": [first.submission_id, first.at, first.date, first.message_id],
        })  # fmt: skip

    def read_head(self, submission_id: str, sealed: bytes) -> tuple[Submission, FirstTry]:
        """The submission, with no recipients and no credentials, and its first try. Raises ValueError."""
        said = self._open("head", submission_id, sealed)
        name, kind, owns, upstream = said["identity"]
        submission = Submission(
            submission_id, said["at"], Client(*said["client"]), Identity(name, IdentityKind(kind), frozenset(owns), upstream),
            _mailbox(said["path"]) if said["path"] else None, said["stream"], said["policy"],
            body=said["body"], smtputf8=said["smtputf8"], ret=said["ret"], envid=said["envid"],
        )  # fmt: skip
        return submission, FirstTry(*said["first"])

    def detail(self, submission_id: str, detail: Detail) -> bytes:
        """One recipient of the submission."""
        recipient = detail.recipient
        return self._seal("copy", submission_id, {
            "to": recipient.mailbox.wire,
            "notify": None if recipient.notify is None else sorted(recipient.notify),
            "orcpt": recipient.orcpt,
            "said": [
                detail.reply, detail.rule, detail.why_zh, detail.why_en, detail.upstream, detail.upstream_text, detail.gone,
                detail.judged, detail.released,
            ],
        })  # fmt: skip

    def read_detail(self, submission_id: str, sealed: bytes) -> Detail:
        """Raises ValueError."""
        said = self._open("copy", submission_id, sealed)
        notify = None if said["notify"] is None else frozenset(said["notify"])
        return Detail(Recipient(_mailbox(said["to"]), notify, said["orcpt"]), *said["said"])

    def body(self, submission_id: str, octets: bytes) -> bytes:
        """The message as it was received."""
        return self._keys.held.seal(octets, _associated("body", submission_id))

    def read_body(self, submission_id: str, sealed: bytes) -> bytes:
        """Raises ValueError."""
        return self._keys.held.open(sealed, _associated("body", submission_id))

    def _seal(self, kind: str, submission_id: str, facts: Mapping[str, Any]) -> bytes:
        return self._keys.held.seal(orjson.dumps(facts), _associated(kind, submission_id))

    def _open(self, kind: str, submission_id: str, sealed: bytes) -> dict[str, Any]:
        facts: dict[str, Any] = orjson.loads(self._keys.held.open(sealed, _associated(kind, submission_id)))
        return facts


class Holder:
    """One per worker. `octets` is how much was held a second ago."""

    def __init__(self, config: Config, *, keys: Keys, store: Store, upstreams: Upstreams, clock: Callable[[], float]) -> None:
        self._config = config
        self._keys = keys
        self.store = store
        self._upstreams = upstreams
        self._clock = clock
        self._codec = Codec(keys)
        self.octets = 0

    # What may be held ------------------------------------------------------------------------------------------------

    def can_send_later(self, identity: Identity, routes: Sequence[Route]) -> bool:
        """Whether there is a way for this identity's mail once its client is gone.

        A client's own password goes with its session.
        """
        if identity.kind is not IdentityKind.PASSTHROUGH:
            return bool(routes)
        return any(self._upstreams.account_for(route.upstream, identity.name, None) for route in routes)

    def may_wait(self, stream: Stream) -> bool:
        """Whether mail of this stream may be held that no rule holds."""
        return self._waits_for_upstream or stream.limits.over != "defer"

    def has_room(self, size: int) -> bool:
        """Whether a message of this size can be held, by what is known."""
        return self.octets + size <= self._config.hold.max_bytes

    def lanes(self, submission: Submission, stream: Stream, routes: Sequence[Route]) -> dict[str, Lane]:
        """The lane of each recipient, by mailbox key; empty where nothing may be held, so that nothing need wait."""
        if not self.may_wait(stream) or not self.can_send_later(submission.identity, routes):
            return {}
        return {one.key: self._lane(submission, stream, one) for one in submission.recipients}

    def _lane(self, submission: Submission, stream: Stream, recipient: Recipient) -> Lane:
        return lane_of(self._keys, stream.purpose, submission.identity.name, recipient.mailbox.domain)

    @property
    def _waits_for_upstream(self) -> bool:
        return self._config.delivery.on_transient == "hold"

    def _may_be_held(self, consignment: Consignment, result: Result) -> bool:
        match result.why:
            case Why.LIMIT:
                return consignment.stream.limits.over != "defer"
            case Why.UPSTREAM | Why.UNKNOWN | Why.AUTHENTICATION:
                return self._waits_for_upstream
            case Why.LANE | Why.HOURS | Why.RULE:
                return True
        return False

    # Holding ---------------------------------------------------------------------------------------------------------

    async def hold(self, consignment: Consignment, results: Sequence[Result]) -> list[Result]:
        """Hold every open recipient, or none; the results as they are then. Never raises."""
        waiting = [result for result in results if result.is_open]
        may = all(self._may_be_held(consignment, result) for result in waiting)
        if not waiting or not may or not self.can_send_later(consignment.submission.identity, consignment.routes):
            return list(results)
        lanes = {r.recipient.key: self._lane(consignment.submission, consignment.stream, r.recipient) for r in waiting}
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
        submission = consignment.submission
        if not self._waits_for_upstream or not self.can_send_later(submission.identity, consignment.routes):
            return False
        lane = report_lane(self._keys, submission.id)
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
            message = await self._sealed(consignment)
            copies = [self._copy(consignment, result, lanes[result.recipient.key]) for result in results]
            await self.store.hold(consignment.key, message, copies, rows, max_octets=self._config.hold.max_bytes)
        except HoldFull as fault:
            telemetry.count_refusal("hold")
            return fault
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            return fault
        except Exception as fault:  # noqa: BLE001 - law 1: what has left must still be recorded and answered for
            _log.exception("%s could not be held", consignment.submission.id)
            return fault
        reasons = Counter(str(result.why) for result in results)
        telemetry.event("held", id=consignment.submission.id, stream=consignment.stream.name, copies=reasons)
        return None

    async def _sealed(self, consignment: Consignment) -> HeldMessage:
        submission = consignment.submission
        octets = consignment.message.octets
        if len(octets) <= _SEALED_AT_ONCE:
            body = self._codec.body(submission.id, octets)
        else:
            body = await asyncio.to_thread(self._codec.body, submission.id, octets)
        head = self._codec.head(submission, consignment.first)
        return HeldMessage(submission.id, head, body, len(body), submission.at, expiry(submission, consignment.stream))

    def _copy(self, consignment: Consignment, result: Result, lane: Lane) -> HeldCopy:
        if result.why is None:
            raise ValueError("there is no reason to hold this")
        now, submission, route = self._clock(), consignment.submission, consignment.routes[0]
        detail = Detail(
            result.recipient, result.reply.wire().decode(), result.rule, result.why_zh, result.why_en,
            result.upstream, result.upstream_text, result.gone,
        )  # fmt: skip
        return HeldCopy(
            submission.id,
            recipient_digest(self._keys, result.recipient),
            lane,
            owner_of(self._keys, route.upstream, route.identity),
            result.why,
            max(now, result.due),
            self._codec.detail(submission.id, detail),
            held_at=now,
        )

    async def arrived(self, submission_id: str, recipients: Sequence[Recipient]) -> None:
        """The upstream said late that it has the message after all: these need not be sent again."""
        if not recipients:
            return
        digests = {recipient_digest(self._keys, recipient) for recipient in recipients}
        try:
            copies = await self.store.held_copies(None, _MOST_COPIES, submission_id)
            await self.store.update_held([HeldUpdate(copy, None) for copy in copies if copy.recipient in digests])
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()


def expiry(submission: Submission, stream: Stream) -> float:
    """When held mail of this submission is given up, epoch seconds."""
    return submission.at + LIFETIMES[stream.purpose]


def held_key(keys: Keys, submission_id: str) -> Digest:
    """Name the held part of a submission in the ledger, apart from what its client sent and may send again."""
    return keys.addresses.lasting_digest(f"held\0{submission_id}")


def lane_of(keys: Keys, purpose: Purpose, identity: str, domain: str) -> Lane:
    """The lane of an identity's mail of this purpose to a recipient domain.

    The key says the priority too: what waits in a lane keeps nobody of another priority waiting.
    """
    priority = _PRIORITIES[purpose]
    return Lane(priority, keys.addresses.lasting_digest(f"lane\0{priority}\0{identity}\0{domain}"))


def report_lane(keys: Keys, submission_id: str) -> Lane:
    """The lane of the recipients of one submission whose sender must be told: they come together, in one report."""
    return Lane(_REPORTS, keys.addresses.lasting_digest(f"report\0{submission_id}"))


def owner_of(keys: Keys, upstream: str, identity: str) -> Digest:
    """Name whose login at which upstream a copy leaves with."""
    return keys.addresses.lasting_digest(f"owner\0{upstream}\0{identity}")


def _associated(kind: str, submission_id: str) -> bytes:
    return f"held {kind}\0{submission_id}".encode()


def _mailbox(wire: str) -> Mailbox:
    return Mailbox.parse(wire, literals=True)
