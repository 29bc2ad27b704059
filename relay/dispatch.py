"""Hand the copies of one message to the upstream.

Per copy: render it, take a connection, `clear` (`relay.clearing`, directly
before MAIL), transact, write the outcome into the ledger.  Copies of one
message leave side by side as far as the provider's connections allow; what has
not begun by the deadline waits for the client's next try.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace

from relay import telemetry
from relay.adapting import Adapting, Place
from relay.answer import Result, Standing
from relay.bounced import Outcomes
from relay.clearing import Clearing, Leave, overtaken
from relay.config import Config
from relay.consignment import Consignment, Renderer
from relay.errors import RecordsUnavailable, RenderingImpossible, StoreUnavailable
from relay.holding.holder import Holder
from relay.judging import spoken
from relay.mail import replies
from relay.mail.envelope import IdentityKind, Recipient
from relay.mail.reply import Reply
from relay.policy.cases.jurisdiction import UNKNOWN
from relay.policy.suppressions.suppression import Purpose
from relay.render.copy import Copy
from relay.routing import Route
from relay.stores.held import NEVER, Why
from relay.stores.ledger import ClearRequest
from relay.tasks import spawn
from relay.upstream.delivery import Connection, Upstreams
from relay.upstream.outcome import Outcome, OutcomeState, UpstreamUnavailable
from relay.upstream.profile import ReplyClass
from relay.upstream.transaction import LATE_PATIENCE

_log = logging.getLogger("relay.dispatch")
_SMTPUTF8 = "base/smtputf8"
_NO_LOGIN = ("account", "refused")  # of UpstreamUnavailable


class Dispatcher:
    """One per worker."""

    def __init__(
        self,
        config: Config,
        *,
        clearing: Clearing,
        adapting: Adapting,
        holder: Holder,
        outcomes: Outcomes,
        upstreams: Upstreams,
        renderer: Renderer,
    ) -> None:
        self._config = config
        self.clearing = clearing
        self._adapting = adapting
        self.holder = holder
        self._outcomes = outcomes
        self._upstreams = upstreams
        self.renderer = renderer

    def says_nothing_of_success(self, route: Route) -> bool:
        """Whether the upstream was asked, and did not say that it obeys NOTIFY itself (RFC 3461)."""
        capabilities = self._upstreams.capabilities(route.upstream)
        return capabilities.seen and not capabilities.dsn

    # Sending ---------------------------------------------------------------------------------------------------------

    async def send(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        """Deliver to each recipient once; one result for each, in no particular order. Never raises for the outside's faults."""
        if not consignment.routes:
            reply = replies.explained(replies.NO_ACCOUNT, self._config.http.page(consignment.submission.id))
            return [spoken(recipient, Standing.TRANSIENT, reply, Why.AUTHENTICATION, NEVER) for recipient in recipients]
        results = await self._send_copies(consignment, recipients)
        while (again := [result.recipient for result in results if result.splits]) and not self._is_late(consignment):
            # Too many of one mail: what was learnt of that makes the next copies smaller.
            await asyncio.gather(*map(asyncio.shield, consignment.settling))
            cap, _ = self._bounds(consignment.routes)
            if cap >= len(again) == len(recipients):
                break  # nothing was learnt: it would be the same copy again
            recipients = again
            results = [result for result in results if not result.splits] + await self._send_copies(consignment, again)
        return results

    def _is_late(self, consignment: Consignment) -> bool:
        return asyncio.get_running_loop().time() >= consignment.deadline

    async def _send_copies(self, consignment: Consignment, recipients: Sequence[Recipient]) -> list[Result]:
        cap, width = self._bounds(consignment.routes)
        copies = list(self.renderer.groups(consignment, recipients, cap))
        if len(copies) == 1:
            return await self._send_whatever_happens(consignment, copies[0])
        groups = iter(copies)
        results: list[Result] = []

        async def lane(groups: Iterator[tuple[Recipient, ...]]) -> None:
            for group in groups:
                results.extend(await self._send_whatever_happens(consignment, group))
                await asyncio.sleep(0)  # past the deadline nothing else waits here

        async with asyncio.TaskGroup() as lanes:
            for number in range(min(width, len(copies))):
                lanes.create_task(lane(groups), name=f"lane {number} of {consignment.submission.id}")
        return results

    def _bounds(self, routes: Sequence[Route]) -> tuple[int, int]:
        """Recipients of one copy and copies side by side that every way takes, since any of them may carry any copy."""
        caps, widths = [], []
        for route in routes:
            profile, upstream = self._upstreams.profile(route.upstream), self._config.upstream_named(route.upstream)
            caps.append(self._adapting.cap(route.upstream, profile.max_recipients))
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
        if self.clearing.is_overtaken(consignment):
            return overtaken(group)
        latest: dict[str, Result] = {}  # of those for whom another way may be tried, by mailbox key
        settled: list[Result] = []
        refusal: Reply | None = None
        page = self._config.http.page(consignment.submission.id)
        for route in consignment.routes:
            if self._is_late(consignment):
                return settled + [
                    Result(recipient, Standing.TRANSIENT, replies.UPSTREAM_TIMED_OUT, why=Why.UPSTREAM) for recipient in group
                ]
            asked, kept = self._adapting.part(_place(consignment, route), group, page)
            latest |= {result.recipient.key: result for result in kept}
            if not asked:
                continue
            try:
                results, failed_over = await self._send_by(consignment, route, asked)
                if not failed_over:
                    settled += results
                    group = tuple(result.recipient for result in kept)
                    if not group:
                        return settled
                    continue
            except UpstreamUnavailable as fault:
                results = await self._unavailable(consignment, route, asked, fault)
            except RenderingImpossible as fault:
                refusal = refusal or replies.refused(fault.rule, str(fault), page)
                continue
            latest |= {result.recipient.key: result for result in results}
        missing = [recipient for recipient in group if recipient.key not in latest]
        if refusal:
            settled += [spoken(recipient, Standing.REFUSED, refusal) for recipient in missing]
        return settled + [latest[recipient.key] for recipient in group if recipient.key in latest]

    async def _unavailable(
        self, consignment: Consignment, route: Route, asked: Sequence[Recipient], fault: UpstreamUnavailable
    ) -> list[Result]:
        """Nothing was sent by this way: learn why, and say it."""
        whose = {"id": consignment.submission.id, "upstream": route.upstream}
        telemetry.event("upstream unavailable", level=logging.WARNING, **whose, text=str(fault))
        await self._adapting.learn_fault(_place(consignment, route), fault)
        why, due = self._out_of_reach(consignment, fault)
        return [
            Result(recipient, Standing.TRANSIENT, fault.reply, upstream=route.upstream, why=why, due=due) for recipient in asked
        ]

    def _out_of_reach(self, consignment: Consignment, fault: UpstreamUnavailable) -> tuple[Why, float]:
        """A login that is the client's own is good again when the client says so, and not before; an account is tried again."""
        identity, now = consignment.submission.identity, self.clearing.now()
        if fault.reason in _NO_LOGIN and identity.kind is IdentityKind.PASSTHROUGH:
            has_account = self.holder.has_account(identity, [route.upstream for route in consignment.routes])
            return Why.AUTHENTICATION, now + self._config.hold.first_retry if has_account else NEVER
        return Why.UPSTREAM, now + (fault.retry_after or self._config.hold.first_retry)

    async def _send_by(self, consignment: Consignment, route: Route, group: tuple[Recipient, ...]) -> tuple[list[Result], bool]:
        await self.renderer.ready(consignment, route, group)
        with telemetry.stage("render"):
            copy = self.renderer.copy(consignment, route, group)
        can_wait = consignment.stream.purpose is Purpose.MARKETING
        async with self._upstreams.lease(
            route.upstream, route.identity, route.credentials, consignment.deadline, leaves_one=can_wait
        ) as connection:
            if not connection.capabilities.smtputf8:
                _check_plain(consignment, copy)
            if copy.needs_8bit and not connection.capabilities.eightbitmime:
                await self.renderer.ready(consignment, route, group, encoded=True)
                copy = self.renderer.copy(consignment, route, group, encoded=True)
            await self.clearing.warming.ready(self.clearing.store, consignment.policy, consignment.stream)
            country = self._upstreams.country(route.upstream) or UNKNOWN
            requests = [self.clearing.request(consignment, route, country, recipient) for recipient in group]
            return await self._clear_and_transact(consignment, route, connection, copy, requests)

    async def carry(
        self, consignment: Consignment, route: Route, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[Result], bool]:
        """Send a copy that is ready by one route; the results, and whether another way may be tried.

        Raises UpstreamUnavailable.
        """
        self._adapting.check_free(_place(consignment, route))
        async with self._upstreams.lease(route.upstream, route.identity, route.credentials, consignment.deadline) as connection:
            return await self._clear_and_transact(consignment, route, connection, copy, requests)

    async def _clear_and_transact(
        self, consignment: Consignment, route: Route, connection: Connection, copy: Copy, requests: Sequence[ClearRequest]
    ) -> tuple[list[Result], bool]:
        """Ask for each recipient's leave, send to those who may have it; say whether another way may be tried."""
        try:
            leaving, results = await self.clearing.clear(consignment, copy, requests)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.clearing.store.name, fault.reason).inc()
            return [Result(r, Standing.TRANSIENT, replies.STORE_UNAVAILABLE) for r in copy.recipients], False
        except RecordsUnavailable as fault:
            _log.error("no record, no mail: %s", fault)
            return [Result(r, Standing.TRANSIENT, replies.RECORDS_UNAVAILABLE) for r in copy.recipients], False
        if not leaving:
            return results, False
        try:
            await consignment.recorded()  # law 5; writing it began before the copy was rendered
        except RecordsUnavailable:
            await self.clearing.give_back(consignment, leaving)
            results += [Result(leave.recipient, Standing.TRANSIENT, replies.RECORDS_UNAVAILABLE) for leave in leaving]
            return results, False
        if self.clearing.is_overtaken(consignment) and any(leave.stream for leave in leaving):
            await self.clearing.give_back(consignment, leaving)  # another set came in force while the store was asked
            return results + overtaken([leave.recipient for leave in leaving]), False
        submission, recipients = consignment.submission, [leave.recipient for leave in leaving]
        outcomes = await connection.transact(
            submission.reverse_path,
            copy if len(leaving) == len(copy.recipients) else replace(copy, recipients=tuple(recipients)),
            ret=submission.ret,
            envid=submission.envid,
            deadline=consignment.deadline,
            past_dot=consignment.past_dot,
        )
        fails_over = all(map(_may_fail_over, outcomes))
        settling = spawn(self.clearing.settle(consignment, leaving, outcomes), "settle")
        consignment.settling.append(settling)
        await self._learn(_place(consignment, route), recipients, outcomes)
        if fails_over:
            # the next way asks for leave anew; what is told late would take that leave back
            fails_over = await asyncio.shield(settling)
        if connection.late is not None:
            unknown = [number for number, outcome in enumerate(outcomes) if outcome.state is OutcomeState.INDETERMINATE]
            spawn(self._heed(consignment, route, leaving, unknown, connection.late), "late reply")
        silent = not connection.capabilities.dsn
        now = self.clearing.now()
        dues = dict.fromkeys((OutcomeState.TRANSIENT, OutcomeState.INDETERMINATE), now + self._config.hold.first_retry)
        if connection.late is not None:
            dues[OutcomeState.INDETERMINATE] += LATE_PATIENCE  # its reply may still come, and makes another try needless
        results += [
            _result(leave, outcome, route.upstream, silent=silent, due=dues.get(outcome.state, 0.0))
            for leave, outcome in zip(leaving, outcomes, strict=True)
        ]
        return results, fails_over

    async def _learn(self, place: Place, recipients: Sequence[Recipient], outcomes: Sequence[Outcome]) -> None:
        """What follows from outcomes for other mail; a fault of ours in that must not cost the outcomes themselves."""
        try:
            await self._adapting.learn(place, recipients, outcomes)
        except Exception:  # noqa: BLE001 - law 2: what has left must still be recorded and answered for
            _log.exception("nothing was learnt from the replies of %s", place.route.upstream)

    async def _heed(
        self,
        consignment: Consignment,
        route: Route,
        leaving: Sequence[Leave],
        unknown: Sequence[int],
        late: Awaitable[Sequence[Outcome]],
    ) -> None:
        """The client was told that an outcome is not known; write down what the upstream says after all.

        A recipient that is held meanwhile is the courier's; all that can be told it is that there is nothing left to do.
        """
        outcomes = await late
        if consignment.answered is not None:
            await consignment.answered.wait()
        heard = [
            (leaving[n], outcomes[n])
            for n in unknown
            if outcomes[n].state is OutcomeState.DELIVERED
            or (outcomes[n].state is not OutcomeState.INDETERMINATE and leaving[n].recipient.key not in consignment.held)
        ]
        if not heard:
            return
        submission_id = consignment.submission.id
        await self.clearing.settle(consignment, [leave for leave, _ in heard], [outcome for _, outcome in heard])
        results = [_result(leave, outcome, route.upstream) for leave, outcome in heard]
        telemetry.event("late", id=submission_id, upstream=route.upstream, outcome=results[0].standing.value)
        try:
            await self._outcomes.late(submission_id, results)
        except RecordsUnavailable:
            _log.exception("the late outcome of %s could not be recorded", submission_id)
        # last, as the courier does: what is forgotten is on record
        await self.holder.arrived(submission_id, [r.recipient for r in results if r.standing is Standing.DELIVERED])


