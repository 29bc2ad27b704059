r"""Every .txt file beside this one is a dialog with a real listener, and holds as written.

Lines before the first C: or R: set the scene, the others happen in order:

    # words for people
    house trusted|auth|starttls     trusted (default): no AUTH for 127.0.0.1; auth: AUTH in the clear from loopback
    smtp max_errors=3               keys of [smtp]
    reply bob@example.org 550 5.7.1 text    what the line answers to MAIL or RCPT with this mailbox
    final 451 4.4.1 text            what the line answers to the message
    fault                           the line raises at MAIL
    C: text     send a line and CR LF; \r \n \0 \t \\ \xHH are octets
    R: text     send exactly these octets, nothing added
    S: text     the next reply line starts with this; "S: 250*" takes a whole reply
    tls         shake hands
    closed      the server closes the connection
    expect messages N | message OCTETS | recipients KEY... | sender WIRE | concluded N | asked N
    expect refused RULE to KEY...|nobody    the message that was refused last before it was whole
    expect protocol WORD | helo NAME | notify WORDS | orcpt TEXT | envid TEXT | ret WORD | body WORD
"""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from relay.mail.reply import Reply, parse_reply
from tests.support.door import Authority, House, OneAccount, Talker, a_config, a_house, a_trusted_config
from tests.support.waiting import until

DIALOGS = sorted(Path(__file__).parent.glob("*.txt"))
_ESCAPES = {"r": b"\r", "n": b"\n", "0": b"\0", "t": b"\t", "\\": b"\\"}


def octets(text: str) -> bytes:
    """Read the escapes of a dialog."""
    parts = re.split(r"\\(x[0-9A-Fa-f]{2}|.)", text)
    found = [part.encode() for part in parts]
    found[1::2] = [bytes.fromhex(part[1:]) if part[0] == "x" else _ESCAPES[part] for part in parts[1::2]]
    return b"".join(found)


class Scene:
    """What the lines before the dialog say."""

    def __init__(self, lines: list[str], authority: Authority) -> None:
        self.kind = "trusted"
        self.smtp: dict[str, int | str] = {}
        self.replies: dict[str, Reply] = {}
        self.final: Reply | None = None
        self.fault: Exception | None = None
        self.authority = authority
        self.accounts = OneAccount()
        for line in lines:
            word, _, rest = line.partition(" ")
            getattr(self, f"_{word}")(rest)

    def _house(self, kind: str) -> None:
        self.kind = kind

    def _smtp(self, settings: str) -> None:
        self.smtp |= {key: int(value) if value.isdigit() else value for key, value in (s.split("=") for s in settings.split())}

    def _reply(self, rest: str) -> None:
        mailbox, _, text = rest.partition(" ")
        self.replies[mailbox] = parse_reply(text)

    def _final(self, text: str) -> None:
        self.final = parse_reply(text)

    def _fault(self, _: str) -> None:
        self.fault = RuntimeError("secret internal detail ada@example.com")

    def house(self):
        tables: dict[str, Any] = {"smtp": self.smtp}
        if self.kind == "trusted":
            config = a_trusted_config(**tables)
        elif self.kind == "auth":
            config = a_config(**tables)
        else:
            config = a_config(**self.authority.tables("starttls"), **tables)
        certificates = self.authority.certificates() if self.kind == "starttls" else None
        return a_house(config, authenticator=self.accounts, certificates=certificates)


class Performance:
    """One dialog while it runs."""

    def __init__(self, house: House, talker: Talker, context: ssl.SSLContext, accounts: OneAccount) -> None:
        self.house, self.talker, self.context, self.accounts = house, talker, context, accounts

    async def step(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        steps = {"C:": self._client, "R:": self._raw, "S:": self._server, "tls": self._tls, "closed": self._closed}
        await steps.get(word, self._expect)(rest)

    async def _client(self, text: str) -> None:
        await self.talker.send(octets(text) + b"\r\n")

    async def _raw(self, text: str) -> None:
        await self.talker.send(octets(text))

    async def _server(self, expected: str) -> None:
        if expected.endswith("*"):
            reply = await self.talker.reply()
            assert reply.startswith(expected[:-1]), reply
        else:
            line = (await self.talker.reader.readline()).decode("ascii").rstrip("\r\n")
            assert line.startswith(expected), line

    async def _tls(self, _: str) -> None:
        await self.talker.start_tls(self.context)

    async def _closed(self, _: str) -> None:
        assert await self.talker.rest() == b""

    async def _expect(self, text: str) -> None:
        what, _, value = text.partition(" ")
        line = self.house.line
        if what == "messages":
            assert len(line.submitted) == int(value)
        elif what == "message":
            assert line.messages[-1] == octets(value)
        elif what == "recipients":
            assert " ".join(recipient.key for recipient in line.submitted[-1][0].recipients) == value
        elif what == "refused":
            submission, fault = line.refused[-1]
            assert f"{fault.rule} to {' '.join(recipient.key for recipient in submission.recipients) or 'nobody'}" == value
        elif what == "sender":
            assert str(line.began[-1][2] or "<>") == value
        elif what == "concluded":
            await until(lambda: len(line.concluded_ids) == int(value))
        elif what == "asked":
            assert len(self.accounts.asked) == int(value)
        else:
            assert self._fact(what) == value

    def _fact(self, what: str) -> str:
        client, submitted = self.house.line.began[-1][0], self.house.line.submitted
        if what in ("protocol", "helo"):
            return str(getattr(client, what))
        if what in ("envid", "ret", "body"):
            return str(getattr(submitted[-1][0], what))
        recipient = submitted[-1][0].recipients[-1]
        return ",".join(sorted(recipient.notify or ())) if what == "notify" else str(recipient.orcpt)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.issue()
    return authority


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_the_dialog_holds(path: Path, authority: Authority):
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    start = next(i for i, line in enumerate(lines) if line.split(" ")[0] in ("C:", "R:", "S:"))
    scene = Scene(lines[:start], authority)
    async with scene.house() as house:
        house.line.replies, house.line.final, house.line.fault = scene.replies, scene.final, scene.fault
        talker = await Talker.connect(house.address)
        performance = Performance(house, talker, authority.client_context(), scene.accounts)
        for line in lines[start:]:
            try:
                await performance.step(line)
            except AssertionError as error:
                raise AssertionError(f"{path.name}: {line}\n{error}") from error
        await talker.close()


def test_there_are_dialogs():
    assert len(DIALOGS) >= 25
