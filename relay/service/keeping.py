"""The store of one process and the keys that it was opened with: replaced together, never one without the other.

A look-up asks under every generation of the address ring that this process
knows.  A refusal written under one that it does not know would be missed, and
held mail that it cannot open would be put off until it is given up, so:

1. a new generation is written to the key file first, durably;
2. the store learns its fingerprint before anything is written under it, and
   from then on refuses every process that lacks it, in the same atomic step
   that would clear a copy to leave;
3. keys and store are exchanged in one step of the event loop.  What was asked
   of the old store under the old keys is answered by the old store: refused.

The supervisor takes a generation up before it tells the workers: whoever reads
unsubscribe links and returned mails knows it before anybody writes with it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from relay.config import Config
from relay.errors import StoreUnavailable
from relay.keys import Keys
from relay.stores.closed import ClosedStore
from relay.stores.contracts import Store
from relay.stores.opening import open_store

_log = logging.getLogger("relay.service")
LOOK_SECONDS = 5.0  # how long somebody waits for a look at the store that should come every second


class StoreKeeper:
    """One per process. `use` puts another store behind the parts of the process; `keys` is the object that they all have."""

    def __init__(
        self, config: Config, keys: Keys, store: Store, clock: Callable[[], float], use: Callable[[Store], None] = lambda _: None
    ) -> None:
        self.store = store
        self._config = config
        self._keys = keys
        self._wanted = replace(keys)  # what the key file says; taken up when the store opens under it
        self._fault = ""  # why the key file cannot be used
        self._clock = clock
        self._use = use
        self._turn = asyncio.Lock()
        self._reason = ""  # what the last look found
        self._begun = self._ended = 0  # looks
        self._looked = asyncio.Condition()

    async def mend(self) -> str:
        """Return "" when the store can be believed, else why not; a closed or removed one is opened anew first.

        One that answers and may forget what it is told is closed: it would go on clearing copies.
        """
        async with self._turn:
            self._begun = look = self._begun + 1
            fault = await self._look()
        async with self._looked:
            self._reason, self._ended = fault.reason if fault else "", look
            self._looked.notify_all()
        return f"{fault.reason}: {fault}" if fault else ""

    async def _look(self) -> StoreUnavailable | None:
        try:
            await self.store.check()
        except StoreUnavailable as fault:
            if fault.reason == "durability" and not isinstance(self.store, ClosedStore):
                await self._replace(ClosedStore(self.store.name, fault))
            may_open = not self._fault and (isinstance(self.store, ClosedStore) or fault.reason == "removed")
            return await self._reopen() if may_open else fault
        return None

    async def lacks_keys(self) -> bool:
        """Whether the store was written with keys that this node does not have yet, by the next look of `mend`.

        So it is never asked for this alone, however many want to know; without a look in time it is doubtful, and True.
        """
        came = self._begun
        if self._reason == "keys":
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS), self._looked:
                await self._looked.wait_for(lambda: self._ended > came)
                return self._reason == "keys"
        return True

    async def take_up(self, keys: Keys) -> None:
        """Use these keys as soon as the store opens under them: at once, or when `mend` can open it.

        The store knows nothing of the records ring.  Without one of its keys, mails that come back would find nobody,
        so a running relay gives none up.
        """
        if lost := self._keys.records.fingerprints - keys.records.fingerprints:
            await self.refuse(
                f"the key file lacks keys that the records were written with ({' '.join(sorted(lost))});"
                " put them back into it, or restore the key file from the backup"
            )
            return
        async with self._turn:
            self._wanted, self._fault = keys, ""
            if keys != self._keys or isinstance(self.store, ClosedStore):
                await self._reopen()

    async def refuse(self, fault: str) -> None:
        """Let nothing leave until there are keys to take up."""
        async with self._turn:
            if fault != self._fault:
                self._fault = fault
                await self._replace(ClosedStore(self.store.name, StoreUnavailable("keys", fault)))

    @property
    def keys_fault(self) -> str:
        """Why the keys that this process should have cannot be used; "" when they can, or when the store says nothing of them."""
        return self.store.text if isinstance(self.store, ClosedStore) and self.store.reason == "keys" else ""

    async def _reopen(self) -> StoreUnavailable | None:
        fresh = await open_store(self._config, self._wanted, self._clock)
        if isinstance(fresh, ClosedStore):
            await self._replace(fresh)
            return StoreUnavailable(fresh.reason, fresh.text)
        self._keys.take_up(self._wanted)
        await self._replace(fresh)
        _log.info("the store can be used again")
        return None

    async def _replace(self, fresh: Store) -> None:
        old, self.store = self.store, fresh
        self._use(fresh)
        await old.aclose()
