"""Copies reach a real upstream octet for octet, over every kind of connection, and what goes wrong there is told apart."""

import asyncio
import threading
from contextlib import suppress

import pytest
import uvloop

from relay.mail import replies
from relay.mail.envelope import Credentials
from relay.upstream.outcome import OutcomeState, UpstreamUnavailable
from relay.upstream.wire import Wire
from tests.support.fixtures import an_upstream
from tests.support.leaving import NEWS, SECRET, a_copy, a_recipient, send, upstream_table, upstreams_of
from tests.support.upstream import EXTENSIONS, RecordingUpstream

ACCOUNTS = {NEWS: "right", "eve@example.com": "right"}
EVE = Credentials("eve@example.com", "right")
DELIVERED, TRANSIENT, PERMANENT, INDETERMINATE = OutcomeState
ODD_BODY = b".\r\n..\r\n.one\r\n" + bytes(range(1, 10)) + bytes(range(128, 256)) + b"\r\n" + b"x" * 5000 + b"\r\n\r\n"


def states(outcomes):
    return [outcome.state for outcome in outcomes]


def without(*names):
    return [extension for extension in EXTENSIONS if extension.split()[0] not in names]


upstream = an_upstream(tls="implicit", accounts=ACCOUNTS)


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
@pytest.mark.parametrize("extensions", [EXTENSIONS, without("PIPELINING")], ids=["pipelined", "step-by-step"])
async def test_the_octets_arrive_as_they_are(tls, extensions):
    with RecordingUpstream(tls=tls, accounts=ACCOUNTS, extensions=extensions) as upstream:
        async with upstreams_of(upstream_table(upstream)) as upstreams:
            copies = [a_copy("ada@example.org", "bob@example.org", body=body) for body in (ODD_BODY, b"", b"x" * 998 + b"\r\n")]
            for copy in copies:
                assert states(await send(upstreams, copy)) == [DELIVERED, DELIVERED]
        assert [delivery.data for delivery in upstream.accepted] == [copy.header + copy.body for copy in copies]
        assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.org", "bob@example.org"]] * 3
        assert {delivery.identity for delivery in upstream.accepted} == {NEWS}
        assert upstream.violations == []
        assert len(upstream.sessions) == 1
        assert upstream.sessions[0].tls in (None if tls == "none" else "TLSv1.3", "TLSv1.2" if tls == "starttls" else "TLSv1.3")
        assert upstream.sessions[0].lines[0] == "EHLO relay.example.com"


async def test_parameters_reach_only_an_upstream_that_offers_them():
    ada = a_recipient("ada@example.org", notify=frozenset({"NEVER"}), orcpt="rfc822;a@example.org")
    copy = a_copy(ada, needs_8bit=True)
    with RecordingUpstream() as all_offered, RecordingUpstream(extensions=()) as nothing_offered:
        for upstream in (all_offered, nothing_offered):
            async with upstreams_of(upstream_table(upstream)) as upstreams:
                assert states(await send(upstreams, copy, credentials=None, ret="HDRS", envid="e1")) == [DELIVERED]
            assert upstream.violations == []
        size = len(copy.header) + len(copy.body)
        assert all_offered.accepted[0].mail_parameters == [f"SIZE={size}", "BODY=8BITMIME", "RET=HDRS", "ENVID=e1"]
        assert all_offered.accepted[0].rcpt_parameters == [["NOTIFY=NEVER", "ORCPT=rfc822;a@example.org"]]
        assert nothing_offered.accepted[0].mail_parameters == []


async def test_an_unknown_authority_gets_no_password(upstream):
    with RecordingUpstream(tls="implicit") as other:
        async with upstreams_of(upstream_table(upstream, ca_file=other.ca_file)) as upstreams:
            with pytest.raises(UpstreamUnavailable) as caught:
                await send(upstreams)
    assert caught.value.reason == "tls"
    assert upstream.auth_attempts == []


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_certificate_for_another_name_gets_no_password(tls):
    with RecordingUpstream(tls=tls, accounts=ACCOUNTS, names=["other.example"]) as upstream:
        async with upstreams_of(upstream_table(upstream)) as upstreams:
            with pytest.raises(UpstreamUnavailable) as caught:
                await send(upstreams)
        assert caught.value.reason == "tls"
        assert upstream.auth_attempts == []


async def test_no_starttls_no_password():
    with RecordingUpstream(accounts=ACCOUNTS) as upstream:
        async with upstreams_of(upstream_table(upstream, tls="starttls")) as upstreams:
            with pytest.raises(UpstreamUnavailable) as caught:
                await send(upstreams)
        assert caught.value.reason == "tls"
        assert upstream.auth_attempts == []


async def test_auth_login_serves_where_plain_is_not_offered(upstream):
    upstream.fault("EHLO", "250-upstream.example\n250 AUTH LOGIN CRAM-MD5")
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        assert states(await send(upstreams)) == [DELIVERED]
    assert upstream.auth_attempts == [(NEWS, True)]


