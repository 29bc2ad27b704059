"""A policy set comes into force: one process at a time, on record first, or not at all."""

import asyncio
import os
from contextlib import suppress
from itertools import count

import pytest

from relay.config import parse_config
from relay.errors import RecordsUnavailable
from relay.service.applying import Applying
from relay.service.policies import PolicyArchive
from relay.upstream.profile import load_profiles
from tests.support.policies import shipped_files
from tests.support.small import SMALL_CONFIG


class Node:
    """Any number of processes that apply sets on one node; each has its own archive, and records take their time."""

    def __init__(self, folder):
        self.folder = folder
        self.records = []
        self.full = False
        self._clock = map(float, count(1000))

    def process(self) -> Applying:
        config = parse_config(SMALL_CONFIG.encode(), "config.toml", self.folder)
        clock = self._clock.__next__
        return Applying(config, load_profiles(), PolicyArchive(self.folder), self._record, clock=clock, entropy=os.urandom)

    async def _record(self, record):
        if self.full:
            raise RecordsUnavailable("the disk is full")
        await asyncio.sleep(0)
        self.records.append(record)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "data")


def a_set(number: int) -> dict[str, bytes]:
    files = shipped_files()
    return files | {"organisation.toml": files["organisation.toml"] + b"# %d\n" % number}


async def test_each_record_names_the_set_that_its_own_replaced(node):
    """SIGHUP and `relay policy apply` at the same moment."""
    applied = await asyncio.gather(*(node.process().apply(a_set(n), by="b", reason="r") for n in range(5)))
    history = PolicyArchive(node.folder).history()
    assert {one.policy.hash for one in applied} == {switch.hash for switch in history}
    assert [record.facts["policy"] for record in node.records] == [switch.hash for switch in history]
    assert [record.facts["previous"] for record in node.records] == ["", *(switch.hash for switch in history[:-1])]
    assert [record.at for record in node.records] == [switch.at for switch in history] == [1000.0 + n for n in range(5)]


async def test_the_same_set_at_once_comes_into_force_once(node):
    applied = await asyncio.gather(*(node.process().apply(a_set(1), by="b", reason="r") for _ in range(5)))
    assert len(node.records) == len(PolicyArchive(node.folder).history()) == 1
    assert sorted(bool(one.changes) for one in applied) == [False] * 4 + [True]


async def test_a_set_that_cannot_be_recorded_stays_out_and_holds_nobody_up(node):
    await node.process().apply(a_set(1), by="b", reason="r")
    node.full = True
    with suppress(RecordsUnavailable):
        await node.process().apply(a_set(2), by="b", reason="r")
    assert len(PolicyArchive(node.folder).history()) == 1
    node.full = False
    await node.process().apply(a_set(2), by="b", reason="r")
    assert len(node.records) == len(PolicyArchive(node.folder).history()) == 2


async def test_whoever_waits_can_be_told_to_stop(node):
    async with PolicyArchive(node.folder).turn():
        waiting = asyncio.ensure_future(node.process().apply(a_set(1), by="b", reason="r"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await node.process().apply(a_set(1), by="b", reason="r")).before is None
