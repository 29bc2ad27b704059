"""What a store has of a mailbox that somebody wants to write to, in one question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.policy.consents.consent import ConsentEvent
from relay.policy.consents.residence import Residence, residence_of
from relay.policy.suppressions.suppression import Digest, Suppression


@dataclass(frozen=True, slots=True)
class Found:
    """`suppressions` in force; `consents` are all events, where they were asked for; `residence` is told without them too."""

    suppressions: tuple[Suppression, ...] = ()
    consents: tuple[ConsentEvent, ...] = ()
    residence: Residence | None = None

    @classmethod
    def of(cls, entries: tuple[Suppression, ...], events: tuple[ConsentEvent, ...], *, with_consents: bool) -> "Found":
        """What these entries in force and these events tell: all events, or those that name a country."""
        return cls(entries, events if with_consents else (), residence_of(events) if events else None)


NOTHING = Found()
"""Of most recipients: then it is not put together anew for each."""


class LookUp(Protocol):
    """The facts on recipients."""

    async def look_up(self, recipients: Sequence[Sequence[Digest]], *, with_consents: bool = False) -> list[Found]:
        """Return, per recipient, what is known under any of its digests, in one round trip.

        Where it is not asked `with_consents`, of the consent ledger only the events that name a country are read, and
        while no event of the whole ledger names one, nothing of it is.
        """
        ...
