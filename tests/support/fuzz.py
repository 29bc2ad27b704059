"""Random inputs to an SMTP server: proper steps, odd commands, mutations, bodies with every known end of data."""

import base64
import random
import re

_REPLY = re.compile(rb"[2345]\d\d([ -][ -~]*)?\r\n")
_LEAKS = re.compile(rb"Traceback|Error:|Exception|RuntimeError|secret|\.py|object at 0x")
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


def check_replies(said: bytes, forbidden: re.Pattern[bytes] | None = None) -> None:
    """Nothing but well-formed replies, none of which tells of our insides or begins as `forbidden` does."""
    for line in said.splitlines(keepends=True):
        assert _REPLY.fullmatch(line), line
        assert len(line) <= 512
        assert not _LEAKS.search(line), line
        assert not (forbidden and forbidden.match(line)), line
