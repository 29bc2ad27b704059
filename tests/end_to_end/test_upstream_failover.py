"""Failover: among the addresses of one upstream, and only where it cannot have the message."""

import socket

import pytest

from relay.upstream.outcome import OutcomeState, UpstreamUnavailable
from tests.support.leaving import NEWS, a_copy, send, upstream_table, upstreams_of
from tests.support.upstream import RecordingUpstream

ACCOUNTS = {NEWS: "right"}


@pytest.fixture
def pair():
    """Two servers of one provider: only plain on this machine, so that one table fits both."""
    with RecordingUpstream(accounts=ACCOUNTS) as first, RecordingUpstream(accounts=ACCOUNTS) as second:
        yield first, second


def both(first, second):
    return upstream_table(first, addresses=[first.address, second.address])


@pytest.mark.parametrize(
    ("at", "reply", "how"),
    [
        ("CONNECT", "421 4.3.2 busy", {}),
        ("CONNECT", "554 5.3.2 no", {}),
        ("CONNECT", "", {"close": True}),
        ("EHLO", "", {"close": True}),
        ("EHLO", "550 5.7.1 not you", {}),
        ("EHLO", "gibberish", {}),
        ("AUTH", "421 4.3.2 busy", {}),
        ("MAIL", "421 4.3.2 busy", {"close": True}),
        ("RCPT", "421 4.3.2 busy", {"close": True}),
        ("DATA", "421 4.3.2 busy", {"close": True}),
    ],
)
async def test_another_address_takes_over(pair, at, reply, how):
    first, second = pair
    first.fault(at, reply, **how)
    async with upstreams_of(both(first, second)) as upstreams:
        (outcome,) = await send(upstreams)
    assert outcome.state is OutcomeState.DELIVERED
    assert (len(first.accepted), len(second.accepted)) == (0, 1)


async def test_an_address_where_nobody_listens_is_passed_over_and_then_tried_last(pair):
    _, second = pair
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{reserved.getsockname()[1]}"
        table = upstream_table(second, addresses=[dead, second.address], max_connections_per_identity=1)
        async with upstreams_of(table) as upstreams:
            assert (await send(upstreams))[0].state is OutcomeState.DELIVERED
            assert upstreams._site("")._resting.keys() == {dead}
            second.drop_connections()
            assert (await send(upstreams))[0].state is OutcomeState.DELIVERED


async def test_every_address_down_is_unavailable(pair):
    first, second = pair
    for upstream in pair:
        upstream.fault("CONNECT", "421 4.3.2 busy")
    async with upstreams_of(both(first, second)) as upstreams:
        with pytest.raises(UpstreamUnavailable) as caught:
            await send(upstreams)
    assert (caught.value.reason, caught.value.reply.code) == ("closing", 451)


async def test_a_421_everywhere_is_transient_and_ends(pair):
    first, second = pair
    for upstream in pair:
        upstream.fault("MAIL", "421 4.3.2 busy", close=True)
    async with upstreams_of(both(first, second)) as upstreams:
        (outcome,) = await send(upstreams)
    assert (outcome.state, outcome.before_dot) == (OutcomeState.TRANSIENT, True)
    assert (len(first.sessions), len(second.sessions)) == (1, 1)


@pytest.mark.parametrize(
    ("at", "reply"),
    [
        ("MAIL", "451 4.3.0 later"),
        ("RCPT", "450 4.2.0 later"),
        ("DATA", "452 4.3.1 full"),
        ("DOT", "421 4.3.2 bye"),
        ("DOT", "451 4.3.0 later"),
    ],
)
async def test_no_other_reply_goes_elsewhere(pair, at, reply):
    first, second = pair
    first.fault(at, reply)
    async with upstreams_of(both(first, second)) as upstreams:
        (outcome,) = await send(upstreams)
    assert outcome.state is OutcomeState.TRANSIENT
    assert second.sessions == []


async def test_a_lost_answer_to_the_dot_never_goes_elsewhere(pair):
    first, second = pair
    first.fault("DOT", lose=True)
    async with upstreams_of(both(first, second)) as upstreams:
        (outcome,) = await send(upstreams, a_copy())
    assert outcome.state is OutcomeState.INDETERMINATE
    assert second.sessions == []


async def test_a_refused_login_never_goes_elsewhere(pair):
    first, second = pair
    first.fault("AUTH", "535 5.7.8 wrong")
    async with upstreams_of(both(first, second)) as upstreams:
        with pytest.raises(UpstreamUnavailable):
            await send(upstreams)
    assert (len(first.auth_attempts), second.auth_attempts) == (1, [])
