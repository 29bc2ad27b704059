"""Bring a suppression list of any size into the store, in bounded memory, while mail goes on.

    parts of the list -> processes: rows, mailboxes, digests -> a file without a name -> rows in the order of the store

A store takes rows in the order of their digests many times as fast as in that of the list, so up to a million are
set aside first.  An import that ends early, however it does, leaves what the store has recorded; the next one of the
same list records the rest.
"""

import asyncio
import errno
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from relay.cli.digesting import BUCKETS, LENGTH_OCTETS, Digested, Digester, framed, unpacked
from relay.cli.lists import Faults, ListFile
from relay.cli.output import UNREACHABLE, USAGE, fail
from relay.stores.contracts import Store
from relay.stores.formats import Part, parts_of
from relay.stores.suppressions import EntryRow
from relay.tasks import spawn

_SET_ASIDE = 1_000_000  # rows: the store is written in one pass for as many
_STEP = 4000  # rows handed to the store at once
_ALONE = 4  # parts of a list that is so short that no process is started for it
_MOST_PROCESSES = 4  # one process writes, and cannot keep up with more
_AHEAD = 2  # parts that wait for each process
_ANSWER = 8 * 2**20  # octets of an answer that wait to be read


@dataclass
class Tally:
    """What became of the rows."""

    formats: set[str] = field(default_factory=set)
    rows: int = 0  # that name a mailbox
    new: int = 0
    written: int = 0  # handed to the store
    left_out: int = 0  # that are no suppression
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "formats": sorted(self.formats), "reasons": dict(self.reasons)}

    def add(self, done: Digested) -> int:
        """Count a part; how many rows it has."""
        rows = done.reasons.total()
        self.rows += rows
        self.left_out += done.left_out
        self.rejected += len(done.faults)
        self.formats |= done.formats
        self.reasons += done.reasons
        return rows


Write = Callable[[Sequence[EntryRow]], Awaitable[int]]


async def import_rows(digester: Digester, source: ListFile, folder: Path, tally: Tally, faults: Faults, write: Write) -> None:
    """Read a list and hand its rows on to `write`, which says how many were new; what waits meanwhile is in `folder`.

    `tally` is true at every moment, so also when this is interrupted.
    """
    unexplained: int | None = None
    pouring: _Pouring | None = None
    with _room_in(folder), ExitStack() as files:
        aside = _SetAside(files.enter_context(TemporaryFile(dir=folder)))
        try:
            async with aclosing(_digested(parts_of(source, digester.defaults.format), digester)) as parts:
                async for done in parts:
                    aside.add(done.buckets, tally.add(done))
                    for fault in done.faults:
                        faults.add(fault)
                    if aside.rows >= _SET_ASIDE:
                        await _ended(pouring)
                        pouring = spawn(_pour_beside(aside, source, tally, write), "writing the list")
                        aside = _SetAside(files.enter_context(TemporaryFile(dir=folder)))
                    if (unexplained := done.unexplained) is not None:
                        break
            await _ended(pouring)
            await _pour(aside, source, tally, write)
        finally:
            if pouring:
                pouring.cancel()
    if unexplained is not None:
        fail(
            USAGE,
            f"第 {unexplained} 行：该名单未写明原因，请用 --reason 指明",
            f"line {unexplained}: this list does not say why; say it with --reason",
        )