async def test_an_identity_without_an_account_is_not_sent_without_one(upstream):
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        with pytest.raises(UpstreamUnavailable) as caught:
            await send(upstreams, credentials=None)
    assert (caught.value.reason, caught.value.reply) == ("account", replies.UPSTREAM_ACCOUNT)
    assert upstream.sessions == []


async def test_a_refused_account_is_not_tried_again_for_each_mail(upstream):
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable) as caught:
                await send(upstreams, credentials=Credentials(NEWS, "old"))
            assert (caught.value.reason, caught.value.reply) == ("refused", replies.UPSTREAM_ACCOUNT)
    assert upstream.auth_attempts == [(NEWS, False)]


async def test_no_connection_is_ever_used_by_another_identity(upstream):
    async with upstreams_of(upstream_table(upstream, max_connections=2)) as upstreams:

        async def mail(identity, credentials):
            copy = a_copy(body=f"{identity}\r\n".encode())
            assert states(await send(upstreams, copy, identity=identity, credentials=credentials)) == [DELIVERED]

        for _ in range(5):
            await asyncio.gather(*(mail(*who) for who in [(NEWS, SECRET), (EVE.login, EVE)] * 5))
        # The same login under another identity is another key, too.
        await mail("listener:office", SECRET)
        await mail(NEWS, SECRET)
    used: dict[int, set[tuple[str | None, bytes]]] = {}
    for delivery in upstream.accepted:
        used.setdefault(delivery.session, set()).add((delivery.identity, delivery.data.split(b"\r\n")[2]))
    assert len(upstream.accepted) == 52
    assert all(len(identities) == 1 for identities in used.values())
    assert set.union(*used.values()) == {(NEWS, NEWS.encode()), (EVE.login, EVE.login.encode()), (NEWS, b"listener:office")}


async def test_a_cancelled_mail_leaves_no_trace_in_the_next(upstream):
    upstream.fault("DATA", stall=True, times=1)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        first = asyncio.ensure_future(send(upstreams, a_copy(body=b"first\r\n")))
        await upstream.until(lambda: "DATA" in [line for session in upstream.sessions for line in session.lines])
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert states(await send(upstreams, a_copy(body=b"second\r\n"))) == [DELIVERED]
    assert [delivery.data for delivery in upstream.accepted] == [b"Subject: hello\r\n\r\nsecond\r\n"]
    assert len(upstream.sessions) == 2


async def offer(upstreams, upstream):
    """Have the upstream get a mail whose dot it does not answer in time; the outcomes, and what comes late.

    Only a dot that came can go unanswered: on a busy machine, where a fraction of a second is too short for that, there is more.
    """
    loop, before = asyncio.get_running_loop(), len(upstream.deliveries)
    for patience in (0.2, 2.0, 20.0, 60.0):
        deadline = loop.time() + patience
        with suppress(UpstreamUnavailable):
            async with upstreams.lease("", NEWS, SECRET, deadline) as connection:
                outcomes = await connection.transact(None, a_copy(), deadline=deadline, past_dot=0.2)
            if len(upstream.deliveries) > before:
                return outcomes, connection.late
    raise AssertionError("no mail came to its dot")


@pytest.mark.parametrize("fault", [{"stall": True}, {"lose": True}, {"close": True}], ids=["stall", "lose", "close"])
async def test_silence_past_the_dot_is_indeterminate_and_is_not_tried_again(upstream, fault):
    upstream.fault("DOT", **fault)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        (outcome,), _ = await offer(upstreams, upstream)
    assert (outcome.state, outcome.before_dot, outcome.reply.code) == (INDETERMINATE, False, 451)
    assert len(upstream.deliveries) == 1


async def test_a_reply_to_the_dot_that_comes_late_is_heard_and_its_connection_is_used_again(upstream):
    nobody_waits = threading.Event()
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        assert states(await send(upstreams)) == [DELIVERED]
        upstream.fault("DOT", "250 2.0.0 late", times=1)
        upstream.on_delivery = lambda _: nobody_waits.wait(60)
        try:
            outcomes, late = await offer(upstreams, upstream)
        finally:
            nobody_waits.set()
        assert states(outcomes) == [INDETERMINATE]
        (outcome,) = await late
        assert (outcome.state, outcome.upstream_text) == (DELIVERED, "250 2.0.0 late")
        connections = len(upstream.sessions)
        assert states(await send(upstreams)) == [DELIVERED]
    assert len(upstream.sessions) == connections


async def test_waiting_for_a_late_reply_keeps_nobody_from_sending(upstream):
    upstream.fault("DOT", stall=True, times=1)
    async with upstreams_of(upstream_table(upstream, max_connections=1)) as upstreams:
        outcomes, late = await offer(upstreams, upstream)
        assert states(outcomes) == [INDETERMINATE]
        assert states(await send(upstreams)) == [DELIVERED]
        assert states(await late) == [INDETERMINATE]


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
async def test_silence_before_the_dot_is_transient(upstream, at):
    upstream.fault(at, stall=True)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        await upstreams.verify("", NEWS, SECRET)  # so that it is not the connection that takes the time
        (outcome,) = await send(upstreams, patience=1.0)
    assert (outcome.state, outcome.before_dot, outcome.reply) == (TRANSIENT, True, replies.UPSTREAM_TIMED_OUT)
    assert upstream.deliveries == []


