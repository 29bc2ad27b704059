"""The channel between supervisor and worker."""

import asyncio
import socket

import pytest

from relay.service.control import Channel
from relay.service.loop import new_event_loop


@pytest.fixture
async def ends():
    ours, theirs = socket.socketpair()
    channels = await Channel.over(ours), await Channel.over(theirs)
    yield channels
    for channel in channels:
        channel.close()


async def test_messages_arrive_whole_and_in_order(ends):
    one, other = ends
    sent = [{"number": number, "text": "中\n文" * number} for number in range(50)]
    for message in sent:
        await one.send(message)
    one.close()
    assert [message async for message in other.messages()] == sent


async def test_a_large_snapshot_fits(ends):
    one, other = ends
    message = {"metrics": ["x" * 1000] * 2000}
    sending = asyncio.create_task(one.send(message))  # noqa: TID251 - awaited below
    assert await anext(aiter(other.messages())) == message
    await sending


async def test_the_messages_end_when_the_other_side_is_gone_in_the_middle_of_one():
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    theirs.sendall(b'{"a": 1}\n{"b": ')
    theirs.close()
    assert [message async for message in channel.messages()] == [{"a": 1}]
    channel.close()


async def test_sending_to_a_side_that_is_gone_is_a_connection_error():
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    theirs.close()

    async def send_much():
        for _ in range(10):
            await channel.send({"a": "x" * 100_000})
            await asyncio.sleep(0)

    with pytest.raises(ConnectionError):
        await send_much()
    channel.close()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, new_event_loop])
def test_what_nobody_hears_is_a_lost_connection_on_every_loop(loop_factory):
    async def talk():
        ours, theirs = socket.socketpair()
        channel = await Channel.over(ours)
        theirs.close()
        assert await channel.receive() is None
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await channel.send({"metrics": []})
        channel.close()
        with pytest.raises(ConnectionError):
            await channel.send({"metrics": []})

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(talk())
