"""Every bound of the doors answers what it should, or closes, and is counted; a bound without a case here fails."""

import os
import signal
import socket
import ssl
from contextlib import AsyncExitStack
from datetime import UTC
from typing import Any, cast, get_args

import pytest
from prometheus_client import REGISTRY

from relay.doors import http, serving
from relay.doors.consent_api import consent_app
from relay.doors.http import BODY_OCTETS, public_app
from relay.doors.smtp import listening, session
from relay.mail import replies
from relay.telemetry import Bound
from tests.support.clocks import Clock
from tests.support.door import Authority, Talker, a_config, a_house, a_talker, a_trusted_config, open_transaction
from tests.support.journey import Client, Journey, metric
from tests.support.scrape import samples
from tests.support.service import ACCOUNTS, Relay, message
from tests.support.stores import START
from tests.support.upstream import RecordingUpstream
from tests.support.waiting import until
from tests.support.web import served

PROXIED: dict[str, Any] = {"listen": [{"name": "in", "address": "127.0.0.1:0", "tls": "none", "proxy_from": ["127.0.0.1/32"]}]}
CASES: dict[str, list[Any]] = {}


def counted(limit):
    return REGISTRY.get_sample_value("relay_refused_by_limit_total", {"limit": limit}) or 0.0


def arriving(house):
    return house.door.registry._headcount.arriving


def case(limit):
    def keep(function):
        CASES.setdefault(limit, []).append(function)
        return function

    return keep


def line(reply):
    return reply.lines()[0]


class Tools:
    """What a case may use; `closing` ends it after the counter was read."""

    def __init__(self, closing, folder, monkeypatch):
        self.closing, self.folder, self.monkeypatch = closing, folder, monkeypatch

    async def door(self, config, **more):
        return await self.closing.enter_async_context(a_house(config, **more))

    async def talker(self, house):
        return await self.closing.enter_async_context(a_talker(house))

    async def connect(self, house):
        talker = await Talker.connect(house.address)
        self.closing.push_async_callback(talker.close)
        return talker

    async def web(self):
        return await self.closing.enter_async_context(served(public_app(cast(Any, Refusals()))))


class Refusals:
    """Takes every token; these requests never come so far that it matters whose it is."""

    def read(self, text):
        return object()


# Connections ---------------------------------------------------------------------------------------------------------


@case("connections")
async def connections(tools):
    house = await tools.door(a_trusted_config(smtp={"max_connections": 1}))
    await tools.talker(house)
    late = await tools.connect(house)
    assert await late.reply() == line(replies.TOO_MANY_CONNECTIONS)
    assert await late.rest() == b""


@case("connections_per_address")
async def connections_per_address(tools):
    house = await tools.door(a_trusted_config(smtp={"max_connections_per_address": 1}))
    await tools.talker(house)
    late = await tools.connect(house)
    assert await late.reply() == line(replies.TOO_MANY_CONNECTIONS_FROM_ADDRESS)
    assert await late.rest() == b""


@case("handshakes")
async def handshakes(tools):
    authority = Authority(tools.folder)
    authority.issue()
    config = a_config(**authority.tables("implicit"), smtp={"max_connections": 1})
    house = await tools.door(config, certificates=authority.certificates())
    silent = await tools.connect(house)
    await until(lambda: arriving(house) == 1)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Talker.connect(house.address, authority.client_context())
    await silent.close()
    await until(lambda: arriving(house) == 0)
    served = await Talker.connect(house.address, authority.client_context())
    assert (await served.reply()).startswith("220")
    await served.close()


@case("handshakes")
async def proxy_headers_on_their_way(tools):
    house = await tools.door(a_config(**PROXIED, smtp={"max_connections": 1}))
    await tools.connect(house)
    await until(lambda: arriving(house) == 1)
    late = await tools.connect(house)
    assert await late.reply() == line(replies.TOO_MANY_CONNECTIONS)
    assert await late.rest() == b""


@case("proxy")
async def no_proxy_header(tools):
    house = await tools.door(a_config(**PROXIED))
    talker = await tools.connect(house)
    await talker.send(b"EHLO client.example\r\n")
    assert await talker.reply() == ""


@case("trust")
async def trust(tools):
    config = a_trusted_config(auth={"trusted_networks": ["192.0.2.0/24"]})
    stranger = await tools.connect(await tools.door(config))
    assert await stranger.reply() == line(replies.NOT_TRUSTED)
    assert await stranger.rest() == b""


