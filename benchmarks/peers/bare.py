"""A bare hop: what an SMTP proxy in this interpreter does when it signs, forwards and nothing else.

    python -m benchmarks.peers.bare PORT SINK WORKERS KEY

It judges nobody, rewrites, counts and records nothing, keeps nothing on a disk and believes whatever its two neighbours say:
no product, but the bound between the ceiling, where nothing is forwarded, and the relay, where all the rest is done too.
"""

import asyncio
import multiprocessing
import signal
import socket
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks.load import SENDER
from benchmarks.processes import Process
from tests.support.ports import free_port
from tests.support.service import ROOT

_DOT = b"\r\n.\r\n"
_PADDING, _DIGEST = PKCS1v15(), Prehashed(hashes.SHA256())
_REPLIES = {
    b"EHLO": b"250-bare.example.com\r\n250 PIPELINING\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Bare(Process):
    """So many processes of it on one port."""

    title = "a bare hop"

    def __init__(self, folder: Path, sink: int, key: Path, *, workers: int) -> None:
        self.port = free_port()
        folder.mkdir()
        words = [str(word) for word in (self.port, sink, workers, key)]
        command = [sys.executable, "-m", "benchmarks.peers.bare", *words]
        super().__init__(command, log=folder / "bare.log", port=self.port, folder=ROOT)


class Upstream(asyncio.Protocol):
    """A connection to the sink that is kept for the next message."""

    def __init__(self) -> None:
        self._said = b""
        self._wanted = 1  # replies: the greeting first
        self._heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._heard.done():
            self._heard.set_exception(exc or ConnectionAbortedError("closed"))

    def data_received(self, data: bytes) -> None:
        self._said += data
        replies = [line for line in self._said.splitlines() if line[3:4] == b" "]
        if len(replies) < self._wanted or not self._said.endswith(b"\n") or self._heard.done():
            return
        if all(reply[:1] in b"23" for reply in replies):
            self._heard.set_result(None)
        else:
            self._heard.set_exception(ConnectionAbortedError(self._said.decode(errors="replace")))
        self._said = b""

    @classmethod
    async def open(cls, port: int) -> "Upstream":
        """Connect and say EHLO."""
        _, upstream = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        await upstream._heard
        await upstream.say(b"EHLO bare.example.com\r\n", 1)
        return upstream

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def say(self, octets: bytes, replies: int) -> "asyncio.Future[None]":
        """Write, and wait for so many replies. Raises ConnectionAbortedError for one that refuses."""
        self._wanted, self._heard = replies, asyncio.get_running_loop().create_future()
        self._transport.write(octets)
        return self._heard


class Hop:
    """What all sessions of one process share."""

    def __init__(self, sink: int, key: RSAPrivateKey) -> None:
        self._sink, self._key = sink, key
        self._free: list[Upstream] = []

    async def forward(self, envelope: bytes, message: bytes) -> None:
        """Sign and send it; return when it was taken."""
        self._free = [upstream for upstream in self._free if upstream.is_open]
        upstream = self._free.pop() if self._free else await Upstream.open(self._sink)
        await upstream.say(envelope + b"DATA\r\n", 3)
        await upstream.say(self.signature(message) + message + b".\r\n", 1)
        self._free.append(upstream)

    def signature(self, message: bytes) -> bytes:
        """A field that covers From and the body as they are (RFC 6376 section 3.4.1)."""
        header, _, body = message.partition(b"\r\n\r\n")
        author = next(line for line in header.split(b"\r\n") if line[:5].lower() == b"from:")
        body_hash = b64encode(sha256(body.rstrip(b"\r\n") + b"\r\n").digest())
        domain = SENDER.partition("@")[2].encode()
        field = b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=%b; s=s1; h=from; bh=%b; b=" % (domain, body_hash)
        digest = sha256(author + b"\r\n" + field).digest()
        return field + b64encode(self._key.sign(digest, _PADDING, _DIGEST)) + b"\r\n"


class Session(asyncio.Protocol):
    """One client. Dots stay stuffed, since nobody reads the lines."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self._unread = bytearray()
        self._envelope = b""
        self._is_in_data = False
        self._forwarding: asyncio.Task[None] | None = None  # kept, or the loop may forget it
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(b"220 bare.example.com ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(_DOT if self._is_in_data else b"\r\n")) >= 0:
            taken = bytes(self._unread[: end + 2])
            del self._unread[: end + (len(_DOT) if self._is_in_data else 2)]
            if self._is_in_data:
                self._forwarding = asyncio.ensure_future(self._forward(self._envelope, taken))
                self._envelope, self._is_in_data = b"", False
            else:
                self._obey(taken)

    def _obey(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb in (b"MAIL", b"RCPT"):
            self._envelope += line
        self._is_in_data = verb == b"DATA"
        self._transport.write(_REPLIES.get(verb, b"250 ok\r\n"))

    async def _forward(self, envelope: bytes, message: bytes) -> None:
        try:
            await self._hop.forward(envelope, message)
        except ConnectionError:
            self._transport.abort()
            raise
        self._transport.write(b"250 ok\r\n")


async def serve(listening: socket.socket, hop: Hop) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Session(hop), sock=listening)
    await server.serve_forever()


def work(port: int, sink: int, key: Path) -> None:
    """One process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    signer = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signer, RSAPrivateKey)
    uvloop.run(serve(listening, Hop(sink, signer)))


def main() -> None:
    """Serve on so many processes; they end with this one."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # or the others would not hear of it
    port, sink, workers = map(int, sys.argv[1:4])
    others = [multiprocessing.Process(target=work, args=(port, sink, Path(sys.argv[4])), daemon=True) for _ in range(workers)]
    for process in others:
        process.start()
    for process in others:
        process.join()


if __name__ == "__main__":
    main()
