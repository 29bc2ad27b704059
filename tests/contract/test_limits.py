"""Every store keeps limits the same way: never more than N in any window, all charges or none."""

import asyncio
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.stores.limits import OverLimit, Reserved
from tests.support.stores import START, charge, day_charge, fill

LEASE = 30.0


async def test_as_many_as_the_limit_says_and_not_one_more(store):
    answers = [await store.reserve([charge(3)], LEASE) for _ in range(4)]
    assert [isinstance(a, Reserved) for a in answers] == [True, True, True, False]


async def test_reservations_have_names_of_their_own(store):
    first, second = await store.reserve([charge(3)], LEASE), await store.reserve([charge(3)], LEASE)
    assert first.id
    assert first.id != second.id


async def test_what_is_used_is_spent_and_reserved_and_asking_charges_nothing(store):
    day = day_charge(9, "2027-01-15", START + 3600, key="day")
    await fill(store, charge(5), 2)
    await store.reserve([charge(5), day], LEASE)
    for _ in range(2):
        assert await store.used([charge(5), day, charge(5, key="other")]) == [3, 1, 0]
    assert await store.used([]) == []


async def test_reserving_nothing_always_succeeds(store):
    assert isinstance(await store.reserve([], LEASE), Reserved)


async def test_many_at_once_share_exactly_what_is_there(store):
    answers = await asyncio.gather(*(store.reserve([charge(7)], LEASE) for _ in range(40)))
    assert sum(isinstance(a, Reserved) for a in answers) == 7


async def test_a_limit_held_by_others_may_be_free_any_moment(store):
    await store.reserve([charge(1)], LEASE)
    assert await store.reserve([charge(1, name="identity 1/minute")], LEASE) == OverLimit("identity 1/minute", 1, in_flight=True)


async def test_a_limit_that_is_spent_says_when_it_frees(store, clock):
    await fill(store, charge(1), 1)
    over = await store.reserve([charge(1)], LEASE)
    assert isinstance(over, OverLimit)
    assert not over.in_flight
    assert 60 <= over.retry_after <= 62
    clock.pass_(over.retry_after)
    assert isinstance(await store.reserve([charge(1)], LEASE), Reserved)


async def test_settling_counts_from_the_moment_of_settling(store, clock):
    reserved = await store.reserve([charge(1)], 300.0)
    clock.pass_(50)
    await store.settle(reserved.id)
    clock.pass_(59)
    assert isinstance(await store.reserve([charge(1)], LEASE), OverLimit)
    clock.pass_(3)
    assert isinstance(await store.reserve([charge(1)], LEASE), Reserved)


async def test_a_living_reservation_counts_however_long_it_lives(store, clock):
    await store.reserve([charge(1, unit=1.0)], 300.0)
    clock.pass_(299)
    assert isinstance(await store.reserve([charge(1, unit=1.0)], LEASE), OverLimit)


async def test_a_reservation_whose_lease_ran_out_was_spent_when_it_was_reserved(store, clock):
    await store.reserve([charge(1)], LEASE)
    clock.pass_(LEASE)
    over = await store.reserve([charge(1)], LEASE)
    assert isinstance(over, OverLimit)
    assert not over.in_flight
    assert 30 <= over.retry_after <= 32
    clock.pass_(over.retry_after)
    assert isinstance(await store.reserve([charge(1)], LEASE), Reserved)


async def test_a_refund_gives_everything_back_at_once(store):
    limits = [charge(1, key="a"), charge(1, unit=3600.0, key="b"), day_charge(1, "2027-01-15", START + 3600, key="c")]
    for _ in range(3):
        reserved = await store.reserve(limits, LEASE)
        assert isinstance(reserved, Reserved)
        await store.refund(reserved.id)


async def test_settling_or_refunding_twice_changes_nothing(store):
    first, second = await store.reserve([charge(2)], LEASE), await store.reserve([charge(2)], LEASE)
    await store.settle(first.id)
    await store.settle(first.id)
    await store.refund(first.id)
    await store.refund(second.id)
    await store.refund(second.id)
    answers = [await store.reserve([charge(2)], LEASE) for _ in range(2)]
    assert [isinstance(a, Reserved) for a in answers] == [True, False]


