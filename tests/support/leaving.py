"""What a test needs to send a copy somewhere: copies, a configuration, the upstreams of one process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from relay.config import Config, parse_config
from relay.mail.envelope import Credentials, Recipient
from relay.mail.mailbox import Mailbox
from relay.render.copy import Copy
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles

NEWS = "news@example.com"
SECRET = Credentials(NEWS, "right")
KEY = b"a key of this test process only."


def a_recipient(address: str, **parameters) -> Recipient:
    return Recipient(Mailbox.parse(address), **parameters)


def a_copy(*recipients, header=b"Subject: hello\r\n\r\n", body=b"text\r\n", needs_8bit=False, needs_smtputf8=False) -> Copy:
    """A copy for the recipients, given as addresses or as Recipient."""
    taken = tuple(r if isinstance(r, Recipient) else a_recipient(r) for r in recipients or ("ada@example.org",))
    return Copy(taken, header, body, needs_8bit, needs_smtputf8)


def upstream_table(upstream, **keys) -> str:
    """[[upstream]] for a RecordingUpstream; other keys replace or add to it, None leaves one out."""
    usual = {
        "name": "upstream",
        "addresses": [upstream.address],
        "tls": upstream.tls,
        "ca_file": upstream.ca_file or None,
        "auth": "account" if upstream.accounts else "none",
    }
    lines = [f"{key} = {_toml(value)}" for key, value in (usual | keys).items() if value is not None]
    return "\n".join(["[[upstream]]", *lines, ""])


def a_config(*tables: str, folder: Path = Path()) -> Config:
    """A configuration with one plain listener and these tables."""
    head = 'hostname = "relay.example.com"\n[[listen]]\nname = "test"\naddress = "127.0.0.1:0"\ntls = "none"'
    return parse_config("\n".join([head, *tables]).encode(), "config.toml", folder)


@asynccontextmanager
async def upstreams_of(
    *tables: str, folder: Path = Path(), monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Upstreams]:
    """The upstreams of these tables, drained at the end; `monotonic` is the breakers' clock."""
    upstreams = Upstreams(a_config(*tables, folder=folder), load_profiles(), KEY, monotonic=monotonic)
    try:
        yield upstreams
    finally:
        await upstreams.drain(asyncio.get_running_loop().time() + 0.5)


async def send(
    upstreams, copy=None, *, upstream="", identity=NEWS, credentials=SECRET, sender=NEWS, patience=60.0, past_dot=60.0, **dsn
):
    """Lease a connection and offer the copy; return the outcomes."""
    deadline = asyncio.get_running_loop().time() + patience
    async with upstreams.lease(upstream, identity, credentials, deadline) as connection:
        reverse_path = Mailbox.parse(sender) if sender else None
        return await connection.transact(reverse_path, copy or a_copy(), deadline=deadline, past_dot=past_dot, **dsn)


def _toml(value) -> str:
    return str(value).replace("'", '"') if isinstance(value, list | int) else f'"{value}"'
