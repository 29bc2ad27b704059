"""A refusal by link and the consents around it, on every store: only a later consent lifts it, however close they are."""

import os

import pytest

from relay.doors.refusals import Refusals
from relay.errors import StoreUnavailable
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.records.journal import replay
from relay.render.token import UnsubscribeToken, make_token, stream_number
from tests.support.policies import a_policy
from tests.support.records import KEYS, has_all_keys, opened
from tests.support.stores import BOB, consent

DIGEST = KEYS.addresses.digest("ada@example.org")
GENERATION = KEYS.addresses.keys[0].number


def link(digest):
    token = UnsubscribeToken(digest, GENERATION, stream_number("newsletter"), True, "01JD6Z4M0Q8V7KX3T5N2C9R1BF")
    return make_token(token, KEYS.tokens.keys[0])


class Node:
    """Records and a door of their own, in front of a store that others may share."""

    def __init__(self, records, store, clock):
        self.records = records
        self.store = store
        self.clock = clock
        self.is_cut_off = False
        policy = a_policy()
        self._refusals = Refusals(KEYS, records, self._reach, lambda: policy, has_all_keys, clock=clock, entropy=os.urandom)

    def _reach(self):
        if self.is_cut_off:
            raise StoreUnavailable("unreachable", "down")
        return self.store

    async def post(self, digest=DIGEST):
        offer = self._refusals.read(link(digest))
        assert offer is not None
        await self._refusals.refuse(offer, "one_click")

    async def lift(self, at, number=1):
        await replay(self.records, self.store, self.clock)
        return await self.store.lift([DIGEST], ORGANISATION, Reason.UNSUBSCRIBE, consent(DIGEST, at, number), "")

    async def in_force(self):
        """What is in force, when it was said first and last: in the store, else in the journal."""
        (found,) = await self.store.find([(DIGEST,)])
        return [(entry.at, entry.last_at) for entry in found or self.records.pending([DIGEST])]

    @property
    def written(self):
        """Refusals on record; each that the store has brought in force has one record more that says so."""
        kinds = dict(self.records.reader.read("SELECT kind, count(*) FROM records GROUP BY kind"))
        refusals = kinds.pop("suppressed", 0)
        assert kinds.pop("applied", 0) <= refusals
        assert not kinds
        return refusals


@pytest.fixture
def node(tmp_path, store, clock):
    with opened(tmp_path / "records.db", clock=clock) as records:
        yield Node(records, store, clock)


@pytest.fixture
def other(tmp_path, store, clock):
    with opened(tmp_path / "other" / "records.db", clock=clock) as records:
        yield Node(records, store, clock)


async def test_a_refusal_right_after_a_consent_is_in_force(node, clock):
    for number in range(1, 4):
        clock.pass_(0.001)
        await node.post()
        clock.pass_(0.001)
        assert await node.lift(clock(), number)
        assert await node.in_force() == []
        clock.pass_(0.001)
        await node.post()
        assert await node.in_force() == [(clock(), clock())]
        clock.pass_(0.001)
        assert await node.lift(clock(), number + 10)
    assert node.written == 6  # each has a record of its own


async def test_a_refusal_in_the_same_instant_as_the_consent_is_in_force(node, clock):
    await node.post()
    clock.pass_(5)
    assert await node.lift(clock())
    await node.post()
    assert len(await node.in_force()) == 1


@pytest.mark.parametrize("back", [0.5, 7, 86400])
async def test_a_refusal_by_a_clock_that_is_behind_the_consents_is_in_force(node, other, clock, back):
    await node.post()
    clock.pass_(5)
    assert await node.lift(clock())
    clock.pass_(-back)
    await other.post()
    await node.post()
    assert len(await node.in_force()) == 1
    with pytest.raises(ValueError, match="consent"):
        await node.lift(clock(), 2)


async def test_said_again_it_needs_a_consent_after_the_last_time(node, clock):
    await node.post()
    first = clock()
    clock.pass_(5)
    await node.post()
    assert await node.in_force() == [(first, clock())]
    for at in (clock() - 2, clock()):
        with pytest.raises(ValueError, match="consent"):
            await node.lift(at)
    assert node.written == 1
    assert await node.lift(clock() + 0.001)


async def test_said_again_while_the_store_is_away_it_needs_a_consent_after_the_last_time(node, clock):
    node.is_cut_off = True
    await node.post()
    first = clock()
    clock.pass_(5)
    await node.post()
    assert await node.in_force() == [(first, clock())]  # from the journal
    with pytest.raises(ValueError, match="consent"):
        await node.lift(clock() - 2)
    assert await node.in_force() == [(first, clock())]
    assert node.written == 1


async def test_what_waited_on_another_node_is_in_force_when_it_is_later_than_the_consent(node, other, clock):
    await node.post()
    other.is_cut_off = True
    clock.pass_(1)
    await other.post()
    consented = clock() + 1
    clock.pass_(2)
    await other.post()
    assert await node.lift(consented)  # this node knows nothing of the other's
    assert await node.in_force() == []
    await replay(other.records, other.store, clock)
    assert [last for _, last in await node.in_force()] == [clock()]


async def test_a_lifting_elsewhere_is_known_here(node, other, clock):
    await node.post()
    await other.post()
    clock.pass_(1)
    assert await other.lift(clock())
    clock.pass_(1)
    await node.post()
    assert await node.in_force() == [(clock(), clock())]
    assert (node.written, other.written) == (2, 1)


async def test_a_store_that_lost_the_last_refusal_gets_it_with_its_last_time(node, clock):
    await node.post()
    first = clock()
    clock.pass_(3600)
    await node.post()
    assert [(e.at, e.last_at) for _, e in node.records.journalled(clock(), 0, 10)] == [(first, clock())]


async def test_one_link_fills_neither_the_records_nor_the_journal(node, clock):
    for _ in range(100):
        clock.pass_(1)
        await node.post()
    assert node.written == 1
    assert len(node.records.journalled(0, 0, 200)) == 1
    assert node.records.pending([DIGEST]) == []
    (history, _) = await node.store.history([DIGEST])
    assert [(entry.at, entry.last_at) for entry in history] == [(clock() - 99, clock())]


async def test_after_a_day_of_silence_it_is_recorded_once_more(node, clock):
    """By then the journal has forgotten it, when it next tidies up."""
    first = clock()
    for _ in range(3):
        for _ in range(5):
            await node.post()
        clock.pass_(86_401)
        await node.post(BOB)
    assert node.written == 3 + 1  # Bob says it every day, and is carried over once more before it would be forgotten
    assert await node.in_force() == [(first, clock() - 86_401)]