@pytest.mark.parametrize("name", ["", "nonsense", "00" * 12, "用户", "x" * 500])
async def test_an_unknown_reservation_is_nobodys(store, name):
    await store.settle(name)
    await store.refund(name)


async def test_a_late_answer_still_counts_from_its_own_moment(store, clock):
    reserved = await store.reserve([charge(1)], LEASE)
    clock.pass_(LEASE + 20)
    await store.settle(reserved.id)
    clock.pass_(50)
    assert isinstance(await store.reserve([charge(1)], LEASE), OverLimit)
    clock.pass_(12)
    assert isinstance(await store.reserve([charge(1)], LEASE), Reserved)


async def test_a_late_refund_still_gives_back(store, clock):
    reserved = await store.reserve([charge(1, unit=3600.0)], LEASE)
    clock.pass_(LEASE + 1)
    await store.refund(reserved.id)
    assert isinstance(await store.reserve([charge(1, unit=3600.0)], LEASE), Reserved)


async def test_one_limit_in_the_way_charges_none_of_them(store):
    await fill(store, charge(1, key="narrow"), 1)
    for _ in range(5):
        over = await store.reserve([charge(2, key="wide"), charge(1, key="narrow", name="narrow")], LEASE)
        assert isinstance(over, OverLimit)
        assert over.name == "narrow"
    answers = [await store.reserve([charge(2, key="wide")], LEASE) for _ in range(3)]
    assert [isinstance(a, Reserved) for a in answers] == [True, True, False]


async def test_the_first_limit_met_gives_the_name_and_the_slowest_the_time(store, clock):
    quick, slow = charge(1, key="quick", name="quick"), charge(1, unit=3600.0, key="slow", name="slow")
    await fill(store, quick, 1)
    await fill(store, slow, 1)
    over = await store.reserve([quick, slow], LEASE)
    assert isinstance(over, OverLimit)
    assert over.name == "quick"
    clock.pass_(over.retry_after)
    assert isinstance(await store.reserve([quick, slow], LEASE), Reserved)


async def test_who_may_use_less_of_a_limit_leaves_the_rest_to_others(store, clock):
    """How marketing leaves a reserve: one key, its own count."""
    for_marketing, for_others = charge(9), charge(10)
    await fill(store, for_marketing, 8)
    await fill(store, for_others, 1)
    over = await store.reserve([for_marketing], LEASE)
    assert isinstance(over, OverLimit)
    await fill(store, for_others, 1)
    assert isinstance(await store.reserve([for_others], LEASE), OverLimit)
    clock.pass_(over.retry_after)
    assert isinstance(await store.reserve([for_marketing], LEASE), Reserved)


async def test_in_flight_means_that_nothing_else_stands_in_the_way(store):
    spent, held = charge(1, key="spent", name="spent"), charge(1, key="held", name="held")
    await fill(store, spent, 1)
    await store.reserve([held], LEASE)
    assert (await store.reserve([held], LEASE)).in_flight
    over = await store.reserve([held, spent], LEASE)
    assert (over.name, over.in_flight) == ("held", False)


async def test_a_charge_of_several_units_counts_them_all(store):
    assert isinstance(await store.reserve([charge(5, units=3)], LEASE), Reserved)
    assert isinstance(await store.reserve([charge(5, units=3)], LEASE), OverLimit)
    assert isinstance(await store.reserve([charge(5, units=2)], LEASE), Reserved)


async def test_more_units_than_the_limit_has_never_fit(store):
    over = await store.reserve([charge(5, units=6)], LEASE)
    assert isinstance(over, OverLimit)
    assert not over.in_flight
    assert over.retry_after >= 1


async def test_two_charges_against_one_limit_are_two(store):
    assert isinstance(await store.reserve([charge(3), charge(3)], LEASE), Reserved)
    assert isinstance(await store.reserve([charge(3), charge(3)], LEASE), OverLimit)
    assert isinstance(await store.reserve([charge(3)], LEASE), Reserved)


