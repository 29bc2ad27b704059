"""The twenty traps of aiosmtpd, A1 to A20: each has a test that the stock class fails, or that our way round it would break."""

import asyncio
import base64
import logging
import socket

import pytest

from relay.doors.smtp import wire
from relay.doors.smtp.session import Session
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.mail import replies
from tests.support.door import (
    Authority,
    OneAccount,
    Talker,
    a_config,
    a_house,
    a_talker,
    a_trusted_config,
    open_transaction,
    send_message,
)
from tests.support.waiting import until

PLAIN = base64.b64encode(b"\0ada@example.com\0secret").decode()


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path)
    authority.issue()
    return authority


async def test_a1_addresses_are_not_decoded():
    hostile = [b"=?utf-8?q?a=0d=0aRSET?=@b.com", b"a\rRSET@b.com", b"a\0@b.com", b"a(b)@c.com", b"a b@c.com", b'"a\\\r"@b.com']
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        for path in hostile:
            assert (await talker.say(b"RCPT TO:<" + path + b">"))[:3] in ("500", "501")
        await send_message(talker, b".\r\n")
        (submission, _), *_ = house.line.submitted
        assert [recipient.mailbox.wire for recipient in submission.recipients] == ["bob@example.org"]


async def test_a2_an_endless_line_is_bounded_by_the_size_limit():
    config = a_trusted_config(smtp={"max_message_size": "256KiB"})
    async with a_house(config) as house, a_talker(house) as talker:
        await open_transaction(talker)
        assert (await talker.say("DATA")).startswith("354")
        for _ in range(40):
            await talker.send(b"x" * 512 * 1024)
            assert house.door.registry.in_flight <= 1024**2
        await talker.send(b"\r\n.\r\n")
        assert (await talker.reply()).startswith(f"552-5.3.4 [base/size] the message is larger than {house.door.size} octets\n")
        assert house.door.registry.in_flight == 0
        assert (await talker.say("NOOP")).startswith("250")


async def test_a3_lines_over_998_octets_are_taken():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        message = b"Subject: x\r\n\r\n" + b"y" * 5000 + b"\r\n"
        assert (await send_message(talker, message + b".\r\n")).startswith("250")
        assert house.line.messages == [message]


async def test_a4_the_timer_runs_on_during_data_and_stops_while_the_line_works():
    config = a_trusted_config(smtp={"command_timeout": "1s", "data_timeout": "60s"})
    async with a_house(config) as house, a_talker(house) as talker:
        await open_transaction(talker)
        assert (await talker.say("DATA")).startswith("354")
        for _ in range(14):
            await talker.send(b"x" * 100 + b"\r\n")
            await asyncio.sleep(0.1)
        house.line.gate.clear()
        await talker.send(b".\r\n")
        await asyncio.sleep(1.3)
        house.line.gate.set()
        assert (await talker.reply()).startswith("250 2.0.0")
        assert await talker.reply() == replies.TIMED_OUT.lines()[0]
        assert await talker.rest() == b""


async def test_a4_the_whole_of_data_ends_in_time_however_slowly_it_drips():
    config = a_trusted_config(smtp={"command_timeout": "20s", "data_timeout": "0.3s"})
    async with a_house(config) as house, a_talker(house) as talker:
        await open_transaction(talker)
        assert (await talker.say("DATA")).startswith("354")
        reading = asyncio.ensure_future(talker.reply())
        while not reading.done():
            await talker.send(b"x")
            await asyncio.sleep(0.02)
        assert await reading == replies.TIMED_OUT.lines()[0]
        await until(lambda: house.door.registry.in_flight == 0)
        assert house.line.submitted == []


