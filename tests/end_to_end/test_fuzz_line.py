"""Ten thousand SMTP inputs to a running relay in front of a server that takes every known end of data.

Nothing may be smuggled past the relay, delivered twice or answered with a fault of ours; no worker dies, none grows
beyond its bound.  RELAY_FUZZ_INPUTS and RELAY_FUZZ_SEED choose another run.
"""

import asyncio
import itertools
import os
import re
import socket
import struct
from collections import Counter
from pathlib import Path

import pytest

from tests.support.door import Talker
from tests.support.fixtures import an_upstream
from tests.support.fuzz import Fuzz, check_replies
from tests.support.leaving import upstream_table
from tests.support.service import Relay
from tests.support.trusting import LISTEN, TRUST
from tests.support.upstream import RecordingUpstream

INPUTS = int(os.environ.get("RELAY_FUZZ_INPUTS", "10000"))
SEED = int(os.environ.get("RELAY_FUZZ_SEED", "1"))
PER_CONNECTION, SIDE_BY_SIDE = 20, 16
MAX_MESSAGE = 256 * 1024
MIB, MB = 1024 * 1024, 1_000_000
EVERYBODY = {
    "streams/correspondence.toml": [
        ("match = .*", 'match = { identities = [], listeners = ["submission"], sender_domains = [] }')
    ]
}
DELIVERED = re.compile(rb"250 2\.0\.0 ([0-9A-Z]{26}), [1-9]\d* delivered, 0 held, 0 left out\r\n")
INTERNAL = re.compile(rb"[45][25]1[ -][45]\.3\.[05] ")
DIALOGUE = b"RSET\r\nEHLO x\r\nMAIL FROM:<ada@example.com>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<eve@example.net>\r\nDATA\r\n"
BROKEN_ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\0", b"\0\r\n", b"\n\n"]
MARK = b"between broken ends"  # in whatever may come of the message that has another inside
SMUGGLED = (
    b"MAIL FROM:<eve@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nFrom: eve@example.com\r\n\r\n" + MARK + b"\r\n.\r\n"
)


class LineFuzz(Fuzz):
    """Bodies mostly with a header that the line takes, each with a number of its own; lines and messages beyond the bounds."""

    numbers = itertools.count(1)

    def one(self) -> bytes:
        if self.choice.random() < 0.02:
            return self.choice.choice([b"NOOP " + b"x" * 200_000, b"A" * 70_000, b"MAIL FROM:<" + b"a" * 5000 + b">"]) + b"\r\n"
        return super().one()

    def body(self) -> bytes:
        body = super().body()
        if self.choice.random() < 0.8:  # a NUL is refused, and with it whatever else is odd
            body = body.replace(b"\0", b"")
        if self.choice.random() < 0.02:
            body = (
                self.choice.choice([b"y" * (MAX_MESSAGE + 9), b"z" * 90 + b"\r\n", b"w" * 80_000]) * self.choice.choice([1, 3])
                + body
            )
        if self.choice.random() < 0.2:
            return body
        return b"From: ada@example.com\r\nX-Fuzz: %d\r\nSubject: fuzz\r\n\r\n" % next(self.numbers) + body


upstream = an_upstream(scope="module", lax=True)


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream):
    table = upstream_table(upstream, name="up")
    smtp = f"[smtp]\nmax_errors = 100000\nmax_message_size = {MAX_MESSAGE}\nmax_line_length = 65536\n"
    folder = tmp_path_factory.mktemp("fuzz")
    with Relay(folder, upstream, workers=2, upstreams=table, listen=LISTEN, auth=TRUST, policy=EVERYBODY, extra=smtp) as relay:
        yield relay


