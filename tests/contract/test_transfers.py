"""Every store counts the same persons whose data left the country: each once a year and category, and never one too many."""

import asyncio
from dataclasses import replace

from relay.policy.cases.reputation import Measure, Pause
from relay.policy.cases.transfers import Category, Crossing, Transferred
from relay.stores.ledger import Cleared, Opening, Paused, Refused, Settlement, Taken
from relay.stores.limits import OverLimit
from relay.stores.transfers import Exhausted
from tests.support.stores import ADA, BOB, EVE, START, charge, digest, fill, first_try, refusal, request

YEAR = 2027
ENDS = 1_830_268_800.0  # the first second of 2028
LEASE, TTL = 90.0, 5 * 86400.0
ORDINARY, SENSITIVE = Category.ORDINARY, Category.SENSITIVE


def leaving(who, *charges, most=None, year=YEAR, category=ORDINARY):
    return replace(request(who, *charges), crossing=Crossing(year, category, ENDS, most, "cn-marketing/transfer-count"))


async def clear(store, *requests, number=1):
    return await store.clear(digest(number), first_try(number).submission_id, requests, LEASE, TTL)


async def persons(store, year=YEAR):
    (known,) = await store.transferred(year, [digest("somebody else")])
    return known.ordinary, known.sensitive


async def test_a_person_counts_once_however_many_mails_leave(store):
    first = await clear(store, leaving(ADA), leaving(BOB))
    again = await clear(store, leaving(ADA), leaving(EVE), number=2)
    assert [answer.persons for answer in (*first, *again)] == [1, 2, 0, 3]
    assert await persons(store) == (3, 0)


async def test_a_person_counts_once_for_each_category_and_year(store):
    await clear(store, leaving(ADA))
    await clear(store, leaving(ADA, category=SENSITIVE), number=2)
    await clear(store, leaving(ADA, year=2028), number=3)
    assert await store.transferred(YEAR, [ADA, BOB]) == [
        Transferred(YEAR, 1, 1, frozenset(Category)),
        Transferred(YEAR, 1, 1),
    ]
    assert await store.transferred(2028, [ADA]) == [Transferred(2028, 1, 0, frozenset({ORDINARY}))]
    assert await store.transfer_years() == [Transferred(YEAR, 1, 1), Transferred(2028, 1, 0)]


async def test_copies_that_stay_in_the_country_count_nobody(store):
    (answer,) = await clear(store, request(ADA))
    assert (answer, answer.persons) == (Cleared(), 0)
    assert await store.transferred(YEAR, [ADA]) == [Transferred(YEAR)]
    assert await store.transfer_years() == []


async def test_in_one_copy_no_more_may_leave_than_may_be_counted(store):
    answers = await clear(store, *(leaving(who, most=2) for who in (ADA, BOB, EVE)))
    assert answers[:2] == [Cleared(), Cleared()]
    assert answers[2] == Exhausted(leaving(EVE, most=2).crossing, 2)
    assert await persons(store) == (2, 0)


async def test_who_was_counted_may_be_written_to_again(store):
    await clear(store, leaving(ADA, most=1))
    answers = await clear(store, leaving(BOB, most=1), leaving(ADA, most=1), number=2)
    assert answers == [Exhausted(leaving(BOB, most=1).crossing, 1), Cleared()]


async def test_nobody_more_is_counted_where_none_may_be(store):
    assert await clear(store, leaving(ADA, most=0)) == [Exhausted(leaving(ADA, most=0).crossing, 0)]
    assert await persons(store) == (0, 0)


async def test_a_ground_for_more_persons_lets_more_leave(store):
    await clear(store, leaving(ADA, most=1))
    assert await clear(store, leaving(BOB, most=5), number=2) == [Cleared()]
    assert await clear(store, leaving(EVE), number=3) == [Cleared()]
    assert await persons(store) == (3, 0)


async def test_the_exhausted_are_neither_claimed_nor_charged(store):
    limit = charge(1)
    await clear(store, leaving(ADA, limit, most=0))
    assert await store.rows(digest(1)) == ()
    assert await store.used([limit]) == [0]


async def test_who_may_not_leave_is_not_counted(store, clock):
    await store.suppress(refusal(ADA))
    full = charge(1, key="full")
    await fill(store, full, 1)
    refused, over = await clear(store, leaving(ADA), leaving(BOB, full))
    assert (type(refused), type(over)) == (Refused, OverLimit)
    await clear(store, request(EVE), number=2)  # by a server at home
    (taken,) = await clear(store, leaving(EVE), number=2)
    assert isinstance(taken, Taken)
    assert await persons(store) == (0, 0)


async def test_a_paused_stream_counts_nobody(store):
    await store.pause(Pause("news", START, "Wang Min", Measure.MANUAL, "why", "原因"))
    (answer,) = await clear(store, replace(leaving(ADA, most=0), stream="news"))
    assert isinstance(answer, Paused)
    assert await persons(store) == (0, 0)


async def test_what_failed_on_the_way_stays_counted(store):
    """Who asked the server abroad for a recipient has told it the address."""
    (answer,) = await clear(store, leaving(ADA, most=1))
    await store.finish(digest(1), [Settlement(ADA, None, reservation=answer.reservation)])
    assert await store.transferred(YEAR, [ADA]) == [Transferred(YEAR, 1, 0, frozenset({ORDINARY}))]
    (again,) = await clear(store, leaving(ADA, most=1), number=2)
    assert (again, again.persons) == (Cleared(), 0)


async def test_of_many_at_once_no_two_take_the_same_last_place(store):
    answers = await asyncio.gather(*(clear(store, leaving(digest(f"person {n}"), most=7), number=n) for n in range(40)))
    let = [answer for (answer,) in answers if isinstance(answer, Cleared)]
    assert sorted(answer.persons for answer in let) == list(range(1, 8))
    assert all(answer == Exhausted(leaving(ADA, most=7).crossing, 7) for (answer,) in answers if answer not in let)
    assert await persons(store) == (7, 0)


async def test_opening_a_submission_answers_it_too(store):
    await clear(store, leaving(ADA))
    rows = [ADA, BOB]
    asked = [(ADA,), (BOB,)]
    entry = await store.open_submission(digest(2), Opening(first_try(2), TTL, rows, asked=asked, transferred_in=YEAR))
    assert list(entry.transferred) == await store.transferred(YEAR, rows)
    other = await store.open_submission(digest(3), Opening(first_try(3), TTL, rows, asked=asked))
    assert other.transferred == ()


async def test_thousands_are_found_as_one_is(store):
    people = [digest(f"person {n}") for n in range(2500)]
    for first in range(0, 2500, 500):
        await clear(store, *map(leaving, people[first : first + 500]), number=first)
    known = await store.transferred(YEAR, [*people, EVE])
    assert [bool(one.counted) for one in known] == [True] * 2500 + [False]
    assert {one.ordinary for one in known} == {2500}