_STANDINGS = {
    OutcomeState.DELIVERED: Standing.DELIVERED,
    OutcomeState.PERMANENT: Standing.REFUSED,
    OutcomeState.INDETERMINATE: Standing.INDETERMINATE,
    OutcomeState.TRANSIENT: Standing.TRANSIENT,
}
_WHYS = {OutcomeState.INDETERMINATE: Why.UNKNOWN, OutcomeState.TRANSIENT: Why.UPSTREAM}


def _place(consignment: Consignment, route: Route) -> Place:
    return Place(route, consignment.stream, consignment.policy.zone)


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


def _result(leave: Leave, outcome: Outcome, upstream: str, *, silent: bool = False, due: float = 0.0) -> Result:
    """`silent` says that the upstream reports no success; `due` when to try again what is open."""
    return Result(
        leave.recipient,
        _STANDINGS[outcome.state],
        outcome.reply,
        upstream=upstream,
        upstream_text=outcome.upstream_text,
        gone=outcome.gone,
        confirmations=outcome.reaction.confirmations,
        splits=outcome.reaction.split and outcome.state is OutcomeState.TRANSIENT,
        handed_on=silent and outcome.state is OutcomeState.DELIVERED,
        cleared=leave.number,
        why=_WHYS.get(outcome.state),
        due=due,
    )
