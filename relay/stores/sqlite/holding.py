"""Held copies, where rows and body files change together: files in a thread, rows in a transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import TypeVar, TypeVarTuple

from relay.errors import StoreUnavailable
from relay.policy.suppressions.suppression import Digest
from relay.stores.held import Held, HeldCopy, HeldMessage, HeldTotals, HeldUpdate, HoldFull, Holding, Lane, Why
from relay.stores.sqlite import held, turns
from relay.stores.sqlite.bodies import FOLDER, Bodies
from relay.stores.sqlite.file import StoreFile
from relay.stores.sqlite.identity import Identity
from relay.stores.sqlite.reader import Reader
from relay.stores.sqlite.writer import Writer

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

SWEEP_EVERY = 3600.0
"""Seconds between two looks for files that no row names."""

_THREADS = 8  # files that wait for the disk at the same time


class HeldInSQLite(Held):
    """`Held` on one relay.db and the folder beside it."""

    def __init__(self, file: StoreFile, identity: Identity, reader: Reader, writer: Writer, clock: Callable[[], float]) -> None:
        self._file, self._identity, self._reader, self._writer, self._clock = file, identity, reader, writer, clock
        self._bodies = Bodies(file.path.parent / FOLDER)
        self._threads = ThreadPoolExecutor(_THREADS, "held bodies")  # their own: look-ups of names must not wait for this disk
        self._swept_at: float | None = None

    async def hold(self, key: Digest, holding: Holding) -> None:
        """As the contract says: the body first, then the rows; a body that no row names in the end goes again."""
        message, room = holding.message, holding.max_octets
        octets = len(message.body)
        self._reader.read(lambda db, now: held.require_room(db, message.id, octets, room))  # else it is written for nothing
        body = await self._beside(self._bodies.write, message.id, message.body)
        try:
            is_new = await self._writer.run(lambda db, now: held.hold(db, now, key, holding, body))
        except HoldFull:
            await self._remove([body.file])
            raise
        except StoreUnavailable as fault:
            if fault.reason != "timeout" and not self._reader.read(lambda db, now: held.names_file(db, body.file)):
                await self._remove([body.file])
            raise  # what was late may be committed yet: then the body is needed, else the sweep removes it
        if not is_new:
            await self._remove([body.file])

    async def claim(self, most: int, lease_seconds: float) -> list[HeldCopy]:
        """Ask first, write only if something is due; a lease need not outlive a power cut, which nobody who has it does."""
        is_due = self._reader.read(turns.any_due)
        await self._sweep()
        if not is_due:
            return []
        return await self._writer.run(lambda db, now: turns.claim(db, now, most, lease_seconds), durable=False)

    async def held_message(self, message: str, *, with_body: bool = True) -> HeldMessage | None:
        found = self._reader.read(lambda db, now: held.message_of(db, message))
        if found is None:
            return None
        facts, body = found
        if not with_body:
            return facts
        try:
            return replace(facts, body=await self._beside(self._bodies.read, body))
        except StoreUnavailable:
            if self._reader.read(lambda db, now: held.message_of(db, message)) is None:  # forgotten meanwhile
                return None
            raise

    async def update_held(self, updates: Sequence[HeldUpdate], resting: Mapping[Lane, float] | None = None) -> int:
        """As the contract says: the rows first, then the files."""
        heard, files = await self._writer.run(lambda db, now: held.update(db, updates, resting))
        if files:
            await self._remove(files)
        return heard

    async def held_copies(self, after: tuple[str, Digest] | None, most: int, message: str | None = None) -> list[HeldCopy]:
        return self._reader.read(lambda db, now: held.copies_after(db, after, most, message))

    async def free_owner(self, owner: Digest, why: Why) -> int:
        """In steps, so that nobody waits for a large backlog to be freed."""
        at, freed = self._clock(), 0
        while some := await self._writer.run(lambda db, now: held.free_some(db, owner, why, at)):
            freed += some
        return freed

    async def wake_lane(self, lane: Lane) -> None:
        await self._writer.run(lambda db, now: turns.rest(db, lane, 0))

    async def held_totals(self) -> HeldTotals:
        return self._reader.snapshot(lambda db, now: held.totals(db))

    async def keep_credentials(self, owner: Digest, sealed: bytes, until: float) -> bool:
        """At every login: who has nothing held costs a look."""
        if not self._reader.read(lambda db, now: held.holds_for(db, owner)):
            return False
        return await self._writer.run(lambda db, now: held.keep_credentials(db, now, owner, sealed, until))

    async def credentials_of(self, owner: Digest) -> bytes | None:
        return self._reader.read(lambda db, now: held.credentials_of(db, now, owner))

    async def drop_credentials(self, owner: Digest, sealed: bytes) -> None:
        await self._writer.run(lambda db, now: held.drop_credentials(db, owner, sealed))

    def _end_threads(self) -> None:
        self._threads.shutdown(wait=False)

    async def _beside(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        try:
            doing = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except RuntimeError:  # its threads have ended
            raise StoreUnavailable("unreachable", "the store is closed") from None
        return await doing

    async def _remove(self, files: Sequence[str]) -> None:
        await self._beside(self._bodies.remove, files)

    async def _sweep(self) -> None:
        now = self._clock()
        if self._swept_at is None or abs(now - self._swept_at) >= SWEEP_EVERY:
            self._swept_at = now
            await self._beside(self._remove_orphans)

    def _remove_orphans(self) -> None:
        """Only beside the relay.db that was opened: another one knows nothing of these bodies."""
        with suppress(sqlite3.Error, OSError), closing(self._file.connect()) as db:
            self._identity.require(db)
            self._file.verify()
            self._bodies.sweep(lambda file: held.names_file(db, file))
