"""Intake: data ends at CRLF "." CRLF and nowhere else, however the octets arrive; nothing over a bound is kept."""

import asyncio
import gc
import itertools
import random
import tracemalloc

import pytest

from relay.doors.smtp.intake import CHUNK, ClientGone, DataLineTooLong, Intake, LineTooLong, NoRoom, TooBig

BIG = 10**9


class Feed(asyncio.StreamReader):
    """A reader whose octets are there at once; `at_most` bounds what one read takes, as a network does."""

    def __init__(self, at_most: random.Random | None = None) -> None:
        super().__init__()
        self._at_most = at_most

    async def read(self, n: int = -1) -> bytes:
        return await super().read(min(n, self._at_most.randint(1, 9)) if self._at_most else n)


def an_intake(octets: bytes, at_most: random.Random | None = None) -> Intake:
    reader = Feed(at_most)
    reader.feed_data(octets)
    reader.feed_eof()
    return Intake(reader)


def read(intake: Intake, *, max_size: int = BIG, max_line: int = BIG, grow=lambda octets: True):
    return intake.data(max_size=max_size, max_line=max_line, heard=lambda: None, grow=grow)


def expected(octets: bytes) -> tuple[bytes, bytes]:
    """The message and what is behind it, line by line as RFC 5321 section 4.5.2 tells it."""
    message = b""
    while True:
        line, end, octets = octets.partition(b"\r\n")
        if line == b"." and end:
            return message, octets
        assert end, "no end of data"
        message += line.removeprefix(b".") + end


@pytest.mark.parametrize("seed", range(40))
async def test_the_message_is_the_one_a_line_reader_would_read(seed):
    choice = random.Random(seed)
    pieces = [b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\0", b"\r\n..", b"..\r\n", b"\xe9", b"text "]
    for _ in range(60):
        octets = b"".join(choice.choices(pieces, k=choice.randint(0, 40))) + b"\r\n.\r\nNOOP\r\n"
        message, rest = expected(octets)
        intake = an_intake(octets, choice)
        assert await read(intake) == message
        assert await rest_of(intake) == rest


async def rest_of(intake: Intake) -> bytes:
    taken = b""
    while True:
        try:
            taken += await intake.line(BIG)
        except ClientGone:
            return taken


ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\0", b"\0\r\n", b"\r\n ", b"\n\n", b"\r\r", b"\x0b\r\n", b"\xc2\x85"]


FALSE_ENDS = [b + b"." + a for b, a in itertools.product(ENDS, ENDS) if b"\r\n.\r\n" not in b + b"." + a]


@pytest.mark.parametrize("end", FALSE_ENDS)
async def test_only_crlf_dot_crlf_ends_data(end):
    """The dot between any other pair of line ends is data, and so are the commands behind it."""
    intake = an_intake(b"text" + end + b"MAIL FROM:<eve@example.com>\r\nend\r\n.\r\n")
    assert (await read(intake)).endswith(b"MAIL FROM:<eve@example.com>\r\nend\r\n")
    assert intake.is_empty


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b".\r\n", b""),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n..\r\n.\r\n", b".\r\n.\r\n"),
    ],
)
async def test_dots_at_the_start(octets, message):
    assert await read(an_intake(octets)) == message


async def test_data_without_an_end_is_no_message():
    for octets in (b"", b"text", b"text\r\n", b"text\r\n.", b"text\r\n.\r", b"text\n.\n", b"text\r\n.\n"):
        with pytest.raises(ClientGone):
            await read(an_intake(octets))


async def test_the_size_is_counted_without_stuffing():
    message = b".\r\n" * 100
    stuffed = message.replace(b".", b"..") + b".\r\n"
    assert await read(an_intake(stuffed), max_size=300) == message
    with pytest.raises(TooBig):
        await read(an_intake(stuffed), max_size=299)


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_too_big_is_read_to_its_end(seed):
    octets = b"x" * 70 + b"\r\n"
    intake = an_intake(octets * 5000 + b".\r\nNOOP\r\n", random.Random(seed) if seed else None)
    with pytest.raises(TooBig):
        await read(intake, max_size=1000)
    assert await intake.line(100) == b"NOOP\r\n"


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("length", [0, 1, 997, 998])
async def test_lines_of_the_allowed_length_are_taken(end, length):
    octets = (b"x" * length + end) * 50 + b"\r\n.\r\nNOOP\r\n"
    assert len(await read(an_intake(octets), max_line=998)) >= 50


@pytest.mark.parametrize("where", [0, 1, 700, 5000, 70_000])
async def test_a_longer_line_is_found_wherever_it_is(where):
    lines = (b"y" * 70 + b"\r\n") * (where // 72)
    intake = an_intake(lines + b"x" * 1002 + b"\r\n" + lines + b".\r\nNOOP\r\n")
    with pytest.raises(DataLineTooLong):
        await read(intake, max_line=998)
    assert await intake.line(100) == b"NOOP\r\n"


async def refused(octets: bytes, **bounds) -> bool:
    try:
        await read(an_intake(octets), **bounds)
    except (DataLineTooLong, NoRoom, TooBig):
        return True
    return False


@pytest.mark.parametrize("bounds", [{"max_size": 9}, {"max_line": 9}, {"grow": lambda octets: False}])
async def test_what_is_refused_waits_for_no_garbage_collection(bounds):
    gc.collect()
    gc.disable()
    try:
        assert await refused(b"a" * 200_000 + b"\r\n.\r\n", **bounds)
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_no_room_is_said_after_the_end():
    intake = an_intake(b"x" * 200_000 + b"\r\n.\r\nNOOP\r\n")
    room = iter([True, True, False])
    with pytest.raises(NoRoom):
        await read(intake, grow=lambda octets: next(room))
    assert await intake.line(100) == b"NOOP\r\n"


class Endless(asyncio.StreamReader):
    """Sends 200 MB without a line end."""

    left = 200 * 1024**2

    async def read(self, n: int = -1) -> bytes:
        if self.left <= 0:
            return b""
        self.left -= n
        return b"x" * n


@pytest.mark.parametrize("bounds", [{"max_size": 1024**2}, {"max_line": 998}, {"grow": lambda octets: False}])
async def test_an_endless_line_takes_no_memory(bounds):
    """Trap A2: aiosmtpd kept everything behind the first long line."""
    tracemalloc.start()
    try:
        with pytest.raises(ClientGone):
            await read(Intake(Endless()), **bounds)
        with pytest.raises(ClientGone):
            await Intake(Endless()).line(2048)
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024**2 + 4 * CHUNK
    finally:
        tracemalloc.stop()


async def test_a_message_takes_little_more_than_twice_its_size():
    octets = (b"x" * 76 + b"\r\n") * 50_000 + b".\r\n"
    intake = an_intake(octets)
    tracemalloc.start()
    try:
        message = await read(intake)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * len(message)
    finally:
        tracemalloc.stop()


async def test_a_long_line_is_skipped_whole():
    for length in (101, 5000, 200_000):
        intake = an_intake(b"x" * length + b"\r\nNOOP\r\n")
        with pytest.raises(LineTooLong):
            await intake.line(100)
        assert await intake.line(100) == b"NOOP\r\n"
