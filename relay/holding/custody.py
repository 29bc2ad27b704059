"""Logins in custody: what lets a client's held copies leave when the client is gone.

With `[auth] held_credentials = "sealed"` the store keeps the login of a
passthrough identity for as long as copies of it are held, and no longer than
five days after it was proved: so the one that was proved last stays, whichever
session hands in mail afterwards.  It is sealed under the key ring `held`, which lies outside data_dir
and store (`relay.config` insists), and bound to its upstream and identity: a
sealed login that is put in another's place opens for nobody.

The store forgets it with the owner's last copy; a 535 does so at once.  It is
never logged, recorded or shown.
"""

from collections.abc import Callable, Iterable, Sequence

from relay import telemetry
from relay.accounts import Account
from relay.config import Config
from relay.errors import StoreUnavailable
from relay.holding.codec import owner_of
from relay.keys import Keys
from relay.mail.envelope import Credentials, Identity, IdentityKind
from relay.policy.suppressions.suppression import Digest
from relay.stores.contracts import Store
from relay.stores.held import Why

KEPT_SECONDS = 5 * 86400.0


class Custody:
    """One per process. `store` may be replaced while it runs."""

    def __init__(self, config: Config, *, keys: Keys, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self._keys, self._clock = keys, clock
        self.is_open = config.auth.held_credentials == "sealed"
        """Whether logins are taken into custody at all."""
        self._all_accounts = config.account
        self._accounts = {(account.upstream, account.identity) for account in config.account}

    def keeps(self, identity: Identity) -> bool:
        """Whether this identity's login may be taken into custody, and is at hand."""
        is_own = identity.kind is IdentityKind.PASSTHROUGH and None not in (identity.upstream, identity.credentials)
        return self.is_open and is_own and self._clock() < identity.proved_at + KEPT_SECONDS

    def sealed_for(self, identity: Identity) -> tuple[Digest, bytes, float] | None:
        """What `Held.hold` keeps beside the copies of this identity; None where nothing may be kept, or there is nothing."""
        if not self.keeps(identity) or identity.upstream is None or identity.credentials is None:
            return None
        return self._sealed(identity.upstream, identity.name, identity.credentials, identity.proved_at)

    async def opened(self, upstream: str, identity: str) -> Credentials | None:
        """The login in custody, None when there is none that this relay can open. Raises StoreUnavailable."""
        if not self.is_open:
            return None
        sealed = await self.store.credentials_of(owner_of(self._keys, upstream, identity))
        return None if sealed is None else self._opened(sealed, upstream, identity)

    def _opened(self, sealed: bytes, upstream: str, identity: str) -> Credentials | None:
        try:
            plain = self._keys.held.open(sealed, _bound_to(upstream, identity))
        except ValueError:
            telemetry.event("held login unreadable", upstream=upstream)
            return None
        login, _, password = plain.decode("utf-8", "surrogatepass").partition("\0")
        return Credentials(login, password)

    async def refreshed(self, upstream: str, identity: str, credentials: Credentials) -> int:
        """The upstream just took this login: keep it in place of the old one, and free the copies that waited for it.

        Nothing is kept for an identity of which nothing is held.  Returns how many copies were freed.  Never raises: that the
        login is good does not depend on the store.
        """
        try:
            if not await self._is_waited_for(upstream, identity, credentials):
                return 0
            freed = await self.store.free_owner(owner_of(self._keys, upstream, identity), Why.AUTHENTICATION)
        except StoreUnavailable as fault:
            telemetry.event("held login not kept", upstream=upstream, reason=fault.reason)
            return 0
        if freed:
            telemetry.event("held copies freed", upstream=upstream, copies=freed)
        return freed

    async def _is_waited_for(self, upstream: str, identity: str, credentials: Credentials) -> bool:
        """Whether copies may wait for this login, which is kept then; where none are kept they leave with an [[account]]."""
        if self.is_open:
            return await self.store.keep_credentials(*self._sealed(upstream, identity, credentials, self._clock()))
        return (upstream, identity) in self._accounts and Why.AUTHENTICATION in (await self.store.held_totals()).copies

    async def free_parked(self) -> None:
        """Free what waits for the login of an [[account]] of this node, whoever put it off. Raises StoreUnavailable."""
        if Why.AUTHENTICATION in (await self.store.held_totals()).copies:
            await self._free(self._all_accounts, (Why.AUTHENTICATION,))

    async def accounts_at_rest(self) -> list[Account]:
        """Accounts at upstreams that refused a password lately: of whose mail some may rest because of it.

        Raises StoreUnavailable.
        """
        refusing = {adaptation.upstream for adaptation in await self.store.adaptations() if adaptation.login}
        return [account for account in self._all_accounts if account.upstream in refusing]

    async def passwords_changed(self, accounts: Iterable[Account]) -> None:
        """Free what waits for these, and what the upstream is not asked about since it refused the password before.

        Raises StoreUnavailable.
        """
        waiting = (await self.store.held_totals()).copies
        await self._free(accounts, [why for why in (Why.AUTHENTICATION, Why.UPSTREAM) if why in waiting])

    async def _free(self, accounts: Iterable[Account], whys: Sequence[Why]) -> None:
        """A client's own mail leaves in the name of its identity, any other in that of the login."""
        owners = {(account.upstream, name) for account in accounts for name in (account.identity, account.login) if name}
        for upstream, name in owners:
            for why in whys:
                if freed := await self.store.free_owner(owner_of(self._keys, upstream, name), why):
                    telemetry.event("held copies freed", upstream=upstream, copies=freed)

    async def refused(self, upstream: str, identity: str, credentials: Credentials) -> None:
        """The upstream answered 535 to this login: forget it at once, unless a newer one took its place meanwhile.

        Raises StoreUnavailable.
        """
        owner = owner_of(self._keys, upstream, identity)
        sealed = await self.store.credentials_of(owner)
        if sealed is not None and self._opened(sealed, upstream, identity) in (credentials, None):
            await self.store.drop_credentials(owner, sealed)

    async def parked(self, upstream: str, identity: str) -> None:
        """Copies of this owner were just parked for want of a login: free them if one came in the meantime.

        Raises StoreUnavailable.
        """
        if await self.opened(upstream, identity) is not None:
            await self.store.free_owner(owner_of(self._keys, upstream, identity), Why.AUTHENTICATION)

    def _sealed(self, upstream: str, identity: str, credentials: Credentials, proved_at: float) -> tuple[Digest, bytes, float]:
        plain = f"{credentials.login}\0{credentials.password}".encode("utf-8", "surrogatepass")
        sealed = self._keys.held.seal(plain, _bound_to(upstream, identity))
        return owner_of(self._keys, upstream, identity), sealed, proved_at + KEPT_SECONDS


def _bound_to(upstream: str, identity: str) -> bytes:
    """The associated data: an upstream's name has no NUL."""
    return f"login\0{upstream}\0{identity}".encode("utf-8", "surrogatepass")
