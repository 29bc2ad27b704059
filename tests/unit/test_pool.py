"""The pool: who gets which connection, and in which order."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.telemetry import upstream_connections
from relay.upstream.outcome import UpstreamUnavailable
from relay.upstream.pool import MAX_AGE, Bounds, Channel, Pool, PoolKey
from relay.upstream.profile import Capabilities
from relay.upstream.wire import Wire
from tests.support.scripted import ScriptedTransport, usual

ADA, BOB = PoolKey("u", "ada", "implicit", b"1"), PoolKey("u", "bob", "implicit", b"2")


class Site:
    """A pool with everything that opens connections for it."""

    def __init__(self, connections=2, per_identity=2, mails=100, idle=60.0):
        self.now = 0.0
        self.pool = Pool("u", Bounds(connections, per_identity, mails, idle), lambda: self.now)
        self.opened = []

    @property
    def idle(self):
        """How many connections the pool says are idle."""
        return upstream_connections.labels("u", "idle")._value.get()

    async def take(self, key, patience=0.5, **how):
        channel = await self.pool.take(key, asyncio.get_running_loop().time() + patience, **how)
        if channel is None:
            channel = Channel(key, "a:1", Wire(ScriptedTransport(usual)), Capabilities(), self.now)
            self.opened.append(channel)
            self.pool.opened(channel)
        return channel


async def test_the_latest_connection_is_used_first():
    site = Site()
    first, second = await site.take(ADA), await site.take(ADA)
    site.pool.put(first)
    site.pool.put(second)
    assert await site.take(ADA) is second
    assert await site.take(ADA) is first


@pytest.mark.parametrize(
    "other",
    [
        PoolKey("u", "bob", "implicit", b"1"),
        PoolKey("u", "ada", "starttls", b"1"),
        PoolKey("u", "ada", "implicit", b"changed"),
        PoolKey("v", "ada", "implicit", b"1"),
    ],
)
async def test_no_other_key_gets_the_connection(other):
    site = Site(connections=1, per_identity=1)
    channel = await site.take(ADA)
    site.pool.put(channel)
    assert await site.take(other) is not channel
    assert channel.wire.fault == "" or channel.key != other


async def test_a_fresh_connection_is_new_even_when_an_idle_one_exists():
    site = Site(per_identity=1)
    channel = await site.take(ADA)
    site.pool.put(channel)
    assert await site.take(ADA, fresh=True) is not channel


async def test_when_all_are_busy_one_waits_until_the_deadline():
    site = Site(connections=1)
    await site.take(ADA)
    with pytest.raises(UpstreamUnavailable) as caught:
        await site.take(BOB, patience=0.05)
    assert caught.value.reason == "busy"
    assert caught.value.reply.code == 451


async def test_an_idle_connection_of_somebody_else_makes_room():
    site = Site(connections=1)
    channel = await site.take(ADA)
    site.pool.put(channel)
    await site.take(BOB)
    await asyncio.sleep(0)
    assert channel.wire.fault == "closed"


async def test_one_identity_does_not_get_more_than_its_share():
    site = Site(connections=5, per_identity=1)
    await site.take(ADA)
    waiting = asyncio.ensure_future(site.take(ADA, patience=0.05))
    await site.take(BOB)
    with pytest.raises(UpstreamUnavailable):
        await waiting


async def test_who_waits_longer_is_served_first():
    site = Site(connections=1)
    busy = await site.take(ADA)
    order = []

    async def wait(name, key):
        channel = await site.take(key, patience=5)
        order.append(name)
        site.pool.put(channel)

    waiting = []
    for name, key in [("first", BOB), ("second", ADA), ("third", BOB)]:
        waiting.append(asyncio.ensure_future(wait(name, key)))
        await asyncio.sleep(0)
    site.pool.put(busy)
    await asyncio.gather(*waiting)
    assert order == ["first", "second", "third"]


class TestLastPlace:
    """Mail that can wait leaves it to mail that cannot."""

    async def test_it_is_not_taken(self):
        site = Site(connections=2)
        await site.take(ADA, leaves_one=True)
        with pytest.raises(UpstreamUnavailable) as caught:
            await site.take(ADA, patience=0.05, leaves_one=True)
        assert caught.value.reason == "busy"
        await site.take(BOB, patience=0)

    async def test_it_is_not_taken_when_others_have_the_rest(self):
        site = Site(connections=3, per_identity=3)
        await site.take(ADA)
        await site.take(BOB)
        with pytest.raises(UpstreamUnavailable):
            await site.take(ADA, patience=0.05, leaves_one=True)

    async def test_an_idle_connection_of_its_own_is_the_last_place_too(self):
        site = Site(connections=2)
        own = await site.take(ADA)
        await site.take(BOB)
        site.pool.put(own)
        with pytest.raises(UpstreamUnavailable):
            await site.take(ADA, patience=0.05, leaves_one=True)
        assert await site.take(ADA, patience=0) is own

    async def test_what_is_idle_counts_as_free(self):
        site = Site(connections=2)
        idle = [await site.take(BOB), await site.take(BOB)]
        for channel in idle:
            site.pool.put(channel)
        await site.take(ADA, patience=0, leaves_one=True)

    async def test_a_place_that_is_being_opened_is_taken(self):
        site = Site(connections=2)
        assert await site.pool.take(BOB, asyncio.get_running_loop().time()) is None
        with pytest.raises(UpstreamUnavailable):
            await site.take(ADA, patience=0.05, leaves_one=True)

    async def test_who_cannot_wait_goes_past_who_can(self):
        site = Site(connections=2)
        busy = [await site.take(BOB), await site.take(BOB)]
        waits = asyncio.ensure_future(site.take(ADA, patience=5, leaves_one=True))
        await asyncio.sleep(0)
        goes = asyncio.ensure_future(site.take(ADA, patience=5))
        await asyncio.sleep(0)
        site.pool.put(busy[0])
        own = await goes
        site.pool.put(busy[1])
        await asyncio.sleep(0)
        assert not waits.done()
        site.pool.put(own)
        assert await waits is own

    async def test_of_one_place_none_can_be_left(self):
        site = Site(connections=1)
        await site.take(ADA, patience=0, leaves_one=True)

    async def test_a_connection_that_is_replaced_keeps_its_place(self):
        site = Site(connections=2)
        own = await site.take(ADA, leaves_one=True)
        site.pool.exchange(own)
        site.pool.give_back(ADA)
        await site.take(ADA, patience=0, leaves_one=True)


@pytest.mark.parametrize("worn", ["mails", "age", "fault"])
async def test_a_worn_connection_is_not_used_again(worn):
    site = Site(mails=1)
    channel = await site.take(ADA)
    channel.mails = worn == "mails"
    site.now += MAX_AGE if worn == "age" else 0
    if worn == "fault":
        channel.wire.abort()
    site.pool.put(channel)
    assert not site.pool.has(ADA)
    assert await site.take(ADA) is not channel


async def test_an_idle_connection_is_closed_in_time():
    site = Site(idle=0.02)
    site.pool.put(await site.take(ADA))
    assert site.idle == 1
    await asyncio.sleep(0.1)
    assert site.idle == 0


async def test_an_idle_connection_that_ends_is_forgotten_at_once():
    site = Site()
    channel = await site.take(ADA)
    site.pool.put(channel)
    channel.wire.data_received(b"421 4.3.2 idle too long\r\n")
    assert site.idle == 0


async def test_a_slot_that_opened_nothing_goes_to_the_next():
    site = Site(connections=1)
    assert await site.pool.take(ADA, asyncio.get_running_loop().time() + 1) is None
    waiting = asyncio.ensure_future(site.take(BOB))
    await asyncio.sleep(0)
    site.pool.give_back(ADA)
    assert (await waiting).key == BOB


async def test_who_stops_waiting_leaves_nothing_behind():
    site = Site(connections=1)
    channel = await site.take(ADA)
    waiting = asyncio.ensure_future(site.take(ADA))
    await asyncio.sleep(0)
    site.pool.put(channel)  # granted in the same moment
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await site.take(ADA) is channel


async def test_who_listens_for_a_late_reply_keeps_its_place_until_it_is_needed():
    site = Site(connections=2, per_identity=1)
    channel = await site.take(ADA)
    site.pool.listen(channel)
    await site.take(BOB)
    assert channel.wire.fault == ""
    assert await site.take(ADA) is not channel
    assert channel.wire.fault == "needed"


async def test_an_idle_connection_is_closed_before_one_that_listens_is_cut():
    site = Site(connections=2)
    listening, idle = await site.take(ADA), await site.take(ADA)
    site.pool.listen(listening)
    site.pool.put(idle)
    await site.take(BOB)
    await asyncio.sleep(0)
    assert (listening.wire.fault, idle.wire.fault) == ("", "closed")


async def test_who_has_heard_a_clean_reply_is_used_again():
    site = Site()
    channel = await site.take(ADA)
    site.pool.listen(channel)
    site.pool.heard(channel)
    assert await site.take(ADA) is channel


async def test_draining_closes_the_idle_and_waits_for_the_busy():
    site = Site()
    idle, busy = await site.take(ADA), await site.take(BOB)
    site.pool.put(idle)
    draining = asyncio.ensure_future(site.pool.drain(asyncio.get_running_loop().time() + 5))
    await asyncio.sleep(0.01)
    assert (idle.wire.fault, busy.wire.fault) == ("closed", "")
    with pytest.raises(UpstreamUnavailable, match="shutting down"):
        await site.take(ADA)
    site.pool.put(busy)
    await draining
    await asyncio.sleep(0)
    assert busy.wire.fault == "closed"


async def test_draining_cuts_what_is_busy_at_the_deadline():
    site = Site(connections=1)
    busy = await site.take(BOB)
    waiting = asyncio.ensure_future(site.take(ADA, patience=5))
    await asyncio.sleep(0)
    await site.pool.drain(asyncio.get_running_loop().time() + 0.02)
    assert busy.wire.fault == "draining"
    with pytest.raises(UpstreamUnavailable, match="shutting down"):
        await waiting


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_bounds_hold_whoever_comes_and_goes_and_everybody_is_served(visits, connections, per_identity):
    async def story():
        site = Site(connections, per_identity)
        busy: list[Channel] = []
        patient: set[Channel] = set()

        async def visit(identity, steps, broken, leaves_one):
            channel = await site.take(PoolKey("u", identity, "none"), patience=10, leaves_one=leaves_one)
            assert channel.key.identity == identity
            busy.append(channel)
            patient.update([channel] if leaves_one else [])
            assert len(busy) <= connections
            assert len(patient) <= max(1, connections - 1)
            assert all(len(list(group)) <= per_identity for _, group in itertools.groupby(sorted(c.key.identity for c in busy)))
            for _ in range(steps):
                await asyncio.sleep(0)
            busy.remove(channel)
            patient.discard(channel)
            if broken:
                channel.wire.abort()
            site.pool.put(channel)

        await asyncio.gather(*(visit(*each) for each in visits))
        await site.pool.drain(asyncio.get_running_loop().time() + 1)

    asyncio.run(story())


async def test_whose_login_opened_nothing_is_not_remembered():
    """A stranger may guess logins under ever new names."""
    site = Site()
    for number in range(10):
        key = PoolKey("u", f"guess {number}", "implicit", b"x")
        assert await site.pool.take(key, 0.0) is None
        site.pool.give_back(key)
    channel = await site.take(ADA)
    site.pool.discard(channel)
    assert not site.pool._opening
