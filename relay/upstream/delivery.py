"""The upstreams of this process: connections to lease, logins to verify.

One `Upstreams` lives in each worker.  It keeps no client's password: a lease
brings the credentials that it needs, the pool knows a login by a keyed MAC.
Failover goes among the addresses of one upstream only, and only where the
upstream cannot have the message.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self

from relay.accounts import Account
from relay.config import Config
from relay.mail.envelope import Credentials
from relay.mail.mailbox import Mailbox
from relay.tasks import spawn
from relay.upstream.credentials import Accounts, Remembered
from relay.upstream.outcome import Outcome, UpstreamUnavailable, unanswered
from relay.upstream.pool import Channel, PoolKey
from relay.upstream.profile import Capabilities, Profile
from relay.upstream.site import Rejected, Site, Unavailable, Verification, Verified
from relay.upstream.transaction import Carried, Mail, Result, transact


class Upstreams:
    """Every [[upstream]] of the configuration. `key` is random, made at start, and never leaves the process."""

    def __init__(
        self, config: Config, profiles: Mapping[str, Profile], key: bytes, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`monotonic` is the breakers' clock. Raises ConfigurationError."""
        self._accounts = Accounts(config)
        self._remembered = Remembered(key, time.monotonic)
        self._sites = {
            upstream.name: Site(config, upstream, profiles, self._remembered, monotonic) for upstream in config.upstream
        }
        self._named = {**self._sites, "": next(iter(self._sites.values()))}
        self._verifying: dict[bytes, asyncio.Task[Verification]] = {}

    def lease(
        self, upstream: str, identity: str, credentials: Credentials | None, deadline: float, *, leaves_one: bool = False
    ) -> "Connection":
        """A connection of this identity, for `async with`, opened if need be; `deadline` is of the loop's clock.

        With `leaves_one` the last free place of the upstream is left to mail that cannot wait.
        Raises UpstreamUnavailable.
        """
        site = self._site(upstream)
        return Connection(site, site.key(identity, credentials), credentials, deadline, leaves_one=leaves_one)

    async def verify(self, upstream: str, identity: str, credentials: Credentials) -> Verification:
        """Ask the upstream whether it takes this login, by opening the identity's connection; its mail will use it.

        The same question asked twice at a time is asked upstream once.
        """
        site = self._site(upstream)
        if site.auth == "none":
            return Unavailable(f'{site.name}: auth = "none", so it cannot judge a login', asked=False)
        key = site.key(identity, credentials)
        if (refusal := self._remembered.refusal(key.login)) is not None:
            return Rejected(refusal, from_memory=True)
        if self._remembered.was_accepted(key.login) and site.pool.has(key):
            return Verified()
        task = self._verifying.get(key.login)
        if task is None:
            task = self._verifying[key.login] = spawn(site.verify(key, credentials), name=f"verify {site.name}")
            task.add_done_callback(lambda _: self._verifying.pop(key.login, None))
        return await asyncio.shield(task)

    def account_for(self, upstream: str, identity: str, reverse_path_key: str | None) -> Credentials | None:
        """The credentials that the relay holds: of the identity, else of the reverse-path or of its whole "@domain"."""
        _, at, domain = (reverse_path_key or "").rpartition("@")
        return self._accounts.find(self._site(upstream).name, identity, reverse_path_key, at + domain)

    def knows(self, upstream: str) -> bool:
        """Whether the configuration has an upstream of that name."""
        return not upstream or upstream in self._sites

    def reread_accounts(self) -> list[Account]:
        """Read the password files that changed; the accounts whose password is another one now. Not for the event loop."""
        return self._accounts.reread()

    def profile(self, upstream: str) -> Profile:
        """What is known about the upstream's provider."""
        return self._named[upstream].profile

    def country(self, upstream: str) -> str:
        """The country that the upstream stands in, "" when nobody said it."""
        return self._named[upstream].country

    def capabilities(self, upstream: str) -> Capabilities:
        """What the upstream offered last."""
        return self._named[upstream].capabilities

    def least_size(self) -> int | None:
        """The smallest SIZE that an upstream offered; None when none has named one."""
        sizes = [site.capabilities.size for site in self._sites.values() if site.capabilities.size]
        return min(sizes, default=None)

    async def probe(self) -> dict[str, str]:
        """Ask every upstream for its EHLO, without a login; return what stands in the way of each, "" for nothing."""
        faults = await asyncio.gather(*(site.probe() for site in self._sites.values()))
        return dict(zip(self._sites, faults, strict=True))

    async def drain(self, deadline: float) -> None:
        """Close idle connections, wait for busy ones until the deadline (of the loop's clock), then cut them."""
        await asyncio.gather(*(site.pool.drain(deadline) for site in self._sites.values()))

    def _site(self, name: str) -> Site:
        """The upstream of that name; "" is the first. Raises KeyError."""
        return self._named[name]


