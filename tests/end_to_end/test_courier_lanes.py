"""What keeps copies back, and how gently the courier looks; by the real line and courier, time is the test's."""

import asyncio
from dataclasses import replace

from relay.carrying.resender import released
from relay.errors import StoreUnavailable
from relay.holding.codec import Codec
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.cases.case import Action, Objection, Ruling
from relay.policy.cases.reputation import Measure, Pause
from relay.records.kinds import Kind
from relay.stores.held import HeldUpdate, Why
from tests.support.courier import CourierHouse
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.leaving import upstream_table
from tests.support.service import OFFICE, message

HELD_BY_RULE = {
    "streams/correspondence.toml": [
        (r"\Z", '\n[[rule]]\nid = "look"\ncheck = "size"\nabove_mb = 0.0001\naction = "hold"\ntext = "Look"\ntext_zh = "看"\n')
    ]
}
upstream = an_upstream()
house = a_courier_house()


def test_an_upstream_that_is_down_is_not_asked_for_each_copy_of_a_lane(house, upstream):
    for number in range(40):
        upstream.fault("CONNECT", close=True)
        assert house.send(OFFICE, [f"r{number}@example.org"], message(sender=OFFICE, subject=f"{number}")).is_positive
    asked = len(upstream.sessions)
    house.settled(90)
    assert 1 <= len(upstream.sessions) - asked <= 8, "three places, and each may have tried twice"
    assert len(house.held()) == 40
    upstream.faults.clear()
    house.settled(100)
    house.settled(100)
    house.wait_empty()
    assert upstream.recipients == sorted(f"r{number}@example.org" for number in range(40))


def test_that_mail_may_have_arrived_is_not_forgotten_while_its_lane_waits(tmp_path, upstream):
    table = upstream_table(upstream, name="up", max_connections_per_identity=1)
    with CourierHouse(tmp_path, upstream, upstreams=table) as house:
        upstream.fault("DOT", lose=True, times=1)
        house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
        upstream.fault("CONNECT", "421 4.3.2 not now", close=True)
        house.send(OFFICE, ["bob@example.org"], message(sender=OFFICE, subject="To Bob"))
        house.wait(lambda: house.whys() == {Why.UNKNOWN: 1, Why.UPSTREAM: 1})
        ada, bob = sorted(house.held(), key=lambda copy: copy.why is Why.UPSTREAM)
        later = [HeldUpdate(copy, replace(copy, due_at=house.clock.now + due)) for copy, due in ((bob, 61), (ada, 62))]
        house.run(house.store.update_held(later))
        house.settled(100)  # bob goes first, and finds out that it is of no use
        assert [len(copies) for _, copies in house.claims][-1] == 2
        assert house.whys() == {Why.UNKNOWN: 1, Why.UPSTREAM: 1}
        upstream.faults.clear()
        house.turn(600)
        house.wait_empty()
        assert upstream.recipients == ["ada@example.org", "ada@example.org", "bob@example.org"]
        assert [len(record.facts["again"]) for record in house.records(Kind.JUDGED)] == [1]


def test_mail_of_a_paused_stream_waits_and_leaves_when_it_is_resumed(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    upstream.faults.clear()
    pause = Pause("correspondence", house.clock.now, "Wang Min", Measure.MANUAL, "looking into it", "核查中")
    house.run(house.store.pause(pause))
    house.settled(90)
    (copy,) = house.held()
    assert (copy.why, copy.attempts) == (Why.PAUSED, 0)
    house.run(house.store.resume("correspondence"))
    house.settled(301)
    house.wait_empty()
    assert upstream.recipients == ["ada@example.org"]


def test_what_a_person_released_passes_the_rule_that_held_it_and_no_other(tmp_path, upstream):
    with CourierHouse(tmp_path, upstream, policy=HELD_BY_RULE) as house:
        assert house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE)).is_positive
        house.settled(3600)
        (copy,) = house.held()
        assert copy.why is Why.RULE
        codec = Codec(house.line.keys)
        detail = replace(codec.read_detail(copy.message, copy.sealed), released=True)
        after = replace(copy, sealed=codec.detail(copy.message, detail), due_at=house.clock.now)
        house.run(house.store.update_held([HeldUpdate(copy, after)]))
        house.turn(1)
        house.wait_empty()
    assert upstream.recipients == ["ada@example.org"]


def test_what_a_person_released_keeps_to_every_other_rule():
    ada = Recipient(Mailbox.parse("ada@example.org"))
    look = Objection("newsletter/look", Action.HOLD, "Look", "看")
    hours = Objection("base/hours", Action.HOLD, "Not now", "时段外", retry_after=7200)
    gone = Objection("base/suppression", Action.REJECT, "Gone", "已退订")
    assert released(Ruling(ada, Action.HOLD, (look,))).leading is None
    assert released(Ruling(ada, Action.HOLD, (look, hours))).leading == hours
    assert released(Ruling(ada, Action.REJECT, (gone, look))).leading == gone


def test_a_store_that_is_away_is_waited_for_and_said_once(house, upstream, caplog):
    caplog.set_level("INFO", "relay.event")
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    upstream.faults.clear()
    claim, asked = house.store.claim, []

    async def away(*_):
        asked.append(1)
        raise StoreUnavailable("unreachable", "the store is away")

    house.store.claim = away
    house.clock.pass_(90)
    for tries in range(3):
        house.turn()
        house.wait(lambda tries=tries: len(asked) > tries)
    assert len(house.held()) == 1
    house.store.claim = claim
    house.turn()
    house.wait_empty()
    events = [record.getMessage() for record in caplog.records]
    assert (events.count("courier waits"), events.count("courier goes on")) == (1, 1)
    assert upstream.recipients == ["ada@example.org"]


def test_who_stops_claims_no_more_and_finishes_what_is_in_hand(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    house.send(OFFICE, ["bob@example.net"], message(sender=OFFICE))
    upstream.faults.clear()
    upstream.fault("DOT", delay=1.0)
    _, bob = house.held()
    house.run(house.store.update_held([HeldUpdate(bob, replace(bob, due_at=house.clock.now + 95))]))
    house.turn(90)
    house.wait(lambda: upstream.deliveries)
    house.run(asyncio.wait_for(house.courier.aclose(30), 30))
    house.turn(90)
    assert len(upstream.accepted) == 1
    assert [copy.message for copy in house.held()] == [bob.message]


def test_mail_to_an_upstream_that_is_given_a_rest_is_looked_at_seldom(house, upstream):
    """Whatever the provider's rest is, the courier is not busy with it."""
    upstream.fault("MAIL", "421 4.7.0 too many connections, come back later")
    assert house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE)).is_positive
    for _ in range(4):
        looks = len(house.claims)
        house.settled(120)
        assert len(house.claims) - looks <= 1
    upstream.faults.clear()
    house.settled(7200)
    house.settled(7200)
    house.wait_empty()
    assert upstream.recipients == ["ada@example.org"]
