"""What every store promises; `sqlite.py` and `redis.py` keep the same promises.

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

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from relay.policy.consent import ConsentEvent, Ground
from relay.policy.limits import Charge
from relay.policy.reputation import Feedback, Pause, Tally
from relay.policy.suppression import Digest, Reason, Suppression
from relay.stores.adaptations import Adaptations
from relay.stores.consents import Consents
from relay.stores.held import Held
from relay.stores.sending import Sending

Octets = bytes | bytearray
EntryRow = (
    tuple[Octets, str, str, str, float, Octets, str]
    | tuple[Octets, str, str, str, float, Octets, str, float | None, float | None]
)
"""What is said of a mailbox, as an import hands millions of them on: of a `Suppression` that was never lifted the digest, scope,
reason (as its word), origin, at, sealed, note, and unless both are None expires_at and again_at."""


class RowState(StrEnum):
    """Where one recipient of one submission stands in the ledger."""

    LEAVING = "leaving"  # cleared, outcome not known yet; has a lease
    DELIVERED = "delivered"  # the upstream's 250 was seen
    REFUSED = "refused"  # refused for good, by us or by the upstream
    HELD = "held"  # kept back durably: the relay sends it later
    INDETERMINATE = "indeterminate"  # the connection was lost past the dot, or the lease ran out


@dataclass(frozen=True, slots=True)
class Row:
    """A ledger row. `reply` is the reply's text as recorded; "" while leaving."""

    recipient: Digest
    state: RowState
    reply: str = ""
    submission_id: str = ""  # the try that wrote it
    lease_until: float = 0.0  # of the store's clock; of a row that is leaving


@dataclass(frozen=True, slots=True)
class FirstTry:
    """What the first try of a submission used; every later try renders with it, so the bytes agree."""

    submission_id: str
    at: float
    date: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An open submission in the ledger, as `open_submission` answers it, and the facts that it was asked for.

    `waiting` are those of the asked lanes in which copies wait for a time, so that a new one must join them.
    """

    first: FirstTry
    rows: tuple[Row, ...] = ()
    pause: Pause | None = None
    suppressions: tuple[tuple[Suppression, ...], ...] = ()
    consents: tuple[tuple[ConsentEvent, ...], ...] = ()
    waiting: frozenset[Digest] = frozenset()


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


@dataclass(frozen=True, slots=True)
class ClearRequest:
    """One recipient of a copy that wants to leave.

    `stream` is whose pause binds and whose mail it counts as; "" for a report,
    which leaves whatever is paused and counts for nobody.  `submission_id`
    names the submission where the try has a name of its own (what is held);
    a withdrawal that finds the copy on its way names that.  `grounds` are the
    consents on which it was permitted.
    """

    recipient: Digest  # the ledger's digest of the recipient
    suppression_digests: tuple[Digest, ...]
    scopes: tuple[str, ...]  # the scopes that bind this stream
    reasons: frozenset[Reason]  # the reasons that bind this purpose
    charges: tuple[Charge, ...] = ()
    stream: str = ""
    submission_id: str = ""
    grounds: tuple[Ground, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleared:
    """May leave now; the row is `leaving` and the charges are reserved under `reservation` ("" without charges).

    `number` is that of the step in the store's commit sequence, which the step of every withdrawal takes a number of too
    (`Suppressions.suppress`): no recipient is cleared under a number above that of a refusal that binds it.
    """

    reservation: str = ""
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A suppression binds this recipient."""

    suppression: Suppression


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A consent on which this recipient was permitted was withdrawn since."""

    ground: Ground


@dataclass(frozen=True, slots=True)
class Taken:
    """The ledger already has a row: delivered, refused, held, or leaving under a living lease.

    `indeterminate` rows and rows whose lease ran out are claimed again instead (at least once).
    """

    row: Row


@dataclass(frozen=True, slots=True)
class Paused:
    """The stream is paused; nothing was claimed or charged."""

    pause: Pause


Clearance = Cleared | Refused | Withdrawn | Taken | Paused | OverLimit


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a cleared recipient.

    state DELIVERED settles its reservation, INDETERMINATE leaves it charged, REFUSED and None refund it.
    None (transient failure) also removes the row, so that a retry may claim it.

    DELIVERED is the last word on a row: nothing that is written later takes it
    back.  Any other outcome of a try whose row a later try has claimed
    meanwhile leaves the row alone; `submission_id` says whose outcome it is
    ("" when there can be no other try).

    A row that becomes DELIVERED counts once for its `stream`; one that becomes
    REFUSED because there is `no_mailbox` counts as a hard bounce.
    """

    recipient: Digest
    state: RowState | None
    reply: str = ""
    reservation: str = ""
    submission_id: str = ""
    stream: str = ""
    no_mailbox: bool = False


