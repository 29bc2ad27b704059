"""The consent ledger in Redis: the half of `ConsentLedger` that turns events into arguments and answers into events."""

from collections.abc import AsyncIterator, Iterable, Sequence

from relay.policy.consents.consent import ConsentEvent, Ground
from relay.policy.suppressions.suppression import Digest
from relay.stores.consents import ConsentLedger, in_order
from relay.stores.redis.link import Argument, RedisLink
from relay.stores.redis.words import in_parts, listed, parts

_EVENTS = 250  # recorded in one operation


class ConsentsInRedis(ConsentLedger):
    """`ConsentLedger` on a link; every operation checks who the store is, like all others."""

    _link: RedisLink

    async def consents(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
        answers = await in_parts(recipients, lambda some: self._link.operate("consents", listed(map(listed, some))))
        return [in_order(list(map(consent_of, rows))) for answer in answers for rows in answer]

    async def record_consents(self, events: Sequence[ConsentEvent]) -> int:
        new = 0
        for some in parts(events, _EVENTS):
            words = [listed(consent_words(event)) for event in some]
            new += await self._link.operate("record_consents", listed(words), on_replica=True)
        return new

    async def export_consents(self) -> AsyncIterator[ConsentEvent]:
        position = 0
        while position >= 0:
            position, rows = await self._link.operate("export_consents", [position])
            for row in rows:
                yield consent_of(row)


def consent_words(event: ConsentEvent | None) -> list[Argument]:
    """The fields of an event, none of none."""
    if event is None:
        return []
    said: list[Argument] = [event.id, event.digest, event.sealed, event.event, repr(event.at), repr(event.recorded_at)]
    return [*said, event.evidence, event.by, event.purpose, event.basis, event.said, "0"]


def ground_words(grounds: Iterable[Ground]) -> list[Argument]:
    """Purposes and times, one after the other."""
    return listed([word for ground in grounds for word in (ground.purpose, repr(ground.at))])


def consent_of(row: Sequence[bytes]) -> ConsentEvent:
    """The event that these fields tell; one of an earlier version has eight."""
    identifier, digest, sealed, event, at, recorded_at, evidence, by = row[:8]
    said = identifier.decode(), digest, sealed, event.decode(), float(at), float(recorded_at), evidence.decode(), by.decode()
    if len(row) == 8:
        return ConsentEvent(*said)
    purpose, basis, details, number = (field.decode() for field in row[8:12])
    return ConsentEvent(*said, purpose, basis, details, int(number))
