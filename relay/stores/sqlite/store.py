"""The embedded store as one object: reads inline, writes through the writer thread; what is held: `holding`."""

import asyncio
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import Feedback, Pause, SendingDays, Tally
from relay.policy.cases.transfers import Transferred
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.policy.timing.limits import Charge
from relay.stores.adaptations import Adaptation
from relay.stores.contracts import Store, StoreMeta
from relay.stores.entries import require_recordable, require_recordable_rows
from relay.stores.ledger import Clearance, ClearRequest, Closing, Entry, Opening, Row, Settlement
from relay.stores.limits import OverLimit, Reserved
from relay.stores.lookup import Found
from relay.stores.sqlite import adaptations, consents, held, identity, ledger, limits, reputation, suppressions, transfers
from relay.stores.sqlite.file import StoreFile, unavailable
from relay.stores.sqlite.holding import HeldInSQLite
from relay.stores.sqlite.identity import Identity
from relay.stores.sqlite.migration import add_tables, create_tables
from relay.stores.sqlite.reader import Reader
from relay.stores.sqlite.writer import Writer
from relay.stores.suppressions import EntryRow

PATIENCE = 10.0
"""Seconds that a write waits for its turn and the disk before its caller hears that the store is unavailable."""

_PAGE = 1000
_TURN = 0.002  # seconds of writing in one step of many rows: everybody else waits for as long, and for its commit
_SWEEP_ROWS = 200
_SWEEP_SUBMISSIONS = 10


