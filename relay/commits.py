"""Commits that callers share: a thread waits for the lock and the disk, the event loop does everything else.

    loop     begin     some turns after the first job, open a transaction, if it is nobody else's turn
    thread   begin     else wait for the turn there
    loop     write     everything that waits, in one go; commit it to the page cache and give up the turn
    thread   sync      wait until the disk has it, if one of the jobs needs that; other processes write meanwhile
    loop     confirm   a last look, then every caller has its answer

A thread that computes beside a busy loop gets the interpreter lock late and
often, and every other process of the node would wait for it.  For the disk
nobody waits but those whose jobs it is to keep.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from relay.tasks import Alarm

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Job_contra = TypeVar("Job_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)

BUSY_SECONDS = 5.0  # for a stranger who holds SQLite's own lock without standing in line
_BUSY_PAUSE = 0.01
_GROUP = 500  # jobs in one commit
_UNKEPT = 1.0  # seconds until the disk has what nobody waits for
_WAITING = 50_000  # jobs that may wait; more mean that the disk does not keep up
TURNS = 12
"""Turns of the loop in which those come who are about to: messages that go together are a turn or two apart."""


class Unserved(Exception):
    """Nobody got to the job. `reason`: closed, crowded, late."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Medium(Protocol[Job_contra, Answer_co]):
    """What is written to. Each step may raise; then `abandon` follows and everybody in the group gets the fault."""

    def begin(self, *, wait: bool) -> bool:
        """Open a transaction; without `wait`, in the loop, False when that has to be waited for."""
        ...

    def write(self, jobs: Sequence[Job_contra]) -> Sequence[Answer_co | Exception]:
        """In the loop: an answer for each job; an exception among them is raised to its caller alone."""
        ...

    def commit(self) -> bool:
        """In the loop: end the transaction and give up the turn; whether `sync` is due even if nobody waits for it."""
        ...

    def sync(self) -> None:
        """In the thread: return when everything that was committed is on the disk."""

    def confirm(self) -> None:
        """In the loop: make sure that what was committed is where it belongs."""

    def abandon(self) -> None:
        """Leave nothing of an open transaction and give up the turn. Never raises."""

    def told(self, fault: Exception) -> Exception:
        """A fault of a step, or `Unserved`, as one caller may hear of it: an exception of its own."""
        ...


