"""No record, no mail (law 5): the rulings are written while the copies are made, and nothing overtakes them."""

import asyncio

import pytest

from relay.errors import RecordsUnavailable
from relay.records.kinds import Kind
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.service import NEWS, message

LIMIT = {"streams/newsletter.toml": [(r"identity = \[\]", 'identity = ["1/hour"]')]}
ADA = "ada@example.org"

upstream = an_upstream()


@pytest.fixture
def house(tmp_path, upstream):
    with LineHouse(tmp_path, upstream, policy=LIMIT) as house:
        yield house


@pytest.fixture
def cleared(house, monkeypatch):
    """Set when a copy has its leave: it is made, and only the record is missing."""
    store, event = house.line.dispatcher.clearing.store, asyncio.Event()
    clear = store.clear

    async def clearing(*arguments):
        found = await clear(*arguments)
        event.set()
        return found

    monkeypatch.setattr(store, "clear", clearing)
    return event


def test_a_record_that_fails_late_keeps_everything_back_and_uses_nothing_up(house, upstream, monkeypatch, cleared):
    records, whole = house.line.records, house.line.records.append

    async def fail(record):
        if record.kind is Kind.RECEIVED:
            await asyncio.wait_for(cleared.wait(), 60)
            raise RecordsUnavailable("the disk is gone")
        return await whole(record)

    monkeypatch.setattr(records, "append", fail)
    assert house.send(NEWS, [ADA], message()).code == 451
    assert upstream.accepted == []
    monkeypatch.setattr(records, "append", whole)
    assert house.send(NEWS, [ADA], message()).code == 250  # the ledger's row is free, and so is the one mail of this hour
    assert len(upstream.accepted) == 1
    assert house.send(NEWS, [ADA], message(subject="More")).code == 450


def test_nothing_leaves_before_the_record_is_written(house, upstream, monkeypatch, cleared):
    records, whole, seen = house.line.records, house.line.records.append, []

    async def write_slowly(record):
        await asyncio.wait_for(cleared.wait(), 60)
        await asyncio.sleep(0.1)  # for an octet that would not wait
        seen.append(len(upstream.accepted))
        return await whole(record)

    monkeypatch.setattr(records, "append", write_slowly)
    assert house.send(NEWS, [ADA], message()).code == 250
    assert seen == [0]
