"""One writer thread per process that commits what waits together, and one queue for the writers of all processes.

SQLite's own waiting polls with growing sleeps and serves nobody in turn; a
lock file hands the turn over at once.
"""

import asyncio
import os
import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from relay.errors import RecordsUnavailable

if sys.platform != "win32":
    import fcntl

Job = TypeVar("Job")
Answer = TypeVar("Answer")

_GROUP = 500  # jobs in one commit
_WAITING = 50_000  # jobs that may wait; more mean that the disk does not keep up
_PATIENCE_SECONDS = 15.0  # for one commit, the waiting included


class Turn:
    """The lock file that writers of all processes queue on. Windows has no such queue: SQLite's own waiting serves there."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and keep it."""
        if sys.platform == "win32":
            yield
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


class Waiting(Generic[Job, Answer]):
    """A job and who waits for it."""

    __slots__ = ("future", "job", "loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.future: asyncio.Future[Answer] = loop.create_future()


class Writer(Generic[Job, Answer]):
    """Runs `commit(jobs) -> answers` in its thread, with all jobs that waited meanwhile in one call.

    When `commit` raises, every job of the group gets that fault; an answer that is an exception is raised to its caller.
    """

    def __init__(self, commit: Callable[[Sequence[Job]], Sequence[Answer | Exception]], name: str) -> None:
        self._commit = commit
        self._queue: queue.SimpleQueue[Waiting[Job, Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def submit(self, job: Job) -> Answer:
        """Hand in a job and wait for its answer.

        Raises what `commit` raised, or RecordsUnavailable when it takes too
        long; the job may be committed all the same then.
        """
        if self._queue.qsize() >= _WAITING:
            raise RecordsUnavailable(f"{_WAITING} records wait to be written: the disk does not keep up")
        waiting: Waiting[Job, Answer] = Waiting(job, asyncio.get_running_loop())
        self._queue.put(waiting)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await waiting.future
        except TimeoutError:
            raise RecordsUnavailable(f"the records were not written within {_PATIENCE_SECONDS:.0f} seconds") from None

    def close(self) -> None:
        """Commit what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, ended = self._drain(first)
            answers: Sequence[Answer | Exception]
            try:
                answers = self._commit([waiting.job for waiting in group])
            except Exception as fault:  # noqa: BLE001 - everybody in the group is told, and the thread lives on
                answers = [fault] * len(group)
            _tell(group, answers)
            if ended:
                return

    def _drain(self, first: Waiting[Job, Answer]) -> tuple[list[Waiting[Job, Answer]], bool]:
        group = [first]
        with suppress(queue.Empty):
            while len(group) < _GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    return group, True
                group.append(following)
        return group, False


def _tell(group: Sequence[Waiting[Job, Answer]], answers: Sequence[Answer | Exception]) -> None:
    """Wake each event loop once for all of its jobs."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | Exception]]] = defaultdict(list)
    for waiting, answer in zip(group, answers, strict=True):
        loops[waiting.loop].append((waiting.future, answer))
    for loop, pairs in loops.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: Sequence[tuple["asyncio.Future[Answer]", Answer | Exception]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
