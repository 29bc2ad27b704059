"""Hand the copies of one message to the upstream.

Per copy: render it, take a connection, `clear` (refusal? already leaving?
limits free? one atomic step, directly before MAIL), transact, write the
outcome into the ledger.  Copies of one message leave side by side as far as
the provider's connections allow; what has not begun by the deadline waits for
the client's next try.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay import telemetry
from relay.answer import Result, Standing
from relay.bounced import Outcomes
from relay.config import Config
from relay.consignment import Consignment, Renderer, groups_of
from relay.errors import RecordsUnavailable, RenderingImpossible, StoreUnavailable
from relay.gathering import recipient_digest
from relay.judging import kept_back
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.reply import Reply, parse_reply
from relay.policy.charges import charges_for
from relay.policy.suppression import BINDS, ORGANISATION, Digest, Suppression, stream_scope
from relay.records.append import Records
from relay.records.wording import own_rule_texts, sentence
from relay.render.copy import Copy
from relay.routing import Route
from relay.stores.contracts import Cleared, ClearRequest, OverLimit, Paused, Refused, Row, RowState, Settlement, Store, Taken
from relay.tasks import spawn
from relay.upstream.delivery import Connection, Upstreams
from relay.upstream.outcome import Outcome, OutcomeState, UpstreamUnavailable
from relay.upstream.profile import ReplyClass
from relay.upstream.transaction import longest

_log = logging.getLogger("relay.dispatch")
_LEASE_SLACK = 5.0  # seconds a row stays claimed beyond the longest transaction
_FINISH_TRIES = 20
_FINISH_PAUSE = 30.0  # seconds between them, at most
_SUPPRESSION = "base/suppression"
_SMTPUTF8 = "base/smtputf8"


@dataclass(frozen=True, slots=True)
class _Leave:
    """A recipient who was cleared."""

    recipient: Recipient
    digest: Digest
    reservation: str
    stream: str


class Dispatcher:
    """One per worker."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        store: Store,
        records: Records,
        outcomes: Outcomes,
        upstreams: Upstreams,
        renderer: Renderer,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._keys = keys
        self.store = store
        self._records = records
        self._outcomes = outcomes
        self._upstreams = upstreams
        self.renderer = renderer
        self._clock = clock
        self._limits = {upstream.name: upstream.limits for upstream in config.upstream}

    # Sending ---------------------------------------------------------------------------------------------------------

    async def send(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        """Deliver to each recipient once; one result for each, in no particular order. Never raises for the outside's faults."""
        if not consignment.routes:
            reply = replies.explained(replies.NO_ACCOUNT, self._help_url(consignment))
            return [spoken(recipient, Standing.TRANSIENT, reply) for recipient in recipients]
        cap, width = self._bounds(consignment.routes)
        copies = list(groups_of(consignment, recipients, cap))
        if len(copies) == 1:
            return await self._send_whatever_happens(consignment, copies[0])
        groups = iter(copies)
        results: list[Result] = []

        async def lane(groups: Iterator[tuple[Recipient, ...]]) -> None:
            for group in groups:
                results.extend(await self._send_whatever_happens(consignment, group))
                await asyncio.sleep(0)  # between two signatures others get their turn

        async with asyncio.TaskGroup() as lanes:
            for number in range(min(width, len(copies))):
                lanes.create_task(lane(groups), name=f"lane {number} of {consignment.submission.id}")
        return results

    def _bounds(self, routes: Sequence[Route]) -> tuple[int, int]:
        """Recipients of one copy and copies side by side that every way takes, since any of them may carry any copy."""
        caps, widths = [], []
        for route in routes:
            profile, upstream = self._upstreams.profile(route.upstream), self._config.upstream_named(route.upstream)
            caps.append(profile.max_recipients)
            widths.append(upstream.max_connections_per_identity or profile.max_connections_per_identity)
        return min(caps), min(widths)

    async def _send_whatever_happens(self, consignment: Consignment, group: tuple[Recipient, ...]) -> list[Result]:
        """A fault of ours with one copy must not cut the others off in the middle of theirs."""
        try:
            return await self._send_copy(consignment, group)
        except Exception:  # noqa: BLE001 - law 1: a fault of ours is never a 5yz
            _log.exception("a copy of %s failed", consignment.submission.id)
            return [Result(recipient, Standing.TRANSIENT, replies.INTERNAL) for recipient in group]

    async def _send_copy(self, consignment: Consignment, group: tuple[Recipient, ...]) -> list[Result]:
        """Try the routes in order until the copy was answered for, or nothing is left to try.

        A copy that one provider does not take as it is may suit the next; it is
        refused when none takes it and none was merely out of reach.
        """
        results: list[Result] = []
        refusal: Reply | None = None
        for route in consignment.routes:
            if asyncio.get_running_loop().time() >= consignment.deadline:
                return [Result(recipient, Standing.TRANSIENT, replies.UPSTREAM_TIMED_OUT) for recipient in group]
            try:
                results, failed_over = await self._send_by(consignment, route, group)
                if not failed_over:
                    return results
            except UpstreamUnavailable as fault:
                whose = {"id": consignment.submission.id, "upstream": route.upstream}
                telemetry.event("upstream unavailable", level=logging.WARNING, **whose, text=str(fault))
                results = [Result(recipient, Standing.TRANSIENT, fault.reply, upstream=route.upstream) for recipient in group]
            except RenderingImpossible as fault:
                refusal = refusal or replies.refused(fault.rule, str(fault), self._help_url(consignment))
        if refusal and not results:
            return [spoken(recipient, Standing.REFUSED, refusal) for recipient in group]
        return results

    async def _send_by(self, consignment: Consignment, route: Route, group: tuple[Recipient, ...]) -> tuple[list[Result], bool]:
        with telemetry.stage("render"):
            copy = self.renderer.copy(consignment, route, group)
        async with self._upstreams.lease(route.upstream, route.identity, route.credentials, consignment.deadline) as connection:
            if not connection.capabilities.smtputf8:
                _check_plain(consignment, copy)
            if copy.needs_8bit and not connection.capabilities.eightbitmime:
                copy = self.renderer.copy(consignment, route, group, encoded=True)
            requests = [self._request(consignment, route, recipient) for recipient in group]
            return await self._clear_and_transact(consignment, route, connection, copy, requests)

    async def carry(
        self, consignment: Consignment, route: Route, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[Result], bool]:
        """Send a copy that is ready by one route; the results, and whether another way may be tried.

        Raises UpstreamUnavailable.
        """
        async with self._upstreams.lease(route.upstream, route.identity, route.credentials, consignment.deadline) as connection:
            return await self._clear_and_transact(consignment, route, connection, copy, requests)

    async def _clear_and_transact(
        self, consignment: Consignment, route: Route, connection: Connection, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[Result], bool]:
        """Ask for each recipient's leave, send to those who may have it; say whether another way may be tried."""
        try:
            leaving, results = await self._clear(consignment, copy, requests)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            return [Result(r, Standing.TRANSIENT, replies.STORE_UNAVAILABLE) for r in copy.recipients], False
        except RecordsUnavailable as fault:
            _log.error("no record, no mail: %s", fault)
            return [Result(r, Standing.TRANSIENT, replies.RECORDS_UNAVAILABLE) for r in copy.recipients], False
        if not leaving:
            return results, False
        try:
            await consignment.recorded()  # law 5; writing it began before the copy was rendered
        except RecordsUnavailable:
            return await self._give_back(consignment, leaving, results)
        submission = consignment.submission
        outcomes = await connection.transact(
            submission.reverse_path,
            replace(copy, recipients=tuple(leave.recipient for leave in leaving)),
            ret=submission.ret,
            envid=submission.envid,
            deadline=consignment.deadline,
            past_dot=consignment.past_dot,
        )
        fails_over = all(map(_may_fail_over, outcomes))
        settling = spawn(self._settle(consignment, leaving, outcomes), "settle")
        consignment.settling.append(settling)
        if fails_over:
            fails_over = await settling  # the next way asks for leave anew; what is told late would take that leave back
        if connection.late is not None:
            unknown = [number for number, outcome in enumerate(outcomes) if outcome.state is OutcomeState.INDETERMINATE]
            spawn(self._heed(consignment, route, leaving, unknown, connection.late), "late reply")
        silent = not connection.capabilities.dsn
        pairs = zip(leaving, outcomes, strict=True)
        results += [_result(leave.recipient, outcome, route.upstream, silent=silent) for leave, outcome in pairs]
        return results, fails_over

    async def _give_back(
        self, consignment: Consignment, leaving: Sequence[_Leave], results: list[Result]
    ) -> tuple[list[Result], bool]:
        """There is no record, so there is no mail: nobody's leave was used."""
        settlements = [
            Settlement(leave.digest, None, reservation=leave.reservation, submission_id=consignment.submission.id)
            for leave in leaving
        ]
        await self._tell_store(consignment.key, settlements)
        return [*results, *(Result(leave.recipient, Standing.TRANSIENT, replies.RECORDS_UNAVAILABLE) for leave in leaving)], False

    async def _heed(
        self,
        consignment: Consignment,
        route: Route,
        leaving: Sequence[_Leave],
        unknown: Sequence[int],
        late: Awaitable[Sequence[Outcome]],
    ) -> None:
        """The client was told that an outcome is not known; write down what the upstream says after all."""
        outcomes = await late
        heard = [(leaving[n], outcomes[n]) for n in unknown if outcomes[n].state is not OutcomeState.INDETERMINATE]
        if not heard:
            return
        submission_id = consignment.submission.id
        await self._settle(consignment, [leave for leave, _ in heard], [outcome for _, outcome in heard])
        results = [_result(leave.recipient, outcome, route.upstream) for leave, outcome in heard]
        telemetry.event("late", id=submission_id, upstream=route.upstream, outcome=results[0].standing.value)
        try:
            await self._outcomes.late(submission_id, results)
        except RecordsUnavailable:
            _log.exception("the late outcome of %s could not be recorded", submission_id)

    # Clear and settle ------------------------------------------------------------------------------------------------

    async def _clear(
        self, consignment: Consignment, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[_Leave], list[Result]]:
        """Who may leave now, with their reservations, and the results of the others."""
        pending = self._records.pending([d for request in requests for d in request.suppression_digests])
        held_back = [any(_binds(entry, request) for entry in pending) for request in requests]
        results = [self._refused(consignment, r) for r, held in zip(copy.recipients, held_back, strict=True) if held]
        asked = [pair for pair, held in zip(zip(copy.recipients, requests, strict=True), held_back, strict=True) if not held]
        if not asked:
            return [], results
        now, past_dot = asyncio.get_running_loop().time(), consignment.past_dot
        lease = max(0.0, consignment.deadline - now) + longest(copy, past_dot) + past_dot + _LEASE_SLACK
        wanted, ttl = [request for _, request in asked], self._config.delivery.ledger_ttl
        clearances = await self.store.clear(consignment.key, consignment.submission.id, wanted, lease, ttl)
        leaving = []
        for (recipient, request), clearance in zip(asked, clearances, strict=True):
            if isinstance(clearance, Cleared):
                leaving.append(_Leave(recipient, request.recipient, clearance.reservation, request.stream))
            else:
                results.append(self._not_cleared(consignment, recipient, clearance))
        return leaving, results

    def _not_cleared(
        self, consignment: Consignment, recipient: Recipient, clearance: Refused | Taken | Paused | OverLimit
    ) -> Result:
        match clearance:
            case Refused():
                return self._refused(consignment, recipient)
            case Taken(row) if row.state is RowState.LEAVING:
                return Result(recipient, Standing.TRANSIENT, replies.RESEND_IN_PROGRESS)
            case Taken(row):
                return earlier_result(recipient, row)
            case Paused(pause):
                return kept_back(recipient, pause, self._help_url(consignment))
            case OverLimit(name, retry_after):
                telemetry.limit_reached_total.labels(consignment.stream.name).inc()
                reply = replies.over_limit(name, retry_after, self._help_url(consignment))
                return spoken(recipient, Standing.TRANSIENT, reply)

    def _request(self, consignment: Consignment, route: Route, recipient: Recipient) -> ClearRequest:
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
        )
        return ClearRequest(
            recipient_digest(self._keys, recipient),
            self._keys.addresses.digests(recipient.key),
            (ORGANISATION, stream_scope(stream.name)),
            BINDS[stream.purpose],
            charges,
            stream.name,
        )

    def _refused(self, consignment: Consignment, recipient: Recipient) -> Result:
        """A refusal came between the ruling and the leaving."""
        rule = next(rule for rule in consignment.stream.rules if rule.name == _SUPPRESSION)  # every stream has it
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

    async def _settle(self, consignment: Consignment, leaving: Sequence[_Leave], outcomes: Sequence[Outcome]) -> bool:
        settlements = [
            Settlement(
                leave.digest,
                _ROW_STATES[outcome.state],
                outcome.reply.wire().decode(),
                leave.reservation,
                consignment.submission.id,
                leave.stream,
                no_mailbox=bool(outcome.gone),
            )
            for leave, outcome in zip(leaving, outcomes, strict=True)
        ]
        return await self._tell_store(consignment.key, settlements)

    async def _tell_store(self, key: Digest, settlements: Sequence[Settlement]) -> bool:
        """Whether the store was told; an answer that got lost counts as no, although the store may have heard."""
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
_STANDINGS = {
    OutcomeState.DELIVERED: Standing.DELIVERED,
    OutcomeState.PERMANENT: Standing.REFUSED,
    OutcomeState.INDETERMINATE: Standing.INDETERMINATE,
    OutcomeState.TRANSIENT: Standing.TRANSIENT,
}


