"""Registry: bounds on sessions and octets, and how sessions end when the process drains."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from relay.doors.smtp.headcount import Headcount
from relay.doors.smtp.registry import Registry, neighbourhood, plain_address
from relay.mail import replies
from tests.support.door import (
    Talker,
    a_config,
    a_house,
    a_talker,
    a_trusted_config,
    open_transaction,
    send_message,
)
from tests.support.waiting import until

GOODBYE = replies.SHUTTING_DOWN.lines()[0]


def refused(limit: str) -> float:
    return REGISTRY.get_sample_value("relay_refused_by_limit_total", {"limit": limit}) or 0.0


@pytest.mark.parametrize(
    ("address", "plain"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")],
)
def test_an_address_is_written_one_way(address, plain):
    assert plain_address(address) == plain


def test_an_ipv6_client_has_a_whole_network_to_itself():
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")


async def test_one_address_may_have_so_many_connections():
    before = refused("connections_per_address")
    config = a_trusted_config(smtp={"max_connections_per_address": 2})
    async with a_house(config) as house, a_talker(house), a_talker(house):
        third = await Talker.connect(house.address)
        assert await third.reply() == replies.TOO_MANY_CONNECTIONS_FROM_ADDRESS.lines()[0]
        await third.close()
        await until(lambda: len(house.door.registry) == 2)
    async with a_house(config) as house, a_talker(house) as talker:
        assert (await talker.say("NOOP")).startswith("250")
    assert refused("connections_per_address") == before + 1


def test_octets_are_held_up_to_the_bound():
    registry = Registry(lambda: a_config(smtp={"max_in_flight": 100}).smtp, Headcount.alone())
    assert registry.hold(60)
    assert not registry.hold(41)
    assert registry.hold(40)
    registry.release(60)
    assert registry.in_flight == 40
    assert registry.has_room(60)


async def test_mail_waits_while_too_much_is_in_hand():
    before = refused("in_flight")
    config = a_trusted_config(smtp={"max_in_flight": 10_000})
    async with a_house(config) as house, a_talker(house) as busy, a_talker(house) as other, a_talker(house) as third:
        await open_transaction(third)
        await open_transaction(busy)
        house.line.gate.clear()
        assert (await busy.say("DATA")).startswith("354")
        await busy.send(b"x" * 9_990 + b"\r\n.\r\n")
        await until(lambda: house.door.registry.in_flight > 9_990)
        await other.say("EHLO client.example")
        assert (await other.say("MAIL FROM:<ada@example.com> SIZE=500")).startswith("452 4.3.1")
        assert (await third.say("DATA")).startswith("354")
        await third.send(b"x" * 2000 + b"\r\n.\r\n")
        assert (await third.reply()).startswith("452 4.3.1")
        house.line.gate.set()
        assert (await busy.reply()).startswith("250")
        await until(lambda: house.door.registry.in_flight == 0)
        assert (await other.say("MAIL FROM:<ada@example.com> SIZE=500")).startswith("250")
    assert refused("in_flight") == before + 2


async def test_an_idle_session_is_told_goodbye_at_once():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        draining = asyncio.ensure_future(house.door.registry.drain(30))
        assert await talker.reply() == GOODBYE
        assert await talker.rest() == b""
        assert await draining == 0


async def test_a_busy_session_finishes_its_mail_first():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        draining = asyncio.ensure_future(house.door.registry.drain(30))
        await until(lambda: house.door.registry.is_draining)
        assert (await talker.say("RCPT TO:<eve@example.org>")).startswith("250")
        house.line.gate.clear()
        assert (await talker.say("DATA")).startswith("354")
        await talker.send(b"x\r\n.\r\n")
        await until(lambda: house.line.handed_over == 1)
        house.line.gate.set()
        assert (await talker.reply()).startswith("250")
        assert await talker.say("MAIL FROM:<ada@example.com>") == GOODBYE
        assert await talker.rest() == b""
        assert await draining == 0
        assert len(house.line.concluded_ids) == 1


async def test_a_session_may_say_quit_while_the_process_drains():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        assert (await send_message(talker, b"x\r\n.\r\n")).startswith("250")
        draining = asyncio.ensure_future(house.door.registry.drain(30))
        await until(lambda: house.door.registry.is_draining)
        assert (await talker.say("QUIT")).startswith("221")
        assert await draining == 0
        assert len(house.line.concluded_ids) == 1


async def test_at_the_deadline_what_is_left_is_cut_off():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker, a_talker(house) as reader:
        await open_transaction(talker)
        await open_transaction(reader)
        house.line.gate.clear()
        assert (await talker.say("DATA")).startswith("354")
        await talker.send(b"x\r\n.\r\n")
        assert (await reader.say("DATA")).startswith("354")
        await until(lambda: house.line.handed_over == 1)
        assert await house.door.registry.drain(0.2) == 3  # two sessions, one submission
        assert await talker.reply() == ""
        assert house.line.submitted == []


async def test_a_connection_that_comes_while_draining_is_sent_away():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        draining = asyncio.ensure_future(house.door.registry.drain(30))
        await asyncio.sleep(0)
        late = await Talker.connect(house.address)
        assert await late.reply() == GOODBYE
        await late.close()
        await talker.say("QUIT")
        await draining


async def test_a_listener_that_was_closed_takes_nobody():
    async with a_house(a_trusted_config()) as house:
        async with a_talker(house) as talker:
            await house.listener.close()
            assert (await talker.say("NOOP")).startswith("250")
        with pytest.raises(ConnectionRefusedError):
            await Talker.connect(house.address)
