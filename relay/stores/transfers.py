"""What a store promises of the persons whose data left the country: counted once a year and category, by all nodes together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.policy.cases.transfers import Category, Crossing, Transferred
from relay.policy.suppressions.suppression import Digest

KEPT_SECONDS = 30 * 86400.0
"""How long after a year it is remembered who was counted in it, beyond which only how many is kept."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """As many persons as `crossing` allows were counted before; nothing was claimed or charged."""

    crossing: Crossing
    persons: int


class Transfers(Protocol):
    """Persons by the ledger's digest of a recipient, which a new key generation does not change. `Ledger.clear` counts them."""

    async def transferred(self, year: int, recipients: Sequence[Digest]) -> list[Transferred]:
        """Return, for each recipient, the counts of that year and as what the recipient is in them; nothing for nobody."""
        ...

    async def transfer_years(self) -> list[Transferred]:
        """The counts of every year in which anybody was counted, oldest first."""
        ...


def by_year(counts: Iterable[tuple[int, str, int]]) -> list[Transferred]:
    """The counts of every year, from a year, a category and its persons at a time."""
    found: dict[int, dict[str, int]] = {}
    for year, category, persons in counts:
        found.setdefault(year, {})[category] = persons
    return [Transferred(year, of.get(Category.ORDINARY, 0), of.get(Category.SENSITIVE, 0)) for year, of in sorted(found.items())]