@pytest.mark.parametrize("how", ["half-close", "disconnect", "reset"])
async def test_a5_a_client_that_goes_away_does_not_cut_the_forward(how):
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        house.line.gate.clear()
        assert (await talker.say("DATA")).startswith("354")
        await talker.send(b"Subject: x\r\n\r\n.\r\n")
        if how == "half-close":
            talker.writer.write_eof()
        elif how == "disconnect":
            await talker.close()
        else:
            talker.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            talker.writer.transport.abort()
        await asyncio.sleep(0.05)
        assert house.line.submitted == []
        house.line.gate.set()
        await asyncio.wait_for(house.line.finished.wait(), 10)
        if how == "half-close":
            assert (await talker.reply()).startswith("250 2.0.0")
        await until(lambda: len(house.door.registry) == 0 and house.door.registry.in_flight == 0)
        assert house.line.concluded_ids == []


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("secret detail of ada@example.com"),
        StoreUnavailable("timeout", "secret"),
        RecordsUnavailable("secret"),
        EOFError("secret"),
        TimeoutError("secret"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a6_a_fault_is_transient_says_nothing_and_leaves_a_usable_session(fault, caplog):
    """A store that cannot answer is a ConnectionError too: it must not pass for a client that went away."""
    caplog.set_level(logging.INFO)
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        house.line.fault = fault
        assert await talker.say("MAIL FROM:<ada@example.com>") == "451 4.3.0 Internal fault, nothing was lost, try again later"
        house.line.fault = None
        assert (await talker.say("MAIL FROM:<ada@example.com>")).startswith("250")
    faults = [record for record in caplog.records if record.getMessage() == "internal_fault"]
    assert faults[0].__dict__["facts"]["error"] == type(fault).__name__
    assert "secret" not in caplog.text


async def test_a6_a_fault_in_the_line_at_the_end_of_data_is_transient(caplog):
    caplog.set_level(logging.INFO)
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)

        async def broken(submission, data, began):
            raise ZeroDivisionError("secret")

        house.line.submit = broken  # type: ignore[method-assign]
        assert (await send_message(talker, b"x\r\n.\r\n")).startswith("451 4.3.0")
        assert (await talker.say("MAIL FROM:<ada@example.com>")).startswith("250")
        assert house.door.registry.in_flight == 0
    facts = next(record.__dict__["facts"] for record in caplog.records if record.getMessage() == "internal_fault")
    assert len(facts["submission"]) == 26


@pytest.mark.parametrize("mechanism", ["PLAIN", "plain", "Plain"])
async def test_a7_the_name_of_a_mechanism_has_no_case(mechanism):
    async with a_house() as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        assert (await talker.say(f"AUTH {mechanism} {PLAIN}")).startswith("235")


async def test_a8_auth_works_under_implicit_tls(authority):
    config = a_config(**authority.tables("implicit"))
    async with (
        a_house(config, certificates=authority.certificates()) as house,
        a_talker(house, authority.client_context()) as talker,
    ):
        assert "AUTH PLAIN LOGIN" in await talker.say("EHLO client.example")
        assert (await talker.say(f"AUTH PLAIN {PLAIN}")).startswith("235")


async def test_a9_long_auth_lines_are_read():
    password = "p" * 8000
    token = base64.b64encode(f"\0ada@example.com\0{password}".encode()).decode()
    async with a_house(authenticator=OneAccount(password=password)) as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        assert await talker.say("AUTH PLAIN " + "A" * 13000) == replies.COMMAND_TOO_LONG.lines()[0]
        assert await talker.say("AUTH PLAIN") == "334 "
        assert await talker.say("A" * 13000) == replies.AUTH_TOO_LONG.lines()[0]
        assert (await talker.say(f"AUTH PLAIN {token}")).startswith("235")


async def test_a10_login_prompts_are_what_clients_know_and_an_empty_initial_response_is_one():
    async with a_house() as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        assert base64.b64decode((await talker.say("AUTH LOGIN"))[4:]) == b"Username:"
        assert base64.b64decode((await talker.say("YQ=="))[4:]) == b"Password:"
        assert (await talker.say("Yg==")).startswith("535")
        assert (await talker.say("AUTH PLAIN =")).startswith("501 5.5.2")


async def test_a11_one_session_does_not_change_the_limits_of_another():
    long_mail = "MAIL FROM:<ada@example.com> ENVID=" + "x" * 100 + " AUTH=" + "y" * 500
    async with a_house(a_trusted_config()) as house, a_talker(house) as first, a_talker(house) as second:
        await first.say("EHLO client.example")
        for _ in range(5):
            await second.say("EHLO client.example")
        assert (await first.say(long_mail)).startswith("250")
        assert (await second.say("NOOP " + "x" * wire.MAX_COMMAND)).startswith("500 5.5.2")


