"""Gather all facts on every recipient: one store round trip, one local look at refusals on their way.

Used by the line and by `relay explain`, so that both judge the same cases.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.keys import Keys
from relay.mail.envelope import Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.case import Case
from relay.policy.consent import ConsentEvent
from relay.policy.jurisdiction import jurisdictions_of
from relay.policy.reputation import Pause
from relay.policy.sets import PolicySet
from relay.policy.suppression import Digest, Suppression
from relay.records.append import Records
from relay.stores.contracts import Entry, FirstTry, Store


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is known of a message's recipients, in their order, and of its earlier tries."""

    cases: tuple[Case, ...]
    entry: Entry
    key: Digest  # the submission's in the ledger
    digests: Mapping[str, Digest]  # the recipients' there, by mailbox key


def submission_key(keys: Keys, identity: str, reverse_path: Mailbox | None, received_digest: bytes) -> Digest:
    """Name a submission in the ledger: who sends what from where.

    `received_digest` covers the message as it came with line ends normalised,
    so that a retry with the same bytes finds its first try.  The oldest key
    generation makes it, so that a new one does not part a retry from its try.
    """
    path = reverse_path.key if reverse_path else ""
    return keys.addresses.lasting_digest(b"\0".join((b"submission", identity.encode(), path.encode(), received_digest)))


def recipient_digest(keys: Keys, recipient: Recipient) -> Digest:
    """Name a recipient in the ledger."""
    return keys.addresses.lasting_digest(f"recipient\0{recipient.key}")


@dataclass(frozen=True, slots=True)
class Known:
    """What store and journal know of one mailbox; the consents only where a rule asks for them."""

    suppressions: tuple[Suppression, ...] = ()
    consents: tuple[ConsentEvent, ...] = ()


async def known_of(
    recipients: Sequence[Recipient], store: Store, records: Records, keys: Keys, *, with_consents: bool
) -> list[Known]:
    """What is in force on each recipient, in the store or journalled here and not in the store yet; and what each agreed to.

    Raises StoreUnavailable and RecordsUnavailable.
    """
    digests = [keys.addresses.digests(recipient.key) for recipient in recipients]
    # The journal first: a refusal that is applied between the two looks is then seen in one of them.
    pending = _pending(digests, records)
    found, agreed = await asyncio.gather(store.find(digests), store.consents(digests if with_consents else []))
    return _known(_with_pending(found, digests, pending), agreed)


def _known(suppressions: Sequence[tuple[Suppression, ...]], consents: Sequence[tuple[ConsentEvent, ...]]) -> list[Known]:
    """Where nobody asked for consents there are none."""
    return list(map(Known, suppressions, consents or [()] * len(suppressions)))


def _pending(digests: Sequence[Sequence[Digest]], records: Records) -> list[Suppression]:
    return records.pending([digest for generations in digests for digest in generations])


def _with_pending(
    found: Sequence[tuple[Suppression, ...]], digests: Sequence[Sequence[Digest]], pending: Sequence[Suppression]
) -> list[tuple[Suppression, ...]]:
    if not pending:
        return list(found)
    return [
        (*in_store, *(entry for entry in pending if entry.digest in generations))
        for in_store, generations in zip(found, digests, strict=True)
    ]


async def gather(
    submission: Submission,
    message: Message,
    policy: PolicySet,
    proposal: FirstTry,
    upstream_countries: frozenset[str],
    *,
    store: Store,
    records: Records,
    keys: Keys,
    ledger_ttl: float,
    lanes: Sequence[Digest] = (),
    key: Digest | None = None,
) -> Gathered:
    """Open the submission in the ledger, collect one case per recipient, and ask in which of `lanes` copies wait.

    `key` is where the ledger has another name for it than `submission_key`.

    Raises StoreUnavailable and RecordsUnavailable.
    """
    if key is None:
        key = submission_key(keys, submission.identity.name, submission.reverse_path, message.received_digest)
    rows = {recipient.key: recipient_digest(keys, recipient) for recipient in submission.recipients}
    asked = [keys.addresses.digests(recipient.key) for recipient in submission.recipients]
    pending = _pending(asked, records)  # first, as above
    entry = await store.open_submission(
        key, proposal, ledger_ttl, tuple(rows.values()), submission.stream, asked, lanes,
        with_consents=_asks_consent(policy, submission.stream),
    )  # fmt: skip
    known = _known(_with_pending(entry.suppressions, asked, pending), entry.consents)
    return Gathered(cases_of(submission, message, policy, known, upstream_countries, entry.pause), entry, key, rows)


def _asks_consent(policy: PolicySet, stream: str) -> bool:
    return any(one.asks_consent for one in policy.streams if one.name == stream)


def cases_of(
    submission: Submission,
    message: Message | None,
    policy: PolicySet,
    known: Sequence[Known],
    upstream_countries: frozenset[str],
    pause: Pause | None = None,
) -> tuple[Case, ...]:
    """One case per recipient of the submission, in order."""
    unknown = frozenset(policy.organisation.unknown_recipient)
    return tuple(
        Case(
            submission,
            recipient,
            message,
            one.suppressions,
            jurisdictions_of(recipient.mailbox.domain, unknown),
            upstream_countries,
            pause,
            one.consents,
        )
        for recipient, one in zip(submission.recipients, known, strict=True)
    )
