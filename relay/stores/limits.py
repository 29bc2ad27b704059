"""What a store promises of limits: never more than N in any window, whoever counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.policy.timing.limits import Charge


@dataclass(frozen=True, slots=True)
class Reserved:
    """All charges are held until settled, refunded, or the lease ends (then they count as spent)."""

    id: str


@dataclass(frozen=True, slots=True)
class OverLimit:
    """Nothing was charged. `name` of the first limit met; `retry_after` whole seconds, at least 1.

    It may exceed the window by a sixtieth, 61 s for a minute: what is spent
    counts until its whole bucket has left, and nobody is told a time too early.
    `in_flight` says that only reservations of others stand in the way, which may be given back any moment.
    """

    name: str
    retry_after: int
    in_flight: bool = False


class Limits(Protocol):
    """Never more than N in any window. All charges or none (relay/policy decides which)."""

    async def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit: ...

    async def used(self, charges: Sequence[Charge]) -> list[int]:
        """How many units count against the limit of each charge now, spent or reserved. Charges nothing."""
        ...

    async def settle(self, reservation: str) -> None:
        """Count the reservation at this moment: it was used."""
        ...

    async def refund(self, reservation: str) -> None:
        """Give the reservation back: it was not used."""
        ...
