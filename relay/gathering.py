"""Gather all facts on every recipient: one store round trip, one local look at refusals on their way.

Used by the line and by `relay explain`, so that both judge the same cases.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from relay.keys import Keys
from relay.mail.envelope import Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.cases.case import Case
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.jurisdiction import jurisdictions_of
from relay.policy.cases.reputation import Pause
from relay.policy.cases.transfers import Transferred
from relay.policy.consents.consent import ConsentEvent
from relay.policy.consents.residence import Residence, countries_of
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Digest, Suppression
from relay.records.append import Records
from relay.stores.contracts import Store
from relay.stores.ledger import Entry, FirstTry, Opening
from relay.stores.lookup import Found

Mail = Mapping[str, DomainMail]
"""What DNS says of the domains of which a rule asks: `relay.domains`."""


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
    """What store and journal know of one mailbox, and DNS of its domain.

    Consents, whose data left the country, and whether the domain takes mail only where a rule asks for them.
    """

    suppressions: tuple[Suppression, ...] = ()
    consents: tuple[ConsentEvent, ...] = ()
    transferred: Transferred | None = None
    domain_mail: DomainMail | None = None
    residence: Residence | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What rules want to know of each recipient beside the refusals: consents, and whose data left in this year."""

    consents: bool = False
    year: int | None = None


def asking_of(stream: Stream, upstream_countries: frozenset[str], today: date) -> Asking:
    """Of mail that may leave by upstream servers in these countries. Who is a child is asked where it decides what counts."""
    year = stream.counts_in(upstream_countries, today)
    return Asking(stream.asks_consent or year is not None, year)


async def known_of(
    recipients: Sequence[Recipient], store: Store, records: Records, keys: Keys, asking: Asking, mail: Mail
) -> list[Known]:
    """What is in force on each recipient, in the store or journalled here and not in the store yet; and what is asked beside.

    Raises StoreUnavailable and RecordsUnavailable.
    """
    digests = [keys.addresses.digests(recipient.key) for recipient in recipients]
    # The journal first: a refusal that is applied between the two looks is then seen in one of them.
    pending = _pending(digests, records)
    people = [recipient_digest(keys, recipient) for recipient in recipients] if asking.year is not None else []
    found, left = await asyncio.gather(
        store.look_up(digests, with_consents=asking.consents), store.transferred(asking.year or 0, people)
    )
    return _known(recipients, found, left, digests, pending, mail)


def _known(
    recipients: Sequence[Recipient],
    found: Sequence[Found],
    transferred: Sequence[Transferred],
    digests: Sequence[Sequence[Digest]],
    pending: Sequence[Suppression],
    mail: Mail,
) -> list[Known]:
    """Where nobody asked whose data left, and of which domains, nothing of that is known."""
    left = iter(transferred)
    return [
        Known(
            _with_pending(one.suppressions, generations, pending),
            one.consents,
            next(left, None),
            mail.get(recipient.mailbox.domain),
            one.residence,
        )
        for recipient, one, generations in zip(recipients, found, digests, strict=True)
    ]


def _pending(digests: Sequence[Sequence[Digest]], records: Records) -> list[Suppression]:
    return records.pending([digest for generations in digests for digest in generations])


def _with_pending(
    in_store: tuple[Suppression, ...], generations: Sequence[Digest], pending: Sequence[Suppression]
) -> tuple[Suppression, ...]:
    return (*in_store, *(entry for entry in pending if entry.digest in generations)) if pending else in_store


async def gather(
    submission: Submission,
    message: Message,
    policy: PolicySet,
    proposal: FirstTry,
    upstream_countries: frozenset[str],
    today: date,
    *,
    store: Store,
    records: Records,
    keys: Keys,
    mail: Mail,
    ledger_ttl: float,
    lanes: Sequence[Digest] = (),
    key: Digest | None = None,
    age: float = 0.0,
) -> Gathered:
    """Open the submission in the ledger, collect one case per recipient, and ask in which of `lanes` copies wait.

    `key` is where the ledger has another name for it than `submission_key`; its client began to send it `age` seconds ago.

    Raises StoreUnavailable and RecordsUnavailable.
    """
    if key is None:
        key = submission_key(keys, submission.identity.name, submission.reverse_path, message.received_digest)
    rows = {recipient.key: recipient_digest(keys, recipient) for recipient in submission.recipients}
    asked = [keys.addresses.digests(recipient.key) for recipient in submission.recipients]
    pending = _pending(asked, records)  # first, as above
    asking = _asking(policy, submission.stream, upstream_countries, today)
    opening = Opening(
        proposal, ledger_ttl, tuple(rows.values()), submission.stream, asked, lanes,
        with_consents=asking.consents, transferred_in=asking.year, age=age,
    )  # fmt: skip
    entry = await store.open_submission(key, opening)
    known = _known(submission.recipients, entry.found, entry.transferred, asked, pending, mail)
    return Gathered(cases_of(submission, message, policy, known, upstream_countries, entry.pause), entry, key, rows)


def _asking(policy: PolicySet, name: str, upstream_countries: frozenset[str], today: date) -> Asking:
    stream = next((one for one in policy.streams if one.name == name), None)
    return asking_of(stream, upstream_countries, today) if stream else Asking()


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
            jurisdictions_of(recipient.mailbox.domain, unknown, countries_of(one.residence)),
            upstream_countries,
            pause,
            one.consents,
            one.transferred,
            one.domain_mail,
            one.residence,
        )
        for recipient, one in zip(submission.recipients, known, strict=True)
    )
