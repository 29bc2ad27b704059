"""The consent ledger as every store keeps it: events are added, and nothing else."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest


class ConsentLedger(Protocol):
    """What people agreed to. The current view is worked out from the events (`relay.policy.consents.consent`)."""

    async def consents(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
        """Return, per recipient, all events under any of its digests, in the order in which people said them."""
        ...

    async def record_consents(self, events: Sequence[ConsentEvent]) -> int:
        """Add events; return how many were new. An id that the mailbox has already changes nothing.

        So who records asks what it names; another mailbox may have the same id.
        Those that end consents take a number of the commit sequence, as a suppression does, and those of one step share it:
        nobody is cleared on a consent under a number above that of its end (`Ledger.clear`).
        """
        ...

    def export_consents(self) -> AsyncIterator[ConsentEvent]:
        """Every event, in no particular order, in bounded memory."""
        ...


def in_order(events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
    """As people said them; the id decides between two at the same moment."""
    return tuple(sorted(events, key=lambda event: (event.at, event.id)))
