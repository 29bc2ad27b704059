"""What people agreed to: the events of the consent ledger, and what stands of them today.

The ledger is append-only.  What stands is worked out from all events of a
mailbox, whatever the order in which they were recorded: a withdrawal ends
every grant that was given before it or at the same time, also one that is
imported years later.  A grant covers its own purpose and what lies below it
("marketing" covers "marketing:newsletter"), never more: what is wider needs a
grant of its own (PIPL Art 14, GDPR Art 6(4) and 7, CASL s10).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from relay.policy.consents.moment import after_months, day_of
from relay.policy.suppressions.suppression import ORGANISATION, Digest, stream_scope

PURPOSE = r"^[a-z][a-z0-9_-]{0,40}(:[A-Za-z0-9][A-Za-z0-9._-]{0,60}){0,3}$"
"""What a consent is to: "marketing", "marketing:newsletter", "open_tracking", "share:Partner", "export:US"."""


class EventKind(StrEnum):
    """What happened to a consent."""

    REQUESTED = "requested"  # the person was asked to confirm; permits nothing
    GRANTED = "granted"  # the basis came into being: the person agreed, bought, inquired
    CONFIRMED = "confirmed"  # granted, and the person confirmed it from the mailbox (double opt-in)
    RENEWED = "renewed"  # the person showed that the consent still stands; revives nothing
    WITHDRAWN = "withdrawn"
    OBJECTED = "objected"  # GDPR Art 21
    NOTICE_SENT = "notice_sent"  # the person was reminded of the consent (Korea: result and two-yearly notice)


GRANTING = frozenset({EventKind.GRANTED, EventKind.CONFIRMED})
ENDING = frozenset({EventKind.WITHDRAWN, EventKind.OBJECTED})


class Basis(StrEnum):
    """On what ground a person may be written to."""

    EXPLICIT = "explicit"  # an act of their own: ticked, signed, said
    SEPARATE = "separate"  # asked for this alone (PIPL Art 14, 23, 29, 39)
    GUARDIAN = "guardian"  # a parent or guardian agreed for a child (PIPL Art 31)
    SOFT_OPT_IN = "soft_opt_in"  # a sale, similar products, a way out offered (Directive 2002/58/EC Art 13(2), PECR 22(3))
    IMPLIED_PURCHASE = "implied_purchase"  # CASL s10(10): two years from the purchase or the end of the contract
    IMPLIED_INQUIRY = "implied_inquiry"  # CASL s10(10): six months from the inquiry
    PUBLISHED_ADDRESS = "published_address"  # published for business, with no word against it (CASL s10(9), Japan)
    INFERRED = "inferred"  # from conduct and an existing relation (Australia, Spam Act Sch 2)
    LEGITIMATE_INTEREST = "legitimate_interest"  # weighed and written down
    CONTRACT = "contract"
    LEGAL = "legal"


CLOCKS = {Basis.IMPLIED_PURCHASE: 24, Basis.IMPLIED_INQUIRY: 6}
"""Months after which a basis ends by law, from the day of the relation (CASL s10(10))."""


class Source(StrEnum):
    """Where the address comes from."""

    FORM = "form"
    CHECKOUT = "checkout"
    EVENT = "event"
    PAPER = "paper"
    PHONE = "phone"
    MAIL = "mail"
    API = "api"
    OTHER = "other"
    PURCHASED = "purchased"
    SCRAPED = "scraped"
    GENERATED = "generated"
    SHARED = "shared"


REFUSED_SOURCES = frozenset({Source.PURCHASED, Source.SCRAPED, Source.GENERATED, Source.SHARED})
"""Nobody whose address came this way has agreed to anything (MII Order 38 Art 12(2), 15 USC 7704(b), Spam Act 2003 s16)."""


OWN_BASES = frozenset({Basis.EXPLICIT, Basis.SEPARATE, Basis.GUARDIAN})
"""On which the person, or who answers for a child, agreed; on the others somebody may write who was not refused."""


class Statement(StrEnum):
    """What whoever records a consent vouches for."""

    UNTICKED = "unticked"  # the box was not ticked beforehand
    SIMILAR = "similar"  # only own, similar products are advertised
    OPT_OUT_OFFERED = "opt_out_offered"  # refusing was offered when the address was collected
    CORPORATE = "corporate"  # the subscriber is a company, no person and no sole trader (PECR reg 2, 22(1))


class AgeBand(StrEnum):
    """How old the person is; the order is from the youngest up."""

    UNDER_14 = "under_14"
    UNDER_18 = "14_17"
    ADULT = "adult"


class Evidence(StrEnum):
    """What a rule can ask a consent to be proven by."""

    SOURCE_REF = "source_ref"  # the form, page, document or file and row
    TEXT_SHA256 = "text_sha256"  # which words the person agreed to
    NOTICE_VERSION = "notice_version"  # which privacy notice they were shown
    METHOD = "method"
    ORIGIN = "origin"  # the IP address, or who signed
    UNTICKED = "unticked"


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of how a consent came about. "" or None: not known."""

    source: str = ""  # a Source
    source_ref: str = ""
    method: str = ""
    notice_version: str = ""
    text_sha256: str = ""
    language: str = ""
    controller: str = ""  # whom the person was told that they agree with
    statements: tuple[str, ...] = ()  # of Statement
    age_band: str = ""  # an AgeBand
    relation_at: float | None = None  # of the purchase, the end of the contract, the inquiry
    expires_at: float | None = None
    request: str = ""  # the event by which the person was asked to confirm
    asked_at: float | None = None  # when that was
    origin: str = ""  # the IP address, user agent or signer, sealed, as hex
    country: str = ""  # where the person is: ISO 3166-1 alpha-2

    def dump(self) -> str:
        """As a store keeps it: JSON of what is known, "" of nothing."""
        known = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in ("", None, ())}
        return orjson.dumps(known).decode() if known else ""

    @staticmethod
    def load(text: str) -> "Details":
        """What `dump` wrote; what a later version of the relay added is passed over."""
        return _load(text)

    @property
    def lacking(self) -> frozenset[Evidence]:
        """The evidence that there is not."""
        has: dict[Evidence, bool] = {one: bool(getattr(self, one.value)) for one in Evidence if one is not Evidence.UNTICKED}
        has[Evidence.UNTICKED] = Statement.UNTICKED in self.statements
        return frozenset(one for one, is_there in has.items() if not is_there)


