"""HTTP connections that nobody holds open for nothing, and answers that say nothing of an exception."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web

from relay.doors.pages import HEADERS
from relay.hosts import split_host_port
from relay.telemetry import count_refusal

_log = logging.getLogger("relay.doors")
_no_log = logging.getLogger("relay.doors.access")
_no_log.disabled = True  # a URL under /u/ is a secret between the recipient and us
CONNECTIONS = 500  # of one door; a reverse proxy needs a few, Prometheus one
IDLE_SECONDS = 75.0  # from the connection, or the last answer, to a whole request header; nginx keeps its own for 60
LAST_SECONDS = 5.0  # for requests that run while the service stops


class Site:
    """One application on one address."""

    def __init__(self, address: str, app: web.Application) -> None:
        self._address = address
        app.on_response_prepare.append(_harden)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=LAST_SECONDS)
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        await self._runner.setup()
        host, port = split_host_port(self._address)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connection, host, port)

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the site is not open")
        if len(server.connections) >= CONNECTIONS:
            count_refusal("http_connections")
            return _Refused()
        return _Connection(server, loop=asyncio.get_running_loop(), keepalive_timeout=IDLE_SECONDS, access_log=_no_log)

    @property
    def address(self) -> str:
        """Where it listens, with the port that was taken."""
        if self._listening is None:
            raise RuntimeError("the site is not open")
        host, port = self._listening.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def aclose(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()


class _Connection(web.RequestHandler):
    """aiohttp's connection; what it would answer to a malformed request repeats the request and the parser's words."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500:
            _log.error("a page failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("half of the answer was sent already")
        response = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=HEADERS)
        response.force_close()
        return response

    def log_exception(self, *words: Any, **more: Any) -> None:
        """aiohttp reads on behind the answer, and meets what a client packed wrongly a second time."""
        if not isinstance(more.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*words, **more)


class _Refused(asyncio.Protocol):
    """One connection too many: told so, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 10\r\n\r\n"
            )
        transport.close()


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