async def test_limits_do_not_know_each_other(store):
    assert all([isinstance(await store.reserve([charge(1, key=n)], LEASE), Reserved) for n in range(50)])


async def test_a_day_is_counted_by_its_name(store, clock):
    ends = START + 3600.0
    await fill(store, day_charge(2, "2027-01-15", ends), 2)
    over = await store.reserve([day_charge(2, "2027-01-15", ends)], LEASE)
    assert over == OverLimit("2/day", 3600)
    clock.pass_(3600)
    assert isinstance(await store.reserve([day_charge(2, "2027-01-16", ends + 86400)], LEASE), Reserved)


async def test_a_spent_day_stays_spent_to_its_last_second(store, clock):
    ends = START + 80_000.0
    await fill(store, day_charge(2, "2027-01-15", ends), 2)
    clock.pass_(79_999.0)
    assert await store.reserve([day_charge(2, "2027-01-15", ends)], LEASE) == OverLimit("2/day", 1)


async def test_a_reservation_of_the_day_whose_lease_ran_out_stays_spent(store, clock):
    ends = START + 80_000.0
    await store.reserve([day_charge(1, "2027-01-15", ends)], LEASE)
    clock.pass_(40_000.0)
    assert await store.reserve([day_charge(1, "2027-01-15", ends)], LEASE) == OverLimit("1/day", 40_000)


async def test_a_clock_that_steps_back_frees_nothing(store, clock):
    await fill(store, charge(1), 1)
    clock.pass_(-1800)
    assert isinstance(await store.reserve([charge(1)], LEASE), OverLimit)


async def test_old_counts_do_not_pile_up_in_the_way(store, clock):
    for _ in range(300):
        await fill(store, charge(2, unit=1.0), 1)
        clock.pass_(1.1)
    assert isinstance(await store.reserve([charge(2, unit=1.0, units=2)], LEASE), Reserved)


STEPS = st.lists(
    st.one_of(
        st.just(("reserve", 0)),
        st.tuples(st.sampled_from(["settle", "refund"]), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.2, 0.5, 0.98, 1.0, 1.02, 3.0])),
    ),
    max_size=60,
)
_runs = iter(range(10**9))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, count=st.integers(1, 4), start=st.floats(0, 100))
async def test_no_window_ever_holds_more_than_the_limit(store, clock, steps, count, start):
    """Whatever the order of steps: in no window of that length more was settled than the limit says."""
    length = 2.0
    limit = charge(count, unit=length, key=f"run {next(_runs)}")
    clock.now = START + start
    living, settled = [], []
    for step, value in steps:
        if step == "wait":
            clock.pass_(value)
        elif step == "reserve":
            answer = await store.reserve([limit], 10_000.0)
            if isinstance(answer, Reserved):
                living.append(answer.id)
        elif living:
            reservation = living.pop(value % len(living))
            await (store.settle if step == "settle" else store.refund)(reservation)
            settled += [clock()] if step == "settle" else []
    for begin in settled:
        within = [at for at in settled if begin <= at < begin + length]
        assert len(within) <= count


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(waits=st.lists(st.floats(0, 40), min_size=1, max_size=12), start=st.floats(0, 100))
async def test_waiting_as_told_is_enough(store, clock, waits, start):
    """`retry_after` is honest: nobody who waits for it is sent away again, and it is not a bucket too long."""
    limit = charge(len(waits), key=f"run {next(_runs)}")
    clock.now = START + start
    for wait in waits:
        clock.pass_(wait)
        reserved = await store.reserve([limit], LEASE)
        if isinstance(reserved, Reserved):
            await store.settle(reserved.id)
    over = await store.reserve([limit], LEASE)
    if isinstance(over, OverLimit):
        assert 1 <= over.retry_after <= math.ceil(60 + 1)
        clock.pass_(over.retry_after)
        assert isinstance(await store.reserve([limit], LEASE), Reserved)


async def test_a_digest_is_all_that_names_a_limit(store):
    await fill(store, charge(1, key="x", name="one name"), 1)
    assert isinstance(await store.reserve([charge(1, key="x", name="another name")], LEASE), OverLimit)