_NAMES = frozenset(one.name for one in fields(Details))
NAMES_COUNTRY = '"country":"'
"""What `Details.dump` writes of somebody whose country is known, and of nobody else: stores look for it."""


@lru_cache(maxsize=4096)
def _load(text: str) -> Details:
    if not text:
        return Details()
    known: dict[str, Any] = {name: value for name, value in orjson.loads(text).items() if name in _NAMES}
    if "statements" in known:
        known["statements"] = tuple(known["statements"])
    return Details(**known)


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One line of the append-only consent ledger; the same `id` twice is one line.

    `evidence` is in words for the person to read.  `said` is the rest, as
    `Details.dump` writes it.  A lifting of an earlier version names no
    purpose: it permits nothing.
    """

    id: str
    digest: Digest
    sealed: bytes
    event: str  # an EventKind
    at: float  # when the person said it
    recorded_at: float
    evidence: str  # how, when, where
    by: str  # who recorded it
    purpose: str = ""
    basis: str = Basis.EXPLICIT.value
    said: str = field(default="", repr=False)
    # What the store adds to what ends consents: its place among all leaves and withdrawals (0: it ends nothing).
    number: int = field(default=0, compare=False)

    @property
    def details(self) -> Details:
        return Details.load(self.said)

    @property
    def country(self) -> str:
        """Where the person is, "" where this event does not say."""
        return self.details.country if NAMES_COUNTRY in self.said else ""

    @property
    def is_granting(self) -> bool:
        return self.event in GRANTING

    @property
    def is_ending(self) -> bool:
        return self.event in ENDING


@dataclass(frozen=True, slots=True)
class Ground:
    """The consent on which a rule let a recipient pass. A withdrawal of it, said later, keeps the copy from leaving."""

    rule: str
    purpose: str  # what the rule asked a consent for
    consent: str  # the id of the event
    at: float
    basis: str


def purpose_of(scope: str) -> str:
    """What somebody agrees to who takes back a refusal of this scope."""
    return "marketing" if scope == ORGANISATION else f"marketing:{scope.removeprefix('stream:')}"


def scope_of(purpose: str) -> str | None:
    """What somebody refuses who withdraws a consent to this; None where it stops no mail of its own."""
    first, _, rest = purpose.partition(":")
    if first != "marketing":
        return None
    return stream_scope(rest.partition(":")[0]) if rest else ORGANISATION


def is_purpose(text: str) -> bool:
    """Whether a consent can be to this."""
    return re.fullmatch(PURPOSE, text) is not None


def covers(given: str, needed: str) -> bool:
    """Whether a consent to `given` is one to `needed` too."""
    return bool(given) and (given == needed or needed.startswith(f"{given}:"))


def answers_refusals(event: ConsentEvent) -> bool:
    """Whether the person agreed by it, and so takes back what they refused before (15 USC 7704(a)(4)(B), GDPR Art 21(3)).

    Nobody does so by a purchase, an inquiry, or an interest that the sender weighed, nor by an address that was bought.
    """
    return event.is_granting and event.basis in OWN_BASES and event.details.source not in REFUSED_SOURCES


def overlaps(one: str, other: str) -> bool:
    """Whether one of them is the other or part of it: a withdrawal of either ends what was given for both."""
    return covers(one, other) or covers(other, one)


def is_ended(grant: ConsentEvent, purpose: str, events: Iterable[ConsentEvent]) -> ConsentEvent | None:
    """The earliest event that ends this grant as far as `purpose` goes; at the same moment, the end wins."""
    ends = [e for e in events if e.is_ending and e.at >= grant.at and overlaps(e.purpose, purpose)]
    return min(ends, key=lambda e: (e.at, e.id), default=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of one grant; `ended` is what ended it, None while it stands, for its whole purpose."""

    grant: ConsentEvent
    ended: ConsentEvent | None
    expires_on: date | None


