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
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakValueDictionary

from relay import telemetry
from relay.config import Config, Listen
from relay.doors.identities import identity_of_login
from relay.doors.smtp.registry import neighbourhood
from relay.doors.users import Users
from relay.errors import StoreUnavailable
from relay.holding.custody import Custody
from relay.keys import Keys
from relay.logins import fold_login
from relay.mail import replies
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind
from relay.mail.reply import Reply
from relay.policy.timing.limits import Charge, Window
from relay.stores.limits import Limits, OverLimit, Reserved
from relay.upstream.site import Rejected, Unavailable, Verification

_SAME_PASSWORD = Window(1, 600.0)
_PER_IDENTITY = Window(3, 900.0)
_PER_ADDRESS = Window(10, 900.0)
_PER_UPSTREAM = Window(20, 300.0)
_UPSTREAM, _REPEAT = "auth/upstream", "auth/repeat"
_LEASE = 90.0  # seconds that one guess may take before it counts as wrong
_RIGHT_FOR = 300.0
_MAX_RIGHT = 10_000
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # for budgets that only guesses in flight stand in the way of
_DELAY = 3.0  # before "later" is said
_HASHING_THREADS = 2


class Upstreams(Protocol):
    """The part of `relay.upstream.delivery.Upstreams` that judges a login."""

    async def verify(self, upstream: str, identity: str, credentials: Credentials) -> Verification: ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What asking brought to light: an identity, or a reply and whether a wrong password was tried."""

    answer: Identity | Reply
    result: str  # accepted | wrong | unavailable | limited: the label of relay_auth_total
    costs: str = "nothing"  # nothing | guess | try: what stays paid


@dataclass(frozen=True, slots=True)
class _Guess:
    """One pair to be judged, what stands for it among the right ones, and what it costs."""

    judge: str  # the upstream's name, or "users"
    identity: str
    pair: Credentials
    mark: bytes
    charges: tuple[Charge, ...]


class Authenticator:
    """Judges logins in the way that [auth] mode names. `store` may be replaced while sessions run."""

    def __init__(
        self,
        config: Config,
        *,
        store: Limits,
        upstreams: Upstreams,
        keys: Keys,
        logged_in: Callable[[str, str], Awaitable[object]],
        custody: Custody,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.store = store
        self._config, self._upstreams, self._keys, self._sleep = config, upstreams, keys, sleep
        self._logged_in = logged_in  # told of the upstream and the identity whose login it took
        self._custody = custody
        self._clock = clock
        self._users = Users(config.path(config.auth.users_file), monotonic) if config.auth.mode == "users" else None
        self._hashing = ThreadPoolExecutor(_HASHING_THREADS, thread_name_prefix="argon2")
        self._right = _RecentlyRight(os.urandom(32), monotonic)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def authenticate(self, client: Client, listen: Listen, login: str, password: str) -> Identity | Reply:
        """The identity that the pair proves, or the reply that says no or later."""
        identity, pair = fold_login(login), Credentials(login, password)
        judge = "users" if self._users else self._config.upstream_named(listen.upstream).name
        known = self._known_hash(login)
        mark, charges = self._right.mark(judge, known, pair), self._charges(judge, identity, client.address, pair, known)
        guess = _Guess(judge, identity, pair, mark, charges)
        turn = self._turns.setdefault(identity, asyncio.Lock())
        async with turn:  # one by one, so that a flood of guesses at one identity does not crowd out the others
            try:
                found = await self._judged(guess)
            except StoreUnavailable:
                found = _Found(replies.AUTH_UNAVAILABLE, "unavailable")
        telemetry.auth_total.labels(result=found.result).inc()
        telemetry.event("auth", listener=listen.name, result=found.result)
        if found.result == "limited":
            await self._sleep(_DELAY)
        return found.answer

    async def _judged(self, guess: _Guess) -> _Found:
        reserved = None if guess.mark in self._right else await self._reserve(guess.charges)
        if isinstance(reserved, OverLimit):
            if reserved.name == _REPEAT and not reserved.in_flight:
                return _Found(replies.AUTH_FAILED, "wrong")
            return _Found(replies.AUTH_LATER, "limited")
        found = await self._ask(guess)
        if isinstance(found.answer, Identity):
            self._right.add(guess.mark)
        elif found.costs == "guess":
            self._right.discard(guess.mark)
        await self._account(found.costs, guess.charges, reserved)
        if isinstance(found.answer, Identity) and not self._users:
            await self._custody.refreshed(guess.judge, guess.identity, guess.pair)
        return found

    async def _reserve(self, charges: tuple[Charge, ...]) -> Reserved | OverLimit:
        """Pay for a guess; waits a while when only guesses in flight stand in the way."""
        answer = await self.store.reserve(charges, _LEASE)
        for wait in _WAITS:
            if isinstance(answer, Reserved) or not answer.in_flight:
                break
            await self._sleep(wait)
            answer = await self.store.reserve(charges, _LEASE)
        return answer

    async def _account(self, costs: str, charges: tuple[Charge, ...], reserved: Reserved | None) -> None:
        """Settle what was paid in advance; whoever paid nothing and was wrong all the same pays now.

        An upstream that gave no clear answer to a password may have counted a
        guess, so the try stays paid there, and there only: nobody guessed wrong
        for sure.  One that could not be reached has seen nothing: an outage
        costs nobody a guess.
        """
        if costs == "guess":
            paid = reserved or await self.store.reserve(charges, _LEASE)
            if isinstance(paid, Reserved):
                await self.store.settle(paid.id)
        elif costs == "try" and reserved:
            tried = await self.store.reserve([charge for charge in charges if charge.name == _UPSTREAM], _LEASE)
            if isinstance(tried, Reserved):
                await self.store.settle(tried.id)
                await self.store.refund(reserved.id)
            else:
                await self.store.settle(reserved.id)
        elif reserved:
            await self.store.refund(reserved.id)

    async def _ask(self, guess: _Guess) -> _Found:
        if self._users:
            return await self._ask_users(self._users, guess)
        if self._config.upstream_named(guess.judge).auth == "none":  # a server without AUTH would take any password
            return _Found(replies.AUTH_UNAVAILABLE, "unavailable")
        found = await self._upstreams.verify(guess.judge, guess.identity, guess.pair)
        if isinstance(found, Unavailable):
            return _Found(replies.AUTH_UNAVAILABLE, "unavailable", "try" if found.asked else "nothing")
        if isinstance(found, Rejected):
            return _Found(replies.authentication_refused(found.text), "wrong", "nothing" if found.from_memory else "guess")
        await self._logged_in(guess.judge, guess.identity)
        identity = identity_of_login(self._config, guess.identity, guess.judge, guess.pair)
        return _Found(replace(identity, proved_at=self._clock()), "accepted")

    async def _ask_users(self, users: Users, guess: _Guess) -> _Found:
        login, password = guess.pair.login, guess.pair.password
        if guess.mark in self._right:  # a tool that connects for every mail does not cost a hash for every mail
            user = users.find(login)
        else:
            user = await asyncio.get_running_loop().run_in_executor(self._hashing, users.check, login, password)
        if user is None:
            return _Found(replies.AUTH_FAILED, "wrong", "guess")
        return _Found(Identity(user.name, IdentityKind.USER, user.owns), "accepted")

    def _known_hash(self, login: str) -> str:
        """What a password of this login is compared with, "" where that is not ours to know."""
        user = self._users.find(login) if self._users else None
        return user.password_hash if user else ""

    def _charges(self, judge: str, identity: str, address: str, pair: Credentials, known: str) -> tuple[Charge, ...]:
        def charge(window: Window, name: str, *scope: str) -> Charge:
            return Charge(self._keys.addresses.lasting_digest("\0".join((name, judge, *scope))), window, name=name)

        charges = [
            charge(_PER_IDENTITY, "auth/identity", identity),
            charge(_PER_ADDRESS, "auth/address", neighbourhood(address)),
        ]
        if not self._users:
            charges.append(charge(_PER_UPSTREAM, _UPSTREAM))
        # The last: when it is the first limit that was met, it is the only one.
        # A password that was wrong is another guess once the user's own was changed.
        return (*charges, charge(_SAME_PASSWORD, _REPEAT, identity, pair.login, pair.password, known))

    def close(self) -> None:
        """Stop the hashing threads."""
        self._hashing.shutdown(wait=False, cancel_futures=True)


class _RecentlyRight:
    """Keyed marks of pairs that were right lately, for as long as the user has that password; the key dies with the process."""

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