# Time ----------------------------------------------------------------------------------------------------------------


@case("time")
async def silence(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"command_timeout": "1s"})))
    assert await talker.reply() == line(replies.TIMED_OUT)
    assert await talker.rest() == b""


@case("time")
async def a_slow_message(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"data_timeout": "1s"})))
    await open_transaction(talker)
    assert (await talker.say("DATA")).startswith("354")
    await talker.send(b"Subject: x\r\n")
    assert await talker.reply() == line(replies.TIMED_OUT)


@case("time")
async def a_handshake_that_never_comes(tools):
    tools.monkeypatch.setattr(listening, "HANDSHAKE_SECONDS", 0.1)
    authority = Authority(tools.folder)
    authority.issue()
    house = await tools.door(a_config(**authority.tables("implicit")), certificates=authority.certificates())
    assert await (await tools.connect(house)).rest() == b""


@case("time")
async def a_handshake_that_never_comes_after_starttls(tools):
    tools.monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 0.1)
    authority = Authority(tools.folder)
    authority.issue()
    house = await tools.door(a_config(**authority.tables("starttls")), certificates=authority.certificates())
    talker = await tools.talker(house)
    await talker.say("EHLO client.example")
    assert (await talker.say("STARTTLS")).startswith("220")
    assert await talker.rest() == b""


@case("time")
async def a_proxy_header_that_never_comes(tools):
    tools.monkeypatch.setattr(listening, "_HEADER_SECONDS", 0.1)
    house = await tools.door(a_config(**PROXIED))
    assert await (await tools.connect(house)).rest() == b""


# Commands ------------------------------------------------------------------------------------------------------------


@case("commands")
async def commands(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"max_commands": 10})))
    for _ in range(10):
        assert (await talker.say("NOOP")).startswith("250")
    assert await talker.say("NOOP") == line(replies.TOO_MANY_COMMANDS)
    assert await talker.rest() == b""


@case("errors")
async def errors(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"max_errors": 1})))
    assert (await talker.say("NONSENSE")).startswith("500")
    assert await talker.say("NOOP") == line(replies.TOO_MANY_ERRORS)
    assert await talker.rest() == b""


@case("recipients")
async def recipients(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"max_recipients": 1})))
    await open_transaction(talker)
    assert await talker.say("RCPT TO:<eve@example.org>") == line(replies.TOO_MANY_RECIPIENTS)
    assert (await talker.say("DATA")).startswith("354")
    await talker.send(b".\r\n")
    assert (await talker.reply()).startswith("250")


@case("in_flight")
async def in_flight(tools):
    talker = await tools.talker(await tools.door(a_trusted_config(smtp={"max_in_flight": 1024})))
    await talker.say("EHLO client.example")
    assert await talker.say("MAIL FROM:<ada@example.com> SIZE=2000") == line(replies.NO_MEMORY)
    assert (await talker.say("NOOP")).startswith("250")


@case("hold")
async def hold(tools):
    house = await tools.door(a_trusted_config())
    house.line.room = 1024
    talker = await tools.talker(house)
    await talker.say("EHLO client.example")
    assert await talker.say("MAIL FROM:<ada@example.com> SIZE=2000") == line(replies.HOLD_FULL)
    assert (await talker.say("MAIL FROM:<ada@example.com> SIZE=1000")).startswith("250")


# HTTP ----------------------------------------------------------------------------------------------------------------


@case("http_connections")
async def http_connections(tools):
    tools.monkeypatch.setattr(serving, "CONNECTIONS", 0)
    assert (await (await tools.web()).get("/u/x")).status == 503


@case("http_size")
async def http_size(tools):
    assert (await (await tools.web()).post("/u/x", b"x=" + b"a" * BODY_OCTETS)).status == 413


@case("http_time")
async def http_time(tools):
    tools.monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    request = f"POST /u/x HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: 20\r\nConnection: close\r\n\r\nList-"
    assert (await (await tools.web()).raw(request.encode())).status == 408


@case("http_token")
async def http_token(tools):
    app = consent_app(cast(Any, None), "0123456789abcdef" * 2, Clock(START), lambda: UTC)
    web = await tools.closing.enter_async_context(served(app))
    assert (await web.post("/v1/consents", b"{}", "application/json", Authorization="Bearer guessed")).status == 401


