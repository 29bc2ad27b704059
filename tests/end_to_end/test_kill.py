"""kill -9 of the whole relay at every stage of a message: nothing that was answered is lost, nothing known arrives twice."""

import fcntl

from tests.support.journey import Client, Journey, metric, records, resend_until_taken

ONCE, PERHAPS_TWICE = ["ada"], ["ada", "ada"]


def stalls_before_mail(journey):
    return journey.upstream.fault("MAIL", stall=True, matching=journey.sender, times=1)


def stalls_before_data(journey):
    return journey.upstream.fault("RCPT", stall=True, matching=journey.recipients[0], times=1)


def takes_it_and_does_not_say_so(journey):
    return journey.upstream.fault("DOT", delay=60, matching=journey.subject, times=1)


def test_at_every_stage(relay, upstream):
    stages = [stalls_before_mail, stalls_before_data, takes_it_and_does_not_say_so]
    journeys = []
    for stage in stages:
        journeys.append(journey := Journey(upstream, "ada"))
        fault = stage(journey)
        Client(relay).hand_over(journey)
        upstream.wait(lambda fault=fault: fault.times == 0)
    answered = Journey(upstream, "ada")
    assert Client(relay).send(answered)[0] == 250
    written = Journey(upstream, "ada")
    settled = metric(relay, 'relay_stage_seconds_count{stage="deliver"}')
    with (relay.data / "records.db.lock").open("rb") as lock:
        # The worker settles the outcome in its store, and waits with the record of it: the client has no reply yet.
        upstream.on_delivery = lambda _: fcntl.flock(lock, fcntl.LOCK_EX)
        Client(relay).hand_over(written)
        upstream.wait(lambda: written.arrived)
        relay.wait(lambda: metric(relay, 'relay_stage_seconds_count{stage="deliver"}') > settled)
        relay.kill()
    upstream.on_delivery = lambda _: None
    relay.start()
    for journey in [written, answered, *journeys]:
        assert resend_until_taken(relay, journey)[0] == 250
    expected = [ONCE, ONCE, PERHAPS_TWICE, ONCE, ONCE]
    assert [journey.arrived for journey in [*journeys, written, answered]] == expected
    (perhaps_twice,) = (journey for journey, times in zip(journeys, expected, strict=False) if times is PERHAPS_TWICE)
    again = [record["again"] for record in records(relay, perhaps_twice.recipients[0], "received")]
    assert any(again), "the second copy must have been announced in the records"
