"""What tests of several kinds stand on."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.redis_server import RedisServer

# A shell that runs the tests in the background has them ignore Ctrl-C, and every process that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is. Work that must be bounded is counted, not timed.
settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all who leave it running and do not mind what others wrote before."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