class _Waiting(Generic[Job, Answer]):
    __slots__ = ("durable", "future", "job", "late_at")

    def __init__(self, job: Job, durable: bool, future: "asyncio.Future[Answer]", late_at: float) -> None:
        self.job = job
        self.durable = durable
        self.future = future
        self.late_at = late_at

    def tell(self, answer: Answer | Exception) -> None:
        if self.future.done():  # the caller was cancelled or has lost patience
            return
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class Commits(Generic[Job, Answer]):
    """Takes jobs from one event loop and answers each when it is durable, or at least committed.

    `patience` are the seconds for one job, the waiting included.  With
    `for_absent`, a job whose caller went away before its turn is done all the
    same.
    """

    def __init__(self, medium: Medium[Job, Answer], name: str, *, patience: float, for_absent: bool) -> None:
        self._medium, self._name, self._patience, self._for_absent = medium, name, patience, for_absent
        self._waiting: deque[_Waiting[Job, Answer]] = deque()
        self._unanswered: deque[_Waiting[Job, Answer]] = deque()  # the oldest of them is not answered
        self._alarm = Alarm()  # for the oldest
        self._group: list[_Waiting[Job, Answer]] = []
        self._answers: Sequence[Answer | Exception] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_under_way = False
        self._is_closed = False
        self._idle: asyncio.Future[None] | None = None
        self._is_kept = True  # whether the disk has, or is about to have, all that was committed
        self._keeping: asyncio.TimerHandle | None = None
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"{name} writer", daemon=True)
        self._thread.start()

    async def submit(self, job: Job, *, durable: bool = True) -> Answer:
        """Hand in a job and wait for its answer.

        One that is not `durable` is answered when every process sees it: a
        power cut within the next second may take it back.
        Raises what the medium makes of a fault of its steps, or of `Unserved`;
        the job may be committed all the same then.
        """
        if self._is_closed:
            raise self._unserved("closed", "closed")
        if len(self._waiting) >= _WAITING:
            raise self._unserved("crowded", f"{_WAITING} jobs wait to be written: the disk does not keep up")
        self._loop = loop = asyncio.get_running_loop()
        waiting: _Waiting[Job, Answer] = _Waiting(job, durable, loop.create_future(), loop.time() + self._patience)
        if not self._unanswered:
            self._alarm.set(waiting.late_at, self._lose_patience)
        self._waiting.append(waiting)
        self._unanswered.append(waiting)
        if not self._is_under_way:
            self._is_under_way = True
            _after_turns(loop, self._start)
        return await waiting.future

    async def finish(self) -> None:
        """Take no more jobs and wait until the last one is answered."""
        self._is_closed = True
        if self._is_under_way:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await self._idle
        self._alarm.cancel()  # here, since `close` may run in a thread
        if self._keeping is not None:
            self._keeping.cancel()

    def close(self) -> None:
        """End the thread; who still waits is told that nothing was written."""
        self._is_closed = True
        self._steps.put(None)
        self._thread.join()
        self._medium.abandon()
        self._tell_all(self._unserved("closed", "closed before this was written"))

    def _lose_patience(self) -> None:
        now = asyncio.get_running_loop().time()
        while (oldest := self._oldest()) is not None and oldest.late_at <= now:
            oldest.tell(self._unserved("late", f"not written within {self._patience:g} s"))
        if oldest is not None:
            self._alarm.set(oldest.late_at, self._lose_patience)

    def _oldest(self) -> _Waiting[Job, Answer] | None:
        """Who has waited longest, all being equally patient."""
        while self._unanswered and self._unanswered[0].future.done():
            self._unanswered.popleft()
        return self._unanswered[0] if self._unanswered else None

    def _unserved(self, reason: str, text: str) -> Exception:
        return self._medium.told(Unserved(reason, f"{self._name}: {text}"))

    # In the thread

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _begin(self) -> None:
        try:
            self._medium.begin(wait=True)
        except Exception as fault:  # noqa: BLE001 - everybody is told, and the thread lives on
            self._fail(fault)
        else:
            self._hop(self._write)

    def _sync(self) -> None:
        try:
            self._medium.sync()
        except Exception as fault:  # noqa: BLE001 - everybody is told, and the thread lives on
            self._fail(fault)
        else:
            self._hop(self._confirm)

    def _fail(self, fault: Exception) -> None:
        self._medium.abandon()
        self._hop(lambda: self._conclude_all(fault))

    def _hop(self, step: Callable[[], None]) -> None:
        """Go on in the event loop."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(step)
        except RuntimeError:  # the loop has ended, and with it everybody who waited
            self._medium.abandon()
            self._group, self._is_under_way = [], False
            self._waiting.clear()

    # In the loop

    def _start(self) -> None:
        if not self._thread.is_alive():  # closed since this step was due
            return
        try:
            begun = self._medium.begin(wait=False)
        except Exception as error:  # noqa: BLE001 - everybody is told, and the next group may do better
            fault = error
            self._steps.put(lambda: self._fail(fault))
            return
        if begun:
            self._write()
        else:
            self._steps.put(self._begin)

    def _write(self) -> None:
        if not self._thread.is_alive():  # closed since this step was due
            return
        while self._waiting and len(self._group) < _GROUP:
            waiting = self._waiting.popleft()
            if self._for_absent or not waiting.future.done():
                self._group.append(waiting)
        try:
            self._answers = self._medium.write([waiting.job for waiting in self._group])
            is_due = self._medium.commit()
        except Exception as error:  # noqa: BLE001 - everybody is told, and the next group may do better
            fault = error
            self._steps.put(lambda: self._fail(fault))
        else:
            if is_due or any(waiting.durable for waiting in self._group):
                self._keep()
            else:
                self._keep_soon()
                self._confirm()

    def _keep(self) -> None:
        self._is_kept = True
        self._steps.put(self._sync)

    def _keep_soon(self) -> None:
        """Nobody waits for the disk now; it will have this within a second all the same."""
        self._is_kept = False
        if self._keeping is None and self._loop is not None:
            self._keeping = self._loop.call_later(_UNKEPT, self._keep_now)

    def _keep_now(self) -> None:
        self._keeping = None
        if self._is_kept or not self._thread.is_alive():
            return
        if self._is_under_way:  # the next look comes when it is over
            self._keep_soon()
            return
        self._is_under_way = True
        self._keep()

    def _confirm(self) -> None:
        try:
            self._medium.confirm()
        except Exception as fault:  # noqa: BLE001 - everybody is told, and the next group may do better
            self._conclude_all(fault)
            return
        for waiting, answer in zip(self._group, self._answers, strict=True):
            waiting.tell(answer)
        self._oldest()  # forget who is answered
        self._go_on()

    def _conclude_all(self, fault: Exception) -> None:
        """Those who came meanwhile would only meet the same fault."""
        self._tell_all(fault)
        self._go_on()

    def _tell_all(self, fault: Exception) -> None:
        for waiting in (*self._group, *self._waiting):
            waiting.tell(self._medium.told(fault))
        self._waiting.clear()

    def _go_on(self) -> None:
        self._group, self._answers = [], ()
        if self._waiting and self._loop is not None:
            _after_turns(self._loop, self._start)  # who was answered goes first
            return
        self._is_under_way = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


def begin_immediate(db: sqlite3.Connection, *, wait: bool) -> bool:
    """Open a write transaction on a connection whose busy timeout is 0, so that the event loop never waits.

    Without `wait`, False when somebody else holds the lock.  Raises sqlite3.Error.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if not wait:
                return False
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE)
        else:
            return True


def _after_turns(loop: asyncio.AbstractEventLoop, call: Callable[[], object], turns: int = TURNS) -> None:
    """Call it so many turns of the loop later: what they bring can go along, and an idle loop is through with each in 0.6 us."""
    if turns:
        loop.call_soon(_after_turns, loop, call, turns - 1)
    else:
        call()