@pytest.mark.parametrize("limit", CASES)
async def test_a_bound_of_the_doors_answers_and_is_counted(limit, tmp_path, monkeypatch):
    for meet in CASES[limit]:
        before = counted(limit)
        async with AsyncExitStack() as closing:
            await meet(Tools(closing, tmp_path, monkeypatch))
            await until(lambda: counted(limit) > before)  # noqa: B023 - this round's
        assert counted(limit) == before + 1, meet.__name__


# Messages, in the real relay -----------------------------------------------------------------------------------------

OCTETS = {
    "size": (message(body="x\r\n" * 20_000), (552, "5.3.4")),
    "line_length": (message(body="x" * 999 + "\r\n"), (554, "5.6.0")),
    "header_fields": (message(extra="X-A: b\r\n" * 20), (554, "5.6.0")),
    "header_size": (message(extra=f"X-A: {'b' * 900}\r\n" * 3), (554, "5.6.0")),
    "received": (message(extra="Received: from a by b; Mon, 1 Jan 2026 00:00:00 +0000\r\n" * 4), (554, "5.4.6")),
}
BOUNDS = """[smtp]
max_connections = 40
max_connections_per_address = 30
max_message_size = "64KiB"
max_line_length = 998
max_header_fields = 20
max_header_size = "2KiB"
max_received = 3
"""


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    with (
        RecordingUpstream(accounts=ACCOUNTS) as upstream,
        Relay(tmp_path_factory.mktemp("relay"), upstream, workers=2, extra=BOUNDS) as relay,
    ):
        yield relay, upstream


@pytest.mark.parametrize("limit", OCTETS)
def test_a_bound_of_the_message_answers_and_is_counted(limit, station):
    relay, upstream = station
    name = f'relay_refused_by_limit_total{{limit="{limit}"}}'
    before = metric(relay, name)
    journey = Journey(upstream, "ada")
    journey.data, expected = OCTETS[limit]
    client = Client(relay)
    code, text = client.send(journey)
    client.quit()
    assert (code, text.split(" ")[0]) == expected
    relay.wait(lambda: metric(relay, name) == before + 1)
    assert journey.arrived == []


# Connections, over all workers ---------------------------------------------------------------------------------------


class Crowd:
    """Connections to a relay, and what each was told first; all end with the block."""

    def __init__(self, relay):
        self.relay, self.sockets = relay, []

    def __enter__(self):
        return self

    def connect(self, count, address="127.0.0.1"):
        return [self._greeting(address) for _ in range(count)]

    def _greeting(self, address):
        self.sockets.append(socket.create_connection(("127.0.0.1", self.relay.port), 60, (address, 0)))
        return self.sockets[-1].recv(200).decode("ascii")[:3]

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()
        self.relay.wait(lambda: metric(self.relay, "relay_sessions") == 0)


def test_connections_are_counted_over_all_workers(station):
    relay, _ = station
    name = 'relay_refused_by_limit_total{limit="connections"}'
    per_address = 'relay_refused_by_limit_total{limit="connections_per_address"}'
    relay.wait(lambda: metric(relay, "relay_sessions") == 0)  # of the test before
    whole, one = metric(relay, name), metric(relay, per_address)

    def seen():
        """Refused by each bound, and who is there, of one page: a busy worker is shown as it was a second ago."""
        page = samples(relay)
        return page.get(name, 0.0), page.get(per_address, 0.0), page["relay_sessions"]

    clients = [Client(relay, None) for _ in range(30)]
    assert len({client.worker for client in clients}) == 2
    with Crowd(relay) as crowd:
        assert crowd.connect(5) == ["421"] * 5
        relay.wait(lambda: seen() == (whole, one + 5, 30))
        assert crowd.connect(15, "127.0.0.2") == ["220"] * 10 + ["421"] * 5
        relay.wait(lambda: seen()[:2] == (whole + 5, one + 5))
        for client in clients:
            client.quit()
    with Crowd(relay) as crowd:
        assert crowd.connect(30) == ["220"] * 30


def test_connections_of_a_worker_that_died_are_not_counted(station):
    relay, _ = station
    with Crowd(relay) as crowd:
        assert crowd.connect(30) == ["220"] * 30
        dead = set(relay.worker_pids())
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        relay.wait(lambda: len(set(relay.worker_pids()) - dead) == 2)
        relay.wait(lambda: relay.get("operators", "/readyz")[0] == 200)
        assert crowd.connect(30) == ["220"] * 30


def test_no_bound_is_without_a_case():
    assert {*CASES, *OCTETS} == set(get_args(Bound))
    assert not CASES.keys() & OCTETS.keys()