@dataclass(frozen=True, slots=True)
class StoreMeta:
    """Who a store is: made once, compared on every operation."""

    store_id: str
    schema: int
    fingerprints: frozenset[str] = field(default_factory=frozenset)  # of every key generation it was written with


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


class Ledger(Protocol):
    """Unfinished submissions, so that a retry with the same bytes duplicates nothing known to be delivered.

    A row belongs to the try that asked about it last.  Only when the client of
    that try knows the outcome is the row forgotten: a resend that came while
    the first try still ran has a client of its own who waits.
    """

    async def open_submission(
        self,
        key: Digest,
        proposal: FirstTry,
        ttl_seconds: float,
        recipients: Sequence[Digest] = (),
        stream: str = "",
        asked: Sequence[Sequence[Digest]] = (),
        lanes: Sequence[Digest] = (),
        *,
        with_consents: bool = False,
    ) -> Entry:
        """Insert the submission if absent and return it with all its rows; those of `recipients` belong to this try now.

        It is remembered for `ttl_seconds` from now on, whenever the first try was.  In the same round trip: is `stream`
        paused, what is in force on each of `asked` (as `find` answers), `with_consents` what each agreed to (as `consents`
        answers), and in which of `lanes` do copies wait?
        """
        ...

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        """The rows as they stand; a leaving row whose lease ran out reads as INDETERMINATE."""
        ...

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        """One atomic step for all recipients of one copy, directly before MAIL.

        Refusal? consent withdrawn? row free? stream paused? limits free? then claim.

        Each recipient is cleared or not by itself, in order, those who are
        share the step's number in the commit sequence; a row that is
        taken belongs to this try now too.  `key` must be open (it is
        re-created from nothing, for `ttl_seconds`, if it expired meanwhile).
        """
        ...

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        """Write outcomes and settle or refund their reservations."""
        ...

    async def close(self, key: Digest, submission_id: str, *, durable: bool = True) -> None:
        """Forget the rows of this try: its client knows the outcome; without rows the same bytes are a new message.

        If it need not be `durable`, a power cut within the next second may bring them back: the same bytes would be taken
        for a resend, and not be sent again to whom they reached.
        """
        ...


class Reputation(Protocol):
    """How each stream's mail is received, and which streams are paused: shared by every worker and every node.

    `Ledger.finish` counts what leaves, by the UTC day on which it was settled.
    """

    async def paused(self) -> dict[str, Pause]:
        """The pauses in force, by stream."""
        ...

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        """Pause a stream; False when it is paused already.

        `counted_from` is that of the tally which led to it: False too when the
        counts began anew meanwhile, because somebody resumed the stream.
        """
        ...

    async def resume(self, stream: str) -> Pause | None:
        """End the pause and return it, None when there is none; the stream's counts begin anew at this moment."""
        ...

    async def note(self, feedback: Sequence[Feedback]) -> None:
        """Keep what came back; the same thing twice is one, and what is about mail from before the counts began is nothing."""
        ...

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        """The counts of each stream in its window: so many UTC days, today among them."""
        ...


class Store(Suppressions, Consents, Limits, Ledger, Reputation, Held, Sending, Adaptations, Protocol):
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
