"""Guesses and outages at a real upstream: it hears twenty guesses of a thousand, and its users go on sending afterwards."""

import asyncio
import time
from datetime import date

import pytest

from relay.doors.auth import Authenticator
from relay.holding.custody import Custody
from relay.keys import new_keys
from relay.mail.envelope import Client, Identity
from tests.support.fixtures import an_upstream
from tests.support.leaving import NEWS, a_config, upstream_table, upstreams_of
from tests.support.stores import a_store

PEOPLE = [f"person{number}@example.com" for number in range(50)]

upstream = an_upstream(accounts=dict.fromkeys([NEWS, *PEOPLE], "right"))


@pytest.fixture(params=["sqlite", "redis"])
async def store(request, tmp_path):
    async with a_store(request, tmp_path, None) as opened:
        yield opened


@pytest.fixture
async def workers(store, upstream):
    """The authenticators of two processes."""
    keys, config = new_keys(date(2026, 11, 21)), a_config(table := upstream_table(upstream))
    custody = Custody(config, keys=keys, store=store, clock=time.time)
    async with upstreams_of(table) as one, upstreams_of(table) as other:
        both = [
            Authenticator(config, store=store, upstreams=them, keys=keys, logged_in=told, custody=custody, sleep=no_delay)
            for them in (one, other)
        ]
        yield both
        for worker in both:
            worker.close()


async def told(upstream: str, identity: str) -> None:
    """Whoever wants to know of a login that was taken."""


async def no_delay(seconds: float) -> None:
    await asyncio.sleep(0)


async def log_in(worker, login, password="right", address="198.51.100.1"):
    client = Client("submission", address, "x", "TLSv1.3 X", "ESMTPS")
    return await worker.authenticate(client, worker._config.listen[0], login, password)


async def test_a_thousand_guesses_reach_the_upstream_at_most_twenty_times(upstream, workers):
    assert isinstance(await log_in(workers[0], NEWS), Identity)
    guesses = (log_in(workers[i % 2], f"user{i}@example.com", f"guess{i}", f"198.51.{i % 250}.{i // 250}") for i in range(1000))
    await asyncio.gather(*guesses)
    assert 1 <= sum(not right for _, right in upstream.auth_attempts) <= 20
    assert isinstance(await log_in(workers[0], NEWS), Identity)


@pytest.mark.parametrize("fault", ["CONNECT", "EHLO", "down"])
async def test_whoever_logged_in_during_an_outage_is_welcome_after_it(upstream, workers, fault):
    """From one address, as people behind one office line are; each tries again and again."""
    if fault == "down":
        upstream.stop()
    else:
        upstream.fault(fault, close=True)
    for _ in range(2):
        answers = await asyncio.gather(*(log_in(workers[i % 2], person) for i, person in enumerate(PEOPLE)))
        assert {answer.code for answer in answers} == {454}
    assert upstream.auth_attempts == []
    if fault == "down":
        upstream.start()
    upstream.faults.clear()
    for i, person in enumerate(PEOPLE):
        assert isinstance(await log_in(workers[i % 2], person), Identity)


async def test_a_login_that_was_cut_off_stays_paid_for(upstream, workers):
    """The upstream may have counted it."""
    upstream.fault("AUTH", close=True)
    answers = [await log_in(workers[i % 2], f"user{i}@example.com", "guess", f"198.51.100.{i}") for i in range(30)]
    assert {answer.code for answer in answers} == {454}
    assert len(upstream.sessions) == 20
