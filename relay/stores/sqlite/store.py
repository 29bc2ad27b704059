"""The embedded store as one object: reads inline, writes through the writer thread."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from relay.errors import StoreUnavailable
from relay.policy.consent import ConsentEvent
from relay.policy.limits import Charge
from relay.policy.reputation import Feedback, Pause, SendingDays, Tally
from relay.policy.suppression import Digest, Reason, Suppression
from relay.stores.adaptations import Adaptation
from relay.stores.contracts import (
    Clearance,
    ClearRequest,
    Entry,
    EntryRow,
    FirstTry,
    OverLimit,
    Reserved,
    Row,
    Settlement,
    Store,
    StoreMeta,
)
from relay.stores.entries import require_recordable, require_recordable_rows
from relay.stores.held import HeldCopy, HeldMessage, HeldTotals, HeldUpdate, Lane, Why
from relay.stores.sqlite import adaptations, consents, held, ledger, limits, reputation, schema, suppressions, turns
from relay.stores.sqlite.file import StoreFile, unavailable
from relay.stores.sqlite.holding import Holding
from relay.stores.sqlite.schema import Identity
from relay.stores.sqlite.writer import Operation, Writer

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a write waits for its turn and the disk before its caller hears that the store is unavailable."""

_PAGE = 1000
_TURN = 0.002  # seconds of writing in one step of many rows: everybody else waits for as long, and for its commit
_SWEEP_ROWS = 200
_SWEEP_SUBMISSIONS = 10


