"""Two nodes on one Redis: what one had held when it was killed, the other delivers."""

import shutil
from collections import Counter

from tests.support.journey import records
from tests.support.redis_server import RedisServer
from tests.support.service import OFFICE, PASSWORD, Relay, message
from tests.support.upstream import RecordingUpstream

LIMITED = {"streams/correspondence.toml": [(r"identity = \[\]", 'identity = ["2/second"]')]}
ACCOUNT = f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.secret"\n'
PEOPLE = [f"r{number}@example.org" for number in range(16)]


def a_node(folder, upstream, server) -> Relay:
    delivery = 'patience = "2s"\npast_dot = "1s"\n'
    relay = Relay(folder, upstream, store=server.url, holds=True, delivery=delivery, policy=LIMITED, extra=ACCOUNT)
    secret = folder / "office.secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    return relay


def send_all(relay):
    """Quicker than the limit lets them leave; each is answered 250."""
    client = relay.connect(OFFICE)
    for person in PEOPLE:
        code, text = relay.send_over(client, OFFICE, [person], message(person, OFFICE, f"Note to {person}"))
        assert code == 250, text
    client.quit()


def test_what_a_killed_node_had_held_leaves_by_the_other(tmp_path):
    with RedisServer(tmp_path / "redis") as server, RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        one, two = (a_node(tmp_path / name, upstream, server) for name in ("one", "two"))
        killed: list[str] = []

        def kill(delivery):
            if not killed:
                killed.extend(delivery.recipients)
                one.kill()

        with one:
            two.data.mkdir()
            shutil.copy(one.data / "keys.toml", two.data)
            send_all(one)
            upstream.on_delivery = kill  # the next is the courier's; nobody will have heard the 250 of it
            upstream.wait(lambda: killed and one.process.poll() is not None)
        assert len(upstream.accepted) < len(PEOPLE) - 5
        with two:
            two.wait(lambda: {person for delivery in upstream.accepted for person in delivery.recipients} == set(PEOPLE))
            two.wait(lambda: server.command("EXISTS", "{relay}:hc").startswith(":0"))
            again = [person for record in records(two, kind="judged") for person in record["again"]]
        arrived = Counter(person for delivery in upstream.accepted for person in delivery.recipients)
        assert [person for person, times in arrived.items() if times > 1] == killed
        assert arrived[killed[0]] == 2
        assert again  # that it may come twice was on record before it did
