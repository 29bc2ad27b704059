"""The wire: which reply belongs to what, and what ends a connection."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.upstream.outcome import UpstreamReply
from relay.upstream.wire import MAX_REPLY_LINE, MAX_REPLY_LINES, Wire, WireLostError
from tests.support.scripted import ScriptedTransport, usual


def a_wire(answer=lambda _: None):
    transport = ScriptedTransport(answer)
    return Wire(transport), transport


async def test_replies_are_paired_in_order():
    wire, _ = a_wire(usual)
    first, second = wire.ask(b"MAIL FROM:<>\r\n", b"NOOP\r\n")
    assert await first == UpstreamReply(250, ("2.0.0 ok",))
    assert await second is not None
    assert wire.is_quiet


STREAM = b"250-one\r\n250-two\n250 three\r\n550 5.1.1 no\r\n354\r\n"
MEANT = [UpstreamReply(250, ("one", "two", "three")), UpstreamReply(550, ("5.1.1 no",)), UpstreamReply(354, ("",))]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_the_cuts_of_the_network_do_not_matter(cuts):
    async def read():
        wire, _ = a_wire()
        answers = [wire.expect() for _ in MEANT]
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in itertools.pairwise(edges):
            wire.data_received(STREAM[start:end])
        return [answer.result() for answer in answers]

    assert asyncio.run(read()) == MEANT


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"hello\r\n", id="no-code"),
        pytest.param(b"25 ok\r\n", id="short-code"),
        pytest.param(b"150 ok\r\n", id="1yz"),
        pytest.param(b"650 ok\r\n", id="6yz"),
        pytest.param(b"250_ok\r\n", id="no-separator"),
        pytest.param("٢٥٠ ok\r\n".encode(), id="digits-of-another-script"),
        pytest.param(b"250-a\r\n550 b\r\n", id="codes-that-differ"),
        pytest.param(b"\r\n", id="empty-line"),
        pytest.param(b"250 " + b"x" * MAX_REPLY_LINE + b"\r\n", id="long-line"),
        pytest.param(b"250 " + b"x" * MAX_REPLY_LINE, id="long-line-without-end"),
        pytest.param(b"250-x\r\n" * (MAX_REPLY_LINES + 1), id="too-many-lines"),
    ],
)
async def test_a_malformed_reply_ends_the_connection(octets):
    wire, transport = a_wire()
    answer = wire.expect()
    wire.data_received(octets)
    assert answer.result() is None
    assert (wire.fault, transport.aborted) == ("malformed", True)


async def test_a_reply_that_nobody_asked_for_ends_the_connection():
    wire, transport = a_wire()
    heard = []
    wire.on_fault = lambda: heard.append(wire.fault)
    wire.data_received(b"250 what?\r\n")
    assert (heard, transport.aborted) == (["unsolicited"], True)


async def test_a_421_is_given_to_who_asked_and_ends_the_connection():
    wire, _ = a_wire()
    first, second = wire.expect(), wire.expect()
    wire.data_received(b"421 4.3.2 bye\r\n250 late\r\n")
    assert first.result() == UpstreamReply(421, ("4.3.2 bye",))
    assert second.result() is None
    assert wire.fault == "closing"


async def test_nothing_is_written_after_the_end_and_every_question_is_answered():
    wire, transport = a_wire()
    (waiting,) = wire.ask(b"NOOP\r\n")
    transport.lose()
    (later,) = wire.ask(b"NOOP\r\n")
    assert (waiting.result(), later.result(), wire.fault) == (None, None, "lost")
    assert transport.writes == [b"NOOP\r\n"]
    with pytest.raises(WireLostError):
        await wire.drain()


async def test_writing_waits_while_the_transport_is_full():
    wire, _ = a_wire()
    wire.pause_writing()
    waiting = asyncio.ensure_future(wire.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    wire.resume_writing()
    await waiting


async def test_who_waits_to_write_hears_that_the_connection_ended():
    wire, _ = a_wire()
    wire.pause_writing()
    waiting = asyncio.ensure_future(wire.drain())
    await asyncio.sleep(0)
    wire.eof_received()
    with pytest.raises(WireLostError):
        await waiting


async def test_a_reset_that_is_not_taken_ends_the_connection():
    wire, _ = a_wire(lambda _: b"500 no\r\n")
    wire.reset()
    await wire.settled()
    await asyncio.sleep(0)
    assert wire.fault == "malformed"


async def test_closing_says_quit_and_does_not_wait_for_ever():
    wire, transport = a_wire()
    await wire.close(0.05)
    assert transport.writes == [b"QUIT\r\n"]
    assert wire.fault == "closed"
