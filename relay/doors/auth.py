"""Who a login and a password prove a client to be, and how many guesses anybody gets.

A wrong guess that reaches the upstream counts against the relay's one address
there, for all its users.  So every guess is paid for before the upstream (or
the argon2 hash) is asked, from budgets in the store that all workers and nodes
share; a right password gets its payment back.  A pair that was right a few
minutes ago is no guess and pays nothing: when strangers have used up the
budgets, the people who work here go on working.  The same wrong password again
is answered from the first answer and costs nothing more: a phone with an old
password does not lock its owner out.
"""

import asyncio
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol
from weakref import WeakValueDictionary

from relay import telemetry
from relay.config import Config, Listen, fold_login
from relay.doors.smtp.registry import neighbourhood
from relay.doors.users import User, Users
from relay.errors import StoreUnavailable
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.reply import Reply
from relay.policy.limits import Charge, Window
from relay.stores.contracts import Limits, OverLimit, Reserved

_SAME_PASSWORD = Window(1, 600.0)
_PER_IDENTITY = Window(3, 900.0)
_PER_ADDRESS = Window(10, 900.0)
_PER_UPSTREAM = Window(20, 300.0)
_REPEAT = "auth/repeat"
_LEASE = 90.0  # seconds that one guess may take before it counts as wrong
_RIGHT_FOR = 300.0
_MAX_RIGHT = 10_000
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # for budgets that only guesses in flight stand in the way of
_DELAY = 3.0  # before "later" is said
_HASHING_THREADS = 2


class Upstreams(Protocol):
    """The part of `relay.upstream` that judges a login."""

    async def verify(self, upstream: str, identity: str, credentials: Credentials) -> object:
        """Anything but a Reply means that the login is right; 5yz that it is wrong, 4yz that nobody can tell now."""
        ...


