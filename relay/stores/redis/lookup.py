"""What is known of recipients, asked of Redis: refusals in force, consents, where they are."""

from collections.abc import Iterator, Sequence

from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.stores.consents import in_order
from relay.stores.entries import gravest_first
from relay.stores.lookup import NOTHING, Found, LookUp
from relay.stores.redis.consents import ConsentsInRedis, consent_of
from relay.stores.redis.words import in_parts, listed, moment_of

_Row = Sequence[bytes]


class LookUpInRedis(ConsentsInRedis, LookUp):
    """`LookUp` on a link."""

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        """As `Suppressions.find`."""
        answers = await in_parts(recipients, lambda some: self._link.operate("find", listed(map(listed, some))))
        return [gravest_first(map(suppression_of, rows)) for answer in answers for rows in answer]

    async def look_up(self, recipients: Sequence[Sequence[Digest]], *, with_consents: bool = False) -> list[Found]:
        answers = await in_parts(
            recipients, lambda some: self._link.operate("look_up", [int(with_consents), *listed(map(listed, some))])
        )
        return [found for entries, events in answers for found in _found(entries, events, with_consents=with_consents)]


def _found(entries: Sequence[Sequence[_Row]], events: Sequence[Sequence[_Row]], *, with_consents: bool) -> Iterator[Found]:
    """`events` are all, or those that name a country: none at all where no event of the ledger does."""
    for number, rows in enumerate(entries):
        told = in_order(list(map(consent_of, events[number]))) if events and events[number] else ()
        in_force = gravest_first(map(suppression_of, rows))
        yield Found.of(in_force, told, with_consents=with_consents) if in_force or told else NOTHING


def suppression_of(row: _Row) -> Suppression:
    """The entry that these fields tell."""
    digest, scope, reason, origin, at, again_at, sealed, note, expires_at, lifted_at, why, consented_at = row[:12]
    number, in_flight = row[12:]
    return Suppression(
        digest,
        scope.decode(),
        Reason(reason.decode()),
        origin.decode(),
        float(at),
        sealed,
        note.decode(),
        moment_of(expires_at),
        moment_of(lifted_at),
        why.decode(),
        moment_of(again_at),
        moment_of(consented_at),
        int(number),
        tuple(in_flight.decode().split()),
    )
