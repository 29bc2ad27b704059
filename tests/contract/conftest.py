"""Every suite here runs once per kind of store; both must pass the same tests."""

import pytest

from tests.support.clocks import Clock
from tests.support.stores import START, a_store


@pytest.fixture
def clock():
    return Clock(START)


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path, clock):
    async with a_store(request, tmp_path, clock) as opened:
        yield opened
