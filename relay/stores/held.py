"""What a store promises of copies that are kept back: durable before the client's 250, leased to one courier at a time.

A held *message* is one submission's octets, sealed, kept once.  A held *copy*
is one recipient of it.  The store reads neither: it knows digests, a lane, and
when a copy is due.

A lane is what may not overtake itself: a priority, and a digest of identity
and recipient domain.  Lanes of a lower priority number are served first;
among equals they take turns (deficit round robin by octets), so that a
campaign of large messages does not starve a small one.

Who claims a copy has a lease on it.  A lease that ran out makes the copy due
again, under a new claim number; what an old claim says then is not heard.
Every update that was heard takes a number too: one that is said again, because
its answer got lost, undoes nothing that somebody did since.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from relay.errors import StoreUnavailable
from relay.policy.suppressions.suppression import Digest

NEVER = math.inf
"""Due at no time by itself: a person or a login must free the copy."""

Credentials = tuple[Digest, bytes, float]
"""An owner, its sealed login, and when that must be gone."""


class Why(StrEnum):
    """Why a copy is held; the label of `relay_held_copies`."""

    LIMIT = "limit"  # a limit of the stream or the upstream is reached
    UPSTREAM = "upstream"  # the upstream did not take it, for now
    UNKNOWN = "unknown"  # the dot may have arrived, its reply did not
    LANE = "lane"  # others of its lane were there first
    HOURS = "hours"  # outside the hours in which the stream sends
    RULE = "rule"  # a rule wants a person to look at it: `relay held release`
    PAUSED = "paused"  # its stream is paused, or marketing by its upstream
    AUTHENTICATION = "authentication"  # no usable login: the identity's next AUTH frees it
    REPORT = "report"  # it will never leave; its sender must still be told


@dataclass(frozen=True, slots=True)
class Lane:
    """Which copies leave in their order. `priority` 0 is served first."""

    priority: int
    key: Digest


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One submission that is kept. `head` is sealed: envelope and what the first try used; `body` is sealed too.

    `body` is empty where only the message is asked about.  `octets` is the length of the sealed body.
    """

    id: str
    head: bytes
    body: bytes
    octets: int
    at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class HeldCopy:
    """One recipient of a held message.

    `owner` is the digest of upstream and identity whose login it leaves with.
    `sealed` holds the mailbox, its DSN parameters and what was said of it last.
    `claim` counts how often it was claimed or changed.  `leased_until` is when the last lease on it ends, 0 when nobody has one;
    only what is listed for people tells it, and it is no part of what a copy is.
    """

    message: str
    recipient: Digest
    lane: Lane
    owner: Digest
    why: Why
    due_at: float
    sealed: bytes
    attempts: int = 0
    held_at: float = 0.0
    claim: int = 0
    leased_until: float = field(default=0.0, compare=False)

    def in_doubt(self, now: float) -> "HeldCopy":
        """The copy where another try may have reached the recipient: whoever sends it puts that on record first.

        It must not wait for anybody to free it, who would look for another reason.
        """
        return replace(self, why=Why.UNKNOWN, due_at=self.due_at if self.due_at < NEVER else now)


@dataclass(frozen=True, slots=True)
class Holding:
    """What is to be kept of one message: its copies, and with which reply the ledger's row of each digest becomes HELD.

    The bodies of all that is held may have `max_octets`.  `credentials` replace the owner's login, unless that may stay longer.
    """

    message: HeldMessage
    copies: Sequence[HeldCopy]
    rows: Mapping[Digest, str]
    max_octets: int
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class HeldUpdate:
    """What becomes of a copy: `after` takes the place of `before`, None when it is done and forgotten.

    It is heard only while `before.claim` is still the copy's; then its lease ends, and the number with it: the claim of
    `after` is of no account.
    """

    before: HeldCopy
    after: HeldCopy | None


@dataclass(frozen=True, slots=True)
class HeldTotals:
    """How much is held: copies by reason, sealed octets of bodies, when the oldest copy was held (None: nothing is).

    `room` is how many octets more the store itself has room for, below 0 when others took more (None: it says no bound).
    """

    copies: Mapping[Why, int]
    octets: int
    oldest_at: float | None
    room: int | None = None


class HoldFull(Exception):
    """There is no room for another held message; nothing was kept."""


class BodyLost(StoreUnavailable):
    """The body of a held message is gone or is not what was kept: asking again does not help before somebody restores it."""


class Held(Protocol):
    """Copies that leave later."""

    async def hold(self, key: Digest, holding: Holding) -> None:
        """Keep the copies of one message, all or none; durable when it returns.

        In the same step its ledger rows of the submission `key` become HELD, so that a resend finds them.  A repetition adds
        what is missing and changes nothing else.

        Who is delivered or held already, by whatever try, is left alone.  Whom another try may have reached, nobody knows,
        is kept as Why.UNKNOWN.

        Raises HoldFull when the bodies would be over its `max_octets`, and StoreUnavailable.  The latter also where another try
        is sending to one this moment or was answered meanwhile that one is refused, or the submission is closed.
        """
        ...

    async def claim(self, most: int, lease_seconds: float) -> list[HeldCopy]:
        """Lease copies that are due, by priority and then lane by lane in turn; `most` at most, often fewer.

        What is due of one report lane (Why.REPORT) comes together, whatever `most` is: with others if it fits, else alone.
        What expired is due whatever its time says, when its lane does not rest.
        """
        ...

    async def held_message(self, message: str, *, with_body: bool = True) -> HeldMessage | None:
        """The message, None when nothing of it is held any more. Raises BodyLost."""
        ...

    async def update_held(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None = None) -> int:
        """Change or forget copies; return how many updates were heard.

        `resting` lanes are not served before that time; where nothing of a lane is held any more, a store may forget that.
        With its last copy a message is forgotten, body and all, and with the last copy of an owner the owner's credentials.
        """
        ...

    async def held_copies(self, after: tuple[str, Digest] | None, most: int, message: str | None = None) -> list[HeldCopy]:
        """Copies in the order of message and recipient, for people to look at; `after` is the last one of the page before."""
        ...

    async def free_owner(self, owner: Digest, why: Why) -> int:
        """Make every copy of this owner that is held for this reason due now, and let its lane rest no longer; return how many.

        Leases stay.
        """
        ...

    async def wake_lane(self, lane: Lane) -> None:
        """Serve the lane whenever it has something due: it rests no longer."""
        ...

    async def held_totals(self) -> HeldTotals: ...

    async def keep_credentials(self, owner: Digest, sealed: bytes, until: float) -> bool:
        """Replace the owner's login, unless that may stay longer, where copies of the owner are held; whether there were any."""
        ...

    async def credentials_of(self, owner: Digest) -> bytes | None:
        """The owner's sealed login, None when there is none or its time is over."""
        ...

    async def drop_credentials(self, owner: Digest, sealed: bytes) -> None:
        """Forget the owner's login at once, unless another took the place of this one."""
        ...