class SQLiteStore(Store):
    """One process's view of relay.db. Make it after forking, use it from one event loop."""

    name = "sqlite"

    def __init__(self, path: Path, expected: StoreMeta, clock: Callable[[], float], patience: float) -> None:
        self._clock = clock
        self._file = StoreFile(path)
        self._identity = Identity(expected)
        self._reader: sqlite3.Connection | None = self._file.connect()
        try:
            self._file.remember()
            self._identity.require(self._reader)
            schema.add_tables(self._reader)
            self._writer = Writer(self._file, self._identity, clock, patience, _sweep)
            self._holding = Holding(self._file, self._identity, self._writer, self._read, clock)
        except BaseException:
            self._reader.close()
            raise

    @classmethod
    def create(cls, path: Path, meta: StoreMeta) -> None:
        """Make a fresh file. Raises StoreUnavailable when it exists or cannot be made."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            db = StoreFile(path).connect()
            try:
                schema.create_tables(db, meta)
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise _as_unavailable(error) from None

    @classmethod
    def read_meta(cls, path: Path) -> StoreMeta:
        """Who an existing file says it is. Raises StoreUnavailable."""
        if not path.exists() or path.stat().st_size == 0:
            raise StoreUnavailable("empty", f"{path} is missing or empty; restore the backup")
        try:
            db = StoreFile(path).connect()
            try:
                return schema.read_meta(db)
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise _as_unavailable(error) from None

    @classmethod
    def open(
        cls, path: Path, expected: StoreMeta, *, clock: Callable[[], float] | None = None, patience: float = PATIENCE
    ) -> "SQLiteStore":
        """Open an existing store. Raises StoreUnavailable when it is not the expected one."""
        if not path.exists() or path.stat().st_size == 0:
            raise StoreUnavailable("empty", f"{path} is missing or empty; restore the backup")
        try:
            return cls(path, expected, clock or time.time, patience)
        except (sqlite3.Error, OSError) as error:
            raise _as_unavailable(error) from None

    async def check(self) -> None:
        self._read(_nothing)
        if self._writer.failed:  # say so until a commit has worked again
            await self._writer.run(schema.try_disk)

    async def meta(self) -> StoreMeta:
        return self._snapshot(lambda db, now: schema.read_meta(db))

    async def extend(self, fingerprints: frozenset[str]) -> None:
        await self._writer.run(lambda db, now: schema.add_fingerprints(db, fingerprints))

    async def aclose(self) -> None:
        await self._writer.close()
        self._holding.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # Suppressions

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        return self._read(lambda db, now: suppressions.find(db, now, recipients))

    async def suppress(self, entry: Suppression) -> bool:
        require_recordable(entry)
        return await self._writer.run(lambda db, now: suppressions.record(db, now, entry))

    async def suppress_many(self, entries: Sequence[Suppression]) -> int:
        for entry in entries:
            require_recordable(entry)
        return await self._writer.run(lambda db, now: suppressions.record_many(db, now, entries))

    async def suppress_rows(self, rows: Sequence[EntryRow]) -> int:
        require_recordable_rows(rows)
        done = new = 0
        while done < len(rows):
            left = rows[done:]
            some, of_them = await self._writer.run(lambda db, now, left=left: suppressions.record_some(db, now, left, _TURN))  # type: ignore[misc]
            done, new = done + some, new + of_them
        return new

    async def lift(self, digests: Sequence[Digest], scope: str, reason: Reason, consent: ConsentEvent | None, note: str) -> bool:
        return await self._writer.run(lambda db, now: suppressions.lift(db, now, digests, scope, reason, consent, note))

    async def history(self, digests: Sequence[Digest]) -> tuple[list[Suppression], list[ConsentEvent]]:
        return self._snapshot(lambda db, now: suppressions.history(db, digests))

    async def export(self) -> AsyncIterator[Suppression]:
        place = suppressions.START
        while True:
            # pages of their own transaction: a long one would keep the write-ahead log from being reused
            entries, place = self._read(lambda db, now, after=place: suppressions.page(db, after, _PAGE))  # type: ignore[misc]
            if not entries:
                return
            for entry in entries:
                yield entry
            await asyncio.sleep(0)

    async def count(self) -> dict[tuple[str, str], int]:
        self._read(_nothing)
        return await asyncio.to_thread(self._count)

    # Consents

    async def consents(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
        return self._read(lambda db, now: consents.find(db, recipients))

    async def record_consents(self, events: Sequence[ConsentEvent]) -> int:
        return await self._writer.run(lambda db, now: consents.record(db, events))

    async def export_consents(self) -> AsyncIterator[ConsentEvent]:
        after = ""
        while events := self._read(lambda db, now, after=after: consents.page(db, after, _PAGE)):  # type: ignore[misc]
            for event in events:
                yield event
            after = events[-1].id
            await asyncio.sleep(0)

    # Limits

    async def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit:
        return await self._writer.run(lambda db, now: limits.Usage(db, now).reserve(charges, lease_seconds))

    async def used(self, charges: Sequence[Charge]) -> list[int]:
        return self._snapshot(lambda db, now: limits.Usage(db, now).used(charges))

    async def settle(self, reservation: str) -> None:
        await self._writer.run(lambda db, now: limits.settle(db, now, reservation))

    async def refund(self, reservation: str) -> None:
        await self._writer.run(lambda db, now: limits.refund(db, reservation))

    # Ledger

    async def open_submission(
        self,
        key: Digest,
        proposal: FirstTry,
        ttl_seconds: float,
        recipients: Sequence[Digest] = (),
        stream: str = "",
        asked: Sequence[Sequence[Digest]] = (),
        lanes: Sequence[Digest] = (),
        *,
        with_consents: bool = False,
    ) -> Entry:
        found, agreed, waiting = (
            self._read(  # beside the writers
                lambda db, now: (
                    suppressions.find(db, now, asked),
                    consents.find(db, asked) if with_consents else [],
                    held.waiting(db, lanes),
                )
            )
            if asked or lanes
            else ([], [], frozenset())
        )
        entry = await self._writer.run(  # nothing has left yet: a power cut may take it back
            lambda db, now: ledger.open_submission(db, now, key, proposal, ttl_seconds, recipients, stream), durable=False
        )
        return replace(entry, suppressions=tuple(found), consents=tuple(agreed), waiting=waiting)

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        return self._read(lambda db, now: ledger.rows(db, now, key))

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        return await self._writer.run(
            lambda db, now: ledger.clear(db, now, key, submission_id, requests, lease_seconds, ttl_seconds)
        )

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        await self._writer.run(lambda db, now: ledger.finish(db, now, key, settlements))

    async def close(self, key: Digest, submission_id: str, *, durable: bool = True) -> None:
        await self._writer.run(lambda db, now: ledger.close(db, key, submission_id), durable=durable)

    # Reputation

    async def paused(self) -> dict[str, Pause]:
        return self._read(lambda db, now: reputation.paused(db))

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        return await self._writer.run(lambda db, now: reputation.pause(db, pause, counted_from))

    async def resume(self, stream: str) -> Pause | None:
        return await self._writer.run(lambda db, now: reputation.resume(db, now, stream))

    async def note(self, feedback: Sequence[Feedback]) -> None:
        await self._writer.run(lambda db, now: reputation.note(db, now, feedback))

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        return self._snapshot(lambda db, now: reputation.tallies(db, now, windows))

    # Adaptations

    async def adaptations(self) -> list[Adaptation]:
        return self._read(adaptations.adaptations)

    async def adapt(self, adaptation: Adaptation) -> bool:
        return await self._writer.run(lambda db, now: adaptations.adapt(db, now, adaptation))

    async def end_adaptation(self, key: Digest) -> Adaptation | None:
        return await self._writer.run(lambda db, now: adaptations.end(db, now, key))

    async def take_ended(self) -> list[Adaptation]:
        if not self._read(adaptations.has_ended):  # the usual case: nothing to write
            return []
        return await self._writer.run(adaptations.take_ended)

    # Held copies

    async def hold(
        self,
        key: Digest,
        message: HeldMessage,
        copies: Sequence[HeldCopy],
        rows: Mapping[Digest, str],
        *,
        max_octets: int,
        credentials: tuple[Digest, bytes, float] | None = None,
    ) -> None:
        await self._holding.hold(key, message, copies, rows, max_octets, credentials)

    async def claim(self, most: int, lease_seconds: float) -> list[HeldCopy]:
        return await self._holding.claim(most, lease_seconds)

    async def held_message(self, message: str, *, with_body: bool = True) -> HeldMessage | None:
        return await self._holding.message(message, with_body=with_body)

    async def update_held(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None = None) -> int:
        return await self._holding.update(updates, resting)

    async def held_copies(self, after: tuple[str, Digest] | None, most: int, message: str | None = None) -> list[HeldCopy]:
        return self._read(lambda db, now: held.copies_after(db, after, most, message))

    async def free_owner(self, owner: Digest, why: Why) -> int:
        return await self._holding.free_owner(owner, why)

    async def wake_lane(self, lane: Lane) -> None:
        await self._writer.run(lambda db, now: turns.rest(db, lane, 0))

    async def held_totals(self) -> HeldTotals:
        return self._snapshot(lambda db, now: held.totals(db))

    async def keep_credentials(self, owner: Digest, sealed: bytes, until: float) -> bool:
        return await self._holding.keep_credentials(owner, sealed, until)

    async def credentials_of(self, owner: Digest) -> bytes | None:
        return self._read(lambda db, now: held.credentials_of(db, now, owner))

    async def drop_credentials(self, owner: Digest, sealed: bytes) -> None:
        await self._writer.run(lambda db, now: held.drop_credentials(db, owner, sealed))

    async def note_sending(self, stream: str, day: str) -> None:
        await self._writer.run(lambda db, now: reputation.note_sending(db, stream, day), durable=False)

    async def sending_days(self, streams: Sequence[str]) -> dict[str, SendingDays]:
        return self._read(lambda db, now: reputation.sending_days(db, streams))

    def _snapshot(self, query: Operation[T]) -> T:
        """Run some short indexed queries that must agree with each other."""

        def together(db: sqlite3.Connection, now: float) -> T:
            db.execute("BEGIN")
            try:
                return query(db, now)
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

        return self._read(together)

    def _read(self, query: Operation[T]) -> T:
        """Run one short indexed query; who the store is, is asked afterwards, since what it has lost it does not get back."""
        db = self._reader
        if db is None:
            raise StoreUnavailable("unreachable", "the store is closed")
        try:
            try:
                answer = query(db, self._clock())
            finally:  # a store that has lost its tables says so, whatever the query said
                self._identity.require(db)
            self._file.verify()
        except (sqlite3.Error, OSError) as error:
            self._writer.fail()  # `check` says so until a commit has worked
            raise _as_unavailable(error) from None
        return answer

    def _count(self) -> dict[tuple[str, str], int]:
        """Millions of rows take a second: with a connection of its own, beside the loop."""
        try:
            db = self._file.connect()
            try:
                return suppressions.count(db, self._clock())
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise _as_unavailable(error) from None


def _nothing(db: sqlite3.Connection, now: float) -> None:
    """What is asked when only the store itself matters."""


def _sweep(db: sqlite3.Connection, now: float) -> bool:
    more_limits = limits.sweep(db, now, _SWEEP_ROWS)
    more_submissions = ledger.sweep(db, now, _SWEEP_SUBMISSIONS)
    more_feedback = reputation.sweep(db, now, _SWEEP_ROWS)
    more_credentials = held.sweep(db, now, _SWEEP_ROWS)
    return more_limits or more_submissions or more_feedback or more_credentials


def _as_unavailable(error: sqlite3.Error | OSError) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else unavailable(error)
