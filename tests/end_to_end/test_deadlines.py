"""A client is answered in time whatever the upstream does, and what the upstream says afterwards still counts."""

import threading

import pytest

from tests.support.fixtures import a_station
from tests.support.journey import Client, Journey, records

SHORT = 'patience = "5s"\npast_dot = "2s"'  # a busy machine must come to the dot within the first


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def station(request, tmp_path_factory):
    # A database of its own on the server of all tests: number 0 belongs to the station whose deadlines are long.
    url = request.getfixturevalue("redis_server").url.replace("/0", "/3") if request.param == "redis" else "sqlite"
    with a_station(tmp_path_factory.mktemp("deadlines"), url, SHORT) as station:
        yield station


def test_an_upstream_that_stalls_is_not_waited_for(relay, upstream):
    journeys = {stage: Journey(upstream, "ada") for stage in ("RCPT", "DOT")}
    upstream.fault("RCPT", stall=True, matching=journeys["RCPT"].recipients[0])
    upstream.fault("DOT", stall=True, matching=journeys["DOT"].subject)
    clients = {}
    for stage, journey in journeys.items():
        clients[stage] = Client(relay)
        clients[stage].hand_over(journey)
    for stage, client in clients.items():
        code, text = client.reply()
        assert (code, text.split()[0]) == (451, "4.4.7"), stage
    states = [records(relay, j.recipients[0], "finished")[0]["outcomes"][0]["state"] for j in journeys.values()]
    assert states == ["transient", "indeterminate"]
    upstream.faults.clear()
    upstream.drop_connections()


def test_a_reply_that_comes_too_late_decides_the_retry(relay, upstream):
    said = {"delivered": "250 2.0.0 queued", "refused": "550 5.7.1 spam", "transient": "451 4.3.0 later"}
    journeys = {state: Journey(upstream, "ada") for state in said}
    clients, too_late = {}, threading.Event()
    for state, journey in journeys.items():
        upstream.fault("DOT", said[state], until=too_late, matching=journey.subject, times=1)
        clients[state] = Client(relay)
        clients[state].hand_over(journey)
    for client in clients.values():
        assert client.reply()[0] == 451
    too_late.set()
    for state, journey in journeys.items():
        person = journey.recipients[0]
        relay.wait(lambda person=person: records(relay, person, "late"))
        (finished,), (late,) = records(relay, person, "finished"), records(relay, person, "late")
        assert finished["outcomes"][0]["state"] == "indeterminate"
        assert (late["outcomes"][0]["state"], late["outcomes"][0]["upstream_text"]) == (state, said[state])
        assert late["id"] == finished["id"]
    retries = {state: clients[state].send(journey)[0] for state, journey in journeys.items()}
    assert retries == {"delivered": 250, "refused": 550, "transient": 250}
    assert {state: journey.arrived for state, journey in journeys.items()} == {
        "delivered": ["ada"],
        "refused": [],
        "transient": ["ada"],
    }
