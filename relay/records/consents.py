"""From what a person typed, or a row says, to an event of the consent ledger; and what follows from its end."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import orjson

from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import ConsentEvent, Details, EventKind, scope_of
from relay.policy.consents.moment import bounded
from relay.policy.suppressions.suppression import Reason, Suppression
from relay.records.chain import ASSOCIATED

MOST_EVENTS = 500
"""Of one mailbox, of those that end nothing. Each mail to it reads all of them, and a sign-up form is open to everybody."""

_ORIGIN = b"consent origin"
# Sealed anew each time, or looked at beside.
_NOT_SAID = frozenset({"origin", "statements", "relation_at", "expires_at", "asked_at"})


@dataclass(frozen=True)
class Said:
    """What is to be recorded of whomever; `origin` is sealed: IP address, user agent, signer."""

    event: str
    purpose: str
    basis: str
    at: float
    evidence: str
    by: str
    details: Details
    origin: Mapping[str, str]


def new_event(keys: Keys, mailbox: Mailbox, said: Said, now: float, event_id: str = "") -> ConsentEvent:
    """The event; without an id it gets one that its content makes, so that the same file twice is the same events."""
    digest = keys.addresses.digest(mailbox.key)
    sealed = keys.records.seal(mailbox.key.encode(), ASSOCIATED)
    return event_of(keys, digest, sealed, said, now, event_id)


def event_of(keys: Keys, digest: bytes, sealed: bytes, said: Said, now: float, event_id: str = "") -> ConsentEvent:
    """As `new_event`, of a mailbox whose address nobody knows."""
    details = said.details.dump()
    origin = orjson.dumps(dict(said.origin), option=orjson.OPT_SORT_KEYS) if said.origin else b""
    if not event_id:
        content = (digest.hex(), said.event, said.purpose, said.basis, repr(said.at), said.evidence, details, origin.decode())
        entropy = hashlib.sha256("\0".join(content).encode()).digest()[:ENTROPY_OCTETS]
        event_id = new_id(max(said.at, 0.0), entropy)
    if origin:
        details = replace(said.details, origin=keys.records.seal(origin, _ORIGIN).hex()).dump()
    told = said.event, said.at, now, said.evidence, said.by, said.purpose, said.basis, details
    return ConsentEvent(event_id, digest, sealed, *told)


def has_room(events: Iterable[ConsentEvent], event: ConsentEvent) -> bool:
    """Whether the ledger takes the event beside those that it has of the mailbox; what ends a consent it always takes."""
    return event.is_ending or sum(not one.is_ending for one in events) < MOST_EVENTS


def says_the_same(one: ConsentEvent, other: ConsentEvent) -> bool:
    """Whether two events under one id are one: what the person said and when, whoever recorded it and from which machine.

    Lists go through spreadsheets: white space and a thousandth of a second make no difference.
    """
    return _words(one) == _words(other) and all(map(_is_near, _moments(one), _moments(other)))


def _words(event: ConsentEvent) -> list[str]:
    details = event.details
    said = [event.event, event.purpose, event.basis, event.evidence, *sorted(details.statements)]
    known = [str(getattr(details, one.name)) for one in fields(details) if one.name not in _NOT_SAID]
    return [" ".join(text.split()) for text in (*said, *known)]


def _moments(event: ConsentEvent) -> tuple[float | None, ...]:
    details = event.details
    return event.at, details.relation_at, details.expires_at, details.asked_at


def _is_near(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(bounded(one) - bounded(other)) < 0.001


def origin_of(keys: Keys, event: ConsentEvent) -> dict[str, str]:
    """What is sealed of where the consent came from; nothing where the keys are gone."""
    try:
        told = orjson.loads(keys.records.open(bytes.fromhex(event.details.origin), _ORIGIN))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in told.items()}


def address_of(keys: Keys, event: ConsentEvent) -> str:
    """The mailbox key that was sealed beside the digest; "" where none was, or with keys that are gone."""
    try:
        return keys.records.open(event.sealed, ASSOCIATED).decode()
    except ValueError:
        return ""


def refusal_of(event: ConsentEvent, origin: str) -> Suppression | None:
    """What stops the mail of whoever withdrew, whatever rules ask: None where the purpose is no mail of its own (law 6)."""
    scope = scope_of(event.purpose) if event.is_ending else None
    if scope is None:
        return None
    reason = Reason.OBJECTION if event.event == EventKind.OBJECTED else Reason.UNSUBSCRIBE
    return Suppression(event.digest, scope, reason, origin, event.at, event.sealed, f"consent {event.id}")
