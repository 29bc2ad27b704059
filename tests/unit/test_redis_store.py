"""What only the store on Redis can suffer: silence, loss, fail-over, foreign settings; it answers or says why not."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import trustme

from relay.errors import ConfigurationError, StoreUnavailable
from relay.policy.suppressions.suppression import Reason
from relay.stores.contracts import StoreMeta
from relay.stores.ledger import Cleared, Opening
from relay.stores.limits import OverLimit, Reserved
from relay.stores.redis.store import RedisStore
from tests.support.clocks import Clock
from tests.support.fixtures import a_redis_store, a_sentinel_group, an_emptied_redis
from tests.support.ports import free_port
from tests.support.redis_server import DURABLE, RedisServer
from tests.support.stores import (
    ADA,
    BOB,
    META,
    PATIENT_MS,
    START,
    charge,
    delivered,
    digest,
    first_try,
    patiently,
    refusal,
    request,
)
from tests.support.waiting import wait_until

MAIL = digest("submission")
LEASE = 30.0


server = an_emptied_redis()
store = a_redis_store(clock="")
group = a_sentinel_group()


@asynccontextmanager
async def a_store_on(server, meta: StoreMeta = META, timeout_ms: int = PATIENT_MS, **options):
    opened = await patiently(lambda: RedisStore.open(server.url, meta, timeout_ms=timeout_ms, **options))
    try:
        yield opened
    finally:
        await opened.aclose()


async def why(awaitable) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await awaitable
    return caught.value.reason


@pytest.fixture
def own_server(tmp_path):
    with RedisServer(tmp_path / "own") as server:
        yield server


# Silence and loss


async def test_a_server_that_accepts_and_never_answers_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"redis://127.0.0.1:{hole.getsockname()[1]}"
        async with asyncio.timeout(30):  # the budget is 100 ms; without one redis-py tries for a minute
            assert await why(RedisStore.open(url, META, timeout_ms=100)) == "timeout"


async def test_a_server_that_falls_silent_is_a_timeout_and_recovers_by_itself(store, server):
    await store.suppress(refusal())
    async with a_store_on(server, timeout_ms=200) as hasty:
        server.pause()
        try:
            reasons = await asyncio.gather(*(why(hasty.find([(ADA,)])) for _ in range(20)))
        finally:
            server.resume()
        assert set(reasons) == {"timeout"}
        assert await patiently(lambda: hasty.find([(ADA,)])) == [(refusal(),)]


async def test_what_nobody_waits_for_any_more_is_not_sent(store, server):
    """Operations that found no free way leave with their callers; those on the way are carried out."""
    server.pause()
    try:
        asked = []
        for n in range(4):
            asked.append(asyncio.ensure_future(store.suppress(refusal(digest(n)))))
            await asyncio.sleep(0.01)
        given_up = [asyncio.ensure_future(store.suppress(refusal(digest(n)))) for n in range(100, 120)]
        await asyncio.sleep(0.01)
        for call in given_up:
            call.cancel()
    finally:
        server.resume()
    assert await asyncio.gather(*asked) == [True] * 4
    assert await store.find([(digest(n),) for n in range(100, 120)]) == [()] * 20


async def test_no_server_is_unreachable():
    assert await why(RedisStore.open(f"redis://127.0.0.1:{free_port()}", META, timeout_ms=PATIENT_MS)) == "unreachable"


async def test_what_was_acknowledged_survives_a_power_cut(own_server):
    await RedisStore.create(own_server.url, META, timeout_ms=PATIENT_MS)
    async with a_store_on(own_server) as store:
        for n in range(300):
            assert await store.suppress(refusal(digest(n)))
        await store.open_submission(MAIL, Opening(first_try(), 600.0))
        assert await store.clear(MAIL, "one", [request(ADA)], LEASE, 3600.0) == [Cleared()]
        await store.finish(MAIL, [delivered(ADA)])
        own_server.kill()
        assert await why(store.find([(ADA,)])) == "unreachable"
        own_server.start()
        assert [len(one) for one in await store.find([(digest(n),) for n in range(300)])] == [1] * 300
        assert [row.state for row in await store.rows(MAIL)] == ["delivered"]


async def test_a_flushed_store_clears_nobody_from_that_moment_on(store, server):
    """FLUSHALL under load: once one operation has seen the empty store, no later one is answered."""
    await store.suppress(refusal())
    answers: list[object] = []

    async def load(number):
        while True:
            try:
                answers.append(await store.clear(digest(number), "one", [request(ADA), request(BOB)], LEASE, 3600.0))
            except StoreUnavailable as fault:
                answers.append(fault.reason)
                return
            await asyncio.sleep(0)

    running = [asyncio.ensure_future(load(n)) for n in range(10)]
    while len(answers) < 100:
        await asyncio.sleep(0.001)
    await asyncio.to_thread(server.command, "FLUSHALL")
    await asyncio.gather(*running)
    assert all("cleared" not in str(answer[0]).lower() for answer in answers if isinstance(answer, list))
    assert answers.count("empty") == 10
    assert await why(store.find([(ADA,)])) == "empty"
    assert await why(store.suppress(refusal())) == "empty"


async def test_functions_that_vanished_are_loaded_again(store, server):
    await store.suppress(refusal())
    server.command("FUNCTION", "FLUSH")
    assert await store.find([(ADA,)]) == [(refusal(),)]


async def test_two_versions_of_the_functions_live_side_by_side(store, server):
    other = "#!lua name=relay_other\nredis.register_function('relay_other_tick', function() return 1 end)"
    server.command("FUNCTION", "LOAD", other)
    await store.check()
    assert "relay_other" in server.command("FUNCTION", "LIST", "LIBRARYNAME", "relay_other")


async def test_a_caller_that_gives_up_leaves_the_next_answer_right(store):
    await store.suppress(refusal())
    for delay in (0, 0.0002, 0.0005, 0.001):
        for _ in range(20):
            call = asyncio.ensure_future(store.find([(BOB,)] * 50))
            await asyncio.sleep(delay)
            call.cancel()
            assert await store.find([(ADA,)]) == [(refusal(),)]
            await asyncio.gather(call, return_exceptions=True)


async def test_a_failing_operation_does_not_sink_those_beside_it(store, server):
    """A key of a foreign type breaks the ledger of one submission; its neighbours in the same call are answered."""
    await store.open_submission(MAIL, Opening(first_try(), 600.0))
    broken = digest("broken")
    await store.open_submission(broken, Opening(first_try(), 600.0))
    client = store._link._client
    await client.delete(b"{relay}:l:" + broken)
    await client.set(b"{relay}:l:" + broken, "not a hash")
    limit = charge(5)
    calls = (
        store.clear(MAIL, "one", [request(ADA, limit)], LEASE, 3600.0),
        store.clear(broken, "one", [request(ADA, limit)], LEASE, 3600.0),
    )
    good, bad = (asyncio.ensure_future(call) for call in calls)
    assert await store.find([(ADA,)]) == [()]
    assert [type(answer) for answer in await good] == [Cleared]
    assert await why(bad) == "schema"
    answers = [await store.reserve([limit], LEASE) for _ in range(5)]
    assert [isinstance(a, Reserved) for a in answers] == [True] * 4 + [False]  # the broken one charged nothing


async def test_thousands_of_recipients_are_answered_in_their_order(store):
    await store.suppress_many([refusal(digest(n)) for n in range(0, 2500, 7)])
    found = await store.find([(digest(n), digest(f"older {n}")) for n in range(2500)])
    assert [len(one) for one in found] == [int(n % 7 == 0) for n in range(2500)]


async def test_text_that_cannot_be_encoded_spoils_nothing(store):
    odd = refusal(ADA, note="half a character: \ud800")
    is_new, found = await asyncio.gather(store.suppress(odd), store.find([(BOB,)]))
    assert (is_new, found) == (True, [()])
    assert (await store.find([(ADA,)]))[0][0].note == "half a character: ?"


async def test_closing_answers_what_was_asked_before(server):
    server.command("FLUSHALL")
    await RedisStore.create(server.url, META, timeout_ms=PATIENT_MS)
    store = await RedisStore.open(server.url, META, timeout_ms=PATIENT_MS)
    asked = [asyncio.ensure_future(store.suppress(refusal(digest(n)))) for n in range(2000)]
    await asyncio.sleep(0)
    await store.aclose()
    assert all(await asyncio.gather(*asked))


# Several nodes


async def test_two_nodes_share_a_limit_exactly(store, server):
    async with a_store_on(server) as other:
        both = [store if n % 2 else other for n in range(200)]
        answers = await asyncio.gather(*(one.reserve([charge(37)], LEASE) for one in both))
        assert sum(isinstance(a, Reserved) for a in answers) == 37


async def test_a_refusal_on_one_node_binds_the_next_recipient_on_the_other(store, server):
    async with a_store_on(server) as other:
        for n in range(50):
            await store.suppress(refusal(digest(n)))
            (answer,) = await other.clear(MAIL, "one", [request(digest(n))], LEASE, 3600.0)
            assert not isinstance(answer, Cleared)


async def test_of_two_nodes_that_create_the_store_at_once_one_names_it(server):
    server.command("FLUSHALL")
    metas = [StoreMeta(f"store {n}", 1, META.fingerprints) for n in range(5)]
    made = await asyncio.gather(*(RedisStore.create(server.url, meta, timeout_ms=PATIENT_MS) for meta in metas))
    assert len({meta.store_id for meta in made}) == 1
    assert await RedisStore.peek(server.url, timeout_ms=PATIENT_MS) == made[0]


async def test_an_empty_server_is_nobody(server):
    server.command("FLUSHALL")
    assert await RedisStore.peek(server.url, timeout_ms=PATIENT_MS) is None
    assert await why(RedisStore.open(server.url, META, timeout_ms=PATIENT_MS)) == "empty"


async def test_the_servers_own_clock_decides(store):
    await store.suppress(refusal(reason=Reason.HARD_BOUNCE, at=0.0, expires_at=1.0))
    await store.suppress(refusal(BOB, reason=Reason.HARD_BOUNCE, at=0.0, expires_at=4e9))
    assert [len(found) for found in await store.find([(ADA,), (BOB,)])] == [0, 1]


async def test_what_ran_out_leaves_redis(store, server):
    await store.open_submission(MAIL, Opening(first_try(), 0.05))
    await store.reserve([charge(1)], LEASE)
    while int(await store._link._client.execute_command("EXISTS", b"{relay}:l:" + MAIL)):
        await asyncio.sleep(0.02)
    keys = await store._link._client.keys("{relay}:*")
    lasting = {key async for key in _without_end(store, keys)}
    assert lasting <= {b"{relay}:meta"}


async def _without_end(store, keys):
    for key in keys:
        if await store._link._client.pttl(key) == -1:  # -2 is of a key that went after it was listed
            yield key


async def test_a_thousand_lapsed_reservations_are_counted_and_forgotten(server):
    server.command("FLUSHALL")
    clock = Clock(START)
    await RedisStore.create(server.url, META, timeout_ms=PATIENT_MS)
    store = await RedisStore.open(server.url, META, timeout_ms=PATIENT_MS, clock=clock)
    limit = charge(1000, unit=3600.0)
    await asyncio.gather(*(store.reserve([limit], LEASE) for _ in range(1000)))
    clock.pass_(LEASE)
    overs = [await store.reserve([limit], LEASE) for _ in range(6)]
    assert not any(isinstance(over, Reserved) for over in overs)
    assert isinstance(overs[-1], OverLimit)
    assert not overs[-1].in_flight
    assert await store._link._client.keys("{relay}:h:*") == []
    await store.aclose()


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no"), ("appendfsync", "everysec")],
)
async def test_a_server_that_may_lose_data_is_refused(own_server, setting, value):
    await RedisStore.create(own_server.url, META, timeout_ms=PATIENT_MS)
    async with a_store_on(own_server) as store:
        await store.check()
        own_server.command("CONFIG", "SET", setting, value)
        with pytest.raises(StoreUnavailable, match=f"{setting} is {value}") as caught:
            await store.check()
        assert caught.value.reason == "durability"


async def test_hidden_settings_need_a_word_of_the_operator(tmp_path):
    server = RedisServer(tmp_path, (*DURABLE, "--rename-command", "CONFIG", ""))
    server.start()
    try:
        await RedisStore.create(server.url, META, timeout_ms=PATIENT_MS)
        async with a_store_on(server) as store:
            with pytest.raises(StoreUnavailable, match="durability_confirmed"):
                await store.check()
        async with a_store_on(server, durability_confirmed=True) as store:
            await store.check()
    finally:
        server.stop()


async def test_a_full_server_says_so(own_server):
    await RedisStore.create(own_server.url, META, timeout_ms=PATIENT_MS)
    async with a_store_on(own_server) as store:
        own_server.command("CONFIG", "SET", "maxmemory", "1mb")
        assert await why(store.suppress(refusal())) == "memory"


async def test_a_replica_takes_nothing(own_server, server):
    await RedisStore.create(own_server.url, META, timeout_ms=PATIENT_MS)
    async with a_store_on(own_server) as store:
        own_server.command("REPLICAOF", "127.0.0.1", str(free_port()))
        assert await why(store.suppress(refusal())) == "unreachable"
        assert await why(store.find([(ADA,)])) == "unreachable"
        assert await why(store.check()) == "unreachable"


async def test_a_wrong_password_is_named(own_server):
    own_server.command("CONFIG", "SET", "requirepass", "secret")
    with pytest.raises(StoreUnavailable, match=r"(?i)auth"):
        await RedisStore.peek(own_server.url, timeout_ms=PATIENT_MS)
    url = own_server.url.replace("redis://", "redis://:secret@")
    assert await RedisStore.peek(url, timeout_ms=PATIENT_MS) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379?socket_timeout=60",
        "redis://127.0.0.1:6379?retry_on_timeout=yes",
        "redis+sentinel://127.0.0.1:26379",
        "redis+sentinel:///relay",
        "redis+sentinel://127.0.0.1/relay",
        "redis+sentinel://127.0.0.1:26379/relay?ssl_ca_certs=x",
        "redis+sentinel://127.0.0.1:26379/relay/news",
    ],
)
async def test_a_url_that_cannot_be_meant_is_a_fault_of_the_configuration(url):
    with pytest.raises(ConfigurationError, match=r"\[store\] url"):
        await RedisStore.open(url, META, timeout_ms=PATIENT_MS)


# TLS and Sentinel


@pytest.fixture
def tls_server(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    files = {"tls-cert-file": "server.pem", "tls-key-file": "server.key", "tls-ca-cert-file": "ca.pem"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))]
    port = free_port()
    server = RedisServer(tmp_path / "tls", (*DURABLE, "--tls-port", str(port), "--tls-auth-clients", "no", *options))
    server.start()
    yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
    server.stop()


async def test_tls_is_verified(tls_server):
    assert await RedisStore.create(tls_server, META, timeout_ms=PATIENT_MS) == META
    store = await RedisStore.open(tls_server, META, timeout_ms=PATIENT_MS)
    assert await store.suppress(refusal())
    await store.aclose()
    with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
        await RedisStore.open(tls_server.partition("?")[0], META, timeout_ms=PATIENT_MS)


async def test_sentinel_fails_over_and_no_refusal_is_lost(group):
    await patiently(lambda: RedisStore.create(group.url, META, timeout_ms=PATIENT_MS))
    store = await RedisStore.open(group.url, META, timeout_ms=PATIENT_MS)
    await store.check()
    await patiently(lambda: store.suppress_many([refusal(digest(n)) for n in range(100)]))
    group.master.kill()
    assert await why(store.find([(digest(0),)])) in ("unreachable", "timeout")
    await asyncio.to_thread(group.fail_over)
    found = await patiently(lambda: store.find([(digest(n),) for n in range(100)]))
    assert [len(one) for one in found] == [1] * 100
    assert await why(store.check()) == "durability"  # the new master has no replica and asks for none
    await store.aclose()


async def test_a_refusal_that_no_replica_has_is_not_acknowledged(group):
    await patiently(lambda: RedisStore.create(group.url, META, timeout_ms=PATIENT_MS))
    store = await RedisStore.open(group.url, META, timeout_ms=PATIENT_MS)
    group.replica.pause()
    try:
        assert await why(store.suppress(refusal())) == "durability"
        assert isinstance(await store.reserve([charge(1)], LEASE), Reserved)  # what needs no replica goes on
    finally:
        group.replica.resume()
    await patiently(lambda: store.suppress(refusal(BOB)))
    await store.aclose()


async def test_a_master_without_replicas_says_so_of_refusals_too(group):
    await patiently(lambda: RedisStore.create(group.url, META, timeout_ms=PATIENT_MS))
    store = await RedisStore.open(group.url, META, timeout_ms=PATIENT_MS)
    group.replica.kill()
    await asyncio.to_thread(wait_until, lambda: "connected_slaves:0" in group.master.command("INFO", "replication"))
    assert await why(store.reserve([charge(1)], LEASE)) == "durability"
    with pytest.raises(StoreUnavailable, match=r"^Redis has too few replicas to keep what it is told$") as caught:
        await store.suppress(refusal())
    assert caught.value.reason == "durability"
    await store.aclose()


async def test_a_sentinel_that_is_silent_does_not_hide_the_others(group):
    await patiently(lambda: RedisStore.create(group.url, META, timeout_ms=PATIENT_MS))
    with socket.create_server(("127.0.0.1", 0)) as hole:
        silent = f"127.0.0.1:{hole.getsockname()[1]}"
        url = group.url.replace("//", f"//{silent},")
        store = await patiently(lambda: RedisStore.open(url, META, timeout_ms=500))
        assert await patiently(lambda: store.find([(ADA,)])) == [()]
        await store.aclose()
