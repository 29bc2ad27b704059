"""What waits for an [[account]] is tried as soon as its password may be a better one.

Password files are looked at every few seconds, so that nobody need start the
relay anew.  At the start, and every few minutes, what waits for the login of
an account of this node is due again: another node, whose config.toml lacks
that account, may have put it off until its owner logs in.
"""

import asyncio
from collections.abc import Callable

from relay.accounts import Account
from relay.holding.custody import Custody
from relay.upstream.delivery import Upstreams

LOOK_SECONDS = 2.0
FREE_SECONDS = 300.0


class AccountWatch:
    """One per worker, asked before each claim."""

    def __init__(self, upstreams: Upstreams, custody: Custody, clock: Callable[[], float]) -> None:
        self._upstreams, self._custody, self._clock = upstreams, custody, clock
        self._look_at = self._free_at = 0.0
        self._changed: list[Account] = []
        self._has_begun = False

    async def look(self) -> None:
        """Read what changed again, and free what waited for it. Raises StoreUnavailable: the next look does what this did not."""
        now = self._clock()
        if now >= self._look_at:
            self._changed += await asyncio.to_thread(self._upstreams.reread_accounts)
            self._look_at = now + LOOK_SECONDS
        if not self._has_begun:  # the passwords may be other ones than those of the process before
            self._changed += await self._custody.accounts_at_rest()
            self._has_begun = True
        if self._changed:
            await self._custody.passwords_changed(self._changed)
            self._changed.clear()
        if now >= self._free_at:
            await self._custody.free_parked()
            self._free_at = now + FREE_SECONDS
