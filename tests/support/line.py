"""The real line in this process: configuration, store, records and upstreams as a worker has them.

    with RecordingUpstream() as upstream, LineHouse(tmp_path, upstream, domains=["example.com"]) as house:
        assert house.send(OFFICE, ["ada@example.org"], data).is_positive

The line runs on a loop and a thread of its own, so that plain tests and
Hypothesis can use one line for thousands of mails.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date

from relay.config import Config, load_config
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message, MessageError
from relay.mail.reply import Reply
from relay.policy.sets.parse import parse_policies
from relay.records.append import Records
from relay.service.assembly import assemble
from relay.service.policies import read_folder
from relay.stores.opening import load_or_create_keys, open_store
from relay.stores.redis.store import RedisStore
from tests.support.service import Relay

CLIENT = Client("submission", "192.0.2.7", "client.example", "TLSv1.3", "ESMTPSA")


class LineHouse:
    """A line and the files that it is built from; every login owns `domains`, and there is a DKIM key for each.

    `relay` is not started; its `command` runs a verb on the same files.  With `auth` "account" the upstream is one that
    wants a login, which the relay does not hold for anybody; `upstreams` brings [[upstream]] tables of another kind,
    `logins` is what [auth] says, `options` what else a `Relay` takes.  `clock` is everybody's: of the line, the store, the
    records and the breakers.
    """

    def __init__(
        self,
        folder,
        upstream,
        *,
        domains: Iterable[str] = (),
        extra="",
        policy=None,
        auth="none",
        upstreams="",
        logins="",
        clock: Callable[[], float] = time.time,
        **options,
    ):
        domains = {"example.com", *domains}
        table = f'[[upstream]]\nname = "up"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "{auth}"\n'
        keys = "".join(
            f'[[dkim]]\ndomain = "{domain}"\nselector = "s1"\nkey_file = "dkim.pem"\n'
            for domain in sorted(domains - {"example.com"})
        )
        self.owns = frozenset(f"@{domain}" for domain in domains)
        self.relay = Relay(
            folder, upstream, upstreams=upstreams or table, extra=keys + extra, policy=policy, auth=logins, **options
        )
        self._clock = clock
        self.relay.data.mkdir(exist_ok=True)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "LineHouse":
        self._thread.start()
        self._assembly = self.run(self._assemble())
        self.line = self._assembly.line
        return self

    def __exit__(self, *_):
        self.run(self._assembly.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()

    async def _assemble(self):
        config = load_config(str(self.relay.config))
        keys = load_or_create_keys(config, date(2026, 1, 1))
        records = Records.open(config.data_path / "records.db", keys, config.records.min_free, self._clock)
        policy, clock = parse_policies(read_folder(config.policies_path)), self._clock
        monotonic = time.monotonic if clock is time.time else clock
        store = await open_store(config, keys, clock)
        if isinstance(store, RedisStore) and clock is not time.time:  # Redis has a clock of its own
            store = await _with_clock(store, config, clock)
        return await assemble(config, policy, keys, records, store=store, clock=clock, entropy=os.urandom, monotonic=monotonic)

    def run(self, work):
        """Wait for a coroutine on the line's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def mend(self):
        """What a worker does each second."""
        return self._assembly.mend()

    def send(self, login: str, recipients: Sequence[str], data: bytes, **declared) -> Reply:
        """One mail from MAIL to the reply after the dot, the session going on; the first refusal ends it."""
        return self.run(self._send(login, recipients, data, declared))

    async def _send(self, login: str, recipients: Sequence[str], data: bytes, declared) -> Reply:
        submission = await self.begin(login, recipients, **declared)
        if isinstance(submission, Reply):
            return submission
        reply = await self.line.submit(submission, data)
        await self.line.concluded(submission)
        return reply

    async def begin(
        self, login: str, recipients: Sequence[str], *, admitted_only=True, sender: str | None = None, **declared
    ) -> Submission | Reply:
        """MAIL and every RCPT, as the door hands them on; recipients that are refused there are left out.

        The reverse-path is the login, or `sender`, "" for a null one.
        """
        identity = Identity(login, IdentityKind.USER, self.owns | {login})
        path = login if sender is None else sender
        submission = await self.line.begin(CLIENT, identity, Mailbox.parse(path) if path else None, **declared)
        if isinstance(submission, Reply):
            return submission
        wanted = tuple(map(_recipient, recipients))
        if not admitted_only:
            return replace(submission, recipients=wanted)
        asked = [(recipient, await self.line.admit(submission, recipient)) for recipient in wanted]
        admitted = tuple(recipient for recipient, reply in asked if reply.is_positive)
        return replace(submission, recipients=admitted) if admitted else asked[0][1]


async def _with_clock(store: RedisStore, config: Config, clock: Callable[[], float]) -> RedisStore:
    meta = await store.meta()
    await store.aclose()
    return await RedisStore.open(config.store.url, meta, timeout_ms=config.store.timeout_ms, clock=clock)


def _recipient(address: str) -> Recipient:
    return Recipient(Mailbox.parse(address))


def author_domains(messages: Iterable[bytes]) -> set[str]:
    """The domains in From and Sender of those messages that can be read, so that a house can own and sign for them."""
    found = set()
    for data in messages:
        with suppress(MessageError, MailboxError):
            message = Message.parse(data)
            found |= {mailbox.domain for mailbox in (*(message.authors or ()), *filter(None, [message.sender]))}
    return found
