"""What a store promises of submissions that are not finished: who was sent to, who may be, and how it ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from relay.policy.cases.reputation import Pause
from relay.policy.cases.transfers import Crossing, Transferred
from relay.policy.consents.consent import Ground
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.policy.timing.limits import Charge
from relay.stores.limits import OverLimit
from relay.stores.lookup import Found
from relay.stores.transfers import Exhausted

ANSWERED_SECONDS = 7200.0
"""How long a store knows how it ended for recipients whose client was answered, where another try of the submission may still be
under way.  None lasts longer: a try begins with nobody after its patience, and a message of 32 MiB goes at the least rate in 35
minutes."""


class RowState(StrEnum):
    """Where one recipient of one submission stands in the ledger."""

    LEAVING = "leaving"  # cleared, outcome not known yet; has a lease
    DELIVERED = "delivered"  # the upstream's 250 was seen
    REFUSED = "refused"  # refused for good, by us or by the upstream
    HELD = "held"  # kept back durably: the relay sends it later
    INDETERMINATE = "indeterminate"  # the connection was lost past the dot, or the lease ran out


@dataclass(frozen=True, slots=True)
class Row:
    """A ledger row. `reply` is the reply's text as recorded; "" while leaving.

    `answered`: the client of another try heard that it ended so, and went on.  This try finds it there because it was opened,
    or had begun, before; the same bytes that come now are a new message.
    """

    recipient: Digest
    state: RowState
    reply: str = ""
    submission_id: str = ""  # the try that wrote it
    lease_until: float = 0.0  # of the store's clock; of a row that is leaving
    answered: bool = False


@dataclass(frozen=True, slots=True)
class FirstTry:
    """What the first try of a submission used; every later try renders with it, so the bytes agree."""

    submission_id: str
    at: float
    date: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A try that begins, and what it wants to know.

    Its message began to come `age` seconds ago.  The submission is remembered for `ttl_seconds` from now on, whenever the
    first try was.

    In the same round trip: is `stream` paused, what is known of each of `asked` (as `look_up` answers), which of `recipients`
    are counted in the year `transferred_in` (as `transferred` answers), and in which of `lanes` do copies wait?
    """

    proposal: FirstTry
    ttl_seconds: float
    recipients: Sequence[Digest] = ()
    stream: str = ""
    asked: Sequence[Sequence[Digest]] = ()
    lanes: Sequence[Digest] = ()
    with_consents: bool = False
    transferred_in: int | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An open submission in the ledger, as `open_submission` answers it, and the facts that it was asked for.

    `waiting` are those of the asked lanes in which copies wait for a time, so that a new one must join them.
    """

    first: FirstTry
    rows: tuple[Row, ...] = ()
    pause: Pause | None = None
    found: tuple[Found, ...] = ()
    transferred: tuple[Transferred, ...] = ()
    waiting: frozenset[Digest] = frozenset()


@dataclass(frozen=True, slots=True)
class ClearRequest:
    """One recipient of a copy that wants to leave.

    `stream` is whose pause binds and whose mail it counts as; "" for a report,
    which leaves whatever is paused and counts for nobody.  `submission_id`
    names the submission where the try has a name of its own (what is held);
    a withdrawal that finds the copy on its way names that.  `grounds` are the
    consents on which it was permitted, `crossing` that it leaves the country.
    `may_repeat`: it is on record that an earlier try may have reached this
    recipient, so this one may be the second; without it, nobody is sent to of
    whom that is not known.
    """

    recipient: Digest  # the ledger's digest of the recipient
    suppression_digests: tuple[Digest, ...]
    scopes: tuple[str, ...]  # the scopes that bind this stream
    reasons: frozenset[Reason]  # the reasons that bind this purpose
    charges: tuple[Charge, ...] = ()
    stream: str = ""
    submission_id: str = ""
    grounds: tuple[Ground, ...] = ()
    crossing: Crossing | None = None
    may_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """May leave now; the row is `leaving` and the charges are reserved under `reservation` ("" without charges).

    `number` is that of the step in the store's commit sequence, which the step of every withdrawal takes a number of too
    (`Suppressions.suppress`): no recipient is cleared under a number above that of a refusal that binds it.  `persons` is how
    many were counted with this one, whose data leave the country for the first time this year; 0 of others.
    """

    reservation: str = ""
    number: int = field(default=0, compare=False)
    persons: int = field(default=0, compare=False)


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

    `indeterminate` rows and rows whose lease ran out are claimed again instead by who `may_repeat` (at least once).
    """

    row: Row


