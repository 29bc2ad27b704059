"""Bringing up a connection: TCP, TLS, EHLO, AUTH, by aiosmtplib; then it is ours.

TLS is always verified against the host in the address.  A password crosses
verified TLS or stays on this machine.  One AUTH command is sent for one
login: a second mechanism after a refusal would count as a second wrong guess.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from relay.accounts import Upstream
from relay.config import Config
from relay.errors import ConfigurationError
from relay.hosts import is_local, is_loopback, split_host_port
from relay.mail.envelope import Credentials
from relay.upstream.outcome import UpstreamReply
from relay.upstream.profile import Capabilities
from relay.upstream.wire import SERVICE_CLOSING, Wire

_MECHANISMS = ("plain", "login")  # no CRAM-MD5: it makes providers keep passwords in the clear
_MALFORMED = UpstreamReply(535, ("5.7.8 login or password is malformed",))


class OpeningError(Exception):
    """The connection could not be brought up.

    `reason`: connect, tls, greeting (also EHLO), closing (421), no-auth,
    refused (this login), unavailable (logins cannot be checked now).
    `reply` is the upstream's, when it gave one.  `asked`: the password may
    have been sent, so the upstream may have counted a guess.
    """

    def __init__(self, reason: str, text: str, reply: UpstreamReply | None = None, *, asked: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.reply = reply
        self.asked = asked

    @property
    def allows_failover(self) -> bool:
        """Whether another address of the same provider may do better: it is the host that failed, not the login."""
        return self.reason in ("connect", "tls", "greeting", "closing")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How an upstream is reached; `context` is None exactly when tls is "none"."""

    name: str
    addresses: tuple[str, ...]
    tls: str
    context: ssl.SSLContext | None
    hostname: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server shows of itself before a login: TLS version and cipher ("" in the clear), and its EHLO."""

    address: str
    tls: str
    cipher: str
    extensions: tuple[str, ...]


class _Client(aiosmtplib.SMTP):
    """aiosmtplib's client, which ends a connection at once: a TLS farewell would wait half a minute for the other side."""

    def close(self) -> None:
        transport = self.transport
        super().close()
        if transport is not None:
            cast(asyncio.WriteTransport, transport).abort()  # by contract, if not by class: uvloop has its own


def endpoint_of(config: Config, upstream: Upstream) -> Endpoint:
    """Prepare TLS for an upstream. Raises ConfigurationError."""
    where = f'[[upstream]] "{upstream.name}"'
    context = None
    if upstream.tls != "none":
        cafile = str(config.path(upstream.ca_file)) if upstream.ca_file else None
        try:
            context = ssl.create_default_context(cafile=cafile)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{where}: ca_file {cafile}: not a file with PEM certificates ({error})") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    elif upstream.auth == "account" and not all(is_local(address) for address in upstream.addresses):
        raise ConfigurationError(
            f'{where}: tls = "none" would send passwords in the clear; use implicit or starttls, or auth = "none"'
        )
    return Endpoint(upstream.name, upstream.addresses, upstream.tls, context, config.hostname)


async def open_wire(
    endpoint: Endpoint, address: str, credentials: Credentials | None, patience: float
) -> tuple[Wire, Capabilities]:
    """Connect to one address and log in.

    Raises OpeningError.
    """
    host, port = split_host_port(address)
    client = _client(endpoint, host, port, patience)
    greeted = False
    try:
        async with asyncio.timeout(patience):
            await _greet(client, endpoint, address)
            greeted = True
            if credentials is not None:
                await _log_in(client, address, credentials)
    except TimeoutError:
        client.close()
        raise OpeningError("connect", f"{address}: no answer in time", asked=greeted) from None
    except BaseException:
        client.close()
        raise
    return _taken_over(client, address)


def _client(endpoint: Endpoint, host: str, port: int, patience: float) -> _Client:
    return _Client(
        hostname=host,
        port=port,
        local_hostname=endpoint.hostname,
        timeout=patience,
        use_tls=endpoint.tls == "implicit",
        start_tls=False,
        tls_context=endpoint.context,
    )