class SQLiteStore(HeldInSQLite, Store):
    """One process's view of relay.db. Make it after forking, use it from one event loop."""

    name = "sqlite"

    def __init__(self, path: Path, expected: StoreMeta, clock: Callable[[], float], patience: float) -> None:
        file, ours = StoreFile(path), Identity(expected)
        db = file.connect()
        try:
            file.remember()
            ours.require(db)
            add_tables(db)
            writer = Writer(file, ours, clock, patience, _sweep)
        except BaseException:
            db.close()
            raise
        super().__init__(file, ours, Reader(db, file, ours, clock, writer.fail), writer, clock)

    @classmethod
    def create(cls, path: Path, meta: StoreMeta) -> None:
        """Make a fresh file. Raises StoreUnavailable when it exists or cannot be made."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(StoreFile(path).connect()) as db:
                create_tables(db, meta)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    @classmethod
    def read_meta(cls, path: Path) -> StoreMeta:
        """Who an existing file says it is. Raises StoreUnavailable."""
        _require_file(path)
        try:
            with closing(StoreFile(path).connect()) as db:
                return identity.read_meta(db)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    @classmethod
    def open(
        cls, path: Path, expected: StoreMeta, *, clock: Callable[[], float] | None = None, patience: float = PATIENCE
    ) -> "SQLiteStore":
        """Open an existing store. Raises StoreUnavailable when it is not the expected one."""
        _require_file(path)
        try:
            return cls(path, expected, clock or time.time, patience)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    async def check(self) -> None:
        self._reader.check()
        if self._writer.failed:  # say so until a commit has worked again
            await self._writer.run(identity.try_disk)

    async def meta(self) -> StoreMeta:
        return self._reader.snapshot(lambda db, now: identity.read_meta(db))

    async def extend(self, fingerprints: frozenset[str]) -> None:
        await self._writer.run(lambda db, now: identity.add_fingerprints(db, fingerprints))

    async def aclose(self) -> None:
        await self._writer.close()
        self._end_threads()
        self._reader.close()

    # Suppressions

    async def find(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[Suppression, ...]]:
        return self._reader.read(lambda db, now: suppressions.find(db, now, recipients))

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
        return self._reader.snapshot(lambda db, now: suppressions.history(db, digests))

    async def export(self) -> AsyncIterator[Suppression]:
        place = suppressions.START
        while True:
            # pages of their own transaction: a long one would keep the write-ahead log from being reused
            entries, place = self._reader.read(lambda db, now, after=place: suppressions.page(db, after, _PAGE))  # type: ignore[misc]
            if not entries:
                return
            for entry in entries:
                yield entry
            await asyncio.sleep(0)

    async def count(self) -> dict[tuple[str, str], int]:
        return await self._reader.aside(suppressions.count)

    async def look_up(self, recipients: Sequence[Sequence[Digest]], *, with_consents: bool = False) -> list[Found]:
        return self._reader.read(lambda db, now: suppressions.look_up(db, now, recipients, with_consents=with_consents))

    # Consents

    async def consents(self, recipients: Sequence[Sequence[Digest]]) -> list[tuple[ConsentEvent, ...]]:
        return self._reader.read(lambda db, now: consents.find(db, recipients))

    async def record_consents(self, events: Sequence[ConsentEvent]) -> int:
        return await self._writer.run(lambda db, now: consents.record(db, events))

    async def export_consents(self) -> AsyncIterator[ConsentEvent]:
        after = b"", ""
        while events := self._reader.read(lambda db, now, after=after: consents.page(db, after, _PAGE)):  # type: ignore[misc]
            for event in events:
                yield event
            after = events[-1].digest, events[-1].id
            await asyncio.sleep(0)

    # Limits

    async def reserve(self, charges: Sequence[Charge], lease_seconds: float) -> Reserved | OverLimit:
        return await self._writer.run(lambda db, now: limits.Usage(db, now).reserve(charges, lease_seconds))

    async def used(self, charges: Sequence[Charge]) -> list[int]:
        return self._reader.snapshot(lambda db, now: limits.Usage(db, now).used(charges))

    async def settle(self, reservation: str) -> None:
        await self._writer.run(lambda db, now: limits.settle(db, now, reservation))

    async def refund(self, reservation: str) -> None:
        await self._writer.run(lambda db, now: limits.refund(db, reservation))

    # Ledger

    async def open_submission(self, key: Digest, opening: Opening) -> Entry:
        began_at = self._clock() - opening.age if opening.age > 0 else math.inf  # before it waits for its turn
        year = opening.transferred_in
        found, left, waiting = (
            self._reader.snapshot(  # beside the writers
                lambda db, now: (
                    suppressions.look_up(db, now, opening.asked, with_consents=opening.with_consents),
                    transfers.find(db, year, opening.recipients) if year is not None else [],
                    held.waiting(db, opening.lanes),
                )
            )
            if opening.asked or opening.lanes
            else ([], [], frozenset())
        )
        entry = await self._writer.run(  # nothing has left yet: a power cut may take it back
            lambda db, now: ledger.open_submission(db, now, key, opening, began_at), durable=False
        )
        return Entry(entry.first, entry.rows, entry.pause, tuple(found), tuple(left), waiting)

    async def rows(self, key: Digest) -> tuple[Row, ...]:
        return self._reader.read(lambda db, now: ledger.rows(db, now, key))

    async def clear(
        self, key: Digest, submission_id: str, requests: Sequence[ClearRequest], lease_seconds: float, ttl_seconds: float
    ) -> list[Clearance]:
        return await self._writer.run(
            lambda db, now: ledger.clear(db, now, key, submission_id, requests, lease_seconds, ttl_seconds)
        )

    async def finish(self, key: Digest, settlements: Sequence[Settlement]) -> None:
        await self._writer.run(lambda db, now: ledger.finish(db, now, key, settlements))

    async def close(self, key: Digest, closing: Closing) -> None:
        await self._writer.run(lambda db, now: ledger.close(db, now, key, closing), durable=closing.durable)

    # Transfers

    async def transferred(self, year: int, recipients: Sequence[Digest]) -> list[Transferred]:
        return self._reader.read(lambda db, now: transfers.find(db, year, recipients)) if recipients else []

    async def transfer_years(self) -> list[Transferred]:
        return self._reader.read(lambda db, now: transfers.years(db))

    # Reputation

    async def paused(self) -> dict[str, Pause]:
        return self._reader.read(lambda db, now: reputation.paused(db))

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        return await self._writer.run(lambda db, now: reputation.pause(db, pause, counted_from))

    async def resume(self, stream: str) -> Pause | None:
        return await self._writer.run(lambda db, now: reputation.resume(db, now, stream))

    async def note(self, feedback: Sequence[Feedback]) -> None:
        await self._writer.run(lambda db, now: reputation.note(db, now, feedback))

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        return self._reader.snapshot(lambda db, now: reputation.tallies(db, now, windows))

    # Adaptations

    async def adaptations(self) -> list[Adaptation]:
        return self._reader.read(adaptations.adaptations)

    async def adapt(self, adaptation: Adaptation) -> bool:
        return await self._writer.run(lambda db, now: adaptations.adapt(db, now, adaptation))

    async def end_adaptation(self, key: Digest) -> Adaptation | None:
        return await self._writer.run(lambda db, now: adaptations.end(db, now, key))

    async def take_ended(self) -> list[Adaptation]:
        if not self._reader.read(adaptations.has_ended):  # the usual case: nothing to write
            return []
        return await self._writer.run(adaptations.take_ended)

    # Days on which streams send

    async def note_sending(self, stream: str, day: str) -> None:
        await self._writer.run(lambda db, now: reputation.note_sending(db, stream, day), durable=False)

    async def sending_days(self, streams: Sequence[str]) -> dict[str, SendingDays]:
        return self._reader.read(lambda db, now: reputation.sending_days(db, streams))


def _sweep(db: sqlite3.Connection, now: float) -> bool:
    more_limits = limits.sweep(db, now, _SWEEP_ROWS)
    more_submissions = ledger.sweep(db, now, _SWEEP_SUBMISSIONS)
    more_feedback = reputation.sweep(db, now, _SWEEP_ROWS)
    more_credentials = held.sweep(db, now, _SWEEP_ROWS)
    more_persons = transfers.sweep(db, now, _SWEEP_ROWS)
    return more_limits or more_submissions or more_feedback or more_credentials or more_persons


def _require_file(path: Path) -> None:
    """Raise StoreUnavailable where there is no file, or nothing in it."""
    if not path.exists() or path.stat().st_size == 0:
        raise StoreUnavailable("empty", f"{path} is missing or empty; restore the backup")
