"""kill -9 of the whole relay at every stage of a message: nothing that was answered is lost, nothing known arrives twice.

All messages are on their way at once, and one kill meets each at its stage.
Every step waits for an event, and before the kill the test makes sure that no
message has been given up: one that was is known not to have left.
"""

import fcntl
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fixtures import an_upstream
from tests.support.journey import Client, Journey, ledger_states, metric, records, resend_until_taken
from tests.support.leaving import upstream_table
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, Relay

PATIENCE = 'patience = "15s"\npast_dot = "5s"'  # nothing may be given up before the kill
STAGES = {  # where the kill meets the message: how often it arrives in the end, whether its second try is announced
    "the client's DATA": (1, False),
    "recorded, not cleared": (1, False),
    "cleared, not recorded": (1, True),
    "MAIL": (1, True),
    "RCPT": (1, True),
    "DATA": (1, True),
    "BODY": (1, True),
    "DOT": (2, True),
    "settled": (1, False),
    "answered": (1, False),
}
STALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "recorded, not cleared": ("CONNECT", {"stall": True}),
    "MAIL": ("MAIL", {"stall": True}),
    "RCPT": ("RCPT", {"stall": True}),
    "DATA": ("DATA", {"stall": True}),
    "BODY": ("BODY", {"stall": True}),
    "DOT": ("DOT", {"delay": 60}),
}

upstream = an_upstream(accounts=ACCOUNTS)


@pytest.fixture(params=["sqlite", "redis"])
def relay(request, tmp_path, upstream):
    table = upstream_table(upstream, name="up", auth=None, max_connections_per_identity=20)
    with (
        contextmanager(_store)(request.param, tmp_path) as url,
        Relay(tmp_path, upstreams=table, store=url, delivery=PATIENCE) as relay,
    ):
        yield relay


def _store(kind, folder):
    if kind == "sqlite":
        yield kind
        return
    with RedisServer(folder / "redis") as server:
        yield server.url


def test_at_every_stage(relay, upstream):
    journeys = {stage: Journey(upstream, "ada") for stage in STAGES}
    clients = {stage: Client(relay) for stage in STAGES}
    for stage, journey in journeys.items():
        clients[stage].begin(journey)
    _forget_connections(relay, upstream)  # so that the first message needs a new one
    with _held(relay.data / "records.db.lock") as hold:
        clients["the client's DATA"].socket.sendall(journeys["the client's DATA"].data[:-20])
        for stage, (place, fault) in STALLS.items():
            stall = upstream.fault(place, times=1, **fault)
            clients[stage].finish(journeys[stage])
            upstream.wait(lambda stall=stall: stall.times == 0)
        upstream.wait(lambda: records(relay, journeys["recorded, not cleared"].recipients[0], "received"))
        clients["answered"].finish(journeys["answered"])
        assert clients["answered"].reply()[0] == 250
        upstream.on_delivery = lambda _: hold()  # from now on the relay waits with every record
        clients["settled"].finish(journeys["settled"])
        upstream.wait(lambda: ledger_states(relay, journeys["settled"]) == ["delivered"])
        clients["cleared, not recorded"].finish(journeys["cleared, not recorded"])
        upstream.wait(lambda: ledger_states(relay, journeys["cleared, not recorded"]) == ["leaving"])
        assert [stage for stage, client in clients.items() if _has_reply(client)] == []  # no deadline has passed
        relay.kill()
    upstream.on_delivery = lambda _: None
    relay.start()
    assert {journey: resend_until_taken(relay, journeys[journey])[0] for journey in STAGES} == dict.fromkeys(STAGES, 250)
    assert {stage: (len(journey.arrived), _is_announced(relay, journey)) for stage, journey in journeys.items()} == STAGES


def _forget_connections(relay, upstream):
    upstream.drop_connections()
    relay.wait(lambda: metric(relay, "relay_upstream_connections") == 0)


@contextmanager
def _held(path):
    with path.open("rb") as lock:
        yield lambda: fcntl.flock(lock, fcntl.LOCK_EX)


def _has_reply(client):
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1)
    except BlockingIOError:
        return False


def _is_announced(relay, journey):
    """Whether a record says of some try that it may be the second copy."""
    return any(record["again"] for record in records(relay, journey.recipients[0], "received"))
