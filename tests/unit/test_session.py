"""Session: who is trusted, what is offered, and when a client has heard a final reply."""

import asyncio
import ssl
import time

import pytest

from relay.mail import replies
from relay.mail.envelope import IdentityKind
from tests.support.door import (
    Authority,
    Talker,
    a_config,
    a_house,
    a_talker,
    a_trusted_config,
    open_transaction,
    send_message,
)
from tests.support.waiting import until

PLAIN = "AUTH PLAIN AGFkYUBleGFtcGxlLmNvbQBzZWNyZXQ="


async def test_a_client_outside_the_trusted_networks_is_sent_away_before_it_speaks():
    config = a_trusted_config(auth={"trusted_networks": ["192.0.2.0/24"]})
    async with a_house(config) as house:
        talker = await Talker.connect(house.address)
        assert await talker.reply() == replies.NOT_TRUSTED.lines()[0]
        assert await talker.rest() == b""
        await talker.close()


async def test_a_trusted_client_is_its_listener_and_owns_the_signing_domains():
    config = a_trusted_config(dkim=[{"domain": "Example.COM", "selector": "s1", "key_file": "k"}])
    async with a_house(config) as house, a_talker(house) as talker:
        await open_transaction(talker)
        client, identity, _ = house.line.began[0]
        assert (identity.name, identity.kind, identity.owns) == (
            "listener:internal",
            IdentityKind.TRUSTED,
            frozenset({"@example.com"}),
        )
        assert (client.listener, client.address, client.protocol) == ("internal", "127.0.0.1", "ESMTP")


async def test_trust_does_not_open_a_listener_that_requires_a_password():
    config = a_config(auth={"trusted_networks": ["127.0.0.0/8"]})
    async with a_house(config) as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        assert await talker.say("MAIL FROM:<ada@example.com>") == replies.AUTH_REQUIRED.lines()[0]
        assert await talker.say("RCPT TO:<bob@example.org>") == replies.MAIL_FIRST.lines()[0]
        assert await talker.say("DATA") == replies.MAIL_FIRST.lines()[0]


@pytest.mark.parametrize(
    ("upstream", "offered"), [(None, 32 * 1024**2 - 16 * 1024), (10 * 1024**2, 10 * 1024**2 - 16 * 1024), (1, 1)]
)
async def test_size_leaves_room_for_what_we_add_at_the_smallest_upstream(upstream, offered):
    async with a_house(a_trusted_config(), upstream_size=lambda: upstream) as house, a_talker(house) as talker:
        assert f"SIZE {offered}\n" in await talker.say("EHLO client.example")
        assert (await talker.say(f"MAIL FROM:<ada@example.com> SIZE={offered + 1}")).startswith("552-5.3.4 [base/size]")
        assert (await talker.say(f"MAIL FROM:<ada@example.com> SIZE={offered}")).startswith("250")


async def test_a_client_that_goes_on_has_heard_the_reply():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        await send_message(talker, b"x\r\n.\r\n")
        assert house.line.concluded_ids == []
        assert (await talker.say("NOOP")).startswith("250")
        assert house.line.concluded_ids == [house.line.submitted[0][0].id]
        await talker.say("NOOP")
        assert len(house.line.concluded_ids) == 1


async def test_a_try_begins_when_its_client_is_told_to_send():
    """However late the door gets to read: whoever gives this try up has had that reply."""
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        before = time.monotonic()
        assert (await talker.say("DATA")).startswith("354")
        told = time.monotonic()
        await asyncio.sleep(0.05)
        await talker.send(b"x\r\n.\r\n")
        assert (await talker.reply()).startswith("250")
        (began,) = house.line.told_to_send
        assert before < began < told


async def test_a_pipelined_command_says_nothing_and_a_later_one_does():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        assert (await talker.say("DATA")).startswith("354")
        await talker.send(b"x\r\n.\r\nRSET\r\nNOOP\r\n")
        for _ in range(3):
            assert (await talker.reply()).startswith("250")
        assert house.line.concluded_ids == []
        assert (await talker.say("NOOP")).startswith("250")
        assert len(house.line.concluded_ids) == 1


async def test_a_pipelined_command_that_arrives_while_the_line_works_says_nothing():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        house.line.gate.clear()
        assert (await talker.say("DATA")).startswith("354")
        await talker.send(b"x\r\n.\r\n")
        await until(lambda: house.line.handed_over == 1)
        await talker.send(b"QUIT\r\n")
        await asyncio.sleep(0.05)
        house.line.gate.set()
        assert (await talker.reply()).startswith("250")
        assert (await talker.reply()).startswith("221")
        assert await talker.rest() == b""
        assert house.line.concluded_ids == []


