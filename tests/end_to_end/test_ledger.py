"""A retry with the same bytes duplicates nothing that is known to be delivered, and a new message is never taken for one."""

import fcntl
import os
import signal
from pathlib import Path

import pytest

from tests.support.journey import Client, Journey, on_each_worker, records


def test_the_same_file_sent_twice_deliberately_arrives_twice(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    for _ in range(2):
        client = Client(relay)
        assert client.send(journey)[0] == 250
        client.quit()
    client = Client(relay)
    assert [client.send(journey)[0] for _ in range(2)] == [250, 250]
    client.quit()
    assert journey.arrived == ["ada"] * 4 + ["bob"] * 4


def test_a_lost_250_and_a_retry_arrive_once(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    upstream.fault("DOT", delay=0.3, matching=journey.subject)
    client = Client(relay)
    client.hand_over(journey)
    client.vanish()
    upstream.wait(lambda: journey.arrived == ["ada", "bob"])
    retry = Client(relay)
    code, text = retry.send(journey)
    retry.quit()
    assert (code, journey.arrived) == (250, ["ada", "bob"])
    assert "2 delivered" in text


def test_a_250_that_was_written_but_not_known_to_be_read_is_no_farewell(relay, upstream):
    journey = Journey(upstream, "ada")
    client = Client(relay)
    assert client.send(journey)[0] == 250
    client.vanish()
    retry = Client(relay)
    assert retry.send(journey)[0] == 250
    retry.quit()
    assert journey.arrived == ["ada"]
    again = Client(relay)
    assert again.send(journey)[0] == 250  # that retry's client went on: this is a message of its own
    assert journey.arrived == ["ada", "ada"]
    again.quit()


def test_a_message_without_message_id_is_closed_with_its_250(relay, upstream):
    journey = Journey(upstream, "ada", message_id=False)
    for _ in range(2):
        client = Client(relay)
        assert client.send(journey)[0] == 250
        client.vanish()
    assert journey.arrived == ["ada", "ada"]


def test_a_resend_on_another_worker_while_the_first_try_runs_arrives_once(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    upstream.fault("DOT", delay=1.0, matching=journey.subject)
    first, second = on_each_worker(relay)
    first.hand_over(journey)
    upstream.wait(lambda: journey.deliveries)
    second.hand_over(journey)
    assert first.reply()[0] == 250
    first.quit()  # the first client goes on while the second still waits
    assert second.reply()[0] == 250
    second.quit()
    assert journey.arrived == ["ada", "bob"]


def stand_still(relay, worker):
    """Stop the worker, but not while it has a lock that the other one waits for."""

    def stands_alone():
        os.kill(worker, signal.SIGSTOP)
        relay.wait(lambda: "\nState:\tT" in Path(f"/proc/{worker}/status").read_text())
        if not any(map(is_locked, relay.data.glob("*.lock"))):
            return True
        os.kill(worker, signal.SIGCONT)
        return False

    relay.wait(stands_alone)


def is_locked(path):
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@pytest.mark.parametrize("refused", [0, 1])
def test_a_first_try_that_its_worker_takes_up_after_the_resend_was_answered_sends_nothing(relay, upstream, refused):
    """The worker stands still with the message in its socket; the client gives up, and the other worker is quicker."""
    journey = Journey(upstream, "ada", "bob")
    if refused:
        upstream.fault("RCPT", "550 5.1.1 no such user", matching=journey.recipients[1])
    slow, quick = on_each_worker(relay)
    slow.begin(journey)
    worker = slow.worker
    stand_still(relay, worker)
    try:
        slow.finish(journey)
        code, answer = quick.send(journey)
        quick.quit()  # and goes on: for the ledger the same bytes are a new message
    finally:
        os.kill(worker, signal.SIGCONT)
    late_code, late_answer = slow.reply()
    slow.quit()
    assert (code, late_code) == (250, 250)
    assert answer.partition(",")[2] == late_answer.partition(",")[2]  # the counts
    arrived = ["ada", "bob"][: 2 - refused]
    assert (journey.arrived, len(journey.reports)) == (arrived, refused)
    again = Client(relay)
    assert again.send(journey)[0] == 250
    again.quit()
    assert (journey.arrived, len(journey.reports)) == (sorted(arrived * 2), refused * 2)


def test_a_retry_delivers_only_whom_the_first_try_did_not_reach(relay, upstream):
    journey = Journey(upstream, "ada", "bob", "eve")
    upstream.fault("RCPT", "451 4.2.1 later", matching=journey.recipients[1], times=1)
    client = Client(relay)
    code, text = client.send(journey)
    assert code == 451
    assert journey.arrived == ["ada", "eve"]
    code, text = client.send(journey)
    assert (code, journey.arrived) == (250, ["ada", "bob", "eve"])
    assert "3 delivered, 0 held, 0 left out" in text
    client.quit()


def test_a_retry_may_name_fewer_recipients(relay, upstream):
    journey = Journey(upstream, "ada", "bob", "eve")
    upstream.fault("RCPT", "451 4.2.1 later", matching=journey.recipients[1], times=1)
    client = Client(relay)
    assert client.send(journey)[0] == 451
    assert client.send(journey, journey.recipients[1:2])[0] == 250
    assert client.send(journey, journey.recipients[:1])[0] == 250  # its outcome was never told: not a second copy
    client.quit()
    assert journey.arrived == ["ada", "bob", "eve"]


def test_every_try_leaves_with_the_bytes_of_the_first(relay, upstream):
    journey = Journey(upstream, "ada", message_id=False)
    upstream.fault("DOT", "451 4.3.0 later", matching=journey.subject, times=1)
    client = Client(relay)
    assert [client.send(journey)[0] for _ in range(2)] == [451, 250]
    client.quit()
    refused, taken = journey.deliveries
    assert refused.data == taken.data


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
def test_an_upstream_that_dies_at_any_stage_loses_nothing_and_doubles_nothing_it_did_not_have(relay, upstream, stage):
    journey = Journey(upstream, "ada")
    fault = upstream.fault(stage, stall=True, times=1)
    client = Client(relay)
    client.hand_over(journey)
    upstream.wait(lambda: fault.times == 0)
    upstream.stop()
    code, _ = client.reply()
    assert code == 451
    upstream.start()
    assert client.send(journey)[0] == 250
    client.quit()
    assert journey.arrived == ["ada"]
    tries = records(relay, journey.recipients[0], "finished")
    assert [t["outcomes"][0]["state"] for t in tries] == ["indeterminate" if stage == "DOT" else "transient", "delivered"]
    received = records(relay, journey.recipients[0], "received")
    assert [len(r["again"]) for r in received] == [0, 1 if stage == "DOT" else 0]
