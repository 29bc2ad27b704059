"""The way to a Redis server: one Function call per tick, answered within the budget or not at all.

Operations that wait in one turn of the event loop travel together.  Nothing is
sent twice: an answer that was lost may have been carried out, so its caller
hears `StoreUnavailable` and decides.  An operation whose caller has gone before
it was sent is not sent.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.data_files import data_file
from relay.errors import StoreUnavailable
from relay.stores.contracts import StoreMeta
from relay.stores.redis.address import clients_of, is_watched
from relay.tasks import spawn

Argument = bytes | str | int | float

_PARTS = (
    "step", "numbers", "consents", "suppressions", "limits", "reputation", "adaptations", "transfers", "lanes", "ledger", "held",
    "unfolding", "tick",
)  # fmt: skip
_SOURCE = "\n".join(data_file("relay.stores.redis", "functions", f"{part}.lua") for part in _PARTS)
_LIBRARY = f"relay_{hashlib.sha256(_SOURCE.encode()).hexdigest()[:12]}"  # versions of the relay live side by side
_META_KEY = "{relay}:meta"  # declares the one slot that every key is in

_MAX_IN_FLIGHT = 4  # calls on the way at a time, each on its own connection
_MAX_TOGETHER = 256  # operations in one call
_MAX_OCTETS = 1 << 18  # of bodies in one call, either way
_WHEN_FULL = frozenset({"finish", "settle", "refund", "update_held", "close", "drop_credentials"})
"""What ends something: what is said is smaller than what it makes needless, and unheard a mail would be sent twice."""
_WAIT_SECONDS = 0.2  # for a replica to have a refusal

_FAULTS = {
    "empty": "the Redis store is empty, but this relay has used it before: restore the backup",
    "foreign": "the Redis store belongs to another relay (its id differs from store.id in data_dir)",
    "schema": "the Redis store was written by another version of the relay",
    "keys": "the Redis store was written with keys that this node lacks: copy the key file of the node where they were made"
    " (`relay keys rotate`), or restore it from the backup",
}
_REFUSALS = {
    "NOREPLICAS": ("durability", "Redis has too few replicas to keep what it is told"),
    "MISCONF": ("disk", "Redis cannot write to its disk"),
}


class Answer(NamedTuple):
    """What one operation got: 1 and its answer, 2 and why it was refused, 0 and the fault."""

    state: int
    value: Any


@dataclass(slots=True, eq=False)
class _Waiting:
    name: str
    arguments: Sequence[Argument]
    on_replica: bool
    octets: int
    answer: asyncio.Future[Any]


class RedisLink:
    """Connections to one Redis, made when they are needed and again after a loss."""

    def __init__(self, url: str, timeout: float) -> None:
        """Prepare; nothing is connected yet.

        Raises ConfigurationError when the URL cannot be used.
        """
        self.has_replicas = is_watched(url)
        self._timeout = timeout
        self._client, self._sentinel = clients_of(url, timeout, _WAIT_SECONDS)
        self._identity: tuple[Argument, ...] = ("", 0, "")  # nobody: every store is foreign
        self._clock: Callable[[], float] | None = None
        self._queue: deque[_Waiting] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._is_scheduled = False
        self._is_closed = False

    def identify(self, meta: StoreMeta, clock: Callable[[], float] | None) -> None:
        """Say who the store must be; `clock` replaces the server's clock."""
        self._identity = _words_of(meta)
        self._clock = clock

    async def operate(self, name: str, arguments: Sequence[Argument], *, on_replica: bool = False, octets: int = 0) -> Any:
        """Carry out one operation of `functions`; `on_replica` waits until a replica has it too.

        `octets` is how much of a body it carries or asks for, where there is one.

        Raises StoreUnavailable, and ValueError when the operation was refused.
        """
        self._must_be_open()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Text that cannot be encoded must not spoil the call for the others in it.
        words = [word.encode("utf-8", "replace") if isinstance(word, str) else word for word in arguments]
        self._queue.append(_Waiting(name, words, on_replica and self.has_replicas, octets, future))
        self._schedule()
        answer: Answer
        try:
            async with asyncio.timeout(self._timeout + (_WAIT_SECONDS if on_replica and self.has_replicas else 0)):
                answer = await future
        except TimeoutError:
            raise _too_late(self._timeout) from None
        if answer.state == 1:
            return answer.value
        text = answer.value.decode(errors="replace")
        if answer.state == 2:
            raise ValueError(text)
        raise StoreUnavailable("schema", f"the Redis store cannot carry out {name}: {text}")

    async def verify(self) -> None:
        """Raise StoreUnavailable unless the store answers and is the one that was named."""
        async with self._budget():
            await self._tick([], on_replica=False)

    async def meta(self) -> StoreMeta | None:
        """Who the store says it is; None when it is empty.

        Raises StoreUnavailable.
        """
        async with self._budget():
            return _meta(await self._function("meta"))

    async def create(self, meta: StoreMeta) -> StoreMeta:
        """Name the store when it is nobody yet, and return who it is.

        Raises StoreUnavailable.
        """
        async with self._budget():
            made = _meta(await self._function("create", *_words_of(meta)))
        if made is None:
            raise StoreUnavailable("empty", "Redis does not keep what it is told")
        return made

    async def extend(self, fingerprints: Set[str]) -> None:
        """Add key generations to those that the store was written with.

        Raises StoreUnavailable.
        """
        async with self._budget():
            (fault,) = await self._function("extend", *self._identity, " ".join(sorted(fingerprints)))
            _believe(fault)

    async def settings(self) -> dict[str, str] | None:
        """The server's settings that durability hangs on; None where the server hides them.

        Raises StoreUnavailable.
        """
        wanted = ("maxmemory-policy", "appendonly", "appendfsync", "min-replicas-to-write")
        async with self._budget():
            try:
                found = await self._command("CONFIG", "GET", *wanted)
            except ResponseError:
                return None
        return {_text(name): _text(value) for name, value in zip(found[::2], found[1::2], strict=True)}

    async def state(self) -> dict[str, str]:
        """What the server says of its role and of its disk.

        Raises StoreUnavailable.
        """
        async with self._budget():
            role = await self._command("ROLE")
            info = await self._command("INFO", "persistence")
        return {"role": _text(role[0]), "aof_last_write_status": _text(info.get("aof_last_write_status", "ok"))}

    async def aclose(self) -> None:
        """Send what waits, await what is on its way, and disconnect."""
        self._is_closed = True
        self._send_waiting()
        while self._in_flight:
            await asyncio.wait(set(self._in_flight))
            self._send_waiting()
        await self._client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    def _must_be_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("unreachable", "the connection to Redis was closed")

    def _budget(self) -> "_Budget":
        self._must_be_open()
        return _Budget(self._timeout)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._send_waiting)

    def _send_waiting(self) -> None:
        self._is_scheduled = False
        while self._queue and len(self._in_flight) < _MAX_IN_FLIGHT:
            if together := self._next_together():
                task = spawn(self._send(together), "redis call")
                self._in_flight.add(task)
                task.add_done_callback(self._sent)

    def _next_together(self) -> list[_Waiting]:
        """Operations for one call; those that wait for a replica do not keep the others waiting."""
        together: list[_Waiting] = []
        octets = 0
        while self._queue and len(together) < _MAX_TOGETHER:
            octets += self._queue[0].octets
            if together and (self._queue[0].on_replica != together[0].on_replica or octets > _MAX_OCTETS):
                break
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                together.append(waiting)
        return together

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._queue:
            self._schedule()

    async def _send(self, together: list[_Waiting], function: str = "tick") -> None:
        """A Redis that is full refuses a call before it begins: then those go again that must be heard all the same."""
        on_replica = together[0].on_replica
        try:
            async with _Budget(self._timeout + (_WAIT_SECONDS if on_replica else 0)):
                answers = await self._tick(together, function, on_replica=on_replica)
        except StoreUnavailable as error:
            goes_again = error.reason == "memory" and function == "tick"
            again = [waiting for waiting in together if goes_again and waiting.name in _WHEN_FULL]
            for waiting in together:
                if waiting not in again and not waiting.answer.done():
                    waiting.answer.set_exception(StoreUnavailable(error.reason, str(error)))
            if again:
                await self._send(again, "tick_when_full")
            return
        for waiting, answer in zip(together, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _tick(self, together: Sequence[_Waiting], function: str = "tick", *, on_replica: bool) -> list[Answer]:
        words: list[Argument] = [*self._identity, repr(self._clock()) if self._clock else ""]
        for waiting in together:
            words += (waiting.name, len(waiting.arguments), *waiting.arguments)
        answers = await self._function(function, *words, on_replica=on_replica)
        _believe(answers[0])
        return [Answer(*answer) for answer in answers[1:]]

    async def _function(self, name: str, *words: Argument, on_replica: bool = False) -> Any:
        command = ("FCALL", f"{_LIBRARY}_{name}", 1, _META_KEY, *words)
        try:
            return await self._execute(command, on_replica)
        except ResponseError as error:
            if "unction not found" not in str(error):
                raise
        source = f'#!lua name={_LIBRARY}\nlocal LIBRARY = "{_LIBRARY}"\n{_SOURCE}'
        await self._command("FUNCTION", "LOAD", "REPLACE", source)
        return await self._execute(command, on_replica)

    async def _execute(self, command: tuple[Argument, ...], on_replica: bool) -> Any:
        if not on_replica:
            return await self._command(*command)
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(*command)
            pipeline.execute_command("WAIT", 1, int(_WAIT_SECONDS * 1000))
            answers, replicas = await pipeline.execute(raise_on_error=False)
        for answer in (answers, replicas):
            if isinstance(answer, Exception):
                raise answer  # in the server's words; the pipeline would put the command before them
        if replicas < 1:
            raise StoreUnavailable("durability", "no replica of Redis confirmed the entry; it is kept by the master only")
        return answers

    async def _command(self, *words: Argument) -> Any:
        try:
            return await self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except ReadOnlyError:  # demoted: look up the address anew for the next use
            await self._client.connection_pool.disconnect(inuse_connections=False)
            raise


class _Budget:
    """Everything inside is answered within the time, and every fault of it is a StoreUnavailable."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise _too_late(self._seconds) from None
        if isinstance(error, RedisTimeoutError | TimeoutError):
            raise _too_late(self._seconds) from None
        if isinstance(error, ResponseError):
            raise _refusal(error) from error
        if isinstance(error, RedisError | OSError) and not isinstance(error, StoreUnavailable):
            raise StoreUnavailable("unreachable", f"Redis cannot be reached: {error}") from error


def _words_of(meta: StoreMeta) -> tuple[Argument, ...]:
    return meta.store_id, meta.schema, " ".join(sorted(meta.fingerprints))


def _meta(answer: Sequence[bytes | None]) -> StoreMeta | None:
    name, schema, fingerprints = answer
    if name is None:
        return None
    return StoreMeta(name.decode(), int(schema or 0), frozenset((fingerprints or b"").decode().split()))


def _believe(fault: bytes) -> None:
    if fault != b"ok":
        raise StoreUnavailable(fault.decode(), _FAULTS[fault.decode()])


def _too_late(seconds: float) -> StoreUnavailable:
    return StoreUnavailable("timeout", f"Redis did not answer within {seconds * 1000:.0f} ms")


def _refusal(error: ResponseError) -> StoreUnavailable:
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable("memory", "Redis has used all of its maxmemory")
    if isinstance(error, ReadOnlyError):
        return StoreUnavailable("unreachable", "this Redis server is a replica and takes no writes")
    text = str(error)
    for word, (reason, meaning) in _REFUSALS.items():
        if text.startswith(word):
            return StoreUnavailable(reason, meaning)
    return StoreUnavailable("unreachable", f"Redis refused the command (the relay needs Redis 7.0 or later): {text}")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
