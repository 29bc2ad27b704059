"""Open connections to one upstream, and who may use which.

A connection belongs to its key for life: upstream, identity, TLS posture and
login.  No other key ever gets it; when room is short, an idle connection of
somebody else is closed, never lent.  Who waits is served in order, but mail
that can wait leaves the last free place to mail that cannot.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from relay import telemetry
from relay.mail import replies
from relay.tasks import spawn
from relay.upstream.outcome import UpstreamUnavailable
from relay.upstream.profile import Capabilities
from relay.upstream.wire import Wire

MAX_AGE = 600.0  # seconds; DNS and certificates change, and load balancers cut old connections


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Whom a connection belongs to; `login` is the keyed MAC of the credentials, empty without AUTH."""

    upstream: str
    identity: str
    tls: str
    login: bytes = field(default=b"", repr=False)


@dataclass(slots=True, eq=False)
class Channel:
    """One open connection with its history."""

    key: PoolKey
    address: str
    wire: Wire
    capabilities: Capabilities
    opened_at: float
    mails: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    key: PoolKey
    fresh: bool
    leaves_one: bool
    granted: asyncio.Future[Channel | None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the provider takes; per worker process."""

    connections: int
    per_identity: int
    mails: int
    idle: float


class Pool:
    """The connections of one upstream. All methods belong to one event loop."""

    def __init__(self, upstream: str, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._upstream, self._bounds, self._clock = upstream, bounds, clock
        self._idle: list[Channel] = []  # oldest release first
        self._busy: set[Channel] = set()
        self._listening: list[Channel] = []  # they wait for a reply that is late, oldest first
        self._opening: Counter[str] = Counter()  # slots by identity, promised to connections that are being brought up
        self._waiters: deque[_Waiter] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._is_draining = False
        self._idle_gauge = telemetry.upstream_connections.labels(upstream, "idle")
        self._busy_gauge = telemetry.upstream_connections.labels(upstream, "busy")

    async def take(self, key: PoolKey, deadline: float, *, fresh: bool = False, leaves_one: bool = False) -> Channel | None:
        """Return an idle connection of this key, or None: then the caller holds a slot and must open one.

        With `leaves_one` the last free place is not taken, unless there is only
        one in all.  The caller owes `put` or `discard` for a connection,
        `opened` or `give_back` for a slot.  Raises UpstreamUnavailable when
        none is free before the deadline.
        """
        if self._is_draining:
            raise _draining(self._upstream)
        if not self._waiters and not fresh and (channel := self._at_hand(key, leaves_one=leaves_one)) is not None:
            self._use(channel)
            self._update()
            return channel
        waiter = _Waiter(key, fresh, leaves_one, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._serve()
        if waiter.granted.done():
            return waiter.granted.result()
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(waiter.granted)
        except TimeoutError:
            self._withdraw(waiter)
            raise UpstreamUnavailable("busy", f"{self._upstream}: all connections are busy", replies.UPSTREAM_TIMED_OUT) from None
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def opened(self, channel: Channel) -> None:
        """The promised slot became this connection, which is in use."""
        self._end_promise(channel.key.identity)
        self._busy.add(channel)
        channel.wire.on_fault = lambda: self._lost(channel)
        self._update()

    def give_back(self, key: PoolKey) -> None:
        """The promised slot is not needed: nothing could be opened."""
        self._end_promise(key.identity)
        self._serve()

    def put(self, channel: Channel) -> None:
        """Take a connection back after a clean reply; close it when it is worn out."""
        age = self._clock() - channel.opened_at
        if self._is_draining or not channel.wire.is_quiet or channel.mails >= self._bounds.mails or age >= MAX_AGE:
            self.discard(channel)
            return
        self._busy.discard(channel)
        self._idle.append(channel)
        channel.wire.alarm.set(asyncio.get_running_loop().time() + self._bounds.idle, channel.wire.on_fault)
        self._serve()

    def discard(self, channel: Channel) -> None:
        """Close a connection that was in use."""
        self._busy.discard(channel)
        self._close(channel)
        self._serve()

    def listen(self, channel: Channel) -> None:
        """A connection that was in use now only waits for a late reply; it is cut when its place is needed."""
        self._busy.discard(channel)
        self._listening.append(channel)
        self._serve()

    def heard(self, channel: Channel) -> None:
        """The late reply came, or never will: take the connection back when it is clean."""
        if channel in self._listening:
            self._listening.remove(channel)
        self.put(channel)

    def exchange(self, channel: Channel) -> None:
        """Close a connection that was in use; its place stays promised to the caller, as a slot."""
        self._busy.discard(channel)
        self._opening[channel.key.identity] += 1
        self._close(channel)

    def has(self, key: PoolKey) -> bool:
        """Whether a living connection of exactly this key exists."""
        return any(channel.key == key and not channel.wire.fault for channel in (*self._idle, *self._busy))

    async def drain(self, deadline: float) -> None:
        """Let nobody in, close what is idle, wait for the rest until the deadline, then cut it."""
        self._is_draining = True
        for waiter in self._waiters:
            waiter.granted.set_exception(_draining(self._upstream))
            waiter.granted.exception()  # heard by `take`, unless its caller has gone
        self._waiters.clear()
        for channel in list(self._idle):
            self._lost(channel)
        try:
            async with asyncio.timeout_at(deadline):
                while self._busy or self._listening or self._opening.total():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for channel in [*self._busy, *self._listening]:
                channel.wire.abort("draining")
        await asyncio.gather(*self._closing)
        for _ in range(2):  # sockets of connections that were cut just now are closed in the next turns of the loop
            await asyncio.sleep(0)

    def _end_promise(self, identity: str) -> None:
        """Whoever guesses logins names identities without end: one without a slot must not be remembered."""
        self._opening[identity] -= 1
        if not self._opening[identity]:
            del self._opening[identity]

    def _serve(self) -> None:
        """Give what is free to those who wait, in their order; who cannot be served now does not hold up the others."""
        blocked: set[tuple[PoolKey, bool, bool]] = set()
        for waiter in list(self._waiters):
            alike = (waiter.key, waiter.fresh, waiter.leaves_one)
            if self._is_draining or alike in blocked:
                continue
            if self._grant(waiter):
                self._waiters.remove(waiter)
            else:
                blocked.add(alike)
        self._update()

    def _grant(self, waiter: _Waiter) -> bool:
        if waiter.granted.done():
            return True
        if waiter.leaves_one and not self._has_two_places():
            return False
        channel = None if waiter.fresh else self._latest_idle(waiter.key)
        if channel is not None:
            self._use(channel)
        elif self._make_room(waiter.key.identity):
            self._opening[waiter.key.identity] += 1
        else:
            return False
        waiter.granted.set_result(channel)
        return True

    def _at_hand(self, key: PoolKey, *, leaves_one: bool) -> Channel | None:
        """The connection that nobody has to wait for, as nearly every mail finds it."""
        return None if leaves_one and not self._has_two_places() else self._latest_idle(key)

    def _has_two_places(self) -> bool:
        """Whether one place is left when one is taken: what is idle or only listening makes room for others."""
        taken, places = len(self._busy) + sum(self._opening.values()), self._bounds.connections
        return places == 1 or taken + 2 <= places

    def _use(self, channel: Channel) -> None:
        self._idle.remove(channel)
        self._busy.add(channel)

    def _latest_idle(self, key: PoolKey) -> Channel | None:
        for channel in reversed(self._idle):
            if channel.key == key and not channel.wire.fault:
                return channel
        return None

    def _make_room(self, identity: str) -> bool:
        """Whether a connection more may be opened, closing an idle one that cannot serve the purpose if need be."""
        spare = [*self._idle, *self._listening]
        own_spare = [channel for channel in spare if channel.key.identity == identity]
        own = self._opening[identity] + len(own_spare) + sum(channel.key.identity == identity for channel in self._busy)
        if own >= self._bounds.per_identity:
            return self._give_up_first(own_spare)
        if len(spare) + len(self._busy) + self._opening.total() >= self._bounds.connections:
            return self._give_up_first(spare)
        return True

    def _give_up_first(self, candidates: Sequence[Channel]) -> bool:
        """Close the connection that has been idle longest, else the one that has been listening longest."""
        if not candidates:
            return False
        channel = candidates[0]
        if channel in self._idle:
            self._idle.remove(channel)
            self._close(channel)
        else:
            self._listening.remove(channel)
            channel.wire.abort("needed")
        return True

    def _lost(self, channel: Channel) -> None:
        """It was idle for too long, or the other side closed it or said something unasked."""
        if channel in self._idle:
            self._idle.remove(channel)
            self._close(channel)
            self._serve()

    def _close(self, channel: Channel) -> None:
        if not channel.wire.fault:
            task = spawn(channel.wire.close(), name=f"close {self._upstream}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _withdraw(self, waiter: _Waiter) -> None:
        """Stop waiting; what was granted in the same moment goes back."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            waiter.granted.cancel()
        elif waiter.granted.done() and not waiter.granted.exception():
            channel = waiter.granted.result()
            if channel is None:
                self.give_back(waiter.key)
            else:
                self.put(channel)

    def _update(self) -> None:
        self._changed.set()
        self._idle_gauge.set(len(self._idle))
        self._busy_gauge.set(len(self._busy) + len(self._listening) + sum(self._opening.values()))


def _draining(upstream: str) -> UpstreamUnavailable:
    return UpstreamUnavailable("draining", f"{upstream}: the relay is shutting down")
