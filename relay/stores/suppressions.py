"""What a store promises of suppressions: mailboxes that must not be written to."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest, Reason, Suppression

Octets = bytes | bytearray
EntryRow = (
    tuple[Octets, str, str, str, float, Octets, str]
    | tuple[Octets, str, str, str, float, Octets, str, float | None, float | None]
)
"""What is said of a mailbox, as an import hands millions of them on: of a `Suppression` that was never lifted the digest, scope,
reason (as its word), origin, at, sealed, note, and unless both are None expires_at and again_at."""


class Suppressions(Protocol):
    """Mailboxes that must not be written to. Entries are lifted, never deleted."""

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        """Return, per recipient, all suppressions in force (not lifted, not expired), gravest reason first."""
        ...

    async def suppress(self, entry: Suppression) -> bool:
        """Record the entry; True when it is new or in force again, False when one is in force already or its lifting stands.

        The earliest entry stays in force; `again_at` remembers the last.  What
        a consent lifted stays lifted unless the entry is later than that
        consent, whenever it was recorded: a refusal that waited in a journal
        counts from when it was said.  What was lifted without one stays lifted
        unless the entry is later than the lifting.  So an old import never
        revives or weakens.

        What comes in force takes the next number of the commit sequence, and
        learns in the same step which submissions have a copy to this mailbox
        on its way: leaving under a living lease (`Suppression.in_flight`).
        """
        ...

    async def suppress_many(self, entries: Sequence[Suppression]) -> int:
        """Record up to a few thousand entries in short steps; return how many were new. Those of one step share its number."""
        ...

    async def suppress_rows(self, rows: Sequence[EntryRow]) -> int:
        """Record any number of entries in steps that keep mail waiting no longer than mail does; return how many were new.

        What a step has recorded stays, whatever becomes of the next; to record it again changes nothing.
        In the order of their digests they are recorded many times as fast as in any other.
        """
        ...

    async def lift(self, digests: Sequence[Digest], scope: str, reason: Reason, consent: ConsentEvent | None, note: str) -> bool:
        """Lift the entry in force; False when there is none.

        Reasons in REFUSALS need a consent whose `at` is later than the last such refusal: ValueError otherwise.
        Refusals that still wait in a journal are unknown here: replay it first, or they revive the entry afterwards.
        """
        ...

    async def history(self, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
        """Everything ever recorded on a mailbox, lifted and expired entries too, oldest first."""
        ...

    def export(self) -> AsyncIterator[Suppression]:
        """Every entry, in no particular order, in bounded memory."""
        ...

    async def count(self) -> dict[tuple[str, str], int]:
        """Entries in force by (reason, scope)."""
        ...
