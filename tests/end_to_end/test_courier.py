"""What is held leaves later, by the real line, store and upstream; time is the test's."""

import re
from collections import Counter

from relay.policy.sets.parse import parse_policies
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.kinds import Kind
from relay.service.policies import read_folder
from relay.stores.held import Why
from tests.support.courier import CourierHouse, report_parts
from tests.support.fixtures import a_courier_house, an_upstream
from tests.support.service import NEWS, OFFICE, SHOP, message

HOUR = 3600.0
LIMITED = {"streams/correspondence.toml": [(r"identity = \[\]", 'identity = ["60/minute"]')]}
upstream = an_upstream()
house = a_courier_house(delivery='past_dot = "1s"')


def field(data: bytes, name: bytes) -> bytes:
    (found,) = re.findall(rb"^%s: (.*)\r$" % name, data, re.MULTILINE)
    return found


def test_what_the_upstream_put_off_is_delivered_once_with_the_bytes_of_the_first_try(house, upstream):
    people = [f"r{number}@example.org" for number in range(5)]
    upstream.fault("DOT", "450 4.2.1 try later")
    reply = house.send(OFFICE, people, message(sender=OFFICE))
    assert (reply.code, reply.text[0].split(", ", 1)[1]) == (250, "0 delivered, 5 held, 0 left out")
    upstream.faults.clear()
    house.turn(90)
    house.wait_empty()
    assert upstream.recipients == people
    first, again = upstream.deliveries
    assert again.data == first.data
    assert field(again.data, b"Message-ID") == b"<%s@relay.example.com>" % reply.text[0][:26].encode()
    late = [outcome["state"] for record in house.records(Kind.LATE) for outcome in record.facts["outcomes"]]
    assert late == ["delivered"] * 5
    assert not house.records(Kind.JUDGED)  # nothing about the decision is new


