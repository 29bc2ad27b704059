"""Verifying a login at the upstream: only its own 235 is a yes, and it is not asked more than needed."""

import asyncio

import pytest

from relay.mail.envelope import Credentials
from relay.telemetry import upstream_connections, upstream_replies_total
from relay.upstream.breaker import OPENS_AFTER, SHORTEST
from relay.upstream.outcome import UpstreamUnavailable
from relay.upstream.site import Rejected, Unavailable, Verified
from tests.support.clocks import Clock
from tests.support.fixtures import an_upstream
from tests.support.leaving import NEWS, SECRET, send, upstream_table, upstreams_of

WRONG = Credentials(NEWS, "wrong")
EVE = "eve@example.com"

upstream = an_upstream(tls="implicit", accounts={NEWS: "right", EVE: "right"})


@pytest.fixture
async def upstreams(upstream):
    async with upstreams_of(upstream_table(upstream)) as them:
        yield them


async def test_the_connection_that_verified_carries_the_mail(upstream, upstreams):
    assert await upstreams.verify("", NEWS, SECRET) == Verified()
    await send(upstreams)
    assert len(upstream.sessions) == 1
    assert upstream.accepted[0].identity == NEWS


async def test_a_login_is_not_asked_again_while_its_connection_lives(upstream, upstreams):
    for _ in range(10):
        assert await upstreams.verify("", NEWS, SECRET) == Verified()
    assert upstream.auth_attempts == [(NEWS, True)]
    upstream.drop_connections()
    await upstream.until(lambda: upstream_connections.labels("upstream", "idle")._value.get() == 0)
    assert await upstreams.verify("", NEWS, SECRET) == Verified()
    assert upstream.auth_attempts == [(NEWS, True)] * 2


async def test_another_password_is_asked_even_while_the_right_ones_connection_lives(upstream, upstreams):
    assert await upstreams.verify("", NEWS, SECRET) == Verified()
    assert isinstance(await upstreams.verify("", NEWS, WRONG), Rejected)
    # A refusal ends the acceptance of that identity.
    assert await upstreams.verify("", NEWS, SECRET) == Verified()
    assert upstream.auth_attempts == [(NEWS, True), (NEWS, False), (NEWS, True)]


async def test_a_thousand_times_the_same_wrong_password_reaches_the_upstream_once(upstream, upstreams):
    answers = []
    for _ in range(20):
        answers += await asyncio.gather(*(upstreams.verify("", NEWS, WRONG) for _ in range(50)))
    assert {answer.text for answer in answers} == {"535 wrong password"}
    assert sum(answer.from_memory for answer in answers) == 950
    assert upstream.auth_attempts == [(NEWS, False)]


async def test_two_identities_with_one_password_are_two_questions(upstream, upstreams):
    assert isinstance(await upstreams.verify("", EVE, SECRET), Verified)
    assert isinstance(await upstreams.verify("", NEWS, SECRET), Verified)
    assert len(upstream.auth_attempts) == 2


@pytest.mark.parametrize(
    "reply", ["454 4.7.0 busy", "421 4.3.2 bye", "554 IP is rejected, auth limit", "504 5.5.4 no PLAIN", "530 5.7.0 TLS first"]
)
async def test_what_is_no_judgement_of_the_password_is_unavailable_and_not_remembered(upstream, reply):
    upstream.fault("AUTH", reply, times=1)
    async with upstreams_of(upstream_table(upstream, provider="netease")) as upstreams:
        assert isinstance(await upstreams.verify("", NEWS, SECRET), Unavailable)
        assert await upstreams.verify("", NEWS, SECRET) == Verified()


async def test_the_upstreams_text_is_passed_on_as_ascii_without_addresses(upstream, upstreams):
    upstream.fault("AUTH", "535 5.7.8 登录失败 for news@example.com, ask root@example.net")
    rejected = await upstreams.verify("", NEWS, WRONG)
    assert rejected.text == "535 ???? for ***, ask ***"


async def test_an_upstream_without_auth_never_verifies(upstream):
    upstream.fault("EHLO", "250-upstream.example\n250 PIPELINING")
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        assert isinstance(await upstreams.verify("", NEWS, SECRET), Unavailable)
    async with upstreams_of(upstream_table(upstream, auth="none")) as upstreams:
        assert isinstance(await upstreams.verify("", NEWS, SECRET), Unavailable)
    assert upstream.auth_attempts == []


async def test_an_upstream_that_is_down_never_verifies(upstream):
    async with upstreams_of(upstream_table(upstream)) as upstreams:
        upstream.fault("CONNECT", close=True)
        assert isinstance(await upstreams.verify("", NEWS, SECRET), Unavailable)


