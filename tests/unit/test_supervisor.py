"""The supervisor's watch: it goes on whatever it meets."""

import asyncio
from typing import Any, cast

import pytest

from relay.service import supervisor as module
from relay.service.supervisor import Supervisor
from tests.support.waiting import until


class Unreadable:
    """An archive on a disk that answers what nobody foresaw."""

    def in_force(self):
        raise OverflowError("date value out of range")


class Looked:
    """Counts how often it was looked after; the one with a fault cannot be."""

    def __init__(self, name, fault=None):
        self.name, self.fault, self.looks = name, fault, 0

    async def look_after(self):
        self.looks += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def supervisor(monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.001)
    nothing = cast(Any, None)
    return Supervisor(nothing, "config.toml", cast(Any, Unreadable()), nothing)


async def test_a_fault_of_one_look_leaves_nobody_unwatched(supervisor, caplog):
    first, second = Looked("worker-1", ValueError("no such state")), Looked("worker-2")
    supervisor._hands = [first, second]
    watch = asyncio.ensure_future(supervisor._watch())
    await until(lambda: second.looks >= 3)
    assert not watch.done()
    assert first.looks >= 3
    assert {record.getMessage() for record in caplog.records} == {
        "the policy set in force cannot be taken up; the one before stays",
        "worker-1 cannot be looked after",
    }
    watch.cancel()
