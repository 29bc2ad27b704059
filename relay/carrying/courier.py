"""The courier: takes what is held and due, so much at a time as it can carry, and lets nothing wait that may go first.

One per worker process.  It claims copies under a lease, no more than it has
hands for, so that a claim is never far away: what has a higher priority is in
the next one.  The copies of one message go together (`relay.carrying.resumption`).

Copies that leave with the same login share as many places as it may have
connections; in line for them, too, the higher priority goes first.  What its
lane has to wait for since it was claimed is put off without being tried.

A worker that dies loses its leases in time and nothing else.  A store that is
away is waited for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from weakref import WeakValueDictionary

from relay import telemetry
from relay.bounced import Outcomes
from relay.carrying.account_watch import AccountWatch
from relay.carrying.resender import Resender
from relay.carrying.resumption import Resumption
from relay.config import Config
from relay.errors import StoreUnavailable
from relay.holding.custody import Custody
from relay.pipeline import Line
from relay.policy.suppressions.suppression import Digest
from relay.reporting import Reporter
from relay.stores.contracts import Store
from relay.stores.held import HeldCopy, HeldUpdate
from relay.tasks import Places, spawn

_log = logging.getLogger("relay.carrying")
HANDS = 32
"""Copies in hand at a time: what is claimed before a limit is found to be reached is claimed in vain."""

POLL_SECONDS = 1.0
IN_LINE_SECONDS = 10.0
"""What stood in line for a place longer than that is given back, for others to carry."""

_TURN_SLACK = 8.0
Resume = Callable[[Sequence[HeldCopy], float], Awaitable[None]]
"""Takes claimed copies of one message as far as they get; the loop's time at which they were claimed."""


class Courier:
    """`store` may be replaced while it runs; `turn` are the seconds that a copy takes at most, `width` the places of a login.

    `prepare` comes before each claim, and frees what may be due.
    """

    def __init__(
        self, store: Store, resume: Resume, *, prepare: Callable[[], Awaitable[object]], turn: float, width: int
    ) -> None:
        self.store = store
        self._resume = resume
        self._prepare = prepare
        self._turn = turn
        self._places: WeakValueDictionary[Digest, Places] = WeakValueDictionary()
        self._width = width
        self._woken = asyncio.Event()
        self._is_closing = False
        self._is_away = False
        self._in_hand: dict[asyncio.Task[None], int] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to claim."""
        self._running = spawn(self._run(), "courier")

    def wake(self) -> None:
        """Something may be due that was not a moment ago."""
        self._woken.set()

    async def aclose(self, seconds: float) -> None:
        """Claim no more; finish what is in hand. What is not finished by then keeps its lease, and comes again when that ends."""
        self._is_closing = True
        self.wake()
        if self._running is not None:
            await self._running
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self) -> None:
        while not self._is_closing:
            self._woken.clear()
            free = HANDS - sum(self._in_hand.values())
            claimed = await self._claimed(free) if free > 0 else []
            for copies in _by_message(claimed):
                task = spawn(self._carry(copies), f"held {copies[0].message}")
                self._in_hand[task] = len(copies)
                task.add_done_callback(self._put_down)
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()

    async def _claimed(self, most: int) -> list[HeldCopy]:
        try:
            await self._prepare()
            claimed = await self.store.claim(most, self._turn + IN_LINE_SECONDS)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()
            if not self._is_away:
                telemetry.event(
                    "courier waits", level=logging.WARNING, store=self.store.name, reason=fault.reason, text=str(fault)
                )
            self._is_away = True
            return []
        except Exception:  # noqa: BLE001 - a fault of ours must not end the courier of this process
            _log.exception("held mail cannot be claimed")
            return []
        if self._is_away:
            telemetry.event("courier goes on", store=self.store.name)
        self._is_away = False
        return claimed

    async def _carry(self, copies: Sequence[HeldCopy]) -> None:
        loop, owner = asyncio.get_running_loop(), copies[0].owner
        claimed_at = loop.time()
        places = self._places.get(owner)
        if places is None:
            places = self._places[owner] = Places(self._width)
        try:
            async with places.place(min(copy.lane.priority for copy in copies)):
                if loop.time() - claimed_at > IN_LINE_SECONDS:  # its lease would end on the way
                    await self.store.update_held([HeldUpdate(copy, copy) for copy in copies])
                else:
                    await self._resume(copies, claimed_at)
        except StoreUnavailable as fault:  # the leases end by themselves
            telemetry.store_errors_total.labels(self.store.name, fault.reason).inc()

    def _put_down(self, task: asyncio.Task[None]) -> None:
        del self._in_hand[task]
        self.wake()


def _by_message(copies: Iterable[HeldCopy]) -> list[list[HeldCopy]]:
    """The copies of each message, in the order in which they were claimed."""
    found: dict[str, list[HeldCopy]] = {}
    for copy in copies:
        found.setdefault(copy.message, []).append(copy)
    return list(found.values())


def new_courier(
    line: Line, outcomes: Outcomes, custody: Custody, *, clock: Callable[[], float], entropy: Callable[[int], bytes]
) -> Courier:
    """The courier of a process whose mail takes this line."""
    reporter = Reporter(keys=line.keys, records=line.records, dispatcher=line.dispatcher, clock=clock)
    resender = Resender(line, reporter, custody, clock=clock, entropy=entropy)
    config, upstreams, turn = line.config, line.upstreams, longest_turn(line.config)
    resumption = Resumption(
        line, resender, custody, outcomes,
        lease=turn + IN_LINE_SECONDS, clock=clock, random=lambda: int.from_bytes(entropy(4)) / 2**32,
    )  # fmt: skip
    widths = [
        upstream.max_connections_per_identity or upstreams.profile(upstream.name).max_connections_per_identity
        for upstream in config.upstream
    ]
    watch = AccountWatch(upstreams, custody, clock)
    courier = Courier(line.store, resumption.resume, prepare=watch.look, turn=turn, width=max(widths))
    resumption.wake = courier.wake
    return courier


def longest_turn(config: Config) -> float:
    """Seconds after which a copy that had a place is answered for, or its worker is dead.

    A large message to a slow upstream may take longer.  Then another worker finds in the ledger that it is leaving.
    """
    return config.delivery.patience + 2 * config.delivery.past_dot + _TURN_SLACK