@pytest.mark.parametrize("password", ["with\0nul", "\udc80surrogate"])
async def test_what_cannot_be_a_password_is_refused_without_asking(upstream, upstreams, password):
    assert isinstance(await upstreams.verify("", NEWS, Credentials(NEWS, password)), Rejected)
    assert upstream.auth_attempts == []


async def test_who_offers_no_mail_spends_nobody_elses_try_whether_the_upstream_works(upstream):
    """When the breaker lets one connect whose password is wrong, or whose mail must wait, the next one need not wait a minute."""
    clock = Clock()
    async with upstreams_of(upstream_table(upstream), monotonic=clock) as upstreams:
        upstream.fault("CONNECT", close=True)
        for _ in range(OPENS_AFTER):
            with pytest.raises(UpstreamUnavailable):
                await send(upstreams)
        upstream.faults.clear()
        clock.pass_(SHORTEST)
        for _ in range(2):  # the second time it is refused from memory
            with pytest.raises(UpstreamUnavailable) as refused:
                await send(upstreams, credentials=WRONG)
            assert refused.value.reason == "refused"
        async with upstreams.lease("", NEWS, SECRET, asyncio.get_running_loop().time() + 60):
            pass  # a limit was reached, and no mail is offered
        (outcome,) = await send(upstreams, identity=EVE, credentials=Credentials(EVE, "right"), sender=EVE)
        assert outcome.reply.is_positive


@pytest.mark.parametrize("greeting", ["SSH-2.0-OpenSSH_9.2", "HTTP/1.1 400 Bad Request", "354 go ahead"])
async def test_what_does_not_speak_smtp_is_down_and_has_accepted_nothing(upstream, greeting):
    accepted = upstream_replies_total.labels("upstream", "accepted")
    before = accepted._value.get()
    async with upstreams_of(upstream_table(upstream), monotonic=Clock()) as upstreams:
        upstream.fault("CONNECT", greeting)
        reasons = []
        for _ in range(OPENS_AFTER + 1):
            with pytest.raises(UpstreamUnavailable) as refused:
                await send(upstreams)
            reasons.append(refused.value.reason)
        assert "does not fit" in (await upstreams.probe())["upstream"]
    assert reasons == ["greeting"] * OPENS_AFTER + ["resting"]
    assert accepted._value.get() == before


async def test_an_answer_to_a_login_that_does_not_fit_has_accepted_nothing(upstream, upstreams):
    accepted = upstream_replies_total.labels("upstream", "accepted")
    before = accepted._value.get()
    upstream.fault("AUTH", "250 2.0.0 what?", times=1)
    assert isinstance(await upstreams.verify("", NEWS, SECRET), Unavailable)
    assert accepted._value.get() == before


async def test_probing_learns_what_is_offered_without_a_login(upstream, upstreams):
    assert not upstreams.capabilities("").seen
    assert await upstreams.probe() == {"upstream": ""}
    capabilities = upstreams.capabilities("")
    assert (capabilities.pipelining, capabilities.size, capabilities.dsn, capabilities.smtputf8) == (True, 52428800, True, True)
    assert upstream.auth_attempts == []
    upstream.fault("CONNECT", "554 5.3.2 no")
    assert "554" in (await upstreams.probe())["upstream"]


async def test_the_account_of_the_identity_comes_before_that_of_the_reverse_path(upstream, tmp_path):
    tables = [upstream_table(upstream)]
    for number, identity in enumerate(["wang", NEWS, "@example.com"]):
        (tmp_path / str(number)).write_text(f"secret-{number}\n")
        (tmp_path / str(number)).chmod(0o600)
        tables.append(f'[[account]]\nidentity = "{identity}"\nupstream = "upstream"\npassword_file = "{number}"')
    async with upstreams_of(*tables, folder=tmp_path) as upstreams:
        assert upstreams.account_for("", "wang", NEWS) == Credentials("wang", "secret-0")
        assert upstreams.account_for("", "listener:office", NEWS) == Credentials(NEWS, "secret-1")
        assert upstreams.account_for("", "listener:office", "eve@example.com") == Credentials("@example.com", "secret-2")
        assert upstreams.account_for("", "listener:office", "eve@example.net") is None
        assert upstreams.account_for("", "listener:office", None) is None


async def test_replies_and_connections_are_counted(upstream, upstreams):
    accepted = upstream_replies_total.labels("upstream", "accepted")
    before = accepted._value.get()
    await send(upstreams)
    assert accepted._value.get() == before + 1
    idle, busy = upstream_connections.labels("upstream", "idle"), upstream_connections.labels("upstream", "busy")
    assert (idle._value.get(), busy._value.get()) == (1, 0)
    await upstreams.drain(asyncio.get_running_loop().time() + 1)
    assert (idle._value.get(), busy._value.get()) == (0, 0)
