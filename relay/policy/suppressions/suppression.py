"""What a suppression is, and which mail it binds.

A marketing complaint must not stop a receipt or a password reset, so the
purpose of a stream decides which reasons bind it (compliance note R-SUPPRESS;
CAN-SPAM 15 USC 7704(a)(4), PIPL 47, SAMR Order 37 Art 16).
"""

from dataclasses import dataclass, field
from enum import StrEnum

Digest = bytes
"""16 octets: a truncated HMAC-SHA256 of something that must not be readable in the store."""


class Reason(StrEnum):
    """Why a mailbox must not be written to. The order is from the gravest down."""

    LEGAL = "legal"  # an authority or a court said so
    MANUAL_ALL = "manual_all"  # an admin: no mail of any purpose
    COMPLAINT = "complaint"  # the recipient reported a mail as spam
    OBJECTION = "objection"  # the recipient objected in words (GDPR 21, reply "stop")
    UNSUBSCRIBE = "unsubscribe"  # the recipient unsubscribed
    HARD_BOUNCE = "hard_bounce"  # the address is known to be invalid
    MANUAL = "manual"  # an admin: no marketing


REFUSALS = frozenset({Reason.LEGAL, Reason.COMPLAINT, Reason.OBJECTION, Reason.UNSUBSCRIBE})
"""Reasons that only a later consent lifts (law 6)."""

ORGANISATION = "organisation"
"""The scope that holds for every stream; any other scope is "stream:NAME"."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One recorded reason. (digest, scope, reason) is unique; the earliest one stays in force and remembers the last."""

    digest: Digest
    scope: str
    reason: Reason
    origin: str  # one_click | page | cli | import:<format> | ...
    at: float
    sealed: bytes = b""  # the mailbox key, AES-GCM under the records ring; b"" when erased or unknown
    note: str = ""
    expires_at: float | None = None  # only hard_bounce may expire
    lifted_at: float | None = None
    lifted_by: str = ""  # the id of the consent event, or "reason: ..." for hard_bounce and manual
    again_at: float | None = None  # when it was said last, if more than once
    consented_at: float | None = None  # when the person said what lifted it, if a consent did
    # What the store adds when it comes in force: its place among all leaves and withdrawals (0: not known), and the
    # submissions of which a copy to this mailbox had leave already and no outcome yet.
    number: int = field(default=0, compare=False)
    in_flight: tuple[str, ...] = field(default=(), compare=False)

    @property
    def last_at(self) -> float:
        """When it was said last: only what came after that lifts it."""
        return self.at if self.again_at is None else max(self.at, self.again_at)

    @property
    def answered_at(self) -> float | None:
        """Up to when what was said is answered: by the consent, else by the lifting; None while it is not lifted."""
        return self.lifted_at if self.consented_at is None else self.consented_at


class Purpose(StrEnum):
    """What a stream's mail is for: fixes what suppression binds and what is inspected."""

    MARKETING = "marketing"
    SERVICE = "service"
    CORRESPONDENCE = "correspondence"
    NOTICE = "notice"


_TRANSACTIONAL = frozenset({Reason.HARD_BOUNCE, Reason.LEGAL, Reason.MANUAL_ALL})

BINDS: dict[Purpose, frozenset[Reason]] = {
    Purpose.MARKETING: frozenset(Reason),
    Purpose.SERVICE: _TRANSACTIONAL,
    Purpose.CORRESPONDENCE: _TRANSACTIONAL,
    Purpose.NOTICE: frozenset({Reason.HARD_BOUNCE}),
}
"""The reasons that bind a purpose."""


def stream_scope(stream: str) -> str:
    """The scope of one stream's own entries."""
    return f"stream:{stream}"


def binding(suppressions: tuple[Suppression, ...], purpose: Purpose, stream: str) -> Suppression | None:
    """Return the gravest suppression that binds mail of this purpose in this stream, or None."""
    if not suppressions:
        return None
    scopes = (ORGANISATION, stream_scope(stream))
    order = list(Reason)
    bound = [s for s in suppressions if s.reason in BINDS[purpose] and s.scope in scopes]
    return min(bound, key=lambda s: (order.index(s.reason), s.at), default=None)
