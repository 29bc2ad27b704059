"""The PROXY protocol: what is announced is believed from the named balancers only, and loopback never."""

import contextlib
import socket
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.doors.smtp.proxy import NotProxied, parse_v1, parse_v2
from relay.mail import replies
from tests.support.door import Authority, Talker, a_config, a_house, a_talker
from tests.support.waiting import until

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(source: str, command: int = 1, tlvs: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source)
    body = packed + packed + struct.pack("!HH", 40000, 465) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(body)) + body


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 465\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 465\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
    ],
)
def test_version_1_is_read(line, address):
    assert parse_v1(line).address == address


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 465\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 465 1\r\n",
        b"PROXY TCP4  192.0.2.7 192.0.2.1 40000 465\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 465\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.1 40000 465\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 040000 465\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 70000 465\r\n",
        b"PROXY TCP4 192.0.2.07 192.0.2.1 1 465\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 1 465\r\n",
        b"proxy TCP4 192.0.2.7 192.0.2.1 1 465\r\n",
    ],
)
def test_another_version_1_is_refused(line):
    with pytest.raises(NotProxied):
        parse_v1(line)


@pytest.mark.parametrize(
    "head", [b"\x11\x11\x00\x0c", b"\x22\x11\x00\x0c", b"\x21\x31\x00\x0c", b"\x21\x12\x00\x0c", b"\x21\x00\x00\x0c"]
)
def test_another_version_2_is_refused(head):
    with pytest.raises(NotProxied):
        parse_v2(head, bytes(12))
    with pytest.raises(NotProxied):
        parse_v2(b"\x21\x11\x00\x0b", bytes(11))


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=60))
def test_any_octets_are_an_address_or_refused(head, body):
    for parse in (lambda: parse_v2(head, body), lambda: parse_v1(b"PROXY " + head + body + b"\r\n")):
        with contextlib.suppress(NotProxied):
            address = parse().address
            assert address == "" or socket.getaddrinfo(address, None, flags=socket.AI_NUMERICHOST)


def proxied(proxy_from: str = "127.0.0.1/32", **listen):
    listener = {"name": "edge", "address": "127.0.0.1:0", "tls": "none", "auth": "none", "proxy_from": [proxy_from], **listen}
    return a_config(listen=[listener], auth={"trusted_networks": ["127.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]})


async def first_reply(house, octets: bytes) -> str:
    talker = await Talker.connect(house.address)
    await talker.send(octets)
    reply = await talker.reply()
    await talker.close()
    return reply


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize("version", [1, 2])
async def test_the_announced_address_is_the_clients(address, version):
    line = f"PROXY TCP{6 if ':' in address else 4} {address} {address} 40000 465\r\n".encode()
    header = line if version == 1 else v2(address, tlvs=b"\x04\x00\x03abc")
    async with a_house(proxied()) as house:
        talker = await Talker.connect(house.address)
        await talker.send(header + b"EHLO x\r\nMAIL FROM:<ada@example.com>\r\n")
        assert [(await talker.reply())[:3] for _ in range(3)] == ["220", "250", "250"]
        await talker.close()
        assert house.line.began[0][0].address == address


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 465\r\n",
        b"PROXY TCP6 ::1 ::1 40000 465\r\n",
        b"PROXY TCP6 ::ffff:127.0.0.1 ::1 40000 465\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 465\r\n",
        b"PROXY UNKNOWN\r\n",
        v2("127.0.0.1"),
        v2("192.0.2.7", command=0),
    ],
)
async def test_an_announced_loopback_a_stranger_and_no_announcement_earn_no_trust(header):
    async with a_house(proxied()) as house:
        assert await first_reply(house, header) == replies.NOT_TRUSTED.lines()[0]


async def test_an_announced_loopback_address_may_not_send_a_password_in_the_clear():
    async with a_house(proxied(auth="required")) as house:
        talker = await Talker.connect(house.address)
        await talker.send(b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 465\r\n")
        await talker.reply()
        assert "AUTH" not in await talker.say("EHLO x")
        assert await talker.say("AUTH PLAIN AGEAYg==") == replies.AUTH_NEEDS_TLS.lines()[0]
        await talker.close()


@pytest.mark.parametrize(
    "octets", [b"EHLO client.example\r\n" * 10, SIGNATURE + b"\x21\x11\xff\xff", b"PROXY " + b"x" * 200, b"PROXY TCP4\r\n" * 9]
)
async def test_without_a_header_the_connection_is_closed(octets):
    async with a_house(proxied()) as house:
        assert await first_reply(house, octets) == ""


async def test_a_header_from_somebody_else_closes_the_connection():
    async with a_house(proxied("192.0.2.0/24")) as house:
        assert await first_reply(house, b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 465\r\n") == ""


async def test_without_proxy_from_a_header_is_a_wrong_command():
    config = a_config()
    async with a_house(config) as house, a_talker(house) as talker:
        assert (await talker.say("PROXY TCP4 192.0.2.7 192.0.2.1 40000 465")).startswith("500 5.5.1")


async def test_the_header_comes_before_the_handshake(tmp_path):
    authority = Authority(tmp_path)
    authority.issue()
    config = a_config(**authority.tables("implicit", proxy_from=["127.0.0.1/32"]))
    async with a_house(config, certificates=authority.certificates()) as house:
        talker = await Talker.connect(house.address)
        await talker.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 465\r\n")
        await talker.start_tls(authority.client_context())
        assert (await talker.reply()).startswith("220")
        await talker.say("EHLO client.example")
        await talker.say("AUTH PLAIN AGFkYUBleGFtcGxlLmNvbQBzZWNyZXQ=")
        await talker.say("MAIL FROM:<ada@example.com>")
        await talker.close()
        client = house.line.began[0][0]
        assert (client.address, client.protocol) == ("192.0.2.7", "ESMTPSA")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Talker.connect(house.address, authority.client_context())
        await until(lambda: len(house.door.registry) == 0)


async def test_limits_per_address_count_the_announced_one():
    config = proxied().model_copy(update={"smtp": a_config(smtp={"max_connections_per_address": 1}).smtp})
    async with a_house(config) as house:
        first = await Talker.connect(house.address)
        await first.send(v2("192.0.2.7"))
        assert (await first.reply()).startswith("220")
        assert (await first_reply(house, v2("192.0.2.8"))).startswith("220")
        assert await first_reply(house, v2("192.0.2.7")) == replies.TOO_MANY_CONNECTIONS_FROM_ADDRESS.lines()[0]
        await first.close()
