"""Every store numbers leaves and withdrawals in one sequence: no copy is cleared after its recipient refused, by the numbers."""

import asyncio
import random

import pytest

from relay.policy.suppressions.suppression import ORGANISATION, Reason, stream_scope
from relay.stores.contracts import Store
from relay.stores.entries import row_of
from relay.stores.ledger import Cleared, ClearRequest, Closing, Refused, RowState, Settlement
from relay.stores.redis.store import RedisStore
from relay.stores.sqlite import SQLiteStore
from tests.support.stores import ADA, BOB, EVE, META, PATIENT_MS, START, consent, delivered, digest, first_try, refusal, request

LEASE, TTL = 90.0, 5 * 86400.0
OLD = digest("ada under the key before")


@pytest.fixture
async def other(store, request, tmp_path, clock):
    """The same store, as another process has it."""
    opened: Store
    if isinstance(store, SQLiteStore):
        opened = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
    else:
        url = request.getfixturevalue("redis_server").url
        opened = await RedisStore.open(url, META, clock=clock, timeout_ms=PATIENT_MS)
    yield opened
    await opened.aclose()


async def clear(store, number, *requests, lease=LEASE):
    """One copy of the submission of this number."""
    return await store.clear(digest(number), first_try(number).submission_id, requests or [request()], lease, TTL)


async def finish(store, number, who=ADA, state=RowState.DELIVERED):
    await store.finish(digest(number), [Settlement(who, state, "250 OK", submission_id=first_try(number).submission_id)])


async def in_force(store, *digests):
    ((entry,),) = await store.find([digests or (ADA,)])
    return entry


def ids(*numbers):
    return tuple(first_try(number).submission_id for number in numbers)


async def test_each_copy_has_a_number_above_all_before_it(store, other):
    numbers = []
    for copy in range(6):
        answers = await clear((store, other)[copy % 2], copy, request(digest((copy, 1))), request(digest((copy, 2))))
        assert len({answer.number for answer in answers}) == 1, "one step, one number"
        numbers.append(answers[0].number)
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0


async def test_who_may_not_leave_takes_no_number(store):
    (first,) = await clear(store, 1)
    await store.suppress(refusal(BOB))
    refused, taken = await clear(store, 1, request(BOB), request(ADA))
    assert isinstance(refused, Refused)
    assert not isinstance(taken, Cleared)
    (after,) = await clear(store, 2)
    assert after.number == first.number + 2, "the withdrawal took the one between them"


async def test_a_withdrawal_stands_between_the_leaves_before_and_after(store, other):
    (before,) = await clear(store, 1, request(BOB))
    await other.suppress(refusal(ADA))
    (after,) = await clear(store, 2, request(BOB))
    assert before.number < (await in_force(store)).number < after.number
    assert isinstance((await clear(store, 3, request(ADA)))[0], Refused)


async def test_what_is_on_its_way_is_named(store, other):
    for number in (1, 2, 3):
        await clear(store, number)
    await clear(other, 4, request(BOB))
    await finish(store, 2)
    await other.suppress(refusal(ADA, scope=stream_scope("news")))
    assert (await in_force(store)).in_flight == ids(1, 3)


@pytest.mark.parametrize("state", [RowState.DELIVERED, RowState.REFUSED, RowState.INDETERMINATE, None])
async def test_what_has_an_outcome_is_not_on_its_way(store, state):
    await clear(store, 1)
    await finish(store, 1, state=state)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == ()


async def test_neither_is_what_was_closed_or_whose_lease_ran_out(store, clock):
    await clear(store, 1)
    await store.close(digest(1), Closing(first_try(1).submission_id))
    await clear(store, 2)
    clock.pass_(LEASE)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == ()


async def test_a_copy_that_leaves_again_is_on_its_way_again(store, clock):
    await clear(store, 1)
    await finish(store, 1, state=None)
    await clear(store, 1)
    clock.pass_(LEASE / 2)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == ids(1)


async def test_a_try_with_a_name_of_its_own_says_which_submission_it_sends(store):
    """What was held leaves by turns of the courier."""
    turn, names = digest("turn"), first_try(7)
    asked = ClearRequest(ADA, (ADA,), (ORGANISATION,), frozenset(Reason), submission_id=names.submission_id)
    await store.clear(turn, first_try(8).submission_id, [asked], LEASE, TTL)
    await clear(store, 9)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == ids(7, 9)
    await store.finish(turn, [delivered(ADA, submission_id=first_try(8).submission_id)])
    await store.suppress(refusal(ADA, scope=stream_scope("news")))
    found = {entry.scope: entry.in_flight for entry in (await store.find([(ADA,)]))[0]}
    assert found[stream_scope("news")] == ids(9)


async def test_a_late_answer_does_not_take_another_copy_off_its_way(store, clock):
    """The first try's lease ran out, a second one claimed the row; then the first one's answer comes."""
    await clear(store, 1)
    clock.pass_(LEASE)
    again = first_try(2).submission_id
    (second,) = await store.clear(digest(1), again, [request(may_repeat=True)], LEASE, TTL)
    assert isinstance(second, Cleared)
    await finish(store, 1, state=None)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == (again,)


