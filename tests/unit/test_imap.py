"""The IMAP session against a scripted server: NetEase's ID, pushes, literals, and servers that misbehave."""

import asyncio
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from relay.doors.mailbox.imap import CommandRefused, LoginRefused, MailboxUnavailable, connected


class Server:
    """Answers each command by the function `on_<verb>`; what it does not know it answers with OK."""

    capabilities = "IMAP4rev1 ID IDLE"
    greeting = "* OK ready"

    def __init__(self):
        self.commands: list[str] = []
        self.identified = False

    async def __call__(self, reader, writer):
        self.reader, self.writer = reader, writer
        try:
            self.say(self.greeting)
            while line := await reader.readline():
                tag, _, command = line.decode().rstrip("\r\n").partition(" ")
                self.commands.append(command)
                verb = command.split()[0].lower() if command.split()[0] != "UID" else "uid_" + command.split()[1].lower()
                handler = getattr(self, f"on_{verb}", None)
                answer = await handler(command) if handler else "OK done"
                if answer:
                    self.say(f"{tag} {answer}")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def say(self, text: str | bytes) -> None:
        self.writer.write((text if isinstance(text, bytes) else text.encode()) + b"\r\n")

    async def on_capability(self, _):
        self.say(f"* CAPABILITY {self.capabilities}")
        return "OK done"

    async def on_id(self, command):
        self.identified = command.startswith('ID ("name" ') and " )" not in command
        return "OK done" if self.identified else "BAD Parse command error"

    async def on_select(self, _):
        if not self.identified:
            return "NO SELECT Unsafe Login. Please contact kefu@188.com for help"
        self.say("* 3 EXISTS")
        self.say("* OK [UIDVALIDITY 17] fine")
        return "OK [READ-WRITE] done"


@asynccontextmanager
async def opened(server, *, login="news@example.com", password="secret", select=True):
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listening, connected("127.0.0.1", listening.sockets[0].getsockname()[1], None) as session:
        await session.log_in(login, password)
        if select:
            await session.select()
        yield session


async def test_netease_opens_the_mailbox_to_whoever_says_who_it_is():
    server = Server()
    async with opened(server) as session:
        assert session.validity == 17
    assert server.commands[:4] == [
        "CAPABILITY", 'LOGIN "news@example.com" "secret"', "CAPABILITY",
        'ID ("name" "compliance-relay" "version" "0.1.0" "vendor" "compliance-relay")',
    ]  # fmt: skip


async def test_the_reason_why_a_mailbox_is_not_opened_shows_no_address():
    server = Server()
    server.capabilities = "IMAP4rev1"
    with pytest.raises(MailboxUnavailable, match=r"Unsafe Login\. Please contact \*\*\* for help"):
        async with opened(server):
            pass


async def test_a_refused_login_is_told_from_other_faults():
    class Refusing(Server):
        async def on_login(self, _):
            return "NO LOGIN Login error or password error"

    with pytest.raises(LoginRefused):
        async with opened(Refusing()):
            pass


async def test_a_password_that_cannot_be_quoted_goes_by_authenticate():
    class Plain(Server):
        async def on_authenticate(self, _):
            self.say("+ ")
            self.secret = (await self.reader.readline()).strip()
            return "OK done"

    server = Plain()
    async with opened(server, password="gehe\u00efm"):
        pass
    assert server.secret == b"AG5ld3NAZXhhbXBsZS5jb20AZ2VoZcOvbQ=="


async def test_quotes_in_a_password_cannot_end_it():
    server = Server()
    async with opened(server, password='a"b\\c'):
        pass
    assert 'LOGIN "news@example.com" "a\\"b\\\\c"' in server.commands


class Holding(Server):
    """Holds mails; whatever a mail contains, it is not read as an answer."""

    mails: ClassVar[dict[int, bytes]] = {5: b"Subject: x\r\n\r\nR9 OK fooled\r\n* 9 EXISTS\r\n)\r\n", 7: b""}

    async def on_uid_search(self, _):
        self.say("* SEARCH 7 5")
        self.say("* SEARCH")
        return "OK done"

    async def on_uid_fetch(self, command):
        number = int(command.split()[2])
        if number == 6:
            return "NO not this one"
        if number in self.mails:
            mail = self.mails[number]
            self.say("* 1 FETCH (FLAGS (\\Seen))")
            self.say(b"* 2 FETCH (UID %d BODY[]<0> {%d}\r\n%s)" % (number, len(mail), mail))
        return "OK done"


