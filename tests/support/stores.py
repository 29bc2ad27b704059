"""Fresh stores of both kinds for tests, and the values that go into them."""

import asyncio
import hashlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from relay.errors import StoreUnavailable
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import ORGANISATION, Digest, Reason, Suppression
from relay.policy.timing.limits import Charge, Window
from relay.stores.contracts import Store, StoreMeta
from relay.stores.ledger import ClearRequest, FirstTry, RowState, Settlement
from relay.stores.limits import Reserved
from relay.stores.redis.store import RedisStore
from relay.stores.sqlite import SQLiteStore

T = TypeVar("T")
META = StoreMeta("01JST0RE000000000000000000", 1, frozenset({"addresses:1:00112233aabbccdd", "tokens:1:ddccbbaa33221100"}))
START = 1_800_000_000.0
HALF_A_MINUTE = 30.0


async def new_sqlite(folder: Path, clock: Callable[[], float] | None, meta: StoreMeta = META) -> SQLiteStore:
    path = folder / "relay.db"
    SQLiteStore.create(path, meta)
    return SQLiteStore.open(path, meta, clock=clock)


PATIENT_MS = 10_000  # a busy test machine is no outage; the 200 ms budget has tests of its own


async def new_redis(url: str, clock: Callable[[], float] | None, meta: StoreMeta = META) -> RedisStore:
    """The server must be empty."""
    await RedisStore.create(url, meta, timeout_ms=PATIENT_MS)
    return await RedisStore.open(url, meta, clock=clock, timeout_ms=PATIENT_MS)


class _Died(Exception):
    pass


async def die_before(
    url: str, clock: Callable[[], float] | None, step: str, doing: Callable[[RedisStore], Awaitable[object]], number: int = 1
) -> None:
    """Another node on that server does something, and is gone before its operation of that name for the so manieth time."""
    dying: Any = await RedisStore.open(url, META, clock=clock, timeout_ms=PATIENT_MS)
    operate, begun = dying._link.operate, 0

    async def until_then(name: str, *arguments: Any, **options: Any) -> Any:
        nonlocal begun
        begun += name == step
        if begun == number:
            raise _Died
        return await operate(name, *arguments, **options)

    dying._link.operate = until_then
    with pytest.raises(_Died):
        await doing(dying)
    await dying.aclose()


@asynccontextmanager
async def a_store(request: pytest.FixtureRequest, folder: Path, clock: Callable[[], float] | None) -> AsyncIterator[Store]:
    """A fresh store of the kind that the fixture's parameter names."""
    opened: Store
    if request.param == "sqlite":
        opened = await new_sqlite(folder, clock)
    else:
        server = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        opened = await new_redis(server.url, clock)
    try:
        yield opened
    finally:
        await opened.aclose()


def digest(name: object) -> Digest:
    return hashlib.sha256(str(name).encode()).digest()[:16]


ADA, BOB, EVE = digest("ada"), digest("bob"), digest("eve")


def refusal(who: Digest = ADA, reason: Reason = Reason.UNSUBSCRIBE, at: float = START - 100, **facts) -> Suppression:
    facts.setdefault("scope", ORGANISATION)
    facts.setdefault("origin", "one_click")
    return Suppression(who, reason=reason, at=at, **facts)


def consent(who: Digest = ADA, at: float = START - 10, number: int = 1, **facts) -> ConsentEvent:
    event = facts.pop("event", "granted")
    told = facts.pop("evidence", "signed form of 2027-01-14")
    facts.setdefault("purpose", "marketing:news")
    return ConsentEvent(f"01JCONSENT{number:016d}", who, b"sealed", event, at, START, told, "Wang Min", **facts)


def charge(count: int, unit: float = 60.0, key: object = "limit", units: int = 1, name: str = "") -> Charge:
    """A sliding limit: `count` in `unit` seconds."""
    return Charge(digest(key), Window(count, unit), units, name or f"{count}/{unit:g}s")


def day_charge(count: int, day: str, ends: float, key: object = "limit", units: int = 1) -> Charge:
    return Charge(digest(key), Window(count, 86400.0, day, ends), units, f"{count}/day")


def first_try(number: int = 1, at: float = START) -> FirstTry:
    return FirstTry(f"01JTRY{number:020d}", at, "Fri, 15 Jan 2027 08:00:00 +0000", f"<{number}@relay.example.com>")


def request(
    who: Digest = ADA, *charges: Charge, scopes: tuple[str, ...] = (ORGANISATION,), reasons=frozenset(Reason), may_repeat=False
) -> ClearRequest:
    return ClearRequest(who, (who,), scopes, reasons, charges, may_repeat=may_repeat)


def delivered(who: Digest, reservation: str = "", submission_id: str = "") -> Settlement:
    return Settlement(who, RowState.DELIVERED, "250 2.0.0 OK", reservation, submission_id)


async def fill(store: Store, limit: Charge, times: int) -> None:
    """Use up a limit: reserve and settle it."""
    for _ in range(times):
        reserved = await store.reserve([limit], HALF_A_MINUTE)
        assert isinstance(reserved, Reserved), reserved
        await store.settle(reserved.id)


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the store is unavailable, as a client's retries would."""
    for _ in range(100):
        try:
            return await attempt()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
    return await attempt()


@contextmanager
def largest_file(octets: int) -> Iterator[None]:
    """No file of this process may grow beyond that: the fault that a full disk is.

    It must be over when the test is: the file that pytest writes its own lines to may be larger.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
