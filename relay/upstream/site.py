"""One upstream: where it is, what it is like, and how a connection to it comes about."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relay import telemetry
from relay.accounts import Upstream
from relay.config import Config
from relay.errors import ConfigurationError
from relay.mail import replies
from relay.mail.envelope import Credentials
from relay.upstream.breaker import Breakers
from relay.upstream.connect import OpeningError, endpoint_of, open_wire
from relay.upstream.credentials import Remembered
from relay.upstream.outcome import Outcome, OutcomeState, UpstreamReply, UpstreamUnavailable
from relay.upstream.pool import Bounds, Channel, Pool, PoolKey
from relay.upstream.profile import Capabilities, Classified, Profile, ReplyClass, classify
from relay.upstream.wire import Wire

CONNECT_PATIENCE = 10.0  # seconds for one address
VERIFY_PATIENCE = 20.0
_FAIR_PATIENCE = 1.0  # seconds; an upstream that had less to answer is not blamed for its silence
RESTING = 60.0  # seconds for which an address that failed is tried last
_UNDECIDED = (OutcomeState.TRANSIENT, OutcomeState.INDETERMINATE)
_NOT_UNDERSTOOD = {500, 501, 502, 503, 504}  # to AUTH: the command was at fault, not the login


@dataclass(frozen=True, slots=True)
class Verified:
    """The upstream took the login."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upstream refused the login; `text` is printable ASCII. `from_memory`: it was not asked again."""

    text: str
    from_memory: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The upstream gave no answer; this is never a yes. `text` is for operators.

    `asked` says whether the password may have been sent: then the upstream may
    have counted a guess.
    """

    text: str
    asked: bool


Verification = Verified | Rejected | Unavailable


class Site:
    """An [[upstream]] with its profile, its pool, and what its EHLO offered last."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        profiles: Mapping[str, Profile],
        remembered: Remembered,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError."""
        if upstream.provider not in profiles:
            known = ", ".join(sorted(profiles))
            raise ConfigurationError(
                f'[[upstream]] "{upstream.name}": provider "{upstream.provider}" is not known; known: {known}'
            )
        self.name, self.auth, self.profile = upstream.name, upstream.auth, profiles[upstream.provider]
        self.country = upstream.country or self.profile.country
        self.capabilities = Capabilities(size=self.profile.max_message_size)
        self._endpoint = endpoint_of(config, upstream)
        self._remembered = remembered
        self._resting: dict[str, float] = {}
        self._breakers = Breakers(monotonic)
        self._breakers_gauge = telemetry.upstream_breakers_open.labels(self.name)
        self.bounds = Bounds(
            upstream.max_connections or self.profile.max_connections,
            upstream.max_connections_per_identity or self.profile.max_connections_per_identity,
            self.profile.max_messages_per_connection,
            self.profile.idle,
        )
        self.pool = Pool(upstream.name, self.bounds, time.monotonic)

    def key(self, identity: str, credentials: Credentials | None) -> PoolKey:
        """Whose connections these are. Raises UpstreamUnavailable when a login is needed and there is none."""
        if self.auth == "none":
            return PoolKey(self.name, identity, self._endpoint.tls)
        if credentials is None:
            text = f"{self.name}: this identity has no [[account]]"
            raise UpstreamUnavailable("account", text, replies.UPSTREAM_ACCOUNT)
        return PoolKey(self.name, identity, self._endpoint.tls, self._remembered.mac(self.name, identity, credentials))

    async def open(self, key: PoolKey, credentials: Credentials | None, deadline: float) -> Channel:
        """Bring up a connection on the slot that the caller holds; the slot goes back when it fails.

        Raises UpstreamUnavailable.
        """
        if (wait := self._breakers.wait(key.identity)) > 0:
            self.pool.give_back(key)
            text = f"{self.name}: nobody connects for {wait:.0f} s: it failed again and again"
            raise UpstreamUnavailable("resting", text, retry_after=wait)
        try:
            return await self._bring_up(key, credentials, deadline)
        except (UpstreamUnavailable, asyncio.CancelledError) as fault:
            if not isinstance(fault, UpstreamUnavailable) or fault.reason == "refused":
                self.learnt_nothing(key.identity)
            raise

    async def _bring_up(self, key: PoolKey, credentials: Credentials | None, deadline: float) -> Channel:
        try:
            address, wire, self.capabilities = await self._log_in(key, credentials if key.login else None, deadline)
        except OpeningError as error:
            self.pool.give_back(key)
            if error.reason == "unavailable":
                self._breakers.login_failed(key.identity)
                self._show_breakers()
            telemetry.upstream_failures_total.labels(self.name, error.reason).inc()
            raise self._unavailable(error) from None
        except BaseException:
            self.pool.give_back(key)
            raise
        channel = Channel(key, address, wire, self.capabilities, time.monotonic())
        self.pool.opened(channel)
        return channel

    async def verify(self, key: PoolKey, credentials: Credentials) -> Verification:
        """Open a new connection with this login and leave it in the pool.

        No breaker keeps a person out who logs in: the budgets of guesses bound how often the upstream is asked.
        """
        deadline = asyncio.get_running_loop().time() + VERIFY_PATIENCE
        try:
            channel = await self.pool.take(key, deadline, fresh=True) or await self._bring_up(key, credentials, deadline)
        except UpstreamUnavailable as error:
            if error.reason != "refused":
                return Unavailable(str(error), error.asked)
            return Rejected(self._remembered.refusal(key.login) or error.said)
        self.pool.put(channel)
        self._breakers.worked(key.identity)
        self._show_breakers()
        return Verified()

    async def probe(self) -> str:
        """Learn what EHLO offers without a login; return what stands in the way, "" for nothing."""
        try:
            _, wire, self.capabilities = await self._connect(None, asyncio.get_running_loop().time() + CONNECT_PATIENCE)
        except OpeningError as error:
            return str(error)
        await wire.close()
        return ""

    def rest(self, address: str) -> None:
        """Try this address last for a while."""
        self._resting[address] = time.monotonic() + RESTING

    def has_other_address(self, tried: set[str]) -> bool:
        return not tried.issuperset(self._endpoint.addresses)

    def learnt_nothing(self, identity: str) -> None:
        """This identity connected, or was let, and never came to offer a mail: where it was to try, the next one may."""
        self._breakers.learnt_nothing(identity)

    def heed(self, identity: str, outcomes: Sequence[Outcome]) -> None:
        """Learn from the end of a transaction whether the upstream works."""
        silent = [outcome.reply_class in (None, ReplyClass.OUTAGE) for outcome in outcomes]
        if not all(silent):
            self._breakers.worked(identity)
        elif all(outcome.state in _UNDECIDED for outcome in outcomes):
            self._breakers.failed()
        self._show_breakers()

    def _show_breakers(self) -> None:
        self._breakers_gauge.set(self._breakers.open)

    def count(self, reply_class: ReplyClass | None) -> None:
        """Count a reply of the upstream."""
        if reply_class is not None:
            telemetry.upstream_replies_total.labels(self.name, reply_class.value).inc()

    async def _log_in(self, key: PoolKey, credentials: Credentials | None, deadline: float) -> tuple[str, Wire, Capabilities]:
        refusal = self._remembered.refusal(key.login) if credentials else None
        if refusal is not None:
            raise OpeningError("refused", f"{self.name}: this login was refused before", UpstreamReply(535, (refusal,)))
        try:
            opened = await self._connect(credentials, deadline)
        except OpeningError as error:
            if error.reason == "refused" and error.reply and credentials:
                self._remember_refusal(key, error.reply)
            raise
        if credentials:
            self._remembered.accepted(key.login, key.identity)
        return opened

    async def _connect(self, credentials: Credentials | None, deadline: float) -> tuple[str, Wire, Capabilities]:
        """Try the addresses in order, those that failed lately last. Raises OpeningError."""
        now = time.monotonic()
        addresses = sorted(self._endpoint.addresses, key=lambda address: self._resting.get(address, 0.0) > now)
        failure = OpeningError("connect", f"{self.name}: no time left to connect")
        asked = blamed = False
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            patience = min(CONNECT_PATIENCE, (deadline - asyncio.get_running_loop().time()) / left)
            if patience <= 0:
                break
            try:
                return address, *await open_wire(self._endpoint, address, credentials, patience)
            except OpeningError as error:
                failure = error
            asked = asked or failure.asked
            if failure.reply:
                self.count(self._classify(failure.reply).reply_class)
            if not failure.allows_failover:
                blamed = False
                break
            self.rest(address)
            blamed = blamed or self._is_outage(failure, patience)
        if blamed:
            self._breakers.failed()
            self._show_breakers()
        failure.asked = asked
        raise failure

    def _remember_refusal(self, key: PoolKey, reply: UpstreamReply) -> None:
        """Remember a wrong password; turn what only looks like one (a ban, a busy server) into "cannot be asked now"."""
        if not self._classify(reply).permanent or reply.code in _NOT_UNDERSTOOD:
            raise OpeningError("unavailable", f"{self.name}: login answered {reply.code}", reply, asked=True) from None
        self._remembered.refused(key.login, key.identity, f"{reply.code} {reply.shown}")

    def _is_outage(self, failure: OpeningError, patience: float) -> bool:
        """Whether the upstream is down, as far as this address shows: one that says why, or had no time, is not."""
        if failure.reply is None:
            return patience >= _FAIR_PATIENCE
        return self._classify(failure.reply).reply_class in (ReplyClass.OUTAGE, ReplyClass.TRANSIENT, ReplyClass.PERMANENT)

    def _classify(self, reply: UpstreamReply) -> Classified:
        return classify(self.profile, reply.code, reply.enhanced, " ".join(reply.text))

    def _unavailable(self, error: OpeningError) -> UpstreamUnavailable:
        is_login = not error.allows_failover
        reply = replies.UPSTREAM_ACCOUNT if is_login else replies.UPSTREAM_UNREACHABLE
        if error.reply is None:
            return UpstreamUnavailable(error.reason, str(error), reply, asked=error.asked)
        meaning = self._classify(error.reply)
        return UpstreamUnavailable(
            error.reason,
            str(error),
            reply,
            error.reply.shown,
            asked=error.asked,
            reply_class=meaning.reply_class,
            reaction=meaning.reaction,
        )