async def test_a12_a_slow_authenticator_does_not_stop_other_sessions():
    class Slow(OneAccount):
        async def authenticate(self, client, listen, login, password):
            await released.wait()
            return await super().authenticate(client, listen, login, password)

    released = asyncio.Event()
    async with a_house(authenticator=Slow()) as house, a_talker(house) as waiting, a_talker(house) as other:
        await waiting.say("EHLO client.example")
        await waiting.send(f"AUTH PLAIN {PLAIN}\r\n".encode())
        assert (await other.say("NOOP")).startswith("250")
        released.set()
        assert (await waiting.reply()).startswith("235")


async def test_a13_many_recipients_are_no_abuse():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        for i in range(100):
            assert (await talker.say(f"RCPT TO:<user{i}@example.org>")).startswith("250")
        assert (await send_message(talker, b".\r\n")).startswith("250")
        assert len(house.line.submitted[0][0].recipients) == 101


async def test_a14_sessions_are_registered_and_bounded():
    config = a_trusted_config(smtp={"max_connections": 2})
    async with a_house(config) as house, a_talker(house), a_talker(house):
        third = await Talker.connect(house.address)
        assert await third.reply() == replies.TOO_MANY_CONNECTIONS.lines()[0]
        assert await third.rest() == b""
        await third.close()
        await until(lambda: len(house.door.registry) == 2)


async def test_a15_no_address_and_no_password_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    async with a_house() as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        await talker.say(f"AUTH PLAIN {PLAIN}")
        await talker.say("c2VjcmV0cGFzc3dvcmQ= more")
        await open_transaction(talker)
        await send_message(talker, b".\r\n")
        await talker.say("QUIT")
    written = caplog.text + "".join(str(record.__dict__.get("facts")) for record in caplog.records)
    for private in ("ada@", "bob@", "secret", PLAIN, "c2VjcmV0", "127.0.0.1"):
        assert private not in written


async def test_a16_the_host_name_is_never_looked_up(monkeypatch):
    monkeypatch.setattr(socket, "getfqdn", lambda name="": pytest.fail("a blocking look-up"))
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        assert (await talker.say("HELO x")).startswith("250 relay.example.com")


async def test_a17_a_session_is_made_without_reflection(monkeypatch):
    async with a_house(a_trusted_config()) as house:
        monkeypatch.setattr("aiosmtpd.smtp.SMTP.__init__", lambda *a, **k: pytest.fail("the slow constructor"))
        async with a_talker(house) as talker:
            await open_transaction(talker)
            assert (await send_message(talker, b".\r\n")).startswith("250")
            assert (await talker.say("QUIT")).startswith("221")


async def test_a18_laxness_is_refused():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await talker.send(b"EHLO client.example\n")
        assert (await talker.reply()).startswith("500 5.5.2")
        await talker.say("EHLO client.example")
        assert (await talker.say("MAIL FROM:ada@example.com")).startswith("501")
        assert (await talker.say("VRFY root")).startswith("252")
        assert (await talker.say("EXPN staff")).startswith("502")
        assert "smtp_" not in await talker.say("HELP")


async def test_a19_a_421_closes():
    config = a_trusted_config(smtp={"max_errors": 1})
    async with a_house(config) as house, a_talker(house) as talker:
        await talker.say("NONSENSE")
        await talker.send(b"NOOP\r\nNOOP\r\nNOOP\r\n")
        assert await talker.rest() == replies.TOO_MANY_ERRORS.wire()


async def test_a20_replies_to_one_group_leave_in_one_write(monkeypatch):
    writes: list[bytes] = []

    def send(self: socket.socket, data: bytes) -> int:
        if data[:3].isdigit():
            writes.append(data)
        return super(socket.socket, self).send(data)

    monkeypatch.setattr(socket.socket, "send", send)
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        writes.clear()
        recipients = b"".join(b"RCPT TO:<u%d@example.org>\r\n" % i for i in range(20))
        await talker.send(b"EHLO x\r\nMAIL FROM:<ada@example.com>\r\n" + recipients + b"DATA\r\n")
        for _ in range(23):
            await talker.reply()
        assert len(writes) == 1


def test_every_command_of_the_stock_class_is_our_own():
    """A command that aiosmtpd adds would come in unread."""
    stock = {name for name in dir(Session) if name.startswith("smtp_")}
    assert stock == {name for name in vars(Session) if name.startswith("smtp_")}
