"""The PROXY protocol, versions 1 and 2: the address that a load balancer announces.

Read from the socket before anything else, before TLS too, and octet by octet,
so that nothing behind the header is taken.  Only TCP over IPv4 and IPv6 is
known.  UNKNOWN and LOCAL mean that the balancer speaks for itself (a health
check): the session is served and nothing about its address is believed.
"""

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass

_V1_MAX = 107
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_MAX_BODY = 4096  # addresses take 36 octets at most, the rest are TLVs that we do not read
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_LENGTHS = {0x11: 4, 0x21: 16}  # AF_INET and AF_INET6 over SOCK_STREAM


class NotProxied(Exception):
    """The connection does not start with a PROXY header that can be believed."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the header says; `address` is "" when the balancer speaks for itself."""

    address: str


async def read_header(sock: socket.socket) -> Announced:
    """Take the header off a fresh connection, and nothing more.

    Raises NotProxied, or OSError when the connection breaks.
    """
    start = await _exactly(sock, len(_V2_SIGNATURE))
    if start == _V2_SIGNATURE:
        head = await _exactly(sock, 4)
        length = int.from_bytes(head[2:], "big")
        if length > _V2_MAX_BODY:
            raise NotProxied
        return parse_v2(head, await _exactly(sock, length))
    if not start.startswith(b"PROXY "):
        raise NotProxied
    line = bytearray(start)
    while not line.endswith(b"\n"):
        if len(line) >= _V1_MAX:
            raise NotProxied
        line += await _exactly(sock, 1)
    return parse_v1(bytes(line))


def parse_v1(line: bytes) -> Announced:
    """Read the line of version 1 with its CRLF.

    Raises NotProxied.
    """
    if not line.endswith(b"\r\n"):
        raise NotProxied
    words = line[:-2].split(b" ")
    if words[:2] == [b"PROXY", b"UNKNOWN"]:
        return Announced("")
    if len(words) != 6 or words[0] != b"PROXY" or not all(_PORT.fullmatch(word) and int(word) < 65536 for word in words[4:]):
        raise NotProxied
    version = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}.get(words[1])
    if version is None:
        raise NotProxied
    try:
        source, _ = (version(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise NotProxied from None
    return Announced(str(source))


def parse_v2(head: bytes, body: bytes) -> Announced:
    """Read version 2: `head` is the four octets after the signature.

    Raises NotProxied.
    """
    version, command = head[0] >> 4, head[0] & 15
    if version != 2 or command > 1:
        raise NotProxied
    if command == 0:
        return Announced("")
    length = _LENGTHS.get(head[1])
    if length is None or len(body) < 2 * length + 4:
        raise NotProxied
    return Announced(str(ipaddress.ip_address(body[:length])))


async def _exactly(sock: socket.socket, octets: int) -> bytes:
    loop, taken = asyncio.get_running_loop(), b""
    while len(taken) < octets:
        part = await loop.sock_recv(sock, octets - len(taken))
        if not part:
            raise NotProxied
        taken += part
    return taken
