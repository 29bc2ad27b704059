"""Ten thousand inputs to a real listener: whatever comes, replies are replies, faults are transient, nothing is smuggled.

Seeded, so that a failure can be had again: the seed is in the test's name.
"""

import asyncio
import base64
import logging
import random
import re

import pytest

from relay.mail.envelope import Submission
from tests.support.door import House, RecordingLine, Talker, a_config, a_house, a_talker, a_trusted_config

CONNECTIONS, INPUTS = 25, 50  # in each of eight tests, and one more with few errors allowed: 10,000 inputs
REPLY = re.compile(rb"[2345]\d\d([ -][ -~]*)?\r\n")
LEAKS = re.compile(rb"Traceback|Error:|Exception|RuntimeError|secret|\.py|object at 0x")
ENDS = [b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\r\n.\r\n", b".\r\n"]
LINE_ENDS = [b"\r\n"] * 20 + [b"\n", b"\r", b"\r\r\n", b"\0\r\n", b""]
VERBS = [b"EHLO", b"HELO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP", b"AUTH", b"STARTTLS", b"BDAT"]
PATHS = [
    b"<ada@example.com>",
    b"<>",
    b"<bob@example.org>",
    b'<"a b"@example.org>',
    b"<@r:c@example.org>",
    b"<=?utf-8?q?x?=@b.com>",
    b"<a@b@c>",
    b"<" + b"x" * 300 + b"@example.org>",
    "<用户@例子.公司>".encode(),
    b"<\xff\xfe@example.org>",
    b"ada@example.com",
    b"<a\0@b.com>",
]
PARAMETERS = [b"SIZE=1", b"SIZE=99999999999999999999", b"BODY=8BITMIME", b"SMTPUTF8", b"RET=FULL", b"ENVID=a+2B", b"NOTIFY=NEVER"]
PARAMETERS += [b"ORCPT=rfc822;x", b"AUTH=<>", b"X=1", b"=", b" "]


class Fuzz:
    """Makes inputs; half of them are steps of a proper transaction so that every state is reached."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)

    def one(self) -> bytes:
        pick = self.choice.random()
        if pick < 0.1:
            return b"RSET\r\nEHLO x\r\nMAIL FROM:<ada@example.com>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n" + self.body()
        if pick < 0.55:
            return self.choice.choice(
                [
                    b"MAIL FROM:<ada@example.com>\r\n",
                    b"RCPT TO:<u%d@example.org>\r\n" % self.choice.randint(0, 9),
                    b"DATA\r\n",
                    self.body(),
                ]
            )
        if pick < 0.75:
            return self.command()
        if pick < 0.85:
            return self.login()
        if pick < 0.95:
            return self.mutated(self.command())
        return self.choice.randbytes(self.choice.randint(0, 300)) + self.choice.choice(LINE_ENDS)

    def command(self) -> bytes:
        verb = self.choice.choice(VERBS)
        argument = b""
        if verb in (b"MAIL", b"RCPT"):
            argument = self.choice.choice([b" FROM:", b" TO:", b" from: ", b""]) + self.choice.choice(PATHS)
            argument += b"".join(b" " + word for word in self.choice.choices(PARAMETERS, k=self.choice.randint(0, 3)))
        elif self.choice.random() < 0.5:
            argument = b" " + self.choice.choice([b"x", b"a b", b"\xe9", b"[127.0.0.1]", b"9" * 3000, b"\t"])
        return verb + argument + self.choice.choice(LINE_ENDS)

    def login(self) -> bytes:
        token = base64.b64encode(
            self.choice.choice([b"\0ada@example.com\0wrong", b"\0\0", b"x", b"\xff\0\xff\0\xff", b"a\0b\0c\0d"])
        )
        return self.choice.choice([b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"auth plain\r\n", b"AUTH ", b""]) + token + b"\r\n"

    def body(self) -> bytes:
        pieces = [b"MAIL FROM:<eve@example.com>\r\n", b"text", b"\0", b"..", b"\xff" * 9, b"x" * 2000, *ENDS[1:]]
        return b"".join(self.choice.choices(pieces, k=self.choice.randint(0, 12))) + self.choice.choice(ENDS)

    def mutated(self, octets: bytes) -> bytes:
        changed = bytearray(octets)
        for _ in range(self.choice.randint(1, 4)):
            place = self.choice.randint(0, len(changed))
            changed[place : place + self.choice.randint(0, 2)] = self.choice.randbytes(self.choice.randint(0, 3))
        return bytes(changed)


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

    async def submit(self, submission: Submission, data: bytes):
        self.maybe()
        return await super().submit(submission, data)


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
    for line in said.splitlines(keepends=True):
        assert REPLY.fullmatch(line), line
        assert len(line) <= 512
        assert not LEAKS.search(line), line
        assert faults_allowed or b"4.3.0" not in line, line
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
