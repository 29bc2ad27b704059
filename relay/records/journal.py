"""Carry journalled refusals into the store until it has them.

A recipient is told "you are unsubscribed" when the journal has it on disk.
From there it must reach the store whatever happens to the store meanwhile;
`suppress` is idempotent, so carrying one twice does no harm.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from relay import telemetry
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.policy.suppressions.suppression import REFUSALS, Digest, Suppression
from relay.records.append import REMEMBERED_SECONDS, Records
from relay.records.kinds import Record
from relay.records.suppressed import applied_record

_BATCH = 500
_log = logging.getLogger("relay.records")


class Destination(Protocol):
    """What a refusal is carried to: the part of a store that this needs (`relay.stores.suppressions.Suppressions`)."""

    async def suppress(self, entry: Suppression) -> bool: ...

    async def suppress_many(self, entries: Sequence[Suppression]) -> int: ...

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one replay did: refusals carried over, and those of them that the store did not know yet."""

    applied: int = 0
    new: int = 0


async def replay(
    records: Records, store: Destination, clock: Callable[[], float], *, reapply_since: float | None = None
) -> Replayed:
    """Apply every pending refusal to the store and forget it in the journal, each once.

    One that is said again meanwhile waits for the next replay, so that nobody
    can keep this one going.  With `reapply_since`, refusals not older than
    that are then applied again, in case the store came back without what it
    had confirmed.

    Raises StoreUnavailable and RecordsUnavailable; what is left stays pending.
    """
    applied = new = after = 0
    while batch := records.take_pending(_BATCH, after):
        new += await _apply(batch, store, clock)
        await records.applied(await as_applied(batch, store))
        applied, after = applied + len(batch), batch[-1][0]
    if reapply_since is not None:
        await _reapply(records, store, reapply_since)
    return Replayed(applied, new)


async def keep_replaying(
    records: Records, store: Callable[[], Destination], clock: Callable[[], float], *, pause_seconds: float = 1.0
) -> None:
    """Replay for ever, once per pause; after every outage of the store also what it should still know from the last day.

    Runs until it is cancelled, whatever happens: refusals wait for it.
    `store` is asked every time, because a store that was opened anew takes the
    place of the old one.
    """
    outage = True  # at the start too: nobody knows what the store went through while this node was down
    while True:
        try:
            await replay(records, store(), clock, reapply_since=clock() - REMEMBERED_SECONDS if outage else None)
            outage = False
        except (StoreUnavailable, RecordsUnavailable) as fault:
            if not outage:
                _log.warning("refusals wait in the journal: %s", fault)
            outage = True
        except Exception:  # noqa: BLE001 - this loop must not end
            _log.exception("replaying refusals failed; trying again")
            outage = True
        await asyncio.sleep(pause_seconds)


async def _apply(batch: Sequence[tuple[int, Suppression]], store: Destination, clock: Callable[[], float]) -> int:
    new = 0
    for _, entry in batch:
        if await store.suppress(entry):
            new += 1
            telemetry.suppressions_total.labels(entry.reason.value, entry.origin).inc()
            if entry.reason in REFUSALS:
                telemetry.unsubscribe_to_effect_seconds.observe(max(0.0, clock() - entry.at))
    return new


async def _reapply(records: Records, store: Destination, since: float) -> None:
    after = 0
    while batch := records.journalled(since, after, _BATCH):
        told = {number: entry.number for number, entry in batch}
        await store.suppress_many([entry for _, entry in batch])
        anew = [(number, found) for number, found in await as_applied(batch, store) if found.number != told[number]]
        if anew:  # the store had lost them
            await records.applied(anew)
        after = batch[-1][0]


async def as_applied(batch: Sequence[tuple[int, Suppression]], store: Destination) -> list[tuple[int, Suppression]]:
    """The refusals with what the store says of each that is in force: its number, and what was on its way then."""
    found = await store.find([(entry.digest,) for _, entry in batch])
    return [(number, _as_found(entry, there)) for (number, entry), there in zip(batch, found, strict=True)]


async def with_applied(record: Record, entry: Suppression, store: Destination, clock: Callable[[], float]) -> list[Record]:
    """The record of a suppression that is new in the store, and that of its number there."""
    ((_, applied),) = await as_applied([(0, entry)], store)
    return [record, applied_record(record.id, clock(), applied)] if applied.number else [record]


def _as_found(entry: Suppression, there: Sequence[Suppression]) -> Suppression:
    for known in there:
        if (known.scope, known.reason) == (entry.scope, entry.reason):
            return replace(entry, number=known.number, in_flight=known.in_flight)
    return entry
