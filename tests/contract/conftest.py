"""Every suite here runs once per kind of store; both must pass the same tests."""

import pytest

from relay.stores.contracts import Store
from relay.stores.redis.store import RedisStore
from relay.stores.sqlite import SQLiteStore
from tests.support.fixtures import a_clock
from tests.support.stores import PATIENT_MS, START, a_store, new_redis, new_sqlite

clock = a_clock(START)


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, clock):
    async with a_store(request, tmp_path, clock) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "redis"])
async def another(request, tmp_path, clock):
    """Open the store once more, as another process with other knowledge would."""
    opened: list[Store] = []
    if request.param == "sqlite":
        opened.append(await new_sqlite(tmp_path, clock))

        async def open_as(meta):
            opened.append(SQLiteStore.open(tmp_path / "relay.db", meta, clock=clock))
            return opened[-1]
    else:
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        opened.append(await new_redis(server.url, clock))

        async def open_as(meta):
            opened.append(await RedisStore.open(server.url, meta, clock=clock, timeout_ms=PATIENT_MS))
            return opened[-1]

    yield open_as
    for store in opened:
        await store.aclose()
