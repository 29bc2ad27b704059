"""One worker as the supervisor sees it, with a stand-in for the process."""

import asyncio
import json
import os

import pytest

from relay.doors.smtp.headcount import KEY_OCTETS, shared_memory
from relay.service import hand as hand_module
from relay.service.hand import Hand
from relay.service.metrics import Totals
from relay.service.worker import Orders
from tests.support.waiting import until

WORKER = """
import json, os, socket, sys, time
orders = json.loads(sys.argv[1])
channel = socket.socket(fileno=orders["control"])
def say(**message): channel.sendall(json.dumps(message).encode() + b"\\n")
heard = channel.makefile()
keys = json.loads(heard.readline())
"""
KEYS = {"keys": "the rings", "fault": ""}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Run this code instead of a worker."""

    def use(code):
        path = tmp_path / "worker.py"
        path.write_text(WORKER + code)

        original = asyncio.create_subprocess_exec

        def start(program, *words, pass_fds):
            return original(program, str(path), words[-1], pass_fds=pass_fds)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)

    return use


def a_hand(memory):
    return Hand(
        "worker-1", {}, headcount=memory, row=0, config_path="config.toml", policy=lambda: "wanted", keys=lambda: KEYS,
        totals=Totals(),
    )  # fmt: skip


@pytest.fixture
async def hand(monkeypatch):
    monkeypatch.setattr(hand_module, "RESTART_SECONDS", 0.01)
    memory = shared_memory(1, bytes(KEY_OCTETS))
    hand = a_hand(memory)
    keeping: list[asyncio.Task[None]] = []

    def keep():
        keeping.append(asyncio.get_running_loop().create_task(hand.keep()))
        return hand

    yield keep
    await hand.drain(0.1)
    await asyncio.gather(*keeping)
    os.close(memory)


async def test_a_worker_that_says_its_set_is_ready(stand_in, hand):
    stand_in('say(policy="wanted", store=""); channel.recv(1)')
    worker = hand()
    assert worker.fault() == "not running"
    await worker.settled.wait()
    assert worker.fault() == ""


async def test_a_worker_is_told_the_keys_before_anything_else_and_what_comes_later(stand_in, hand):
    stand_in("""
say(policy="wanted", store=f"{keys}")
told = json.loads(heard.readline())
say(policy="wanted", store=f"{told}")
channel.recv(1)
""")
    worker = hand()
    await worker.settled.wait()
    assert worker.fault() == f"store {KEYS}"
    later = KEYS | {"fault": "the file is gone"}
    await worker.tell(later)
    await until(lambda: worker.fault() == f"store {later}")


async def test_what_is_wrong_with_its_store_is_passed_on(stand_in, hand):
    stand_in('say(policy="wanted", store="empty: the file is gone"); channel.recv(1)')
    worker = hand()
    await worker.settled.wait()
    assert worker.fault() == "store empty: the file is gone"


async def test_a_worker_on_another_set_is_told(stand_in, hand):
    stand_in("""
say(policy="old", store="")
told = json.loads(heard.readline())
say(policy=told["policy"], store="")
channel.recv(1)
""")
    worker = hand()
    await worker.settled.wait()
    assert worker.fault() == "policy set old, not wanted"
    await worker.look_after()
    await until(lambda: worker.fault() == "")


async def test_a_worker_that_cannot_start_says_why(stand_in, hand):
    stand_in('say(failed="[tls]: no such file", configuration=True); sys.exit(1)')
    worker = hand()
    await worker.settled.wait()
    assert (worker.failure, worker.failed_by_configuration) == ("[tls]: no such file", True)
    await until(lambda: worker.fault() == "not running: [tls]: no such file")


async def test_a_worker_that_dies_without_a_word_is_named_by_its_status(stand_in, hand):
    stand_in("sys.exit(7)")
    worker = hand()
    await worker.settled.wait()
    assert worker.failure == "ended with status 7"
    assert not worker.failed_by_configuration


async def test_a_worker_that_falls_silent_is_replaced(stand_in, hand, monkeypatch):
    stand_in('say(policy="wanted", store=""); time.sleep(1000)')
    worker = hand()
    await worker.settled.wait()
    first = worker.pid
    await worker.look_after()
    assert worker.pid == first  # it has just spoken
    monkeypatch.setattr(hand_module, "SILENCE_SECONDS", -1.0)
    await worker.look_after()
    monkeypatch.setattr(hand_module, "SILENCE_SECONDS", 1000.0)
    await until(lambda: worker.pid not in (first, None) and worker.fault() == "")


async def test_asking_for_counts_returns_with_them(stand_in, hand):
    stand_in("""
say(policy="wanted", store="")
assert json.loads(heard.readline()) == {"metrics": "now"}
say(metrics=[{"name": "relay_x", "documentation": "X", "type": "gauge", "samples": [["relay_x", {}, 3.0]]}])
channel.recv(1)
""")
    totals = Totals()
    worker = hand()
    worker._totals = totals
    await worker.settled.wait()
    async with asyncio.timeout(20):
        await worker.ask_for_counts()
    assert b"relay_x 3.0" in totals.page()


async def test_nobody_waits_for_the_counts_of_a_worker_that_is_not_there(hand):
    worker = a_hand(0)
    async with asyncio.timeout(5):
        await worker.ask_for_counts()


async def test_who_asks_gets_the_reply_to_what_they_asked(stand_in, hand):
    stand_in("""
say(policy="wanted", store="")
asked = [json.loads(heard.readline()) for _ in range(2)]
for one in reversed(asked):
    say(answer=one["number"], reply=[250, one["letter"]])
say(answer=77, reply="to nobody")
channel.recv(1)
""")
    worker = hand()
    await worker.settled.wait()
    async with asyncio.timeout(20):
        replies = await asyncio.gather(worker.ask({"letter": "a"}), worker.ask({"letter": "b"}))
    assert list(replies) == [[250, "a"], [250, "b"]]


async def test_who_asks_a_worker_that_goes_hears_of_it(stand_in, hand):
    stand_in('say(policy="wanted", store=""); heard.readline(); sys.exit(1)')
    worker = hand()
    await worker.settled.wait()
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionError):
            await worker.ask({"letter": "a"})


async def test_nobody_waits_for_the_reply_of_a_worker_that_is_not_there():
    with pytest.raises(ConnectionError):
        await a_hand(0).ask({"letter": "a"})


async def test_one_that_does_not_drain_is_ended(stand_in, hand):
    stand_in('say(policy="wanted", store=""); time.sleep(1000)')
    worker = hand()
    await worker.settled.wait()
    await worker.drain(0.05)
    await until(lambda: worker.pid is None)


def test_orders_survive_the_command_line():
    orders = Orders("/etc/relay/配置.toml", "0123456789abcdef", 7, {"submission": 8}, 9, 1)
    assert json.loads(orders.argument()) == {
        "config": "/etc/relay/配置.toml", "policy": "0123456789abcdef", "control": 7, "sockets": {"submission": 8},
        "headcount": 9, "row": 1,
    }  # fmt: skip