class Authenticator:
    """Judges logins in the way that [auth] mode names. `store` may be replaced while sessions run."""

    def __init__(
        self,
        config: Config,
        *,
        store: Limits,
        upstreams: Upstreams,
        keys: Keys,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.store = store
        self._config, self._upstreams, self._keys, self._sleep = config, upstreams, keys, sleep
        self._users = Users(config.path(config.auth.users_file)) if config.auth.mode == "users" else None
        self._hashing = ThreadPoolExecutor(_HASHING_THREADS, thread_name_prefix="argon2")
        self._right = _RecentlyRight(os.urandom(32), monotonic)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def authenticate(self, client: Client, listen: Listen, login: str, password: str) -> Identity | Reply:
        """The identity that the pair proves, or the reply that says no or later."""
        identity = fold_login(login)
        turn = self._turns.setdefault(identity, asyncio.Lock())
        async with turn:  # guesses at one identity come one by one, so that they cannot starve the others' budgets
            found, result = await self._judged(client, listen, identity, Credentials(login, password))
        telemetry.auth_total.labels(result=result).inc()
        telemetry.event("auth", listener=listen.name, result=result)
        if found is replies.AUTH_LATER:
            await self._sleep(_DELAY)
        return found

    async def _judged(self, client: Client, listen: Listen, identity: str, pair: Credentials) -> tuple[Identity | Reply, str]:
        judge = "users" if self._users else self._config.upstream_named(listen.upstream).name
        mark = self._mark(judge, pair)
        charges = self._charges(judge, identity, client.address, pair)
        try:
            reserved = None if mark in self._right else await self._reserve(charges)
            if isinstance(reserved, OverLimit):
                repeated = reserved.name == _REPEAT and not reserved.in_flight
                return (replies.AUTH_FAILED, "wrong") if repeated else (replies.AUTH_LATER, "limited")
            found = await self._ask(judge, identity, pair, mark)
            await self._account(found, mark, charges, reserved)
        except StoreUnavailable:
            return replies.AUTH_UNAVAILABLE, "unavailable"
        if isinstance(found, Reply):
            return found, "wrong" if found.is_permanent else "unavailable"
        return found, "accepted"

    async def _reserve(self, charges: tuple[Charge, ...]) -> Reserved | OverLimit:
        """Pay for a guess; waits a while when only guesses in flight stand in the way."""
        answer = await self.store.reserve(charges, _LEASE)
        for wait in _WAITS:
            if isinstance(answer, Reserved) or not answer.in_flight:
                break
            await self._sleep(wait)
            answer = await self.store.reserve(charges, _LEASE)
        return answer

    async def _account(
        self, found: Identity | Reply, mark: bytes, charges: tuple[Charge, ...], reserved: Reserved | None
    ) -> None:
        """Give the payment back unless the password was wrong; a pair that was right and is wrong now pays afterwards."""
        is_wrong = isinstance(found, Reply) and found.is_permanent
        if is_wrong:
            self._right.discard(mark)
            paid = reserved or await self.store.reserve(charges, _LEASE)
            if isinstance(paid, Reserved):
                await self.store.settle(paid.id)
            return
        if isinstance(found, Identity):
            self._right.add(mark)
        if reserved:
            await self.store.refund(reserved.id)

    async def _ask(self, judge: str, identity: str, pair: Credentials, mark: bytes) -> Identity | Reply:
        if self._users:
            return await self._ask_users(self._users, pair, mark)
        if self._config.upstream_named(judge).auth == "none":  # a server without AUTH would take any password
            return replies.AUTH_UNAVAILABLE
        found = await self._upstreams.verify(judge, identity, pair)
        if isinstance(found, Reply):
            return found
        owns = frozenset(self._owned_by_login(identity, pair.login))
        return Identity(identity, IdentityKind.PASSTHROUGH, owns, judge, pair)

    async def _ask_users(self, users: Users, pair: Credentials, mark: bytes) -> Identity | Reply:
        if mark in self._right:  # a tool that connects for every mail does not cost a hash for every mail
            user = users.find(pair.login)
        else:
            user = await asyncio.get_running_loop().run_in_executor(self._hashing, users.check, pair.login, pair.password)
        return Identity(user.name, IdentityKind.USER, user.owns) if user else replies.AUTH_FAILED

    def _mark(self, judge: str, pair: Credentials) -> bytes:
        """What stands for a pair that was right; a user whose password was changed is no longer it."""
        user = self._users.find(pair.login) if self._users else None
        return self._right.mark(judge, user.password_hash if user else "", pair)

    def _owned_by_login(self, identity: str, login: str) -> set[str]:
        """The login itself when it is an address, and what [auth.senders] adds."""
        senders = self._config.auth.senders
        owned = {*senders.get(identity, ()), *senders.get(login.casefold(), ())}
        with suppress(MailboxError):
            owned.add(Mailbox.parse(login).key)
        return owned

    def _charges(self, judge: str, identity: str, address: str, pair: Credentials) -> tuple[Charge, ...]:
        def charge(window: Window, name: str, *scope: str) -> Charge:
            return Charge(self._keys.addresses.digest("\0".join((name, judge, *scope))), window, name=name)

        charges = (
            charge(_SAME_PASSWORD, _REPEAT, identity, pair.login, pair.password),
            charge(_PER_IDENTITY, "auth/identity", identity),
            charge(_PER_ADDRESS, "auth/address", neighbourhood(address)),
        )
        return charges if self._users else (*charges, charge(_PER_UPSTREAM, "auth/upstream"))

    def close(self) -> None:
        """Stop the hashing threads."""
        self._hashing.shutdown(wait=False, cancel_futures=True)


class _RecentlyRight:
    """Keyed marks of pairs that were right lately; the key dies with the process."""

    def __init__(self, key: bytes, monotonic: Callable[[], float]) -> None:
        self._key, self._monotonic = key, monotonic
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def mark(self, judge: str, password_hash: str, pair: Credentials) -> bytes:
        return hmac.digest(self._key, "\0".join((judge, password_hash, pair.login, pair.password)).encode(), "sha256")

    def add(self, mark: bytes) -> None:
        self._until[mark] = self._monotonic() + _RIGHT_FOR
        self._until.move_to_end(mark)
        if len(self._until) > _MAX_RIGHT:
            self._until.popitem(last=False)

    def discard(self, mark: bytes) -> None:
        self._until.pop(mark, None)

    def __contains__(self, mark: object) -> bool:
        return isinstance(mark, bytes) and self._until.get(mark, 0.0) > self._monotonic()
