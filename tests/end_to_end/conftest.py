"""One relay per kind of store for all tests of the line; those that break things start their own."""

from collections.abc import Iterator

import pytest

from tests.support.fixtures import a_station
from tests.support.journey import Client
from tests.support.redis_server import RedisServer
from tests.support.service import Relay
from tests.support.upstream import RecordingUpstream


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that only the relays of these tests write to: others flush theirs, which a relay rightly takes for a foreign store."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def station(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Relay, RecordingUpstream]]:
    """The one that these tests share; its deadlines are those that are shipped."""
    store = "sqlite"
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHDB")  # what the station before left there, when tests go to and fro between the stores
        store = server.url
    with a_station(tmp_path_factory.mktemp(f"station-{request.param}"), store) as station:
        yield station


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