async def _greet(client: _Client, endpoint: Endpoint, address: str) -> None:
    try:
        await client.connect()
        if endpoint.tls == "starttls":
            await client.starttls()
        await client.ehlo()
    except aiosmtplib.SMTPResponseException as error:
        reason = "closing" if error.code == SERVICE_CLOSING else "greeting"
        raise OpeningError(reason, f"{address}: {_said(error)}", _reply(error)) from None
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        reason = "tls" if isinstance(error.__cause__ or error, ssl.SSLError) else "connect"
        is_downgrade = type(error) is aiosmtplib.SMTPException  # no STARTTLS was offered
        raise OpeningError("tls" if is_downgrade else reason, f"{address}: {error}") from None


async def _log_in(client: _Client, address: str, credentials: Credentials) -> None:
    offered = [mechanism for mechanism in _MECHANISMS if mechanism in client.server_auth_methods]
    if not offered:
        raise OpeningError("no-auth", f"{address}: neither AUTH PLAIN nor AUTH LOGIN is offered")
    if client.get_transport_info("sslcontext") is None and not _is_local_peer(client):
        raise OpeningError("no-auth", f"{address}: a password would cross the network in the clear")
    if "\0" in credentials.login + credentials.password:
        raise OpeningError(
            "refused", f"{address}: NUL in login or password", UpstreamReply(535, ("login or password malformed",))
        )
    log_in = client.auth_plain if offered[0] == "plain" else client.auth_login
    try:
        await log_in(credentials.login, credentials.password)
    except aiosmtplib.SMTPResponseException as error:
        reason = "closing" if error.code == SERVICE_CLOSING else "refused" if error.code >= 500 else "unavailable"
        raise OpeningError(reason, f"{address}: login {_said(error)}", _reply(error), asked=True) from None
    except UnicodeError:
        raise OpeningError("refused", f"{address}: not Unicode", _MALFORMED) from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise OpeningError("connect", f"{address}: {error}", asked=True) from None


async def survey(endpoint: Endpoint, address: str, patience: float) -> Offer:
    """Look at what one address offers, without a login. Raises OpeningError."""
    host, port = split_host_port(address)
    client = _client(endpoint, host, port, patience)
    try:
        async with asyncio.timeout(patience):
            await _greet(client, endpoint, address)
            secured = client.get_transport_info("ssl_object")
            extensions = tuple(f"{name} {words}".strip().upper() for name, words in client.esmtp_extensions.items())
            tls, cipher = (secured.version(), secured.cipher()[0]) if secured else ("", "")
            return Offer(address, tls, cipher, extensions)
    except TimeoutError:
        raise OpeningError("connect", f"{address}: no answer in time") from None
    finally:
        client.close()


def _taken_over(client: _Client, address: str) -> tuple[Wire, Capabilities]:
    """Put our own protocol on the transport; what the server said unasked after its last reply spoils the connection."""
    protocol, transport = client.protocol, client.transport
    if protocol is None or transport is None or transport.is_closing() or protocol._buffer:
        client.close()
        raise OpeningError("greeting", f"{address}: closed or spoke unasked")
    return Wire(cast(asyncio.Transport, transport)), _capabilities(client.esmtp_extensions)


def _capabilities(extensions: Mapping[str, str]) -> Capabilities:
    size = extensions.get("size", "").strip()
    return Capabilities(
        pipelining="pipelining" in extensions,
        size_offered="size" in extensions,
        size=int(size) if size.isascii() and size.isdigit() else 0,
        eightbitmime="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        seen=True,
    )


def _reply(error: aiosmtplib.SMTPResponseException) -> UpstreamReply | None:
    """The reply that said no; None of what says nothing, because it is of another protocol or belongs to another command."""
    return UpstreamReply(error.code, tuple(error.message.split("\n"))) if error.code >= 400 else None


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"answered {error.code}" if error.code >= 400 else "gave an answer that does not fit"


def _is_local_peer(client: _Client) -> bool:
    peer = client.get_transport_info("peername")
    return bool(peer) and is_loopback(peer[0])
