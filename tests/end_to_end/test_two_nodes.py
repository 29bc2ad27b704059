"""Two nodes on one Redis: what one held the other delivers, when the first is gone."""

import shutil
from collections import Counter

import pytest

from relay.records.kinds import Kind
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.patient import SENDERS, held, patient_relay
from tests.support.redis_server import RedisServer
from tests.support.service import message

LEASES_SECONDS = 240.0

upstream = an_upstream()


@pytest.fixture
def nodes(tmp_path, upstream):
    """One that took mail while the upstream did not, and another."""
    with RedisServer(tmp_path / "redis") as redis:
        one, two = (patient_relay(tmp_path / name, upstream, redis) for name in ("one", "two"))
        with one:
            two.data.mkdir()
            shutil.copy(one.data / "keys.toml", two.data)
            with two:
                yield one, two


def test_the_other_delivers_all_that_the_killed_one_held(nodes, upstream):
    one, two = nodes
    upstream.fault("MAIL", "450 4.2.1 not now")
    people = [_send(one, listener, number) for listener in SENDERS for number in range(20)]
    everybody = sorted(person for some in people for person in some)
    assert sorted(held(two)) == everybody
    one.kill()
    upstream.faults.clear()
    two.wait(lambda: not held(two), LEASES_SECONDS)
    assert Counter(to for delivery in upstream.accepted for to in delivery.recipients) == Counter(everybody)
    delivered = [
        record["people"][outcome["person"]]
        for record in records(two, kind=Kind.LATE.value)
        for outcome in record["outcomes"]
        if outcome["state"] == "delivered"
    ]
    assert sorted(delivered) == everybody  # by the records of the one that is left


def _send(relay, listener: str, number: int) -> list[str]:
    """A mail to some; the relay keeps it."""
    relay.port = int(relay.listen[listener].rpartition(":")[2])
    people = [f"{listener}{number}.{person}@d{person}.example" for person in range(1 + number % 4)]
    with relay.connect(login=None) as client:
        code, text = relay.send_over(client, SENDERS[listener], people, message(sender=SENDERS[listener]))
    assert code == 250, text
    return people
