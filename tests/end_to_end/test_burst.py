"""A burst of ten minutes' mail: four workers, on two nodes where the store is Redis, hold it and never exceed the limit."""

import shutil
from contextlib import ExitStack

import pytest

from tests.support.clocks import Clock
from tests.support.courier import CourierHouse
from tests.support.redis_server import RedisServer
from tests.support.service import OFFICE, message
from tests.support.upstream import RecordingUpstream

BURST, LIMIT, STEP = 600, 60, 5.0
LIMITED = {"streams/correspondence.toml": [(r"identity = \[\]", f'identity = ["{LIMIT}/minute"]')]}


def four_workers(kind, folder, upstream, clock, stack):
    """Two nodes of two workers on one Redis, or one node of four."""
    url = stack.enter_context(RedisServer(folder / "redis")).url if kind == "redis" else "sqlite"
    nodes = [folder / "one", folder / ("two" if kind == "redis" else "one")]
    houses: list[CourierHouse] = []
    for number in range(4):
        node = nodes[number // 2]
        house = CourierHouse(node, upstream, clock=clock, policy=LIMITED, store=url)
        if node != nodes[0] and not (house.relay.data / "keys.toml").exists():
            shutil.copy(houses[0].relay.data / "keys.toml", house.relay.data)
        houses.append(stack.enter_context(house))
    return houses


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_minute_sees_more_than_the_limit_and_no_client_a_4yz(kind, tmp_path):
    clock, times = Clock(), []
    people = [f"r{number}@example.org" for number in range(BURST)]
    (tmp_path / "redis").mkdir()
    with RecordingUpstream() as upstream, ExitStack() as stack:
        houses = four_workers(kind, tmp_path, upstream, clock, stack)
        upstream.on_delivery = lambda delivery: times.extend([clock.now] * len(delivery.recipients))
        for number in range(20):
            some = people[number * 30 : (number + 1) * 30]
            reply = houses[number % 4].send(OFFICE, some, message(sender=OFFICE, subject=f"Note {number}"))
            assert reply.code == 250
            clock.pass_(0.1)
        while houses[0].whys():
            clock.pass_(STEP)
            houses.append(houses.pop(0))  # another one is the first to look
            for house in houses:
                house.turn()
            for house in houses:
                house.settled(0)
        assert sorted(to for delivery in upstream.accepted for to in delivery.recipients) == sorted(people)
        assert all(house.claims for house in houses)
    assert len(times) == BURST
    assert max(sum(start <= at < start + 60 for at in times) for start in times) == LIMIT
