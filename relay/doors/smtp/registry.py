"""All sessions of one process: how many there may be beside those of the others, how much mail they hold, and how they end.

Every refusal by a bound is counted in relay_refused_by_limit_total.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from relay import telemetry
from relay.config import Smtp
from relay.doors.smtp.headcount import Headcount
from relay.mail import replies
from relay.mail.reply import Reply

_LOOK_EVERY = 0.05  # seconds, while draining
_LAST_WORDS = 1.0  # seconds for cancelled work to write down how far it got

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Session(Protocol):
    """What the registry knows of a session."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a command, with no mail transaction open."""
        ...

    def dismiss(self, farewell: Reply) -> None:
        """Write the reply and close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


def refused_by_limit(limit: telemetry.Bound, answer: Reply) -> Reply:
    """Count a refusal and return it."""
    telemetry.count_refusal(limit)
    return answer


def note_failed_handshake(listener: str, error: OSError) -> None:
    """Log that TLS, or a PROXY header, did not come about; one that took too long met a bound."""
    if isinstance(error, (TimeoutError, ConnectionAbortedError)):  # the loop aborts a handshake, we end a header
        telemetry.count_refusal("time")
    telemetry.event("handshake_failed", listener=listener, error=type(error).__name__)


@lru_cache(maxsize=1024)
def plain_address(address: str) -> str:
    """The address without a zone, and IPv4 where it is mapped into IPv6."""
    host = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped:
        host = host.ipv4_mapped
    return str(host)


@lru_cache(maxsize=1024)
def neighbourhood(address: str) -> str:
    """What one client has to itself: an IPv4 address, or the /64 of an IPv6 address."""
    host = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((address, 64), strict=False)) if host.version == 6 else address


class Registry:
    """Sessions, the octets they hold, and the work that outlives them. `bounds` may be replaced at any time."""

    def __init__(self, bounds: Callable[[], Smtp], headcount: Headcount) -> None:
        self._bounds = bounds
        self._headcount = headcount
        self._sessions: dict[Session, int] = {}  # and where the headcount has its client
        self._work: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._in_flight = 0
        telemetry.in_flight_octets.set_function(lambda: self._in_flight)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def is_draining(self) -> bool:
        return self._draining

    @property
    def in_flight(self) -> int:
        """Octets of messages in memory."""
        return self._in_flight

    def enter(self, session: Session, address: str) -> Reply | None:
        """Register a session; a reply says why it must end at once."""
        place = self._headcount.place(neighbourhood(address))
        self._sessions[session] = place
        self._headcount.enter(place)
        telemetry.sessions.inc()
        if self._draining:
            return replies.SHUTTING_DOWN
        if self._headcount.sessions > self._bounds().max_connections:
            return refused_by_limit("connections", replies.TOO_MANY_CONNECTIONS)
        if self._headcount.at(place) > self._bounds().max_connections_per_address:
            return refused_by_limit("connections_per_address", replies.TOO_MANY_CONNECTIONS_FROM_ADDRESS)
        return None

    def leave(self, session: Session) -> None:
        place = self._sessions.pop(session, None)
        if place is None:
            return
        telemetry.sessions.dec()
        self._headcount.leave(place)

    def expect(self) -> bool:
        """Count a connection that is on its way to a session, until `arrived`; False when too many are."""
        self._headcount.arrive()
        if self._headcount.arriving <= self._bounds().max_connections:
            return True
        self._headcount.arrived()
        return False

    def arrived(self) -> None:
        """A connection that was expected has its session, or has failed."""
        self._headcount.arrived()

    def has_room(self, octets: int) -> bool:
        """Whether a message of this size could be taken now."""
        return self._in_flight + octets <= self._bounds().max_in_flight

    def hold(self, octets: int) -> bool:
        """Account for octets that are about to be kept; False when there is no room."""
        if self._in_flight + octets > self._bounds().max_in_flight:
            return False
        self._in_flight += octets
        return True

    def release(self, octets: int) -> None:
        self._in_flight -= octets

    def shelter(self, task: asyncio.Task[Any]) -> None:
        """Keep a task whose client may go away: `drain` waits for it until `unshelter`."""
        self._work.add(task)

    def unshelter(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)

    async def drain(self, deadline_seconds: float) -> int:
        """End all sessions: the idle ones at once, the busy ones when their mail is done or at the deadline.

        Returns how many sessions and submissions had to be cut off.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_seconds
        while (self._sessions or self._work) and loop.time() < deadline:
            for session in [session for session in self._sessions if session.is_idle]:
                session.dismiss(replies.SHUTTING_DOWN)
            await asyncio.sleep(_LOOK_EVERY)
        return await self._cut_off()

    async def _cut_off(self) -> int:
        sessions, work = list(self._sessions), list(self._work)
        for session in sessions:
            session.abort()
        for task in work:
            task.cancel()
        if work:
            await asyncio.wait(work, timeout=_LAST_WORDS)
        return len(sessions) + len(work)
