"""What both stores ask of a suppression before they write or lift it, and the order in which they show them."""

from collections.abc import Iterable

from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import REFUSALS, Reason, Suppression
from relay.stores.suppressions import EntryRow

GRAVITY = {reason: rank for rank, reason in enumerate(Reason)}
"""0 is the gravest."""


def gravest_first(entries: Iterable[Suppression]) -> tuple[Suppression, ...]:
    """The order of `find`: by reason, then the older first."""
    return tuple(sorted(entries, key=lambda entry: (GRAVITY[entry.reason], entry.at)))


def require_recordable(entry: Suppression) -> None:
    """Refuse an entry that would end by itself although a person or an authority made it.

    Raises ValueError.
    """
    if entry.expires_at is not None and entry.reason is not Reason.HARD_BOUNCE:
        raise ValueError(f"an entry for {entry.reason} cannot expire: only a hard bounce may")


def require_recordable_rows(rows: Iterable[EntryRow]) -> None:
    """`require_recordable` for each. Raises ValueError."""
    for row in rows:
        if len(row) > 7:
            require_recordable(entry_of(row))


def row_of(entry: Suppression) -> EntryRow:
    """What the entry says, without its lifting."""
    return (
        entry.digest, entry.scope, entry.reason.value, entry.origin, entry.at, entry.sealed, entry.note,
        entry.expires_at, entry.again_at,
    )  # fmt: skip


def entry_of(row: EntryRow) -> Suppression:
    """The entry that says so."""
    expires_at, again_at = row[7:] or (None, None)
    said = bytes(row[0]), row[1], Reason(row[2]), row[3], row[4], bytes(row[5]), row[6]
    return Suppression(*said, expires_at, again_at=again_at)


def require_liftable(entries: Iterable[Suppression], consent: ConsentEvent | None) -> None:
    """Refuse to lift a refusal without a consent that came after it (law 6).

    Raises ValueError.
    """
    for entry in entries:
        if entry.reason in REFUSALS and (consent is None or consent.at <= entry.last_at):
            raise ValueError(f"{entry.reason} is lifted only by a consent that the person gave after it")


def lifted_by(consent: ConsentEvent | None, note: str) -> str:
    """What a lifted entry says about why."""
    return consent.id if consent is not None else f"reason: {note}"