async def test_a_client_that_hangs_up_after_the_reply_has_not_said_that_it_heard():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        await send_message(talker, b"x\r\n.\r\n")
        await talker.close()
        await until(lambda: len(house.door.registry) == 0)
        assert house.line.concluded_ids == []


async def test_a_refusal_for_good_is_concluded_and_a_deferral_is_not():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        for code, concluded in ((554, 1), (451, 1)):
            house.line.final = replies.upstream_said(code, "0.0", "no")
            await open_transaction(talker)
            assert (await send_message(talker, b"x\r\n.\r\n")).startswith(str(code))
            await talker.say("RSET")
            assert len(house.line.concluded_ids) == concluded


async def test_the_next_reply_waits_until_the_conclusion_is_written():
    async with a_house(a_trusted_config()) as house, a_talker(house) as talker:
        await open_transaction(talker)
        await send_message(talker, b"x\r\n.\r\n")
        gate, told = asyncio.Event(), []

        async def slow(submission):
            await gate.wait()
            told.append(submission.id)

        house.line.concluded = slow  # type: ignore[method-assign]
        await talker.send(b"QUIT\r\n")
        answer = asyncio.ensure_future(talker.reply())
        await asyncio.sleep(0.05)
        assert not answer.done()
        gate.set()
        assert (await answer).startswith("221")
        assert len(told) == 1


async def test_a_client_that_says_nothing_is_told_so():
    async with a_house(a_trusted_config(smtp={"command_timeout": "0.1s"})) as house, a_talker(house) as talker:
        assert await talker.reply() == replies.TIMED_OUT.lines()[0]
        assert await talker.rest() == b""


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr("relay.doors.smtp.wire._CLOSE_PATIENCE", 0.1)
    async with a_house(a_trusted_config(smtp={"command_timeout": "0.3s"})) as house, a_talker(house) as talker:
        talker.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(2000):
            talker.writer.write(b"HELP\r\n" * 200)
        await until(lambda: len(house.door.registry) == 0)


async def test_a_guess_is_settled_though_the_guesser_hangs_up():
    class Slow:
        finished = False

        async def authenticate(self, client, listen, login, password):
            await asyncio.sleep(0.1)
            self.finished = True
            return replies.AUTH_FAILED

    slow = Slow()
    async with a_house(authenticator=slow) as house, a_talker(house) as talker:
        await talker.say("EHLO client.example")
        await talker.send(PLAIN.encode() + b"\r\n")
        await asyncio.sleep(0.02)
        await talker.close()
        await until(lambda: slow.finished)


@pytest.mark.parametrize(
    ("tls", "greeting", "parameter", "word"),
    [
        ("none", "HELO x", "", "SMTP"),
        ("none", "EHLO x", "", "ESMTPA"),
        ("none", "EHLO x", " SMTPUTF8", "UTF8SMTPA"),
        ("implicit", "EHLO x", "", "ESMTPSA"),
        ("implicit", "EHLO x", " SMTPUTF8", "UTF8SMTPSA"),
    ],
)
async def test_the_received_field_names_the_protocol(tls, greeting, parameter, word, tmp_path):
    authority = Authority(tmp_path)
    authority.issue()
    context: ssl.SSLContext | None = authority.client_context() if tls == "implicit" else None
    async with (
        a_house(a_config(**authority.tables(tls)), certificates=authority.certificates()) as house,
        a_talker(house, context) as talker,
    ):
        await talker.say("EHLO client.example")
        await talker.say(PLAIN)
        await talker.say(greeting)
        assert (await talker.say(f"MAIL FROM:<ada@example.com>{parameter}")).startswith("250")
        assert house.line.began[0][0].protocol == word


async def test_a_password_in_the_clear_from_elsewhere_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("relay.doors.smtp.wire.plain_address", lambda address: "192.0.2.7")
    authority = Authority(tmp_path)
    authority.issue()
    for tls, advice in (("none", replies.AUTH_REQUIRED), ("starttls", replies.TLS_REQUIRED)):
        config = a_config(**authority.tables(tls))
        async with a_house(config, certificates=authority.certificates()) as house, a_talker(house) as talker:
            assert "AUTH" not in await talker.say("EHLO client.example")
            assert await talker.say("MAIL FROM:<ada@example.com>") == advice.lines()[0]
            assert await talker.say(PLAIN) == replies.AUTH_NEEDS_TLS.lines()[0]
