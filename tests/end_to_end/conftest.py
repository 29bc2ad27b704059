"""One relay per kind of store for all tests of the line; those that break things start their own."""

from collections.abc import Iterator

import pytest

from tests.support.journey import Client
from tests.support.leaving import upstream_table
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, Relay
from tests.support.upstream import RecordingUpstream

LISTEN = "".join(
    f'[[listen]]\nname = "{name}"\naddress = "127.0.0.1:0"\ntls = "none"\nupstream = "{name}"\n'
    for name in ("generic", "netease")
)
SHORT = 'patience = "5s"\npast_dot = "1s"'  # within the patience a busy machine must get to the dot


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that only the relays of these tests write to: others flush theirs, which a relay rightly takes for a foreign store."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def station(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Relay, RecordingUpstream]]:
    """Two workers and short deadlines, with an upstream that breaks where a test tells it to.

    The upstream is there twice: as any SMTP server, and behind the listener "netease" as NetEase.
    """
    store = "sqlite"
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHDB")  # what the station before left there, when tests go to and fro between the stores
        store = server.url
    folder = tmp_path_factory.mktemp(f"station-{request.param}")
    with RecordingUpstream(accounts=ACCOUNTS) as upstream:
        tables = "".join(upstream_table(upstream, name=name, provider=name, auth=None) for name in ("generic", "netease"))
        relay = Relay(folder, workers=2, store=store, delivery=SHORT, upstreams=tables, listen=LISTEN)
        with relay:
            yield relay, upstream


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    for client in list(Client.still_open):
        client.close()


@pytest.fixture
def relay(station: tuple[Relay, RecordingUpstream]) -> Relay:
    return station[0]


@pytest.fixture
def upstream(station: tuple[Relay, RecordingUpstream]) -> Iterator[RecordingUpstream]:
    """Healed after each test."""
    yield station[1]
    station[1].faults.clear()
    station[1].on_delivery = lambda _: None
