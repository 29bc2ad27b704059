"""A thousand guesses from a thousand addresses at a thousand logins: the upstream hears twenty, its users go on sending."""

import asyncio
from datetime import date

import pytest

from relay.doors.auth import Authenticator
from relay.keys import new_keys
from relay.mail.envelope import Client, Identity
from tests.support.leaving import NEWS, a_config, upstream_table, upstreams_of
from tests.support.stores import new_sqlite
from tests.support.upstream import RecordingUpstream


@pytest.fixture
def upstream():
    with RecordingUpstream(tls="implicit", accounts={NEWS: "right"}) as server:
        yield server


async def no_delay(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_a_thousand_guesses_reach_the_upstream_at_most_twenty_times(upstream, tmp_path):
    store, keys, config = await new_sqlite(tmp_path, None), new_keys(date(2026, 11, 21)), a_config(upstream_table(upstream))
    async with upstreams_of(upstream_table(upstream)) as one, upstreams_of(upstream_table(upstream)) as other:
        workers = [Authenticator(config, store=store, upstreams=them, keys=keys, sleep=no_delay) for them in (one, other)]

        async def guess(number: int, login: str, password: str) -> object:
            client = Client("submission", f"198.51.{number % 250}.{number // 250}", "x", "TLSv1.3 X", "ESMTPS")
            return await workers[number % 2].authenticate(client, config.listen[0], login, password)

        assert isinstance(await guess(0, NEWS, "right"), Identity)
        await asyncio.gather(*(guess(number, f"user{number}@example.com", f"guess{number}") for number in range(1000)))
        assert 1 <= sum(not right for _, right in upstream.auth_attempts) <= 20
        assert isinstance(await guess(0, NEWS, "right"), Identity)
        for worker in workers:
            worker.close()
    await store.aclose()
