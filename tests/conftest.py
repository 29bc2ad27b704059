"""What tests of several kinds stand on."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all who leave it running and do not mind what others wrote before."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
