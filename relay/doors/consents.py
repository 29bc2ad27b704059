"""Consents as commands and sign-up forms record them: the event, what it lifts or suppresses, and the records of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from relay.errors import RelayError
from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import ConsentEvent, answers_refusals, covers, overlaps, purpose_of
from relay.policy.suppressions.suppression import REFUSALS, Digest, Suppression
from relay.records.append import Records
from relay.records.consented import consent_record
from relay.records.consents import MOST_EVENTS, Said, has_room, new_event, refusal_of, says_the_same
from relay.records.journal import replay, with_applied
from relay.records.suppressed import lifted_record, suppressed_record
from relay.stores.contracts import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of it. `refused_since` is since when a refusal keeps such mail back all the same, None when none does."""

    id: str
    is_new: bool
    refused_since: float | None = None


class ConsentIdTaken(RelayError):
    """The id names another event of this mailbox already; nothing was written."""


class ConsentsFull(RelayError):
    """The ledger has as many events of this mailbox as it takes; nothing was written."""


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

    async def record(
        self, mailbox: Mailbox, said: Said, *, lifts: bool = False, event_id: str = "", is_dated: bool = True
    ) -> Recorded:
        """Add the event; with `lifts` it lifts refusals that are older and no wider, if the person agreed by it.

        What ends a consent to mail suppresses first, and is written down after.  Raises StoreUnavailable and
        RecordsUnavailable; to record the same again, with the same id, is safe, and without `is_dated` at another time
        too.  Raises ConsentIdTaken where the id names another event of the mailbox, and ConsentsFull.
        """
        now = self._clock()
        self._records.check()
        await replay(self._records, self._store(), self._clock)  # the store must know what the person said last
        event = new_event(self._keys, mailbox, said, now, event_id or self._id(now))
        events = await self.events(mailbox)
        known = _known(events, event, is_dated=is_dated)
        if known is None and not has_room(events, event):
            raise ConsentsFull(f"the mailbox has {MOST_EVENTS} events already")
        event = known or event
        refusal = refusal_of(event, self._origin)
        if refusal is not None and await self._store().suppress(refusal):
            record = suppressed_record(self._id(now), now, refusal, event.by)
            await self._records.append_many(await with_applied(record, refusal, self._store(), self._clock))
        is_new = known is None and await self._store().record_consents([event]) == 1
        if is_new:
            await self._records.append(consent_record(self._id(now), now, event))
        elif known is None:  # the id was taken meanwhile: by the same, or by another event
            _known(await self.events(mailbox), event, is_dated=is_dated)
        return Recorded(event.id, is_new, await self._refused(mailbox, event, lifts=lifts))

    async def check(self) -> None:
        """Raise StoreUnavailable or RecordsUnavailable when nothing could be recorded now."""
        self._records.check()
        await self._store().check()

    async def events(self, mailbox: Mailbox) -> tuple[ConsentEvent, ...]:
        """Everything that the ledger has of the mailbox. Raises StoreUnavailable."""
        return await self.events_of(self._keys.addresses.digests(mailbox.key))

    async def events_of(self, digests: Sequence[Digest]) -> tuple[ConsentEvent, ...]:
        """The same of a mailbox of which only digests are known."""
        (events,) = await self._store().consents([digests])
        return events

    async def refusals(self, mailbox: Mailbox, purpose: str) -> tuple[Suppression, ...]:
        """What the mailbox refuses of mail for this purpose. Raises StoreUnavailable."""
        (there,) = await self._store().find([self._keys.addresses.digests(mailbox.key)])
        return tuple(entry for entry in there if entry.reason in REFUSALS and _concerns(entry, purpose))

    async def _refused(self, mailbox: Mailbox, event: ConsentEvent, *, lifts: bool) -> float | None:
        """Since when a refusal keeps back the mail that this consent is to."""
        if not event.is_granting:
            return None
        digests = self._keys.addresses.digests(mailbox.key)
        left: list[Suppression] = []
        for entry in await self.refusals(mailbox, event.purpose):
            is_answer = answers_refusals(event) and covers(event.purpose, purpose_of(entry.scope))
            may_lift = lifts and is_answer and event.at > entry.last_at
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


def _known(events: Sequence[ConsentEvent], event: ConsentEvent, *, is_dated: bool) -> ConsentEvent | None:
    """The event of the mailbox that has the id already and says the same. Raises ConsentIdTaken."""
    known = next((one for one in events if one.id == event.id), None)
    if known is None:
        return None
    if not is_dated and not any(_is_answer(one, known) for one in events):
        event = replace(event, at=known.at)
    if not says_the_same(known, event):
        raise ConsentIdTaken(f"the id {event.id} names another event of this mailbox")
    return known


def _is_answer(later: ConsentEvent, event: ConsentEvent) -> bool:
    """Whether the person said the contrary since, so that the same words now are said anew and not again."""
    is_contrary = (event.is_granting and later.is_ending) or (event.is_ending and later.is_granting)
    return is_contrary and later.at >= event.at and overlaps(later.purpose, event.purpose)


def _concerns(entry: Suppression, purpose: str) -> bool:
    return overlaps(purpose_of(entry.scope), purpose)