def current(events: Iterable[ConsentEvent], zone: tzinfo = UTC) -> tuple[Standing, ...]:
    """The current view: every grant and what stands of it, in the order in which they were given; days are of the zone."""
    known = {event.id: event for event in events}.values()
    grants = sorted((event for event in known if event.is_granting), key=lambda e: (e.at, e.id))
    return tuple(Standing(grant, is_ended(grant, grant.purpose, known), expires_on(grant, zone)) for grant in grants)


def expires_on(grant: ConsentEvent, zone: tzinfo = UTC) -> date | None:
    """The last day on which the grant permits, by itself and by law, in the organisation's zone; None when it does not end."""
    details = grant.details
    ends = [day_of(details.expires_at, zone)] if details.expires_at is not None else []
    if (months := CLOCKS.get(Basis(grant.basis)) if grant.basis in _BASES else None) is not None:
        ends.append(after_months(day_of(grant.at if details.relation_at is None else details.relation_at, zone), months))
    return min(ends, default=None)


_BASES = frozenset(one.value for one in Basis)


def age_band(events: Iterable[ConsentEvent]) -> AgeBand | None:
    """How old the person is, as it was recorded last; of two at the same moment the younger.

    A request to confirm tells nothing: anybody can type the address of a child into a form, and any age beside it.
    """
    said = (event for event in events if event.event != EventKind.REQUESTED)
    told = [(event.at, event.details.age_band) for event in said if event.details.age_band in set(AgeBand)]
    if not told:
        return None
    last = max(at for at, _ in told)
    return min((AgeBand(band) for at, band in told if at == last), key=list(AgeBand).index)
