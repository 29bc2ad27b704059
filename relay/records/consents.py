"""From what a person typed, or a row says, to an event of the consent ledger; and what follows from its end."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.mailbox import Mailbox
from relay.policy.consent import ConsentEvent, Details, EventKind, scope_of
from relay.policy.suppression import Reason, Suppression
from relay.records.chain import ASSOCIATED

_ORIGIN = b"consent origin"


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
