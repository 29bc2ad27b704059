"""Nobody who is known to have it gets held mail again, whatever fails between the upstream's 250 and the last word on it."""

from relay.errors import RecordsUnavailable
from relay.stores.held import Why
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.service import OFFICE, message

PEOPLE = ["ada@example.org", "bob@example.org"]
upstream = an_upstream()
house = a_courier_house(delivery='past_dot = "1s"')


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
    assert upstream.recipients == ["ada@example.org"]
    monkeypatch.setattr(outcomes, "late", late)
    upstream.faults.clear()
    carried(house, 600)
    house.wait_empty()
    assert upstream.recipients == PEOPLE


def test_a_fault_of_ours_after_the_250_does_not_make_the_ledger_forget_it(house, upstream, monkeypatch):
    hold_both(house, upstream)
    dispatcher = house.line.dispatcher
    transact = dispatcher._clear_and_transact

    async def fails(*facts):
        await transact(*facts)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(dispatcher, "_clear_and_transact", fails)
    house.settled(90)
    assert upstream.recipients == PEOPLE
    monkeypatch.undo()
    carried(house, 600)
    house.wait_empty()
    assert upstream.recipients == PEOPLE


def test_a_reply_that_nothing_can_be_learnt_from_is_an_outcome_all_the_same(house, upstream, monkeypatch):
    async def fails(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(house.line.dispatcher._adapting, "learn", fails)
    reply = house.send(OFFICE, PEOPLE, message(sender=OFFICE))
    assert reply.text[0].endswith("2 delivered, 0 held, 0 left out")
    assert not house.whys()
