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
from relay.config import Config
from relay.consignment import Consignment, Renderer, Route, groups_of
from relay.errors import RecordsUnavailable, RenderingImpossible, StoreUnavailable
from relay.gathering import recipient_digest
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Identity, IdentityKind, Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import parse_reply
from relay.policy.charges import charges_for
from relay.policy.sets import Stream
from relay.policy.suppression import BINDS, ORGANISATION, Digest, Suppression, stream_scope
from relay.records.append import Records
from relay.records.facts import late_record
from relay.render.copy import Copy
from relay.stores.contracts import Cleared, ClearRequest, OverLimit, Refused, Row, RowState, Settlement, Store, Taken
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


@dataclass(frozen=True, slots=True)
class _Leave:
    """A recipient who was cleared."""

    recipient: Recipient
    digest: Digest
    reservation: str


class Dispatcher:
    """One per worker."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        store: Store,
        records: Records,
        upstreams: Upstreams,
        renderer: Renderer,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._keys = keys
        self.store = store
        self._records = records
        self._upstreams = upstreams
        self.renderer = renderer
        self._clock = clock
        self._limits = {upstream.name: upstream.limits for upstream in config.upstream}

    # Where to --------------------------------------------------------------------------------------------------------

    def routes(self, identity: Identity, stream: Stream, reverse_path: Mailbox | None) -> tuple[Route, ...]:
        """The ways this mail may take, in order; empty when no account fits.

        A passthrough identity never leaves the upstream that proved it.
        """
        if identity.kind is IdentityKind.PASSTHROUGH:
            return (Route(identity.upstream or "", identity.name, identity.credentials),)
        routes = []
        for name in stream.upstream or (self._config.upstream[0].name,):
            if self._config.upstream_named(name).auth == "none":
                routes.append(Route(name, identity.name, None))
            elif account := self._upstreams.account_for(name, identity.name, reverse_path.key if reverse_path else None):
                routes.append(Route(name, account.login, account))
        return tuple(routes)

    def takes_sender(self, route: Route, mailbox: Mailbox) -> bool:
        """Whether the provider lets this account write as this mailbox (NetEase 553, Tencent 501)."""
        profile = self._upstreams.profile(route.upstream)
        return not profile.from_must_match_login or route.credentials is None or route.credentials.login.casefold() == mailbox.key

    def takes_smtputf8(self, routes: Sequence[Route]) -> bool:
        """Whether some way is not known to lack SMTPUTF8 (RFC 6531)."""
        known = [self._upstreams.capabilities(route.upstream) for route in routes]
        return not known or any(capabilities.smtputf8 or not capabilities.seen for capabilities in known)

    # Sending ---------------------------------------------------------------------------------------------------------

    async def send(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        """Deliver to each recipient once; one result for each, in no particular order. Never raises for the outside's faults."""
        if not consignment.routes:
            return [Result(recipient, Standing.TRANSIENT, replies.NO_ACCOUNT) for recipient in recipients]
        profile_of = consignment.routes[0].upstream
        profile = self._upstreams.profile(profile_of)
        groups = iter(list(groups_of(consignment, recipients, profile.max_recipients)))
        width = self._config.upstream_named(profile_of).max_connections_per_identity or profile.max_connections_per_identity
        results: list[Result] = []

        async def lane(groups: Iterator[tuple[Recipient, ...]]) -> None:
            for group in groups:
                results.extend(await self._send_whatever_happens(consignment, group))
                await asyncio.sleep(0)  # between two signatures others get their turn

        async with asyncio.TaskGroup() as lanes:
            for number in range(min(width, len(recipients))):
                lanes.create_task(lane(groups), name=f"lane {number} of {consignment.submission.id}")
        return results

    async def _send_whatever_happens(self, consignment: Consignment, group: tuple[Recipient, ...]) -> list[Result]:
        """A fault of ours with one copy must not cut the others off in the middle of theirs."""
        try:
            return await self._send_copy(consignment, group)
        except Exception:  # noqa: BLE001 - law 1: a fault of ours is never a 5yz
            _log.exception("a copy of %s failed", consignment.submission.id)
            return [Result(recipient, Standing.TRANSIENT, replies.INTERNAL) for recipient in group]

    async def _send_copy(self, consignment: Consignment, group: tuple[Recipient, ...]) -> list[Result]:
        """Try the routes in order until the copy was answered for, or nothing is left to try."""
        results = [Result(recipient, Standing.TRANSIENT, replies.UPSTREAM_UNREACHABLE) for recipient in group]
        for route in consignment.routes:
            if asyncio.get_running_loop().time() >= consignment.deadline:
                return [Result(recipient, Standing.TRANSIENT, replies.UPSTREAM_TIMED_OUT) for recipient in group]
            try:
                results, failed_over = await self._send_by(consignment, route, group)
            except UpstreamUnavailable as fault:
                telemetry.event("upstream unavailable", id=consignment.submission.id, upstream=route.upstream, text=str(fault))
                results = [Result(recipient, Standing.TRANSIENT, fault.reply, upstream=route.upstream) for recipient in group]
                continue
            except RenderingImpossible as fault:
                reply = replies.refused(fault.rule, str(fault), f"{self._config.http.help_url}/r/{consignment.submission.id}")
                return [Result(recipient, Standing.REFUSED, reply, rule=fault.rule) for recipient in group]
            if not failed_over:
                break
        return results

    async def _send_by(self, consignment: Consignment, route: Route, group: tuple[Recipient, ...]) -> tuple[list[Result], bool]:
        with telemetry.stage("render"):
            copy = self.renderer.copy(consignment, route.upstream, group)
        async with self._upstreams.lease(route.upstream, route.identity, route.credentials, consignment.deadline) as connection:
            if copy.needs_smtputf8 and not connection.capabilities.smtputf8:
                reply = replies.SMTPUTF8_MESSAGE
                return [Result(r, Standing.REFUSED, reply, "base/smtputf8", route.upstream) for r in group], False
            if copy.needs_8bit and not connection.capabilities.eightbitmime:
                copy = self.renderer.copy(consignment, route.upstream, group, encoded=True)
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
        submission = consignment.submission
        outcomes = await connection.transact(
            submission.reverse_path,
            replace(copy, recipients=tuple(leave.recipient for leave in leaving)),
            ret=submission.ret,
            envid=submission.envid,
            deadline=consignment.deadline,
            past_dot=self._config.delivery.past_dot,
        )
        await self._settle(consignment, leaving, outcomes)
        if connection.late is not None:
            unknown = [number for number, outcome in enumerate(outcomes) if outcome.state is OutcomeState.INDETERMINATE]
            spawn(self._heed(consignment, route, leaving, unknown, connection.late), "late reply")
        silent = not connection.capabilities.dsn
        pairs = zip(leaving, outcomes, strict=True)
        results += [_result(leave.recipient, outcome, route.upstream, silent=silent) for leave, outcome in pairs]
        return results, all(map(_may_fail_over, outcomes))

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
            await self._records.append(late_record(submission_id, results, self._clock(), self._records.person))
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
        past_dot = self._config.delivery.past_dot
        lease = max(0.0, consignment.deadline - asyncio.get_running_loop().time()) + longest(copy, past_dot) + past_dot
        clearances = await self.store.clear(
            consignment.key, consignment.submission.id, [request for _, request in asked], lease + _LEASE_SLACK
        )
        leaving = []
        for (recipient, request), clearance in zip(asked, clearances, strict=True):
            if isinstance(clearance, Cleared):
                leaving.append(_Leave(recipient, request.recipient, clearance.reservation))
            else:
                results.append(self._not_cleared(consignment, recipient, clearance))
        return leaving, results

    def _not_cleared(self, consignment: Consignment, recipient: Recipient, clearance: Refused | Taken | OverLimit) -> Result:
        match clearance:
            case Refused():
                return self._refused(consignment, recipient)
            case Taken(row) if row.state is RowState.LEAVING:
                return Result(recipient, Standing.TRANSIENT, replies.RESEND_IN_PROGRESS)
            case Taken(row):
                return earlier_result(recipient, row)
            case OverLimit(name, retry_after):
                reply = replies.over_limit(name, retry_after, self._help_url(consignment))
                return Result(recipient, Standing.TRANSIENT, reply, rule="limit")

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
        return f"{self._config.http.help_url}/r/{consignment.submission.id}"

    async def _settle(self, consignment: Consignment, leaving: Sequence[_Leave], outcomes: Sequence[Outcome]) -> None:
        settlements = [
            Settlement(
                leave.digest,
                _ROW_STATES[outcome.state],
                outcome.reply.wire().decode(),
                leave.reservation,
                consignment.submission.id,
            )
            for leave, outcome in zip(leaving, outcomes, strict=True)
        ]
        try:
            await self.store.finish(consignment.key, settlements)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            spawn(self._settle_later(consignment.key, settlements), "settle later")

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
        handed_on=silent and outcome.state is OutcomeState.DELIVERED,
    )
