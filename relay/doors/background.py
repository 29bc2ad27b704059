"""What the page behind a token may tell its reader: which mail it came with, on what consent, what is refused already.

All of it concerns the token's own recipient, whose address is masked: a mail
may have been forwarded.  Nothing here stands in the way of refusing: what
cannot be looked up now is left out.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import time_of
from relay.keys import Keys
from relay.loglines import fault_text
from relay.mail.mailbox import mask
from relay.policy.consents.consent import ConsentEvent, scope_of
from relay.policy.suppressions.suppression import REFUSALS, Digest, Suppression
from relay.records.append import Records
from relay.records.collected import Addressee, addressee_named
from relay.render.token import UnsubscribeToken
from relay.tasks import spawn

_log = logging.getLogger("relay.doors")
STORE_SECONDS = 0.5  # how long a page waits for the store


class History(Protocol):
    """The part of a store that this needs (`relay.stores.suppressions.Suppressions`)."""

    async def history(self, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]: ...


@dataclass(frozen=True, slots=True)
class Background:
    """What is known here; `recipient` (masked) and `sender` are "" on a node that did not send the mail."""

    sent_at: float
    recipient: str = ""
    sender: str = ""
    consent: ConsentEvent | None = None
    refused: Mapping[str, float] = field(default_factory=dict)
    """Since when each scope is refused."""


async def background_of(
    token: UnsubscribeToken, keys: Keys, records: Records, store: History, known: Addressee | None = None
) -> Background:
    """Look it up: in this node's records (unless the recipient is `known`), in the store, among refusals on their way there."""
    found = known or await asyncio.to_thread(_addressee, records, token)
    digests = keys.addresses.digests(found.mailbox) if found else (token.recipient_digest,)
    pending = _pending(records, digests)  # before the store: what it gets in between is then seen in one of the two
    entries, consents = await _history(store, digests)
    return Background(
        sent_at=found.at if found else time_of(token.submission_id),
        recipient=mask(found.mailbox) if found else "",
        sender=found.sender if found else "",
        consent=max((one for one in consents if _is_to_mail(one)), key=lambda one: one.at, default=None),
        refused=_refused([*entries, *pending]),
    )


def _is_to_mail(event: ConsentEvent) -> bool:
    """Whether the person agreed to mail of ours; a consent of an earlier version of the relay was to nothing else."""
    return event.is_granting and (not event.purpose or scope_of(event.purpose) is not None)


def _addressee(records: Records, token: UnsubscribeToken) -> Addressee | None:
    try:
        return addressee_named(records.reader, token.submission_id, token.recipient_digest)
    except Exception as fault:  # noqa: BLE001 - nothing about the records keeps a page from being shown
        _log.warning("a page is shown without the mail it came with: %s", fault_text(fault), exc_info=not _is_expected(fault))
        return None


def _pending(records: Records, digests: Sequence[Digest]) -> list[Suppression]:
    try:
        return records.pending(digests)
    except Exception as fault:  # noqa: BLE001 - the same
        _log.warning("a page is shown without the journal: %s", fault_text(fault), exc_info=not _is_expected(fault))
        return []


async def _history(store: History, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
    try:
        return await asyncio.wait_for(asyncio.shield(spawn(_answer(store, digests), "page")), STORE_SECONDS)
    except TimeoutError:
        _log.warning("a page is shown without what the store knows: it takes its time")
        return [], []


async def _answer(store: History, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
    try:
        return await store.history(digests)
    except Exception as fault:  # noqa: BLE001 - nothing about the store keeps a page from being shown
        _log.warning("a page is shown without what the store knows: %s", fault_text(fault), exc_info=not _is_expected(fault))
        return [], []


def _is_expected(fault: Exception) -> bool:
    return isinstance(fault, StoreUnavailable | RecordsUnavailable)


def _refused(entries: Sequence[Suppression]) -> dict[str, float]:
    since: dict[str, float] = {}
    for entry in entries:
        if entry.reason in REFUSALS and entry.lifted_at is None:
            since[entry.scope] = min(entry.at, since.get(entry.scope, entry.at))
    return since
