"""Watch how each stream's mail is received: count what came back, warn, pause; and how much of the upstreams' limits is used.

In the supervisor's process, once a second.  Every node does the same with the
same counts; the store lets one of them pause a stream, and that one writes
the record.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from relay import telemetry
from relay.config import Config
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.cases.transfers import Category
from relay.policy.deciding.charges import upstream_charges
from relay.policy.deciding.thresholds import PAUSABLE, Excess, excesses
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.standing import this_year, transfer_thresholds
from relay.policy.timing.limits import parse_limit
from relay.records.append import Records
from relay.records.feedback import FeedbackLog
from relay.records.kinds import Record
from relay.records.paused import paused_record
from relay.stores.contracts import Store

_log = logging.getLogger("relay.service")
WATCH_SECONDS = 1.0
_MEASURES = (Measure.COMPLAINTS, Measure.HARD_BOUNCES)


class ReputationWatch:
    """One per node. `pauses` is what the store said last."""

    def __init__(
        self,
        config: Config,
        keys: Keys,
        records: Records,
        store: Callable[[], Store],
        policy: Callable[[], PolicySet],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._config = config
        self._keys = keys
        self._records = records
        self._store = store
        self._policy = policy
        self._clock = clock
        self._entropy = entropy
        self._feedback = FeedbackLog(records.reader)
        self._unrecorded: list[Record] = []
        self._told: set[tuple[str, Measure]] = set()
        self.pauses: Mapping[str, Pause] = {}

    async def run(self) -> None:
        """Look for ever, whatever happens to store and records."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as fault:
                self._feedback.begin_anew()  # nobody knows what the store went through
                _log.debug("streams cannot be judged now: %s", fault)
            except RecordsUnavailable as fault:
                _log.warning("what came back cannot be read, or a pause not be recorded: %s", fault)
            except Exception:  # noqa: BLE001 - this loop must not end
                self._feedback.begin_anew()
                _log.exception("judging the streams failed; trying again")
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Count what is new and act on it. Raises StoreUnavailable and RecordsUnavailable."""
        store, streams = self._store(), self._policy().streams
        for page in self._feedback.pages(self._clock()):
            await store.note(page)
        tallies = await store.tallies({stream.name: stream.thresholds.window for stream in streams})
        pauses = await store.paused()
        over = {stream.name: list(excesses(tallies[stream.name], stream.thresholds)) for stream in streams}
        for stream in streams:
            if stream.name not in pauses and (pause := self._due(stream, over[stream.name])):
                await self._pause(store, pause, tallies[stream.name])
                pauses = await store.paused()
        self.pauses = pauses
        self._show(tallies, over)
        await self._show_limits(store)
        await self._show_transfers(store)
        await self._write_down()

    def _due(self, stream: Stream, over: list[Excess]) -> Pause | None:
        """The pause that a stream has earned."""
        if stream.purpose not in PAUSABLE or not over or not over[0].pauses:
            return None
        return Pause(stream.name, self._clock(), "relay", over[0].measure, over[0].text, over[0].text_zh)

    async def _pause(self, store: Store, pause: Pause, tally: Tally) -> None:
        if await store.pause(pause, tally.counted_from):
            self._unrecorded.append(paused_record(new_id(pause.at, self._entropy(ENTROPY_OCTETS)), pause.at, pause, tally))
            telemetry.event("stream paused", stream=pause.stream, measure=pause.measure.value, reason=pause.reason)

    async def _write_down(self) -> None:
        """What the full disk did not take is tried again: the stream is paused all the same. Raises RecordsUnavailable."""
        while self._unrecorded:
            await self._records.append(self._unrecorded[0])
            del self._unrecorded[0]

    async def _show_limits(self, store: Store) -> None:
        now, policy = datetime.fromtimestamp(self._clock(), UTC), self._policy()
        for upstream in self._config.upstream:
            charges = upstream_charges(policy, upstream.name, upstream.limits, now, self._keys.addresses.lasting_digest)
            for limit, charge, used in zip(upstream.limits, charges, await store.used(charges), strict=True):
                unit = parse_limit(limit).unit
                telemetry.upstream_limit_used.labels(upstream.name, unit).set(used / charge.window.count)

    async def _show_transfers(self, store: Store) -> None:
        """Where no rule counts, there is nothing to show."""
        policy = self._policy()
        now = datetime.fromtimestamp(self._clock(), policy.zone)
        limits = transfer_thresholds(policy, now.date())
        telemetry.transfer_persons_below.clear()
        for one in reversed(limits):  # of several for one ground the lowest stays
            telemetry.transfer_persons_below.labels(one.category.value, one.basis).set(one.below)
        if not policy.organisation.transfer or not any(stream.counting for stream in policy.streams):
            telemetry.transfer_persons.clear()
            return
        counted = this_year(policy, await store.transfer_years(), now.date())
        for category in Category:
            telemetry.transfer_persons.labels(category.value).set(counted.persons(category))

    def _show(self, tallies: Mapping[str, Tally], over: Mapping[str, list[Excess]]) -> None:
        for gauge in (telemetry.stream_paused, telemetry.stream_sent, telemetry.stream_ratio, telemetry.stream_warning):
            gauge.clear()  # a stream that is no longer in the policy
        for name, tally in tallies.items():
            telemetry.stream_paused.labels(name).set(name in self.pauses)
            telemetry.stream_sent.labels(name).set(tally.sent)
            for measure in _MEASURES:
                telemetry.stream_ratio.labels(name, measure.value).set(tally.ratio(measure))
                telemetry.stream_warning.labels(name, measure.value).set(any(one.measure is measure for one in over[name]))
        found = {(name, excess.measure): excess for name, some in over.items() for excess in some}
        for name, measure in found.keys() - self._told:
            telemetry.event("stream over threshold", stream=name, reason=found[name, measure].text)
        self._told = set(found)