async def count_new(store: Store, rows: Sequence[EntryRow]) -> int:
    """How many of these the store does not have in force; what --dry-run asks instead of writing."""
    found = await store.find([(bytes(row[0]),) for row in rows])
    pairs = zip(rows, found, strict=True)
    return sum(row[1:3] not in {(entry.scope, entry.reason) for entry in there} for row, there in pairs)


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """End the command when the disk has no room for what is set aside."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        fail(
            UNREACHABLE,
            f"{folder}：磁盘已满，无法暂存名单；请腾出空间后再次运行本命令，已写入的不受影响",
            f"{folder}: the disk is full, nothing can be set aside; make room and run the command again, what was written stays",
        )


class _SetAside:
    """Rows on the disk, out of which they come in the order of their digests, and those of one digest in that of the list.

    Nobody else can open the file, and it is gone with this process.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.rows = 0
        self._file = file
        self._places: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]

    def add(self, buckets: list[bytes], rows: int) -> None:
        for places, octets in zip(self._places, buckets, strict=True):
            places.append((self._file.tell(), len(octets)))
            self._file.write(octets)
        self.rows += rows

    def steps(self) -> Iterator[list[EntryRow]]:
        """All rows, and the end of the file."""
        held: list[EntryRow] = []
        with self._file as file:
            for places in self._places:
                fresh: list[EntryRow] = []
                for at, length in places:
                    file.seek(at)
                    fresh += unpacked(file.read(length))
                held += sorted(fresh, key=_digest_of)
                whole = len(held) - len(held) % _STEP
                yield from (held[i : i + _STEP] for i in range(0, whole, _STEP))
                del held[:whole]
        if held:
            yield held


def _digest_of(row: EntryRow) -> bytes:
    return bytes(row[0])  # compared in a third of the time of a bytearray


async def _pour(aside: _SetAside, source: ListFile, tally: Tally, write: Write) -> None:
    for rows in aside.steps():
        tally.new += await write(rows)
        tally.written += len(rows)
        source.written(len(rows) / tally.rows)


_Pouring = asyncio.Task[Exception | None]


async def _pour_beside(aside: _SetAside, source: ListFile, tally: Tally, write: Write) -> Exception | None:
    """`_pour` while the next rows are read; who waits for the end hears of a fault (`_ended`)."""
    try:
        await _pour(aside, source, tally, write)
    except Exception as fault:  # noqa: BLE001 - nobody waits yet
        return fault
    return None


async def _ended(pouring: _Pouring | None) -> None:
    if pouring and (fault := await pouring):
        raise fault


# Processes -----------------------------------------------------------------------------------------------------------


async def _digested(parts: Iterator[Part], digester: Digester) -> AsyncGenerator[Digested, None]:
    """What became of each part, in their order."""
    first = list(islice(parts, _ALONE))
    if len(first) < _ALONE:
        for part in first:
            yield digester.digest(part)
        return
    async with _processes(min(os.cpu_count() or 1, _MOST_PROCESSES), digester) as processes:
        asked: deque[Process] = deque()
        for part, process in zip(chain(first, parts), cycle(processes), strict=False):
            if len(asked) == len(processes) * _AHEAD:
                yield await _answer_of(asked.popleft())
            _tell(process, part)
            asked.append(process)
        while asked:
            yield await _answer_of(asked.popleft())


@asynccontextmanager
async def _processes(number: int, digester: Digester) -> AsyncIterator[list[Process]]:
    processes: list[Process] = []
    command = (sys.executable, "-P", "-m", "relay.cli.digesting")  # -P: the folder we are in is nobody's library
    try:
        for _ in range(number):
            processes.append(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_ANSWER))
            _tell(processes[-1], digester)
        yield processes
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
            if process.stdin is not None:
                process.stdin.close()
            await process.communicate()


def _tell(process: Process, message: object) -> None:
    """Hand a message over; it is never waited for, since at most `_AHEAD` parts are on their way."""
    if process.stdin is not None:
        process.stdin.write(framed(message))


async def _answer_of(process: Process) -> Digested:
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    try:
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_OCTETS), "little")
        answer: Digested = unpacked(await process.stdout.readexactly(length))
    except asyncio.IncompleteReadError:
        code = await process.wait()
        fail(
            UNREACHABLE,
            f"读取名单的一个进程意外结束（{code}）；请再次运行本命令，已写入的不受影响",
            f"a process that read the list ended early ({code}); run the command again, what was written stays",
        )
    return answer