async def test_a_copy_is_found_under_every_generation_of_the_key(store):
    """A link in an old mail knows its recipient by the key of its day."""
    await clear(store, 1, ClearRequest(ADA, (ADA, OLD), (ORGANISATION,), frozenset(Reason)))
    await clear(store, 2, ClearRequest(BOB, (BOB, EVE), (ORGANISATION,), frozenset(Reason)))
    await store.suppress(refusal(OLD))
    entry = await in_force(store, ADA, OLD)
    assert (entry.digest, entry.in_flight) == (OLD, ids(1))
    await finish(store, 2, BOB)
    await store.suppress(refusal(EVE))
    assert (await in_force(store, BOB, EVE)).in_flight == ()


async def test_a_report_needs_no_mailbox(store):
    (answer,) = await clear(store, 1, ClearRequest(ADA, (), (), frozenset()))
    assert answer.number
    await finish(store, 1)
    await store.suppress(refusal(ADA))
    assert (await in_force(store)).in_flight == ()


async def test_said_again_it_keeps_its_number(store, clock):
    await clear(store, 1)
    await store.suppress(refusal(ADA))
    first = await in_force(store)
    clock.pass_(1)
    await finish(store, 1)
    assert not await store.suppress(refusal(ADA, at=START))
    again = await in_force(store)
    assert (again.number, again.in_flight) == (first.number, ids(1))
    assert again.again_at == START


async def test_after_a_consent_it_has_a_new_one(store, clock):
    await store.suppress(refusal(ADA))
    first = await in_force(store)
    clock.pass_(1)
    assert await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    (leave,) = await clear(store, 1)
    assert await store.suppress(refusal(ADA, at=START))
    again = await in_force(store)
    assert first.number < leave.number < again.number
    assert again.in_flight == ids(1)
    lifted, standing = (await store.history([ADA]))[0]
    assert (lifted.number, standing.number) == (first.number, again.number)


@pytest.mark.parametrize("is_long", [False, True])
async def test_those_of_one_step_share_its_number(store, is_long):
    """A list is imported while mail leaves."""
    await clear(store, 1)
    (before,) = await clear(store, 2, request(BOB))
    people = [ADA, EVE, *map(digest, range(20))]
    entries = [refusal(who) for who in people]
    rows = [row_of(entry) if is_long else row_of(entry)[:7] for entry in entries]
    assert await store.suppress_rows(rows) == len(people)
    (after,) = await clear(store, 3, request(BOB))
    found = [entry for (entry,) in await store.find([(who,) for who in people])]
    assert all(before.number < entry.number < after.number for entry in found)
    assert {entry.digest: entry.in_flight for entry in found if entry.in_flight} == {ADA: ids(1)}
    assert await store.suppress_rows(rows) == 0
    assert [entry.number for (entry,) in await store.find([(who,) for who in people])] == [entry.number for entry in found]
    (last,) = await clear(store, 4, request(BOB))
    assert last.number == after.number + 1, "what changes nothing takes no number"


class Run:
    """People get mail and refuse it, through several processes at once; what happened, by the numbers."""

    def __init__(self, stores, seed):
        self.chance = random.Random(seed)
        self.stores = stores
        self.people = [digest(("person", number)) for number in range(4)]
        self.leaves = []  # number, person, submission
        self.before = {}  # person: submissions whose outcome was told before it withdrew
        self.after = {}  # person: submissions that were still open when it had withdrawn
        self.open = set()  # leaves without an outcome on the way
        self.told = set()  # leaves whose outcome the store has

    async def sender(self, number):
        store = self.chance.choice(self.stores)
        wanted = self.chance.sample(self.people, self.chance.randint(1, 3))
        name = first_try(number).submission_id
        answers = await clear(store, number, *map(request, wanted))
        leaving = [(who, answer.number) for who, answer in zip(wanted, answers, strict=True) if isinstance(answer, Cleared)]
        self.leaves += [(at, who, name) for who, at in leaving]
        self.open |= {(who, name) for who, _ in leaving}
        for _ in range(self.chance.randint(0, 6)):
            await asyncio.sleep(0.0005)
        for who, _ in leaving:
            self.open.discard((who, name))
        await store.finish(digest(number), [delivered(who, submission_id=name) for who, _ in leaving])
        self.told |= {(who, name) for who, _ in leaving}

    async def person(self, who):
        await asyncio.sleep(self.chance.random() * 0.02)
        self.before[who] = set(self.told)
        was_open = set(self.open)
        assert await self.chance.choice(self.stores).suppress(refusal(who))
        self.after[who] = was_open & self.open

    async def run(self, submissions):
        await asyncio.gather(*(self.sender(number) for number in range(submissions)), *(self.person(who) for who in self.people))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_between_nobody_is_cleared_after_refusing(store, other, seed):
    run = Run([store, other], seed)
    await run.run(60)
    steps: dict[int, str] = {}
    for number, _, name in run.leaves:
        assert steps.setdefault(number, name) == name, "one number, one step"
    for who in run.people:
        entry = await in_force(store, who)
        assert entry.number not in steps
        assert all(number < entry.number for number, whom, _ in run.leaves if whom == who)
        named = {(who, name) for name in entry.in_flight}
        assert named <= {(whom, name) for number, whom, name in run.leaves if number < entry.number}
        assert not named & run.before[who], "those had their outcome"
        assert {pair for pair in run.after[who] if pair[0] == who} <= named, "those had none all the while"
    assert run.leaves
