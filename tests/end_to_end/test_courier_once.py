"""Nobody who is known to have it gets held mail again, whatever fails between the upstream's 250 and the last word on it."""

import time

import pytest

from relay.answer import Result, Standing
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.holding.codec import held_key
from relay.mail import replies
from relay.records.kinds import Kind
from relay.stores.held import Why
from relay.stores.ledger import Cleared, Opening, RowState, Settlement
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.service import OFFICE, message
from tests.support.stores import request

KILLED = "01JK111ED00000000000000000"
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


def killed_after_the_dot(house):
    """The worker of a turn that had the copy died, and nobody heard the reply; the ledger's names of message and recipient."""
    (copy,) = house.held()
    key = held_key(house.line.keys, copy.message)
    house.run(house.store.open_submission(key, Opening(_first(house, copy.message), 86400.0, [copy.recipient])))
    assert house.run(house.store.clear(key, KILLED, [request(copy.recipient)], 30.0, 86400.0)) == [Cleared()]
    return key, copy.recipient


def _first(house, message_id: str):
    submission = house.run(house.begin(OFFICE, PEOPLE[:1]))
    first = house.line.first_try(submission, house.line.policy)
    return type(first)(KILLED, first.at, first.date, f"<{message_id}@example.com>")


def hold_one(house, upstream) -> None:
    upstream.fault("MAIL", "450 4.2.1 try later", times=1)
    assert house.send(OFFICE, PEOPLE[:1], message(sender=OFFICE)).is_positive
    upstream.faults.clear()


def announced(house) -> int:
    """How often it is on record that the next try may be a second copy."""
    return sum(len(record.facts["again"]) for record in house.records(Kind.JUDGED))


@pytest.mark.parametrize("away", ["store", "store unheard", "records"])
def test_a_turn_that_fails_before_it_could_say_so_forgets_nothing_of_one_whose_worker_died(house, upstream, monkeypatch, away):
    hold_one(house, upstream)
    killed_after_the_dot(house)
    opens = house.store.open_submission

    async def fails(*facts, **more):
        if away == "store unheard":
            await opens(*facts, **more)
        raise RecordsUnavailable("the disk is full") if away == "records" else StoreUnavailable("timeout", "no answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(*((house.line.records, "append") if away == "records" else (house.store, "open_submission")), fails)
        house.settled(90)
    assert (upstream.recipients, announced(house)) == ([], 0)
    carried(house, 600)
    house.wait_empty()
    assert (upstream.recipients, announced(house)) == (PEOPLE[:1], 1)


def test_what_a_turn_before_hears_late_is_not_forgotten_by_one_that_reached_nobody(house, upstream, monkeypatch):
    """Its worker lives, and could tell the store only now; meanwhile the upstream cannot be reached for the next turn."""
    hold_one(house, upstream)
    key, ada = killed_after_the_dot(house)

    async def overtaken(_, recipients):
        await house.store.finish(key, [Settlement(ada, RowState.DELIVERED, "250 2.0.0 OK", submission_id=KILLED)])
        reply = replies.UPSTREAM_UNREACHABLE
        return [Result(one, Standing.TRANSIENT, reply, upstream="up", why=Why.UPSTREAM) for one in recipients]

    with monkeypatch.context() as patched:
        patched.setattr(house.line.dispatcher, "send", overtaken)
        house.settled(90)
    assert house.whys() == {Why.UPSTREAM: 1}
    carried(house, 600)
    house.wait_empty()
    assert upstream.recipients == []


def test_a_turn_whose_process_stood_still_until_its_lease_was_over_sends_nothing(house, upstream, monkeypatch):
    """Another turn took the copy, delivered it, and was forgotten; this one is where it was, with the copy opened."""
    hold_one(house, upstream)
    resumption = house.courier._resume.__self__
    open_piece = resumption._piece
    monkeypatch.setattr(resumption, "_lease", 0.05)

    def slow(*facts):
        time.sleep(0.1)
        return open_piece(*facts)

    monkeypatch.setattr(resumption, "_piece", slow)
    house.settled(90)
    assert (upstream.recipients, house.whys()) == ([], {Why.UPSTREAM: 1})
    monkeypatch.undo()
    carried(house, 600)
    house.wait_empty()
    assert upstream.recipients == PEOPLE[:1]


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