class Connection:
    """A leased connection: one identity's, one transaction at a time.

    `late` is set when the last transaction got no reply to its dot in time:
    the outcomes anew, when the reply comes after all or is given up.  That
    connection is then no longer the lease's: the pool keeps it until it is
    quiet, or cuts it when its place is needed.
    """

    def __init__(
        self, site: Site, key: PoolKey, credentials: Credentials | None, deadline: float, *, leaves_one: bool = False
    ) -> None:
        self._site, self._key, self._credentials, self._deadline = site, key, credentials, deadline
        self._leaves_one = leaves_one
        self._channel: Channel | None = None
        self._is_new = True
        self.late: asyncio.Task[list[Outcome]] | None = None

    async def __aenter__(self) -> Self:
        await self._acquire(self._deadline)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give the connection back to the pool, which closes it unless its last reply was clean."""
        if self._channel is not None:
            if self._is_new:  # no mail was offered: none of the recipients had leave
                self._site.learnt_nothing(self._key.identity)
            self._site.pool.put(self._channel)
            self._channel = None

    async def _acquire(self, deadline: float) -> None:
        """Take an idle connection from the pool, or open one. Raises UpstreamUnavailable."""
        channel = await self._site.pool.take(self._key, deadline, leaves_one=self._leaves_one)
        self._is_new = channel is None
        self._channel = channel or await self._site.open(self._key, self._credentials, deadline)

    @property
    def capabilities(self) -> Capabilities:
        """What this connection's EHLO offered: a copy is rendered for it, never converted on the wire."""
        return self._channel.capabilities if self._channel else self._site.capabilities

    async def transact(
        self,
        reverse_path: Mailbox | None,
        copy: Carried,
        *,
        ret: str | None = None,
        envid: str | None = None,
        deadline: float,
        past_dot: float,
    ) -> list[Outcome]:
        """Offer the copy; one outcome per recipient, in order. See `relay.upstream.transaction` for the times.

        An idle connection that was closed under us, and a 421 where another
        address is left, are tried again on another connection: before 354
        the upstream has nothing.  Never raises for what an upstream does.
        """
        mail = Mail(reverse_path, copy, ret, envid)
        tried: set[str] = set()
        try:
            result = await self._once(mail, deadline, past_dot)
            while result.stale and self._may_try_again(tried):
                await self._replace(deadline)
                result = await self._once(mail, deadline, past_dot)
            outcomes = result.outcomes
            self._site.heed(self._key.identity, outcomes)
            self.late = self._listen(result.late) if result.late else None
        except UpstreamUnavailable as error:
            outcomes = [unanswered(error.reply, before_dot=True)] * len(copy.recipients)
        self._is_new = False
        self._count(outcomes)
        return outcomes

    def _count(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._site.count(outcome.reply_class)

    async def _once(self, mail: Mail, deadline: float, past_dot: float) -> Result:
        if self._channel is None:
            await self._acquire(deadline)
        elif self._channel.wire.fault or self._channel.mails >= self._site.bounds.mails:
            await self._replace(deadline)
        channel = self._held
        channel.mails += 1
        return await transact(channel.wire, self._site.profile, channel.capabilities, mail, deadline=deadline, past_dot=past_dot)

    def _listen(self, late: Callable[[], Coroutine[Any, Any, list[Outcome]]]) -> "asyncio.Task[list[Outcome]]":
        """Leave the connection to a task that waits for its late reply."""
        channel, self._channel = self._held, None
        self._site.pool.listen(channel)

        async def hear() -> list[Outcome]:
            try:
                outcomes = await late()
            finally:
                self._site.pool.heard(channel)
            self._site.heed(self._key.identity, outcomes)
            self._count(outcomes)
            return outcomes

        return spawn(hear(), name=f"late reply {self._site.name}")

    def _may_try_again(self, tried: set[str]) -> bool:
        """Once after an idle connection, and after a 421 once for each further address."""
        channel = self._held
        if not self._is_new:
            return True
        if channel.wire.fault != "closing" or channel.address in tried:
            return False
        tried.add(channel.address)
        self._site.rest(channel.address)
        return self._site.has_other_address(tried)

    async def _replace(self, deadline: float) -> None:
        """Open another connection in the place of the held one."""
        old, self._channel = self._held, None
        self._site.pool.exchange(old)
        self._channel = await self._site.open(self._key, self._credentials, deadline)
        self._is_new = True

    @property
    def _held(self) -> Channel:
        if self._channel is None:
            raise UpstreamUnavailable("busy", f"{self._site.name}: the lease has no connection any more")
        return self._channel