async def test_an_upstream_that_closes_in_the_middle_of_the_message_does_not_have_it(upstream):
    upstream.fault("BODY", close=True, after=100_000)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        (outcome,) = await send(upstreams, a_copy(body=(b"x" * 98 + b"\r\n") * 200_000))
    assert (outcome.state, outcome.before_dot) == (TRANSIENT, True)
    assert upstream.deliveries == []


async def test_each_recipient_has_its_own_outcome_and_the_connection_stays(upstream):
    upstream.fault("RCPT", "550-5.1.1 <gone@example.org>\n550 5.1.1 not known, ask eve@example.net", matching="gone@")
    upstream.fault("RCPT", "550 RP:TRC", matching="later@")
    async with upstreams_of(upstream_table(upstream, provider="netease")) as upstreams:
        copy = a_copy("ada@example.org", "gone@example.org", "later@example.org")
        outcomes = await send(upstreams, copy)
        assert states(outcomes) == [DELIVERED, PERMANENT, TRANSIENT]
        assert str(outcomes[1].reply) == "550 5.1.1 The upstream server said: <***> not known, ask ***"
        assert states(await send(upstreams, a_copy("gone@example.org"))) == [PERMANENT]
        assert states(await send(upstreams, a_copy("ada@example.org"))) == [DELIVERED]
    assert len(upstream.sessions) == 1
    assert upstream.sessions[0].lines.count("RSET") == 1


async def test_a_connection_that_was_closed_while_idle_is_replaced_unseen(upstream):
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        await send(upstreams)
        upstream.drop_connections()
        assert states(await send(upstreams)) == [DELIVERED]
        upstream.fault("MAIL", close=True, times=1)  # the close meets our MAIL
        assert states(await send(upstreams)) == [DELIVERED]
        upstream.fault("RCPT", "421 4.4.2 idle too long", times=1)
        assert states(await send(upstreams)) == [DELIVERED]
    assert len(upstream.accepted) == 4
    assert len(upstream.sessions) == 4


async def test_a_new_connection_that_is_closed_is_not_replaced_for_ever(upstream):
    upstream.fault("MAIL", close=True)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        (outcome,) = await send(upstreams)
    assert (outcome.state, outcome.before_dot) == (TRANSIENT, True)
    assert len(upstream.sessions) == 1


async def test_a_slow_reader_is_waited_for_in_bounded_memory(monkeypatch):
    body = (b"y" * 998 + b"\r\n") * 8000
    with RecordingUpstream(tls="implicit", accounts=ACCOUNTS, receive_buffer=16384) as upstream:
        upstream.fault("BODY", delay=0.001)
        async with upstreams_of(upstream_table(upstream)) as upstreams:
            deadline = asyncio.get_running_loop().time() + 120
            async with upstreams.lease("", NEWS, SECRET, deadline) as connection:
                wire, buffered = connection._held.wire, []

                def measured(octets):
                    Wire.write(wire, octets)
                    buffered.append(wire._transport.get_write_buffer_size())

                monkeypatch.setattr(wire, "write", measured)
                outcomes = await connection.transact(None, a_copy(body=body), deadline=deadline, past_dot=120)
        assert states(outcomes) == [DELIVERED]
        assert upstream.accepted[0].data.endswith(body)
        assert max(buffered) < 2 * 1024**2


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_the_loop_that_the_workers_run_on_carries_it_too(tls):
    body = (b"z" * 998 + b"\r\n") * 2000

    async def story(upstream):
        async with upstreams_of(upstream_table(upstream)) as upstreams:
            assert states(await send(upstreams, a_copy(body=body))) == [DELIVERED]
            upstream.drop_connections()
            assert states(await send(upstreams)) == [DELIVERED]
            upstream.fault("DATA", stall=True, times=1)
            assert states(await send(upstreams, patience=1.0)) == [TRANSIENT]
            upstream.fault("CONNECT", "421 4.3.2 busy", times=1)
            with pytest.raises(UpstreamUnavailable):
                await send(upstreams)
            upstream.fault("DOT", stall=True, times=1)
            outcomes, _ = await offer(upstreams, upstream)
            assert states(outcomes) == [INDETERMINATE]

    with RecordingUpstream(tls=tls, accounts=ACCOUNTS) as upstream:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(story(upstream))
        assert upstream.accepted[0].data.endswith(body)
        assert upstream.violations == []


async def test_draining_lets_what_leaves_finish(upstream):
    upstream.fault("DOT", "250 2.0.0 late", delay=0.3)
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        sending = asyncio.ensure_future(send(upstreams))
        await upstream.until(lambda: upstream.deliveries)
        await upstreams.drain(asyncio.get_running_loop().time() + 60)
        assert states(await sending) == [DELIVERED]
        with pytest.raises(UpstreamUnavailable, match="shutting down"):
            await send(upstreams)
    await upstream.until(lambda: not upstream.open_sessions)
