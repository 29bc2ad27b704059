"""Fixtures that many files have, each with options of its own:

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", workers=2)
house = a_courier_house(policy=LIMITED)
store = a_sqlite_store()
server, store = an_emptied_redis(), a_redis_store()
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.clocks import Clock
from tests.support.courier import CourierHouse
from tests.support.leaving import upstream_table
from tests.support.sentinel import SentinelGroup
from tests.support.service import ACCOUNTS, Relay
from tests.support.stores import new_redis, new_sqlite
from tests.support.upstream import RecordingUpstream


def an_upstream(*, scope: Any = "function", **options: Any) -> Any:
    """One that this file has to itself, instead of the station's."""

    @pytest.fixture(scope=scope)
    def upstream():
        with RecordingUpstream(**options) as server:
            yield server

    return upstream


def a_relay(*, scope: Any = "function", **options: Any) -> Any:
    """A running one in front of this file's `upstream`."""

    @pytest.fixture(scope=scope)
    def relay(tmp_path_factory, upstream):
        with Relay(tmp_path_factory.mktemp("relay"), upstream, **options) as running:
            yield running

    return relay


LISTEN = "".join(
    f'[[listen]]\nname = "{name}"\naddress = "127.0.0.1:0"\ntls = "none"\nupstream = "{name}"\n'
    for name in ("generic", "netease")
)


@contextmanager
def a_station(folder: Path, store: str, delivery: str = "") -> Iterator[tuple[Relay, RecordingUpstream]]:
    """Two workers, with an upstream that breaks where a test tells it to.

    The upstream is there twice: as any SMTP server, and behind the listener "netease" as NetEase.
    """
    with RecordingUpstream(accounts=ACCOUNTS) as upstream:
        tables = "".join(upstream_table(upstream, name=name, provider=name, auth=None) for name in ("generic", "netease"))
        with Relay(folder, workers=2, store=store, delivery=delivery, upstreams=tables, listen=LISTEN) as relay:
            yield relay, upstream


def a_courier_house(**options: Any) -> Any:
    """A line that holds and its courier, in front of this file's `upstream`."""

    @pytest.fixture
    def house(tmp_path, upstream):
        with CourierHouse(tmp_path, upstream, **options) as running:
            yield running

    return house


def a_clock(start: float) -> Any:
    """It stands at `start` until a test winds it."""

    @pytest.fixture
    def clock():
        return Clock(start)

    return clock


def a_sqlite_store() -> Any:
    """A fresh one that tells the time by this file's `clock`."""

    @pytest.fixture
    async def store(tmp_path, clock):
        opened = await new_sqlite(tmp_path, clock)
        yield opened
        await opened.aclose()

    return store


def an_emptied_redis() -> Any:
    """The session's server, without what others wrote."""

    @pytest.fixture
    def server(redis_server):
        redis_server.command("FLUSHALL")
        return redis_server

    return server


def a_redis_store(*, clock: str = "clock") -> Any:
    """A fresh one on this file's `server`, that tells the time by the fixture of this name; "": by the server's own clock."""

    @pytest.fixture
    async def store(request, server):
        opened = await new_redis(server.url, request.getfixturevalue(clock) if clock else None)
        yield opened
        await opened.aclose()

    return store


def a_sentinel_group() -> Any:
    """A master, its replica, and the sentinels that watch both."""

    @pytest.fixture
    def group(tmp_path):
        running = SentinelGroup(tmp_path)
        try:
            running.start()
            yield running
        finally:
            running.stop()

    return group