def test_each_try_in_vain_doubles_the_wait_up_to_an_hour(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    waits = []
    for _ in range(9):
        (copy,) = house.held()
        assert copy.why is Why.UPSTREAM
        waits.append(copy.due_at - house.clock.now)
        house.settled(waits[-1])
    usual = [60, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert all(0.8 * base <= wait <= 1.2 * base for wait, base in zip(waits, usual, strict=True)), waits


def test_a_limit_is_never_passed_and_everybody_is_delivered(tmp_path, upstream):
    times: list[float] = []
    with CourierHouse(tmp_path, upstream, policy=LIMITED) as house:
        upstream.on_delivery = lambda delivery: times.extend([house.clock.now] * len(delivery.recipients))
        people = [f"r{number}@d{number % 7}.example" for number in range(600)]
        for number in range(100):
            some = people[6 * number : 6 * number + 6]
            assert house.send(OFFICE, some, message(sender=OFFICE, subject=f"Note {number}")).is_positive
            house.clock.pass_(0.1)
        while house.whys():
            house.settled(10)
    assert upstream.recipients == sorted(people)
    assert max(sum(start <= at < start + 60 for at in times) for start in times) == 60


def test_who_unsubscribes_meanwhile_never_gets_it_and_the_sender_is_told(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(NEWS, ["ada@example.org", "bob@example.org"], message())
    upstream.faults.clear()
    digest = house.line.keys.addresses.digest("ada@example.org")
    house.run(house.store.suppress(Suppression(digest, ORGANISATION, Reason.UNSUBSCRIBE, "one_click", house.clock.now)))
    house.turn(90)
    house.wait_empty()
    assert upstream.recipients == ["bob@example.org", NEWS]
    (report,) = [delivery for delivery in upstream.accepted if delivery.recipients == [NEWS]]
    people, machines = report_parts(report.data)
    assert "ada@example.org" in people
    assert "bob@example.org" not in people
    assert "Status: 5.7.1" in machines
    assert [record.kind for record in house.records(Kind.REPORTED)] == [Kind.REPORTED]
    (judged,) = house.records(Kind.JUDGED)
    assert [ruling["action"] for ruling in judged.facts["rulings"]] == ["reject"]


def test_what_expires_is_reported_to_its_sender_in_one_mail(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    people = [f"r{number}@example.org" for number in range(3)]
    house.send(NEWS, people, message())
    for _ in range(3):
        house.settled(HOUR)
    upstream.faults.clear()
    house.turn(25 * HOUR)
    house.wait_empty()
    assert upstream.recipients == [NEWS]
    zh_and_en, machines = report_parts(upstream.accepted[0].data)
    assert machines.count("Status: 4.4.7") == 3
    assert "within 24 hours" in zh_and_en
    assert "未能送达" in zh_and_en
    outcomes = [outcome for record in house.records(Kind.LATE) for outcome in record.facts["outcomes"]]
    assert Counter((outcome["state"], outcome["rule"]) for outcome in outcomes) == {("refused", "expired"): 3}


def test_a_new_policy_is_on_record_before_it_lets_held_mail_leave(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    upstream.faults.clear()
    seen: list[str] = []
    upstream.on_delivery = lambda _: seen.extend(record.facts["policy"] for record in house.records(Kind.JUDGED))
    files = read_folder(house.relay.folder / "policies")
    house.line.policy = parse_policies(files | {"organisation.toml": files["organisation.toml"] + b"\n# a new set\n"})
    house.turn(90)
    house.wait_empty()
    assert seen == [house.line.policy.hash]


def test_mail_that_no_stream_takes_any_more_waits(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later")
    house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    upstream.faults.clear()
    before = house.line.policy
    files = read_folder(house.relay.folder / "policies")
    stream = files["streams/correspondence.toml"].replace(OFFICE.encode(), b"nobody@example.com")
    house.line.policy = parse_policies(files | {"streams/correspondence.toml": stream})
    house.settled(90)
    (copy,) = house.held()
    assert (copy.why, copy.due_at, copy.attempts) == (Why.UPSTREAM, house.clock.now + 900, 0)
    house.line.policy = before
    house.turn(901)
    house.wait_empty()
    assert upstream.recipients == ["ada@example.org"]


def test_nobody_known_to_be_delivered_gets_it_again_after_a_crash(tmp_path, upstream):
    """The worker is gone after the upstream's 250 was settled and before the copy was forgotten."""
    with CourierHouse(tmp_path, upstream) as house:
        upstream.fault("MAIL", "450 4.2.1 try later")
        house.send(OFFICE, ["ada@example.org", "bob@example.org"], message(sender=OFFICE))
        upstream.faults.clear()

        async def gone(*_):
            raise RuntimeError("the worker is gone")

        house.store.update_held = gone
        house.turn(90)
        house.wait(lambda: upstream.accepted and not house.courier._in_hand)
        now = house.clock.now
    with CourierHouse(tmp_path, upstream) as house:
        house.clock.now = now
        assert len(house.held()) == 2
        house.turn(600)
        house.wait_empty()
        assert upstream.recipients == ["ada@example.org", "bob@example.org"]
        assert not house.records(Kind.JUDGED)


def test_what_may_have_arrived_is_on_record_as_such_before_it_is_sent_again(house, upstream):
    upstream.fault("DOT", lose=True, times=1)
    reply = house.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))
    assert reply.text[0].endswith("0 delivered, 1 held, 0 left out")
    assert house.whys() == {Why.UNKNOWN: 1}
    house.turn(90)
    house.wait_empty()
    assert upstream.recipients == ["ada@example.org"] * 2
    (judged,) = house.records(Kind.JUDGED)
    assert len(judged.facts["again"]) == 1


def test_a_service_mail_is_in_the_courier_s_next_claim_whatever_waits(house, upstream):
    upstream.fault("MAIL", "450 4.2.1 try later", matching=SHOP)
    reply = house.send(SHOP, ["ada@example.org"], message(sender=SHOP, subject="Receipt"))
    (receipt,) = house.held(reply.text[0][:26])
    upstream.faults.clear()
    house.backlog(OFFICE, [f"r{number}@example.org" for number in range(1000)], message(sender=OFFICE), messages=50)
    assert house.whys() == {Why.LANE: 50_000, Why.UPSTREAM: 1}
    house.turn(1)
    house.wait(lambda: len(house.claims) > 2)  # the courier is at the backlog; the receipt is not due yet
    house.turn(60)
    due = house.clock.now
    house.wait(lambda: any(at >= due for at, _ in house.claims))
    claimed = next(copies for at, copies in house.claims if at >= due)
    assert claimed[0].recipient == receipt.recipient
    house.wait(lambda: any(b"Receipt" in delivery.data for delivery in upstream.accepted))
