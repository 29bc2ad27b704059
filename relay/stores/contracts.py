"""What every store promises, each part in a module by its name; `sqlite` and `redis.py` keep the same promises.

A store never sees an address.  Callers hand it *digests*: the keyed HMACs of a
mailbox key, one per generation of the address ring, the current one first
(`relay.keys.Ring.digests`).  A look-up asks all of them, a write uses the first.

Absence is knowledge: None or an empty tuple always means "known not to be
there".  A store that cannot answer, is empty, foreign, or was written with
other keys raises `StoreUnavailable`; every operation checks that in the same
step as its answer, so a store that was wiped a second ago permits nobody.

Time is the store's own clock in seconds since the epoch (Redis: its TIME), so
that nodes cannot disagree; tests set it through the constructor.
"""

from dataclasses import dataclass, field
from typing import Protocol

from relay.stores.adaptations import Adaptations
from relay.stores.consents import ConsentLedger
from relay.stores.held import Held
from relay.stores.ledger import Ledger
from relay.stores.limits import Limits
from relay.stores.lookup import LookUp
from relay.stores.reputation import Reputation
from relay.stores.sending import Sending
from relay.stores.suppressions import Suppressions
from relay.stores.transfers import Transfers


@dataclass(frozen=True, slots=True)
class StoreMeta:
    """Who a store is: made once, compared on every operation."""

    store_id: str
    schema: int
    fingerprints: frozenset[str] = field(default_factory=frozenset)  # of every key generation it was written with


class Store(Suppressions, ConsentLedger, LookUp, Limits, Ledger, Reputation, Held, Sending, Adaptations, Transfers, Protocol):
    """All of it, behind one connection."""

    name: str  # "sqlite" | "redis": the label of metrics

    async def meta(self) -> StoreMeta:
        """Who the store says it is, now."""
        ...

    async def extend(self, fingerprints: frozenset[str]) -> None:
        """Add key generations to the meta, before anything is written under them; none is ever removed."""
        ...

    async def check(self) -> None:
        """Raise StoreUnavailable when mail must not flow (see `relay.stores.opening` for the reasons)."""
        ...

    async def aclose(self) -> None:
        """Finish what is in hand and release files and connections."""
        ...
