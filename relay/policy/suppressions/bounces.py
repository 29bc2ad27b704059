"""When an address is known to be invalid: one rule for what a server says at once and for what comes back by mail. Pure."""

from collections.abc import Collection

from relay.policy.suppressions.suppression import ORGANISATION, Digest, Reason, Suppression

BOUNCE_SECONDS = 180 * 86400.0
"""How long a hard bounce binds, and how far apart two confirmations may be."""

AT_ONCE = "5.1.1"
"""The status that says nothing else but "no such mailbox" (RFC 3463 section 3.2)."""


CONFIRMATIONS = 2
"""Mails that must have said so, where the status leaves a doubt and nobody knows better."""


def confirmations_for(status: str, needed: int = 0) -> int:
    """How many mails must say so until it is believed; `needed` as the provider's profile has it, 0 when it says nothing."""
    return needed or (1 if status == AT_ONCE else CONFIRMATIONS)


def is_confirmed(status: str, submission_id: str, earlier: Collection[str], needed: int = 0) -> bool:
    """Whether a permanent "no such mailbox" is believed: at once for 5.1.1, else when it was said of another mail before.

    `earlier` are the submissions of which it was said within BOUNCE_SECONDS; `needed` as for `confirmations_for`.
    """
    others = sum(one != submission_id for one in set(earlier))
    return others + 1 >= confirmations_for(status, needed)


def hard_bounce(digest: Digest, sealed: bytes, origin: str, at: float) -> Suppression:
    """The suppression that follows."""
    return Suppression(digest, ORGANISATION, Reason.HARD_BOUNCE, origin, at, sealed, expires_at=at + BOUNCE_SECONDS)
