"""A breaker opens after failures in a row, lets one try, and waits twice as long after each that fails."""

import pytest

from relay.upstream.breaker import LONGEST, OPENS_AFTER, PROBE_PATIENCE, SHORTEST, Breaker, Breakers
from tests.support.clocks import Clock


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


def fail(breaker, times=OPENS_AFTER):
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_failures_in_a_row_only(breaker):
    fail(breaker, OPENS_AFTER - 1)
    breaker.worked()
    fail(breaker, OPENS_AFTER - 1)
    assert (breaker.is_open, breaker.wait()) == (False, 0.0)
    breaker.failed()
    assert (breaker.is_open, breaker.wait()) == (True, SHORTEST)


def test_one_tries_and_the_others_wait_for_it(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    assert breaker.wait() == 0
    assert breaker.wait() == PROBE_PATIENCE
    breaker.worked()
    assert [breaker.wait() for _ in range(3)] == [0.0] * 3


def test_each_failed_try_doubles_the_wait_up_to_the_longest(breaker, clock):
    fail(breaker)
    waits = []
    for _ in range(9):
        clock.pass_(breaker.wait())
        assert breaker.wait() == 0
        breaker.failed()
        waits.append(breaker.wait())
    assert waits == [20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert waits[-1] == LONGEST


def test_those_that_were_under_way_when_it_opened_do_not_make_it_longer(breaker, clock):
    fail(breaker, OPENS_AFTER + 20)
    assert breaker.wait() == SHORTEST


def test_a_try_that_never_says_how_it_went_is_followed_by_another(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    assert breaker.wait() == 0
    clock.pass_(PROBE_PATIENCE)
    assert breaker.wait() == 0


def test_after_it_closed_it_needs_as_many_failures_again(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    breaker.wait()
    breaker.worked()
    fail(breaker, OPENS_AFTER - 1)
    assert not breaker.is_open
    breaker.failed()
    assert breaker.wait() == SHORTEST


def test_the_logins_of_one_identity_keep_back_nobody_else(clock):
    breakers = Breakers(clock)
    for _ in range(OPENS_AFTER):
        breakers.login_failed("news@example.com")
    assert (breakers.wait("news@example.com"), breakers.wait("office@example.com"), breakers.open) == (SHORTEST, 0.0, 1)
    breakers.worked("news@example.com")
    assert (breakers.wait("news@example.com"), breakers.open) == (0.0, 0)


def test_the_upstream_keeps_back_everybody(clock):
    breakers = Breakers(clock)
    for _ in range(OPENS_AFTER):
        breakers.failed()
    assert breakers.wait("news@example.com") == breakers.wait("office@example.com") == SHORTEST


def test_identities_are_not_remembered_without_end(clock):
    breakers = Breakers(clock)
    for number in range(Breakers.MOST + 50):
        breakers.login_failed(f"guess{number}@example.com")
    assert len(breakers._identities) == Breakers.MOST
