"""Four workers behave as one: refusals, limits, and whose connection a message leaves by."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.journey import Client, Journey, metric, on_each_worker
from tests.support.service import ACCOUNTS, NEWS, OFFICE, PASSWORD, SHOP, Relay
from tests.support.upstream import RecordingUpstream

BULK, BULK_LIMIT = "bulk@example.com", 60
POLICY = {
    "streams/newsletter.toml": [
        ("identities = .*?\\]", f'identities = ["{NEWS}", "{BULK}"]'),
        ("identity = ..", f'identity = ["{BULK_LIMIT}/hour"]'),
    ]
}


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def station(request, tmp_path_factory):
    # A database of its own on the server of all tests: number 0 belongs to the other station.
    url = request.getfixturevalue("redis_server").url.replace("/0", "/1") if request.param == "redis" else "sqlite"
    with (
        RecordingUpstream(accounts={**ACCOUNTS, BULK: PASSWORD}) as upstream,
        Relay(tmp_path_factory.mktemp("many"), upstream, workers=4, store=url, policy=POLICY) as relay,
    ):
        yield relay, upstream


def test_a_refusal_binds_the_next_recipient_on_every_worker(relay, upstream):
    clients = on_each_worker(relay)
    for round_ in range(4):
        journey = Journey(upstream, "ada")
        sender = clients[round_]
        assert sender.send(journey)[0] == 250
        assert relay.unsubscribe(journey.deliveries[0].data) == 200
        for client in clients:
            again = Journey(upstream)
            again.recipients = journey.recipients
            code, text = client.send(again)
            assert (code, again.arrived) == (550, []), text
    for client in clients:
        client.quit()


def test_a_limit_is_exact_over_all_workers(relay, upstream):
    def five(_):
        client = Client(relay, BULK)
        replies = [client.send(Journey(upstream, "ada", sender=BULK)) for _ in range(5)]
        client.quit()
        return replies

    with ThreadPoolExecutor(40) as pool:
        replies = [reply for some in pool.map(five, range(40)) for reply in some]
    codes = [code for code, _ in replies]
    assert (codes.count(250), codes.count(450)) == (BULK_LIMIT, 200 - BULK_LIMIT)
    assert sum(delivery.reverse_path == BULK for delivery in upstream.accepted) == BULK_LIMIT
    relay.wait(lambda: metric(relay, 'relay_limit_reached_total{stream="newsletter"}') == 200 - BULK_LIMIT)
    over = {text.split("\n")[0] for code, text in replies if code == 450}
    assert all(re.fullmatch(rf"4\.7\.1 \[limit\] .*{BULK_LIMIT}/hour reached, try again in [1-9]\d* s", text) for text in over)


def test_an_identity_never_leaves_over_the_connection_of_another(relay, upstream):
    people = [NEWS, OFFICE, SHOP]

    def alternate(number):
        for turn in range(6):
            sender = people[(number + turn) % len(people)]
            client = Client(relay, sender)
            assert client.send(Journey(upstream, "ada", sender=sender))[0] == 250
            client.quit()

    before = len(upstream.accepted)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(alternate, range(12)))
    leaving = upstream.accepted[before:]
    assert len(leaving) == 72
    assert {(delivery.identity, delivery.reverse_path) for delivery in leaving} == {(sender, sender) for sender in people}
    for session in upstream.sessions:
        assert len({delivery.identity for delivery in upstream.deliveries if delivery.session == session.number}) <= 1


def test_nobody_borrows_a_connection_that_another_left_open(relay, upstream):
    for client in on_each_worker(relay, OFFICE):
        assert client.send(Journey(upstream, "ada", sender=OFFICE))[0] == 250  # every worker holds a connection of OFFICE now
        assert client.say(f"MAIL FROM:<{NEWS}>")[0] == 553
        forged = Journey(upstream, "ada", sender=OFFICE)
        forged.data = forged.data.replace(f"From: Sender <{OFFICE}>".encode(), f"From: Sender <{NEWS}>".encode())
        assert client.send(forged)[0] == 550
        client.quit()
    accepted = len(upstream.accepted)
    for client in on_each_worker(relay, None):
        assert client.say(f"MAIL FROM:<{OFFICE}>")[0] == 530
        assert client.say("AUTH PLAIN AG9mZmljZUBleGFtcGxlLmNvbQB3cm9uZw==")[0] == 535  # OFFICE with a wrong password
        assert client.say(f"MAIL FROM:<{OFFICE}>")[0] == 530
        client.quit()
    assert len(upstream.accepted) == accepted