def _binds(entry: Suppression, request: ClearRequest) -> bool:
    return entry.digest in request.suppression_digests and entry.scope in request.scopes and entry.reason in request.reasons


def earlier_result(recipient: Recipient, row: Row) -> Result:
    """What an earlier try of the same submission settled: delivered or refused."""
    if row.state is RowState.DELIVERED:
        return Result(recipient, Standing.DELIVERED, replies.OK, earlier=True)
    return Result(recipient, Standing.REFUSED, parse_reply(row.reply), earlier=True)


def spoken(recipient: Recipient, standing: Standing, reply: Reply) -> Result:
    """What a rule of our own says after the ruling, which its reply names; for the report in both languages."""
    text, fix = own_rule_texts(reply.rule, str(reply))
    why = sentence(text, fix)
    return Result(recipient, standing, reply, reply.rule, why_zh=why["zh"], why_en=why["en"])


def _check_plain(consignment: Consignment, copy: Copy) -> None:
    """Raises RenderingImpossible for what cannot be said without SMTPUTF8 (RFC 6531 section 3.2)."""
    path = consignment.submission.reverse_path
    if (path and path.needs_smtputf8) or any(recipient.mailbox.needs_smtputf8 for recipient in copy.recipients):
        raise RenderingImpossible(_SMTPUTF8, "The upstream server cannot send to or from mailboxes with non-ASCII local parts")
    if copy.needs_smtputf8:
        raise RenderingImpossible(_SMTPUTF8, "The upstream server cannot send a message with a UTF-8 header")


def _may_fail_over(outcome: Outcome) -> bool:
    """Whether this upstream cannot have the message and said nothing about it, so that another may be asked."""
    silent = outcome.reply_class in (None, ReplyClass.OUTAGE)
    return outcome.before_dot and silent and outcome.state is OutcomeState.TRANSIENT


def _result(recipient: Recipient, outcome: Outcome, upstream: str, *, silent: bool = False) -> Result:
    """`silent` says that the upstream reports no success."""
    return Result(
        recipient,
        _STANDINGS[outcome.state],
        outcome.reply,
        upstream=upstream,
        upstream_text=outcome.upstream_text,
        gone=outcome.gone,
        handed_on=silent and outcome.state is OutcomeState.DELIVERED,
    )