def peak(pid: int) -> int:
    """The most resident memory that the process ever had, in octets."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


async def converse(relay: Relay, fuzz: Fuzz) -> bytes:
    """One connection with its inputs cut into packets; it ends properly, half-closed, broken off, or reset."""
    talker = await Talker.connect(("127.0.0.1", relay.port))
    reading = asyncio.ensure_future(talker.rest())
    octets = b"EHLO client.example\r\n" + b"".join(fuzz.one() for _ in range(PER_CONNECTION))
    ending = fuzz.choice.choice(["quit", "quit", "quit", "half-close", "cut", "reset"])
    if ending == "quit":
        octets += b"\r\n.\r\n" + b"*\r\n" * 3 + b"NOOP\r\nQUIT\r\n"
    if ending in ("cut", "reset"):
        octets = octets[: fuzz.choice.randint(len(octets) * 4 // 5, len(octets))]
    size = fuzz.choice.choice([1, 7, 100, 5000, 100_000])
    size = max(size, len(octets) // 500)
    try:
        for start in range(0, len(octets), size):
            await talker.send(octets[start : start + size])
        if ending == "half-close":
            talker.writer.write_eof()
        if ending in ("cut", "reset"):
            reading.cancel()
            if ending == "reset":
                sock = talker.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        return await reading
    except ConnectionError:  # it closed while we were still talking: that is its right
        reading.cancel()
        return b""
    finally:
        await talker.close()


def check_log(relay: Relay) -> None:
    assert not relay.events("internal_fault")
    assert not [line for line in relay.lines if '"exception"' in line or "Traceback" in line]


def check_deliveries(upstream: RecordingUpstream, answered: list[bytes]) -> None:
    """Each delivery is one message that the relay took, marked by its Received field, and none came twice."""
    marks = [
        re.match(rb"Received: from [^\r]*(?:\r\n\t[^\r]*)*? id ([0-9A-Z]{26});", delivery.data)
        for delivery in upstream.deliveries
    ]
    assert all(marks), "a message that the relay did not render"
    ids = Counter(mark[1] for mark in marks)
    assert not [one for one, times in ids.items() if times > 1]
    assert set(answered) <= set(ids)
    assert len(answered) == len(set(answered))
    numbers = Counter(
        number
        for delivery in upstream.deliveries
        for number in re.findall(rb"\r\nX-Fuzz: (\d+)\r\n", delivery.data.partition(b"\r\n\r\n")[0])
    )
    assert not [number for number, times in numbers.items() if times > 1]
    assert all(len(set(delivery.recipients)) == len(delivery.recipients) for delivery in upstream.deliveries)
    assert not upstream.violations


async def test_ten_thousand_inputs_break_nothing(relay, upstream):
    workers = relay.worker_pids()
    fuzzes = [LineFuzz(SEED * 1_000_000 + number) for number in range(max(1, INPUTS // PER_CONNECTION))]
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(fuzz: Fuzz) -> bytes:
        async with gate:
            return await converse(relay, fuzz)

    said = await asyncio.gather(*map(one, fuzzes))
    for everything in said:
        check_replies(everything, INTERNAL)
    async with asyncio.timeout(60):  # those whose client went away are delivered all the same
        while len({event["id"] for event in relay.events("answered") if event["reply"].startswith("250")}) > len(
            upstream.accepted
        ):
            await asyncio.sleep(0.1)
    check_deliveries(upstream, [one for everything in said for one in DELIVERED.findall(everything)])
    check_log(relay)
    assert len(upstream.accepted) > INPUTS // 100, "the fuzz no longer gets as far as a delivery"
    assert relay.worker_pids() == workers
    for pid in workers:
        assert peak(pid) <= 80 * MB + 2.5 * SIDE_BY_SIDE * MAX_MESSAGE


@pytest.mark.parametrize("before", BROKEN_ENDS)
async def test_no_false_end_of_data_smuggles_a_message(relay, upstream, before):
    """A dot between every pair of broken line ends, the commands of a second message behind it."""
    for after in BROKEN_ENDS:
        if (before + b"." + after).find(b"\r\n.\r\n") >= 0:
            continue
        upstream.deliveries.clear()
        talker = await Talker.connect(("127.0.0.1", relay.port))
        await talker.reply()
        for command in ("EHLO x", "MAIL FROM:<ada@example.com>", "RCPT TO:<bob@example.org>"):
            assert (await talker.say(command)).startswith("250")
        assert (await talker.say("DATA")).startswith("354")
        smuggled = SMUGGLED.removesuffix(b"\r\n.\r\n")
        await talker.send(b"From: ada@example.com\r\n\r\n" + MARK + before + b"." + after + smuggled + b"\r\n.\r\nQUIT\r\n")
        said = await talker.rest()
        await talker.close()
        taken = 0 if b"\0" in before + after else 1
        assert re.fullmatch(
            rb"(250 2\.0\.0 [^\r]*|554-5\.6\.0 \[base/header-structure\] [^\r]*\r\n554 5\.6\.0 http[^\r]*)\r\n221 [^\r]*\r\n",
            said,
        ), said
        deliveries = [one for one in upstream.deliveries if MARK in one.data]  # of a client that went, some may still come
        assert len(deliveries) == taken
        assert all(
            delivery.reverse_path == "ada@example.com" and smuggled.splitlines()[0] in delivery.data for delivery in deliveries
        )
        assert not upstream.violations


async def test_twenty_large_messages_at_once_stay_within_bounds(tmp_path):
    """Each worker holds a message two and a half times at most: while all are read, judged, signed and sent."""
    size, count = 20 * MIB, 20
    smtp = f"[smtp]\nmax_message_size = {size + MIB}\nmax_in_flight = {size * count * 2}\n"
    line = (b"x" * 998 + b"\r\n") * 256
    with RecordingUpstream() as upstream:
        upstream.fault("DOT", "250 2.0.0 queued", delay=3)
        upstream.extensions = ("PIPELINING", f"SIZE {64 * MIB}", "8BITMIME")
        upstream.on_delivery = lambda delivery: setattr(delivery, "data", delivery.data[:2000])
        table = upstream_table(upstream, name="up", max_connections=count, max_connections_per_identity=count)
        with Relay(
            tmp_path,
            upstream,
            workers=2,
            upstreams=table,
            listen=LISTEN,
            auth=TRUST,
            policy=EVERYBODY,
            extra=smtp,
            delivery='patience = "120s"',
        ) as relay:
            workers = relay.worker_pids()

            async def send(number: int) -> str:
                talker = await Talker.connect(("127.0.0.1", relay.port))
                await talker.reply()
                for command in ("EHLO x", "MAIL FROM:<ada@example.com>", f"RCPT TO:<r{number}@example.org>"):
                    assert (await talker.say(command)).startswith("250")
                assert (await talker.say("DATA")).startswith("354")
                await talker.send(b"From: ada@example.com\r\nX-Fuzz: %d\r\n\r\n" % number)
                for _ in range(size // len(line)):
                    await talker.send(line)
                await talker.send(b".\r\n")
                async with asyncio.timeout(300):  # a busy machine takes its time over 400 MB
                    reply = await talker.reader.readline()
                await talker.close()
                return reply.decode()

            answers = await asyncio.gather(*(send(number) for number in range(count)))
            assert all(answer.startswith("250 2.0.0 ") for answer in answers), answers
            assert len(upstream.accepted) == count
            check_log(relay)
            assert relay.worker_pids() == workers
            assert sum(map(peak, workers)) <= len(workers) * 80 * MB + 2.5 * size * count
