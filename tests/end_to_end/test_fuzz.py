"""Ten thousand inputs to a real listener: whatever comes, replies are replies, faults are transient, nothing is smuggled.

Seeded, so that a failure can be had again: the seed is in the test's name.
"""

import asyncio
import logging
import random

import pytest

from relay.mail.envelope import Submission
from tests.support.door import House, RecordingLine, Talker, a_config, a_house, a_talker, a_trusted_config
from tests.support.fuzz import Fuzz, check_replies

CONNECTIONS, INPUTS = 25, 50  # in each of eight tests, and one more with few errors allowed: 10,000 inputs


class FaultyLine(RecordingLine):
    """Raises now and then, in every place; counts how often."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.choice = random.Random(seed)
        self.faults = 0

    def maybe(self) -> None:
        if self.choice.random() < 0.05:
            self.faults += 1
            raise RuntimeError("secret internal detail")

    async def begin(self, *facts, **options):
        self.maybe()
        return await super().begin(*facts, **options)

    async def admit(self, submission, recipient):
        self.maybe()
        return await super().admit(submission, recipient)

    async def submit(self, submission: Submission, data: bytes, began: float):
        self.maybe()
        return await super().submit(submission, data, began)


async def converse(house: House, fuzz: Fuzz) -> bytes:
    """One connection: inputs cut anywhere into packets, then the end of whatever is open; everything the server said."""
    talker = await Talker.connect(house.address)
    reading = asyncio.ensure_future(talker.rest())
    octets = b"".join(fuzz.one() for _ in range(INPUTS)) + b"\r\n.\r\n" + b"*\r\n" * 3 + b"NOOP\r\nQUIT\r\n"
    try:
        while octets:
            size = fuzz.choice.choice([1, 7, 100, 5000, 100_000])
            packet, octets = octets[:size], octets[size:]
            await talker.send(packet)
        return await reading
    except ConnectionError:  # it closed while we were still talking: that is its right
        reading.cancel()
        return b""
    finally:
        await talker.close()


def check(said: bytes, *, faults_allowed: bool) -> None:
    check_replies(said)
    assert faults_allowed or b"4.3.0" not in said, said
    if said:
        assert said.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith((b"221", b"421"))


@pytest.mark.parametrize("seed", range(9))
async def test_whatever_comes_is_answered(seed, caplog):
    caplog.set_level(logging.INFO)
    smtp = {"max_errors": 20 if seed == 8 else 10_000, "max_message_size": "64KiB", "max_line_length": 4000, "max_recipients": 5}
    config = a_config(smtp=smtp) if seed % 4 == 3 else a_trusted_config(smtp=smtp)
    fuzz = Fuzz(seed)
    async with a_house(config) as house:
        line = house.line
        if seed % 4 == 2:
            line = house.door.line = FaultyLine(seed)
        for _ in range(CONNECTIONS):
            before = len(line.submitted)
            said = await converse(house, fuzz)
            check(said, faults_allowed=line is not house.line)
            if said:
                assert len(line.submitted) - before <= said.count(b"354 "), "a message nobody opened"
            async with a_talker(house) as other:
                assert (await other.say("NOOP")).startswith("250")
        assert house.door.registry.in_flight == 0
    faults = sum(record.getMessage() == "internal_fault" for record in caplog.records)
    assert faults == getattr(line, "faults", 0)
    assert seed % 4 == 3 or len(line.submitted) > 5, "the fuzz no longer gets as far as a message"
