"""Every suite here runs once per kind of store; both must pass the same tests."""

import pytest

from relay.stores.contracts import Store
from tests.support.clocks import Clock
from tests.support.redis_server import RedisServer
from tests.support.stores import START, new_redis, new_sqlite


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock():
    return Clock(START)


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, clock):
    opened: Store
    if request.param == "sqlite":
        opened = await new_sqlite(tmp_path, clock)
    else:
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        opened = await new_redis(server.url, clock)
    yield opened
    await opened.aclose()
