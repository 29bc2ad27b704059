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


def wait(breaker):
    """As whoever wants to connect: 0, and does, or seconds."""
    left = breaker.left()
    if left == 0:
        breaker.begin()
    return left


def test_it_opens_after_failures_in_a_row_only(breaker):
    fail(breaker, OPENS_AFTER - 1)
    breaker.worked()
    fail(breaker, OPENS_AFTER - 1)
    assert (breaker.is_open, wait(breaker)) == (False, 0.0)
    breaker.failed()
    assert (breaker.is_open, wait(breaker)) == (True, SHORTEST)


def test_one_tries_and_the_others_wait_for_it(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    assert wait(breaker) == 0
    assert wait(breaker) == PROBE_PATIENCE
    breaker.worked()
    assert [wait(breaker) for _ in range(3)] == [0.0] * 3


def test_each_failed_try_doubles_the_wait_up_to_the_longest(breaker, clock):
    fail(breaker)
    waits = []
    for _ in range(9):
        clock.pass_(wait(breaker))
        assert wait(breaker) == 0
        breaker.failed()
        waits.append(wait(breaker))
    assert waits == [20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert waits[-1] == LONGEST


def test_those_that_were_under_way_when_it_opened_do_not_make_it_longer(breaker, clock):
    fail(breaker, OPENS_AFTER + 20)
    assert wait(breaker) == SHORTEST


def test_a_try_that_never_says_how_it_went_is_followed_by_another(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    assert wait(breaker) == 0
    clock.pass_(PROBE_PATIENCE)
    assert wait(breaker) == 0


def test_after_it_closed_it_needs_as_many_failures_again(breaker, clock):
    fail(breaker)
    clock.pass_(SHORTEST)
    wait(breaker)
    breaker.worked()
    fail(breaker, OPENS_AFTER - 1)
    assert not breaker.is_open
    breaker.failed()
    assert wait(breaker) == SHORTEST


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


def test_who_learnt_nothing_lets_the_next_one_try(clock):
    breakers = Breakers(clock)
    for _ in range(OPENS_AFTER):
        breakers.failed()
    clock.pass_(SHORTEST)
    assert breakers.wait("refused@example.com") == 0
    assert breakers.wait("news@example.com") == PROBE_PATIENCE
    breakers.learnt_nothing("refused@example.com")
    assert breakers.wait("news@example.com") == 0
    assert breakers.wait("office@example.com") == PROBE_PATIENCE, "still one at a time"
    breakers.failed()
    assert breakers.wait("news@example.com") == 2 * SHORTEST, "and what fails counts as before"
    breakers.learnt_nothing("refused@example.com")
    assert breakers.wait("news@example.com") == 2 * SHORTEST, "nobody is trying"


def test_who_may_not_connect_to_the_upstream_is_not_the_one_that_tries_the_login(clock):
    breakers = Breakers(clock)
    for _ in range(OPENS_AFTER):
        breakers.login_failed("news@example.com")
    clock.pass_(SHORTEST / 2)
    for _ in range(OPENS_AFTER):
        breakers.failed()
    clock.pass_(SHORTEST / 2)
    assert breakers.wait("news@example.com") == SHORTEST / 2, "the upstream's own rest is not over"
    clock.pass_(SHORTEST / 2)
    assert breakers.wait("news@example.com") == 0
