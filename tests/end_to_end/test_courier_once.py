"""Nobody who is known to have it gets held mail again, whatever fails between the upstream's 250 and the last word on it."""

import pytest

from relay.errors import RecordsUnavailable
from relay.stores.held import Why
from tests.support.courier import CourierHouse
from tests.support.service import OFFICE, message
from tests.support.upstream import RecordingUpstream

PEOPLE = ["ada@example.org", "bob@example.org"]


@pytest.fixture
def upstream():
    with RecordingUpstream() as running:
        yield running


@pytest.fixture
def house(tmp_path, upstream):
    with CourierHouse(tmp_path, upstream, delivery='past_dot = "1s"') as running:
        yield running


def recipients(upstream) -> list[str]:
    return sorted(recipient for delivery in upstream.accepted for recipient in delivery.recipients)


def hold_both(house, upstream) -> None:
    upstream.fault("MAIL", "450 4.2.1 try later", times=1)
    assert house.send(OFFICE, PEOPLE, message(sender=OFFICE)).is_positive
    upstream.faults.clear()
    assert house.whys() == {Why.UPSTREAM: 2}


def carried(house, seconds: float) -> None:
    """Let the courier carry what is due after that time, and lease times run out on what it did not settle."""
    house.settled(seconds)
    house.settled(600)


def test_an_outcome_that_is_not_on_record_stays_in_the_ledger_though_others_are_settled(house, upstream, monkeypatch):
    hold_both(house, upstream)
    outcomes = house.courier._resume.__self__._outcomes
    late = outcomes.late

    async def fails(*_):
        raise RecordsUnavailable("the disk is full")

    monkeypatch.setattr(outcomes, "late", fails)
    upstream.fault("RCPT", "450 4.2.1 try later", matching="bob")
    house.settled(90)
    assert recipients(upstream) == ["ada@example.org"]
    monkeypatch.setattr(outcomes, "late", late)
    upstream.faults.clear()
    carried(house, 600)
    house.wait_empty()
    assert recipients(upstream) == PEOPLE


def test_a_fault_of_ours_after_the_250_does_not_make_the_ledger_forget_it(house, upstream, monkeypatch):
    hold_both(house, upstream)
    dispatcher = house.line.dispatcher
    transact = dispatcher._clear_and_transact

    async def fails(*facts):
        await transact(*facts)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(dispatcher, "_clear_and_transact", fails)
    house.settled(90)
    assert recipients(upstream) == PEOPLE
    monkeypatch.undo()
    carried(house, 600)
    house.wait_empty()
    assert recipients(upstream) == PEOPLE


def test_a_reply_that_nothing_can_be_learnt_from_is_an_outcome_all_the_same(house, upstream, monkeypatch):
    async def fails(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(house.line.dispatcher._adapting, "learn", fails)
    reply = house.send(OFFICE, PEOPLE, message(sender=OFFICE))
    assert reply.text[0].endswith("2 delivered, 0 held, 0 left out")
    assert not house.whys()
