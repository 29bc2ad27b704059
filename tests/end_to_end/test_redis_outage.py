"""Redis stopped, emptied, or written by somebody else: nothing leaves, nobody's refusal is lost."""

import threading

import pytest

from tests.support.fixtures import an_upstream
from tests.support.journey import Client, Journey, readiness
from tests.support.redis_server import RedisServer
from tests.support.trusting import is_open, is_shut, open_relay, sends, trusting_relay

upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis-outage"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream, redis):
    with open_relay(tmp_path_factory.mktemp("outage"), upstream, store=redis.url) as relay:
        yield relay


def test_redis_stopped(relay, upstream, redis):
    redis.stop()
    assert is_shut(relay, upstream, "store: unreachable")
    redis.start()
    relay.wait(lambda: is_open(relay, upstream))


def test_redis_that_does_not_answer(relay, upstream, redis):
    redis.pause()
    assert is_shut(relay, upstream, "store: timeout")
    redis.resume()
    relay.wait(lambda: is_open(relay, upstream))


def test_a_refusal_while_redis_is_down_holds_at_once_and_reaches_the_store(relay, upstream, redis):
    journey = Journey(upstream, "ada")
    client = Client(relay, None)
    assert client.send(journey)[0] == 250
    redis.stop()
    assert relay.unsubscribe(journey.deliveries[0].data) == 200
    assert client.send(Journey(upstream, "bob"))[0] == 451
    redis.start()
    again = Journey(upstream)
    again.recipients = journey.recipients
    relay.wait(lambda: client.send(Journey(upstream, "bob"))[0] == 250)
    code, text = client.send(again)
    assert (code, again.arrived) == (550, [])
    assert "[base/suppression]" in text
    relay.wait(lambda: "unsubscribe" in relay.command("suppress", "check", again.recipients[0]).stdout)
    client.quit()


def test_a_second_node_with_other_keys_stays_shut_and_the_first_goes_on(relay, upstream, redis, tmp_path):
    with trusting_relay(tmp_path / "second", upstream, workers=1, store=redis.url) as second:
        assert is_shut(second, upstream, "store: keys")
        assert is_open(relay, upstream)


def test_flushall_under_load(relay, upstream, redis):
    flushed = threading.Event()
    after: list[tuple[Journey, int]] = []
    failures: list[BaseException] = []

    def load():
        try:
            client = Client(relay, None)
            for _ in range(200):
                begun_after = flushed.is_set()
                journey = Journey(upstream, "ada")
                code = client.send(journey)[0]
                if begun_after:
                    after.append((journey, code))
                if len(after) >= 20:
                    return
        except BaseException as failure:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(failure)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    upstream.wait(lambda: len(upstream.deliveries) > 20)
    assert redis.command("FLUSHALL").startswith("+OK")
    flushed.set()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(after) >= 20
    assert {code for _, code in after} == {451}
    assert [journey.deliveries for journey, _ in after] == [[]] * len(after)
    assert is_shut(relay, upstream, "store: empty")
    assert readiness(relay)[0] == 503
    assert sends(relay, upstream) == 451
