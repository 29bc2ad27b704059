"""Sockets that listen, and the way of a connection from `accept` to a session.

Plain and STARTTLS listeners are asyncio servers.  A listener with implicit TLS
or with PROXY headers accepts by itself: the header comes before the handshake
and must be taken off octet by octet, the handshake uses the certificate of the
moment, and connections that have not got so far are bounded too.
"""

import asyncio
import contextlib
import ipaddress
import socket

from relay import telemetry
from relay.config import Listen
from relay.doors.smtp.contracts import Door
from relay.doors.smtp.proxy import NotProxied, read_header
from relay.doors.smtp.registry import note_failed_handshake, plain_address, refused_by_limit
from relay.doors.smtp.session import HANDSHAKE_SECONDS, Session
from relay.mail import replies
from relay.tasks import spawn

_BACKLOG = 512
_HEADER_SECONDS = 10.0
_PAUSE_SECONDS = 0.5  # when the system has no descriptors left


class Listener:
    """One listening socket; `close` stops accepting and leaves the sessions to `Registry.drain`."""

    def __init__(self, listen: Listen, sock: socket.socket, door: Door) -> None:
        self.listen = listen
        self.address: tuple[str, int] = sock.getsockname()[:2]
        self._sock, self._door = sock, door
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._arriving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        if self.listen.tls == "implicit" or self.listen.proxy_from:
            self._sock.setblocking(False)
            self._sock.listen(_BACKLOG)
            self._accepting = spawn(self._accept(), f"accept {self.listen.name}")
        else:
            factory = lambda: Session(self._door, self.listen, None, loop)  # noqa: E731 - asyncio wants a callable
            self._server = await loop.create_server(factory, sock=self._sock, backlog=_BACKLOG)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()  # wait_closed would wait for the sessions on Python 3.12
        tasks = [*self._arriving, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(self._sock)
            except OSError as error:
                telemetry.event("accept_failed", listener=self.listen.name, error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not self._door.registry.expect():
                self._turn_away(sock)
                continue
            task = spawn(self._arrive(sock, peer[0]), f"arrive {self.listen.name}")
            self._arriving.add(task)
            task.add_done_callback(self._has_arrived)

    def _has_arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        self._door.registry.arrived()

    def _turn_away(self, sock: socket.socket) -> None:
        """Too many are in front of the door. Before a TLS handshake there is no reply that a client could read."""
        reply = refused_by_limit("handshakes", replies.TOO_MANY_CONNECTIONS)
        if self.listen.tls != "implicit":
            with contextlib.suppress(OSError):  # it is gone
                sock.send(reply.wire())  # into an empty buffer: it does not block
        sock.close()

    async def _arrive(self, sock: socket.socket, peer: str) -> None:
        """Bring one connection to its session, or close it."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            announced = await self._announced(sock, peer)
            context = self._door.certificates.context() if self.listen.tls == "implicit" and self._door.certificates else None
            await loop.connect_accepted_socket(
                lambda: Session(self._door, self.listen, announced, loop),
                sock,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
            )
        except NotProxied:
            telemetry.count_refusal("proxy")  # no reply: whoever this is, it does not speak for a client yet
            telemetry.event("not_proxied", listener=self.listen.name)
            sock.close()
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            note_failed_handshake(self.listen.name, error)
            sock.close()
        except asyncio.CancelledError:
            sock.close()
            raise

    async def _announced(self, sock: socket.socket, peer: str) -> str | None:
        """The address in the PROXY header; None on a listener without PROXY.

        Raises NotProxied when somebody else than the named balancers connects.
        """
        if not self.listen.proxy_from:
            return None
        place = ipaddress.ip_address(plain_address(peer))
        if not any(place in network for network in self.listen.proxy_from):
            raise NotProxied
        async with asyncio.timeout(_HEADER_SECONDS):
            return (await read_header(sock)).address


async def serve(listen: Listen, sock: socket.socket, door: Door) -> Listener:
    """Take connections on a bound socket until the listener is closed."""
    listener = Listener(listen, sock, door)
    await listener.start()
    return listener
