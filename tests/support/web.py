"""One HTTP door on a free port, and what a client sees of it, octet for octet."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

from relay.doors.serving import Site


@dataclass
class Answer:
    """A response: `head` holds the fields by lower-case name."""

    status: int
    head: dict[str, str]
    body: str


class Web:
    """A door that listens."""

    def __init__(self, address):
        self.host, _, self.port = address.rpartition(":")

    async def get(self, path, **fields):
        return await self.ask("GET", path, **fields)

    async def post(self, path, body=b"", kind="application/x-www-form-urlencoded", **fields):
        return await self.ask("POST", path, body, Content_Type=kind, **fields)

    async def ask(self, method, path, body=b"", **fields):
        lines = [f"{method} {path} HTTP/1.1", "Host: relay", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def raw(self, octets):
        """Send these octets and read the answer to its end."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(octets)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        head, _, body = answer.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        fields = (line.partition(": ") for line in lines)
        return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in fields}, body)


@asynccontextmanager
async def served(app):
    """The application on a free port."""
    site = Site("127.0.0.1:0", app)
    await site.open()
    try:
        yield Web(site.address)
    finally:
        await site.aclose()
