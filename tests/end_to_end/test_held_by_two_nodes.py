"""Two nodes on one Redis: what one had held when it was killed, the other delivers.

What the killed node had written down as delivered comes once.  What was on its way may come twice, however many copies that
were, and then it is on record before the second leaves.
"""

import shutil
from collections import Counter

from tests.support.journey import records
from tests.support.redis_server import RedisServer
from tests.support.service import OFFICE, PASSWORD, Relay, message
from tests.support.upstream import RecordingUpstream

LIMITED = {"streams/correspondence.toml": [(r"identity = \[\]", 'identity = ["2/second"]')]}
SOON = '[hold]\nfirst_retry = "1s"\nlongest_retry = "1s"\n'
ACCOUNT = f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.secret"\n'
PEOPLE = [f"r{number}@example.org" for number in range(16)]
KNOWN = 3  # so many are written down as delivered when the node is killed
LEASES = 180  # seconds: what the dead node had in hand is its own for half a minute


def a_node(folder, upstream, server) -> Relay:
    delivery = 'patience = "2s"\npast_dot = "1s"\n'
    relay = Relay(folder, upstream, store=server.url, holds=True, delivery=delivery, policy=LIMITED, extra=ACCOUNT + SOON)
    secret = folder / "office.secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return relay


def send_all(relay):
    """Each is answered 250."""
    client = relay.connect(OFFICE)
    for person in PEOPLE:
        code, text = relay.send_over(client, OFFICE, [person], message(person, OFFICE, f"Note to {person}"))
        assert code == 250, text
    client.quit()


def delivered_on_record(relay) -> set[str]:
    """Whose held copy the node knows to be delivered."""
    return {
        record["people"][outcome["person"]]
        for record in records(relay, kind="late")
        for outcome in record["outcomes"]
        if outcome["state"] == "delivered"
    }


def test_what_a_killed_node_had_held_leaves_by_the_other(tmp_path):
    with RedisServer(tmp_path / "redis") as server, RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        one, two = (a_node(tmp_path / name, upstream, server) for name in ("one", "two"))
        unheard: list[str] = []

        def kill(delivery):
            if not unheard and len(delivered_on_record(one)) >= KNOWN:
                unheard.extend(delivery.recipients)  # nobody hears the 250 of it
                one.kill()

        with one:
            two.data.mkdir()
            shutil.copy(one.data / "keys.toml", two.data)
            upstream.fault("RCPT", "450 4.2.1 try later")
            send_all(one)
            assert not upstream.accepted
            upstream.on_delivery = kill
            upstream.faults.clear()
            upstream.wait(lambda: unheard and one.process.poll() is not None)
        known = delivered_on_record(one)
        assert set(upstream.recipients) < set(PEOPLE)
        with two:
            two.wait(lambda: set(upstream.recipients) == set(PEOPLE), LEASES)
            two.wait(lambda: server.command("EXISTS", "{relay}:hc").startswith(":0"), LEASES)
            announced = Counter(record["people"][number] for record in records(two, kind="judged") for number in record["again"])
        arrived = Counter(upstream.recipients)
        assert arrived[unheard[0]] == 2
        assert {person for person, times in arrived.items() if times > 1} <= announced.keys() - known
        assert all(times <= 1 + announced[person] for person, times in arrived.items())
