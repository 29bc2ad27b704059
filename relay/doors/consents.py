"""Consents as commands and sign-up forms record them: the event, what it lifts or suppresses, and the records of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.mailbox import Mailbox
from relay.policy.consent import ConsentEvent, covers, purpose_of
from relay.policy.suppression import REFUSALS, Digest, Suppression
from relay.records.append import Records
from relay.records.consented import consent_record
from relay.records.consents import Said, new_event, refusal_of
from relay.records.facts import lifted_record, suppressed_record
from relay.records.journal import replay, with_applied
from relay.stores.contracts import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of it. `refused_since` is since when a refusal keeps such mail back all the same, None when none does."""

    id: str
    is_new: bool
    refused_since: float | None = None


class ConsentDesk:
    """`store` answers with the store in use; `origin` is how suppressions that follow say where they come from."""

    def __init__(
        self,
        keys: Keys,
        records: Records,
        store: Callable[[], Store],
        *,
        origin: str,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._keys = keys
        self._records = records
        self._store = store
        self._origin = origin
        self._clock = clock
        self._entropy = entropy

    async def record(self, mailbox: Mailbox, said: Said, *, lifts: bool = False, event_id: str = "") -> Recorded:
        """Add the event; with `lifts` it lifts refusals that are older and no wider.

        What ends a consent to mail suppresses first, and is written down after.  Raises StoreUnavailable and
        RecordsUnavailable; to record the same again, with the same id, is safe.
        """
        now = self._clock()
        self._records.check()
        await replay(self._records, self._store(), self._clock)  # the store must know what the person said last
        event = new_event(self._keys, mailbox, said, now, event_id or self._id(now))
        refusal = refusal_of(event, self._origin)
        if refusal is not None and await self._store().suppress(refusal):
            record = suppressed_record(self._id(now), now, refusal, event.by)
            await self._records.append_many(await with_applied(record, refusal, self._store(), self._clock))
        is_new = await self._store().record_consents([event]) == 1
        if is_new:
            await self._records.append(consent_record(self._id(now), now, event))
        return Recorded(event.id, is_new, await self._refused(mailbox, event, lifts=lifts))

    async def events(self, mailbox: Mailbox) -> tuple[ConsentEvent, ...]:
        """Everything that the ledger has of the mailbox. Raises StoreUnavailable."""
        (events,) = await self._store().consents([self._keys.addresses.digests(mailbox.key)])
        return events

    async def _refused(self, mailbox: Mailbox, event: ConsentEvent, *, lifts: bool) -> float | None:
        """Since when a refusal keeps back the mail that this consent is to."""
        if not event.is_granting:
            return None
        digests = self._keys.addresses.digests(mailbox.key)
        (there,) = await self._store().find([digests])
        left: list[Suppression] = []
        for entry in there:
            if entry.reason not in REFUSALS or not _concerns(entry, event):
                continue
            may_lift = lifts and covers(event.purpose, purpose_of(entry.scope)) and event.at > entry.last_at
            if not (may_lift and await self._lift(digests, entry, event)):
                left.append(entry)
        return min((entry.at for entry in left), default=None)

    async def _lift(self, digests: Sequence[Digest], entry: Suppression, event: ConsentEvent) -> bool:
        """By the one rule on lifting: later than the refusal, and the store asks that again."""
        try:
            if not await self._store().lift(digests, entry.scope, entry.reason, event, ""):
                return True
        except ValueError:  # the person refused again since the store was asked
            return False
        now = self._clock()
        record = lifted_record(
            self._id(now), now, digest=event.digest, sealed=event.sealed, scope=entry.scope, reason=entry.reason, by=event.by,
            consent=event, note="",
        )  # fmt: skip
        await self._records.append(record)
        return True

    def _id(self, now: float) -> str:
        return new_id(now, self._entropy(ENTROPY_OCTETS))


def _concerns(entry: Suppression, event: ConsentEvent) -> bool:
    refused = purpose_of(entry.scope)
    return covers(refused, event.purpose) or covers(event.purpose, refused)
