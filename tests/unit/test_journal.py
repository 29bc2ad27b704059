"""What a recipient was promised reaches the store, whatever happens to the store meanwhile."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.policy.suppressions.suppression import Digest, Suppression
from relay.records import journal
from relay.records.append import REMEMBERED_SECONDS
from relay.records.journal import Replayed, keep_replaying, replay
from relay.records.kinds import Kind
from relay.records.search import Query, found_by_id, search
from relay.telemetry import suppressions_total, unsubscribe_to_effect_seconds
from tests.support.records import a_record, opened, refuse


class Memory:
    """The part of a store that takes refusals, and numbers them from `first` on. `down` makes it fail after so many."""

    def __init__(self, first: int = 1) -> None:
        self.first = first
        self.entries: dict[tuple[bytes, str, str], Suppression] = {}
        self.down: int | None = None

    async def suppress(self, entry: Suppression) -> bool:
        if self.down is not None:
            if self.down == 0:
                raise StoreUnavailable("unreachable", "down")
            self.down -= 1
        key = (entry.digest, entry.scope, entry.reason)
        new = key not in self.entries
        if new:
            self.entries[key] = replace(entry, number=self.first + len(self.entries), in_flight=("01JMAIL", "01JNEWS"))
        return new

    async def suppress_many(self, entries: Sequence[Suppression]) -> int:
        return sum([await self.suppress(entry) for entry in entries])

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        return [tuple(entry for entry in self.entries.values() if entry.digest in digests) for digests in recipients]


def told(records):
    """What records say of refusals that came in force: their ids, whom they are about, numbers."""
    found = [entry.record for entry in search(records.reader, Query(kinds=frozenset({Kind.APPLIED})))]
    return [(one.id, one.people[0].digest, one.facts["number"]) for one in found]


async def test_pending_refusals_are_carried_over_once(records, clock, monkeypatch):
    monkeypatch.setattr(journal, "_BATCH", 3)
    store = Memory()
    entries = [await refuse(records, number, clock) for number in range(7)]
    assert len(records.pending([entry.digest for entry in entries])) == 7
    assert await replay(records, store, clock) == Replayed(applied=7, new=7)
    assert {entry[0] for entry in store.entries} == {entry.digest for entry in entries}
    assert records.pending([entry.digest for entry in entries]) == []
    assert await replay(records, store, clock) == Replayed()


async def test_what_the_store_could_not_take_stays_pending(records, clock):
    store = Memory()
    entries = [await refuse(records, number, clock) for number in range(3)]
    store.down = 1
    with pytest.raises(StoreUnavailable):
        await replay(records, store, clock)
    assert len(records.pending([entry.digest for entry in entries])) == 3
    store.down = None
    assert await replay(records, store, clock) == Replayed(applied=3, new=2)


async def test_a_recipient_who_keeps_refusing_does_not_keep_the_replay_going(records, clock):
    class Repeating(Memory):
        async def suppress(self, entry: Suppression) -> bool:
            clock.pass_(1)
            await refuse(records, 1, clock)
            return await super().suppress(entry)

    await refuse(records, 1, clock)
    assert await replay(records, Repeating(), clock) == Replayed(applied=1, new=1)
    [(_, entry)] = records.take_pending(10)
    assert entry.last_at == clock()
    assert await replay(records, Memory(), clock) == Replayed(applied=1, new=1)


async def test_refusals_of_the_last_day_are_applied_again_when_asked(records, clock, monkeypatch):
    monkeypatch.setattr(journal, "_BATCH", 2)
    for number in range(5):
        await refuse(records, number, clock)
        clock.pass_(3600)
    await replay(records, Memory(), clock)
    forgetful = Memory()
    assert await replay(records, forgetful, clock) == Replayed()
    assert await replay(records, forgetful, clock, reapply_since=clock() - 3.5 * 3600) == Replayed()
    assert len(forgetful.entries) == 3


async def test_refusals_are_counted_when_they_take_effect(records, clock):
    def samples():
        effect = {s.name.removeprefix("relay_"): s.value for s in next(iter(unsubscribe_to_effect_seconds.collect())).samples}
        counted = suppressions_total.labels("unsubscribe", "one_click_test")._value.get()
        return counted, effect["unsubscribe_to_effect_seconds_count"], effect["unsubscribe_to_effect_seconds_sum"]

    before = samples()
    store = Memory()
    for _ in range(2):
        await refuse(records, 1, clock, origin="one_click_test")
    clock.pass_(30)
    await replay(records, store, clock)
    after = samples()
    # Rounded: beside what tests before have added to the sum, thirty seconds have fewer digits.
    assert [round(new - old, 6) for new, old in zip(after, before, strict=True)] == [1, 1, 30]


async def test_replaying_goes_on_through_outages_and_restores_what_an_outage_lost(records, clock):
    stores = [Memory()]
    entry = await refuse(records, 1, clock)
    task = asyncio.ensure_future(keep_replaying(records, lambda: stores[-1], clock, pause_seconds=0.001))

    async def reached(store, *entries):
        while not {entry.digest for entry in entries} <= {digest for digest, _, _ in store.entries}:
            assert not task.done()
            await asyncio.sleep(0.001)

    async with asyncio.timeout(20):
        await reached(stores[0], entry)
        stores[0].down = 0
        other = await refuse(records, 2, clock)
        await asyncio.sleep(0.02)
        assert records.pending([other.digest]) == [other]
        stores.append(Memory())  # what took the place of the broken one knows nothing
        await reached(stores[1], entry, other)
    assert not task.done()
    task.cancel()


async def test_replaying_survives_a_fault_of_ours(records, clock, caplog):
    calls = []

    def store():
        calls.append(1)
        raise ZeroDivisionError

    task = asyncio.ensure_future(keep_replaying(records, store, clock, pause_seconds=0.001))
    async with asyncio.timeout(20):
        while len(calls) < 3:
            await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()


async def test_closed_records_cannot_be_replayed(tmp_path, clock):
    with opened(tmp_path / "other.db") as records:
        pass
    with pytest.raises(RecordsUnavailable):
        await replay(records, Memory(), clock, reapply_since=clock() - REMEMBERED_SECONDS)


async def test_a_record_tells_when_the_store_had_a_refusal_and_what_was_on_its_way(records, clock):
    entry = await refuse(records, 1, clock)
    clock.pass_(7)
    await replay(records, Memory(first=41), clock)
    ((said, came),) = [found_by_id(records.reader, record_id) for record_id, _, _ in told(records)]
    assert (said.kind, came.kind, came.at) == (Kind.SUPPRESSED, Kind.APPLIED, clock())
    assert came.people == said.people
    assert came.facts == {
        "person": 0, "scope": entry.scope, "reason": "unsubscribe", "origin": entry.origin, "since": entry.at,
        "number": 41, "in_flight": ["01JMAIL", "01JNEWS"],
    }  # fmt: skip


async def test_that_is_told_once_however_often_it_is_carried_over(records, clock):
    store = Memory()
    entry = await refuse(records, 1, clock)
    batch = records.take_pending(10)
    for _ in range(2):  # two processes carry the same over
        await replay(records, store, clock)
        await records.applied([(number, replace(one, number=1)) for number, one in batch])
    clock.pass_(1)
    await records.journal_refusal(a_record(2, Kind.SUPPRESSED), replace(entry, at=clock()), 0.0)  # said again
    assert len(records.take_pending(10)) == 1
    await replay(records, store, clock, reapply_since=clock() - REMEMBERED_SECONDS)
    assert [(digest, number) for _, digest, number in told(records)] == [(entry.digest, 1)]


async def test_a_relay_that_was_killed_before_it_wrote_that_writes_it_at_the_next_replay(records, clock):
    store = Memory()
    await refuse(records, 1, clock)
    [(_, entry)] = records.take_pending(10)
    await store.suppress(entry)  # and then nothing more
    clock.pass_(60)
    assert told(records) == []
    assert await replay(records, store, clock) == Replayed(applied=1, new=0)
    assert [number for _, _, number in told(records)] == [1]


async def test_a_store_that_lost_a_refusal_gives_it_another_number_which_is_told_too(records, clock):
    await refuse(records, 1, clock)
    await replay(records, Memory(first=10), clock)
    restored = Memory(first=30)
    for _ in range(2):
        await replay(records, restored, clock, reapply_since=clock() - REMEMBERED_SECONDS)
    assert [number for _, _, number in told(records)] == [10, 30]


async def test_what_a_consent_has_answered_never_came_in_force(records, clock):
    class Lifted(Memory):
        async def find(self, recipients):
            return [()] * len(recipients)

    await refuse(records, 1, clock)
    assert await replay(records, Lifted(), clock) == Replayed(applied=1, new=1)
    assert told(records) == []
