"""From the address in `[store] url` to clients of the servers there: redis, rediss, redis+sentinel."""

from collections.abc import Set
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import Redis, Sentinel
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from relay.errors import ConfigurationError
from relay.hosts import split_host_port

_URL_OPTIONS = {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
_SENTINEL_OPTIONS = {"db", "sentinel_username", "sentinel_password"}


def is_watched(url: str) -> bool:
    """Whether sentinels say which server is the master, so that it has replicas."""
    return url.startswith("redis+sentinel:")


def clients_of(url: str, timeout: float, wait: float) -> tuple[Redis, Sentinel | None]:
    """A client of the master, and of the sentinels where there are any; nothing is connected yet.

    `wait` is how long a command may wait for a replica beside the timeout.

    Raises ConfigurationError when the URL cannot be used.
    """
    return _sentinel_client(url, timeout, wait) if is_watched(url) else (_client(url, timeout), None)


def _client(url: str, timeout: float) -> Redis:
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise ConfigurationError(f"[store] url: {error}") from None
    _refuse_unknown(options.keys() - {"host", "port", "username", "password", "connection_class"}, _URL_OPTIONS)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    return Redis(**options, **_connection(timeout))


def _sentinel_client(url: str, timeout: float, wait: float) -> tuple[Redis, Sentinel]:
    """redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB]; the password is the servers'."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    _refuse_unknown(options.keys(), _SENTINEL_OPTIONS)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    try:
        sentinels = [split_host_port(host) for host in hosts.split(",")]
        number = int(database or options.get("db") or 0)
    except ValueError:
        sentinels, number = [], 0
    if not service or not sentinels or not all(host for host, _ in sentinels):
        raise ConfigurationError("[store] url: expected redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
    # A sentinel that is silent must leave time to ask the others.
    share = timeout / (2 * len(sentinels))
    asking = _connection(share)
    asking |= {name: options.get(f"sentinel_{name}") for name in ("username", "password")}
    sentinel = Sentinel(sentinels, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    username, _, password = login.partition(":")
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        unquote(service),
        sentinel,
        db=number,
        username=unquote(username) or None,
        password=unquote(password) or None,
        **_connection(timeout + wait) | {"socket_connect_timeout": share},
    )
    return Redis.from_pool(pool), sentinel


def _refuse_unknown(names: Set[str], known: Set[str]) -> None:
    if unknown := sorted(names - known):
        raise ConfigurationError(f"[store] url: there is no option {unknown[0]}; known are {', '.join(sorted(known))}")


def _connection(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
