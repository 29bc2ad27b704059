"""Append to the records: durable when `append` returns, in one chain that all processes of the node write to.

Whatever stands in the way raises RecordsUnavailable, and then nothing leaves:
no record, no mail (law 5).  The journal of refusals lives in the same file, so
that a refusal and its record are durable in one step, also while the store is
down.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from relay.commits import Commits, Unserved
from relay.errors import RecordsFull, RecordsUnavailable
from relay.files import Turn, sync_folder
from relay.keys import Keys, Ring
from relay.policy.suppressions.suppression import Suppression
from relay.records import chain, collected, timeliness
from relay.records.chain import ASSOCIATED, Files, Line
from relay.records.collected import Handled
from relay.records.journalled import ENTRY, LAST_AT, Said, entry_of, is_said_again, keep, tell_applied
from relay.records.kinds import Kind, Person, Record
from relay.records.reading import Reader
from relay.writeahead import WRITER_PRAGMAS, WriteAheadLog, WriterInTurn

REMEMBERED_SECONDS = 86400.0
"""How long an applied refusal can be applied again, should the store lose it."""

_NEED_ROOM = frozenset({Kind.RECEIVED, Kind.REFUSED, Kind.JUDGED})
"""What begins something stops at `min_free`; what ends something, and refusals, use the space that this leaves."""

_PATIENCE = 15.0  # seconds for one record, the waiting included
_PEOPLE = 8192  # mailboxes whose digest and seal are kept: `received` and `finished` name the same people


_CLOSED = "the records are closed"


@dataclass(slots=True, eq=False)  # not frozen: two are made for every message, and freezing takes longest
class _Job:
    lines: tuple[Line, ...] = ()
    said: Said | None = None  # said before: the lines are not written
    refusals: tuple[Suppression, ...] = ()
    applied: tuple[tuple[int, Suppression], ...] = ()
    handled: Handled | None = None
    marked: Handled | None = None

    @property
    def needs_room(self) -> bool:
        return any(line.kind in _NEED_ROOM for line in self.lines)


class Records(WriterInTurn):
    """The records of this node. One instance per process, opened after the fork; any number of processes."""

    def __init__(self, path: Path, keys: Keys, min_free: int, clock: Callable[[], float], *, opened: "_Opened") -> None:
        super().__init__(opened.connection, opened.turn, opened.log)
        self.path = path
        self._folder = os.fspath(path.parent)  # text, since it is looked at for every message
        self.keys = keys
        self._people: Callable[[Ring, str], Person] = lru_cache(_PEOPLE)(_person)
        self._min_free = min_free
        self._clock = clock
        self.reader = opened.reader
        self._files = opened.files
        self._closing = opened.closing
        self._closed = False
        self._commits: Commits[_Job, tuple[int, ...]] = Commits(self, "records", patience=_PATIENCE, for_absent=True)

    @classmethod
    def open(cls, path: Path, keys: Keys, min_free: int, clock: Callable[[], float]) -> "Records":
        """Open data_dir/records.db, or make it at the very first start of this node.

        Raises RecordsUnavailable.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened = _open(path, keys)
        except (sqlite3.Error, OSError, ValueError) as fault:
            if isinstance(fault, RecordsUnavailable):
                raise
            raise RecordsUnavailable(f"{path}: the records cannot be opened: {fault}") from fault
        return cls(path, keys, min_free, clock, opened=opened)

    async def append(self, record: Record) -> int:
        """Write one record and return its sequence number; it is on disk then.

        Raises RecordsUnavailable.
        """
        return (await self._submit(_Job((chain.line_of(record),))))[0]

    async def append_many(self, records: Iterable[Record], entries: Iterable[Suppression] = ()) -> tuple[int, ...]:
        """Write records, and journal the suppressions that follow from them, in one transaction, all or none.

        Among the records is one of each entry (`suppressed`), in their order.
        Raises RecordsUnavailable.
        """
        return await self._submit(_Job(tuple(map(chain.line_of, records)), refusals=tuple(entries)))

    async def journal_refusal(self, record: Record, entry: Suppression, answered_at: float | None = None) -> None:
        """Write a refusal and its record in one transaction; from its return on `pending` answers it in every process.

        One that is here and that nothing has answered yet is not written again:
        the time of its row moves on, so that no consent from before this moment
        lifts it, and the store is told again.  `answered_at` is up to when the
        store holds what was said to be answered; None, when it does not say,
        leaves the refusals that it does not have yet.

        Raises RecordsUnavailable.
        """
        await self._submit(_Job((chain.line_of(record),), Said(entry, answered_at)))

    async def handle(self, mail: Handled, records: Iterable[Record] = (), entries: Iterable[Suppression] = ()) -> None:
        """A collected mail takes effect and counts as handled, in one transaction: never one without the other.

        Raises RecordsUnavailable.
        """
        await self._submit(_Job(tuple(map(chain.line_of, records)), refusals=tuple(entries), handled=mail))

    async def marked(self, mail: Handled) -> None:
        """The mail and those before it are marked as read in their mailbox. Raises RecordsUnavailable."""
        await self._submit(_Job(marked=mail))

    async def applied(self, carried: Iterable[tuple[int, Suppression]]) -> None:
        """The store has these refusals: `pending` need not answer them any more, unless one was said again meanwhile.

        An entry with the store's number is told in a record `applied`, once for
        each number: carried over again it has the same, unless the store lost it.

        Raises RecordsUnavailable.
        """
        await self._submit(_Job(applied=tuple(carried)))

    def pending(self, digests: Iterable[bytes]) -> list[Suppression]:
        """The journalled refusals of these digests that the store does not have yet.

        Ask this before the store, never after: what the store gets in between
        is then seen by one of the two.

        Raises RecordsUnavailable.
        """
        wanted = tuple(digests)
        found: list[Suppression] = []
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            found += map(entry_of, self._read(_pending_of(len(part)), part))
        return found

    def take_pending(self, limit: int, after: int = 0) -> list[tuple[int, Suppression]]:
        """The oldest refusals that the store does not have yet, with their numbers, which are greater than `after`.

        Raises RecordsUnavailable.
        """
        rows = self._read(
            f"SELECT {ENTRY}, number FROM refusals WHERE applied_at IS NULL AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (after, limit),
        )
        return [(row[-1], entry_of(row)) for row in rows]

    def journalled(self, since: float, after: int, limit: int) -> list[tuple[int, Suppression]]:
        """Refusals last said at `since` or later, applied or not, in the order of their numbers.

        They name the number in the store that a record has told.
        Raises RecordsUnavailable.
        """
        rows = self._read(
            f"SELECT {ENTRY}, number FROM refusals WHERE {LAST_AT} >= ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (since, after, limit),
        )
        return [(row[-1], entry_of(row)) for row in rows]

    def person(self, mailbox_key: str) -> Person:
        """The person as a record names them, under the current generation."""
        return self._people(self.keys.records, mailbox_key)

    def check(self) -> None:
        """Raises RecordsUnavailable when mail must not flow: closed, removed, replaced, unreadable, disk nearly full."""
        if self._closed:
            raise RecordsUnavailable(_CLOSED)
        self._files.check()
        self.reader.read("SELECT 1 FROM meta LIMIT 1")
        self._check_room()

    async def aclose(self) -> None:
        """Write what waits, then let go of the files."""
        await self._commits.finish()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Let go of the files at once; what still waits is told that it was not written."""
        if not self._closed:
            self._closed = True
            self._commits.close()
            self._closing.close()

    def _submit(self, job: _Job) -> Coroutine[Any, Any, tuple[int, ...]]:
        return self._commits.submit(job)

    def _read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._closed:
            raise RecordsUnavailable(_CLOSED)
        self._files.check_main()
        return self.reader.read(statement, parameters)

    def _check_room(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._min_free:
            raise RecordsFull(f"{self._folder} has {free} octets left; [records] min_free asks for {self._min_free}")

    # The steps of a transaction that the records have of their own (`relay.commits.Medium`)

    def write(self, jobs: Sequence[_Job]) -> Sequence[tuple[int, ...] | RecordsUnavailable]:
        """Chain the records of all jobs; those that the nearly full disk does not allow are refused one by one."""
        refused = self._without_room(jobs)
        if not refused:
            return self._insert(jobs)
        written = iter(self._insert([job for job in jobs if job not in refused]))
        return [refused.get(job) or next(written) for job in jobs]

    def confirm(self) -> None:
        """Look at the files: what was committed to one that is gone was not written."""
        self._files.check()

    def told(self, fault: Exception) -> Exception:
        """RecordsUnavailable, unless it is a fault of ours."""
        if isinstance(fault, RecordsUnavailable):
            return type(fault)(str(fault))
        if isinstance(fault, Unserved):
            return RecordsUnavailable(str(fault))
        if isinstance(fault, sqlite3.Error | OSError):
            return RecordsUnavailable(f"{self.path}: the records cannot be written: {fault}")
        return fault

    def _without_room(self, jobs: Sequence[_Job]) -> dict[_Job, RecordsUnavailable]:
        """The jobs that the nearly full disk does not allow, with the fault for each."""
        try:
            self._check_room()
        except RecordsUnavailable as fault:
            return {job: fault for job in jobs if job.needs_room}
        return {}

    def _insert(self, jobs: Sequence[_Job]) -> list[tuple[int, ...]]:
        connection = self._connection
        seq, last = connection.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone() or (0, b"")
        last = last or chain.first_link(self.reader.chain)
        answers: list[tuple[int, ...]] = []
        rows: list[tuple[int, str, str, float, str, bytes]] = []
        people: list[tuple[bytes, int]] = []
        for job in jobs:
            first = seq + 1
            for line in self._lines(job) if job.said or job.applied else job.lines:
                seq, last = seq + 1, chain.following(last, line.body)
                rows.append((seq, line.id, line.kind.value, line.at, line.body, last))
                people += [(digest, seq) for digest in line.digests]
            answers.append(tuple(range(first, seq + 1)))
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO people VALUES (?, ?)", people)
        self._write_journal(connection, jobs)
        return answers

    def _lines(self, job: _Job) -> Iterator[Line]:
        """What is to be chained of this job; nothing of a refusal that was only said again."""
        if not job.said or not is_said_again(self._connection, job.said, job.lines[0].id):
            yield from job.lines
        yield from tell_applied(self._connection, job.applied, self._clock())

    def _write_journal(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
        applied = [(number, entry.last_at) for job in jobs for number, entry in job.applied]
        for job in jobs:
            if job.refusals:
                keep(connection, job.refusals, job.lines)
        if applied:
            now = self._clock()
            timeliness.write_applied(connection, applied, now)
            connection.execute("DELETE FROM refusals WHERE applied_at < ?", (now - REMEMBERED_SECONDS,))
        for job in jobs:
            if job.handled:
                collected.write_handled(connection, job.handled)
            if job.marked:
                collected.write_marked(connection, job.marked)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What `open` found; `closing` lets go of all of it."""

    turn: Turn
    connection: sqlite3.Connection
    log: WriteAheadLog
    reader: Reader
    files: Files
    closing: ExitStack


def _open(path: Path, keys: Keys) -> _Opened:
    with ExitStack() as stack:
        turn = stack.enter_context(closing(Turn(path.with_name(f"{path.name}.lock"))))
        turn.take()
        try:
            chain.prepare(path)
            connection = stack.enter_context(closing(chain.connect(path)))
            for pragma in WRITER_PRAGMAS:
                connection.execute(pragma)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the write-ahead log
            log = stack.enter_context(closing(WriteAheadLog(path, lambda: chain.connect(path), turn)))
            reader = stack.enter_context(Reader(path, keys))
            reader.check_end()
            files = Files(path)
        finally:
            turn.give_up()
        sync_folder(path.parent)
        return _Opened(turn, connection, log, reader, files, stack.pop_all())


@lru_cache(maxsize=501)
def _pending_of(digests: int) -> str:
    """The question about so many digests: the same text each time is one that SQLite has read already."""
    marks = ",".join("?" * digests)
    return f"SELECT {ENTRY} FROM refusals WHERE applied_at IS NULL AND digest IN ({marks})"  # noqa: S608 - column names


def _person(ring: Ring, mailbox_key: str) -> Person:
    return Person(ring.digest(mailbox_key), ring.seal(mailbox_key.encode(), ASSOCIATED))