async def test_mails_are_read_whole_whatever_they_contain():
    async with opened(Holding()) as session:
        assert await session.numbers("UID 1:*") == [5, 7]
        assert await session.fetch(5) == Holding.mails[5]
        assert await session.fetch(7) == b""
        assert await session.fetch(8) is None
        with pytest.raises(CommandRefused):
            await session.fetch(6)
        assert await session.fetch(5) == Holding.mails[5]


async def test_a_server_that_sends_too_much_is_left():
    class Flooding(Holding):
        async def on_uid_fetch(self, _):
            self.say(b"* 2 FETCH (UID 5 BODY[]<0> {99999999}")
            return ""

    async with opened(Flooding()) as session:
        with pytest.raises(MailboxUnavailable, match="more than it was asked for"):
            await session.fetch(5)


class Pushing(Holding):
    async def on_idle(self, _):
        self.say("+ idling")
        await self.push()
        assert (await self.reader.readline()) == b"DONE\r\n"
        return "OK done"

    async def push(self):
        self.say("* OK still here")
        self.say("* 4 EXISTS")


async def test_a_push_ends_the_wait():
    async with opened(Pushing()) as session:
        await session.numbers("UID 1:*")
        await asyncio.wait_for(session.wait(60), 10)
        assert await session.numbers("UID 1:*") == [5, 7]


async def test_mail_that_came_while_others_were_read_is_not_waited_for():
    class Between(Pushing):
        async def on_uid_store(self, _):
            self.say("* 4 EXISTS")
            return "OK done"

        async def push(self):
            pass

    server = Between()
    async with opened(server) as session:
        await session.numbers("UID 1:*")
        await session.mark_read([5, 7])
        await asyncio.wait_for(session.wait(60), 10)
    assert r"UID STORE 5,7 +FLAGS.SILENT (\Seen)" in server.commands


async def test_a_wait_without_news_ends_by_itself():
    class Silent(Pushing):
        async def push(self):
            pass

    async with opened(Silent()) as session:
        await session.numbers("UID 1:*")
        await session.wait(0.05)
        assert await session.numbers("UID 1:*") == [5, 7]


async def test_a_server_that_hangs_up_is_noticed():
    class Ending(Pushing):
        async def push(self):
            self.say("* BYE shutting down")

    async with opened(Ending()) as session:
        await session.numbers("UID 1:*")
        with pytest.raises(MailboxUnavailable, match="hung up"):
            await session.wait(60)


async def test_a_server_that_falls_silent_is_noticed():
    class Silent(Holding):
        async def on_uid_search(self, _):
            return ""

    async with opened(Silent()) as session:
        session.patience = 0.1
        with pytest.raises(MailboxUnavailable, match=r"did not answer within 0\.1 seconds"):
            await session.numbers("UID 1:*")


async def test_a_greeting_that_is_none():
    server = Server()
    server.greeting = "* BYE too many connections"
    with pytest.raises(MailboxUnavailable, match="does not welcome us"):
        async with opened(server):
            pass


async def test_nobody_listens():
    with pytest.raises(MailboxUnavailable, match="no connection"):
        async with connected("127.0.0.1", 1, None):
            pass


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Unsafe Login of ada@example.org", "Unsafe Login of ***"),
        ("no user ada%40example.org", "no user ***"),
        ("no user ada＠example.org", "no user ***"),
        ('no user "ada l"@example.org', "no user ***"),
        ("用户不存在\x07", "?" * 6),
        ("x" * 500, "x" * 200),
        (f"{'a@b.example ' * 83}eve@example.org", f"{'*** ' * 82}***"[:200]),
    ],
)
async def test_what_a_server_says_is_shown_without_addresses(said, shown):
    class Saying(Holding):
        async def on_uid_fetch(self, _):
            return f"NO {said}"

    async with opened(Saying()) as session:
        with pytest.raises(CommandRefused) as refused:
            await session.fetch(5)
    assert str(refused.value) == shown


async def test_half_an_address_is_not_shown():
    """What is looked at ends within it; the addresses before leave room for it in what is shown."""

    class Saying(Holding):
        async def on_uid_fetch(self, _):
            return "NO " + f"{'a' * 90}@example.org " * 9 + "ada.lovelace" + "x" * 200 + "@example.org"

    async with opened(Saying()) as session:
        with pytest.raises(CommandRefused) as refused:
            await session.fetch(5)
    assert str(refused.value) == " ".join(["***"] * 9)