@dataclass(frozen=True, slots=True)
class Paused:
    """The stream is paused; nothing was claimed or charged."""

    pause: Pause


Clearance = Cleared | Refused | Withdrawn | Taken | Paused | Exhausted | OverLimit


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of a cleared recipient.

    state DELIVERED settles its reservation, INDETERMINATE leaves it charged, REFUSED and None refund it.
    None (transient failure) also removes the row, so that a retry may claim it.

    DELIVERED is the last word on a row: nothing that is written later takes it
    back.  Any other outcome leaves a row alone that is HELD, or that a later
    try has claimed meanwhile; `submission_id` says whose outcome it is
    ("" when there can be no other try).  A row that its client was answered
    for stays forgotten.

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
class Closing:
    """A try that is over, because its client knows the outcome.

    Of those whom it is to `keep` it did not find out how it ended.  For `remember` seconds tries that began before this one
    asked, and open only now, find how this one ended (`Ledger.open_submission`).

    If it need not be `durable`, a power cut within the next second may bring its rows back: the same bytes would be taken
    for a resend, and not be sent again to whom they reached.
    """

    submission_id: str
    keep: Collection[Digest] = ()
    remember: float = 0.0
    durable: bool = True


class Ledger(Protocol):
    """Unfinished submissions, so that a retry with the same bytes duplicates nothing known to be delivered.

    A row belongs to the try that asked about it last.  Only when the client of
    that try knows the outcome is the row forgotten: a resend that came while
    the first try still ran has a client of its own who waits.
    """

    async def open_submission(self, key: Digest, opening: Opening) -> Entry:
        """Insert the submission if absent and return it with all its rows; those of its `recipients` belong to this try now.

        A try whose message began to come a while ago may be late: its client gave it up, came again, and was answered.
        Recipients about whom such a try asked after this one had begun are found `answered`, as that one ended (`close`).
        Of them this try owns nothing; where they are all that it names, the ledger does not know it.
        """
        ...

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        """The rows as they stand, those that were `answered` too; a leaving row whose lease ran out reads as INDETERMINATE."""
        ...

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        """One atomic step for all recipients of one copy, directly before MAIL.

        Refusal? consent withdrawn? row free? stream paused? too many whose data left? limits free? then claim, count.

        Each recipient is cleared or not by itself, in order, those who are
        share the step's number in the commit sequence; a row that is
        taken belongs to this try now too.  `key` must be open (it is
        re-created from nothing, for `ttl_seconds`, if it expired meanwhile).
        """
        ...

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        """Write outcomes and settle or refund their reservations."""
        ...

    async def close(self, key: Digest, closing: Closing) -> None:
        """Forget the rows of this try: its client knows the outcome; without rows the same bytes are a new message.

        A try forgets what is settled, and whom it is leaving with itself: the outcome is known, though the store has not heard
        it.  What may have happened and nobody knows stays, whoever closes: a row that is indeterminate, or with which another
        try is leaving.  So does every row that is to be kept.  What stays is again its who wrote it.

        Where other tries know the submission, they go on finding how it ended, for ANSWERED_SECONDS or until a try opens that
        names the recipient: `clear` and `hold` take nobody up again.  Who else is asked about may be sent to and held.
        """
        ...
