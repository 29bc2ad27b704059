"""Watch what is adapted because of upstreams' replies: write down what ended by itself, show the rest.

In the supervisor's process, once a second.  Of several nodes the store tells
one of the end, and that one writes the record.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from relay import telemetry
from relay.config import Config
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.ids import ENTROPY_OCTETS, new_id
from relay.records.adapted import adapted_record, person_in
from relay.records.append import Records
from relay.stores.adaptations import Adaptation, Kind
from relay.stores.contracts import Store

_log = logging.getLogger("relay.service")
WATCH_SECONDS = 1.0


class AdaptationWatch:
    """One per node. `known` is what the store said last."""

    def __init__(
        self,
        config: Config,
        records: Records,
        store: Callable[[], Store],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._names = [upstream.name for upstream in config.upstream]
        self._records = records
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._unrecorded: list[Adaptation] = []
        self.known: Sequence[Adaptation] = ()

    async def run(self) -> None:
        """Look for ever, whatever happens to store and records."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as fault:
                _log.debug("what is adapted cannot be looked up now: %s", fault)
            except RecordsUnavailable as fault:
                _log.warning("the end of an adaptation cannot be recorded: %s", fault)
            except Exception:  # noqa: BLE001 - this loop must not end
                _log.exception("watching what is adapted failed; trying again")
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Write down what ended, show what is in force. Raises StoreUnavailable and RecordsUnavailable."""
        store = self._store()
        self._unrecorded += await store.take_ended()
        self.known = await store.adaptations()
        self._show()
        while self._unrecorded:  # what the full disk did not take is tried again
            await self._record(self._unrecorded[0])
            del self._unrecorded[0]

    def remarks(self) -> list[str]:
        """What operators should know although mail flows."""
        pauses = (one for one in self.known if one.kind is Kind.PAUSE)
        return [f"marketing paused: upstream {one.upstream}: {one.said} (by {one.by})" for one in pauses]

    def _show(self) -> None:
        counts = Counter((one.upstream, one.kind) for one in self.known)
        telemetry.upstream_adapted.clear()  # an upstream that is no longer configured
        for name in {*self._names, *(upstream for upstream, _ in counts)}:
            for kind in Kind:
                telemetry.upstream_adapted.labels(name, kind.value).set(counts[name, kind])

    async def _record(self, ended: Adaptation) -> None:
        now, records = self._clock(), self._records
        record_id, person = new_id(now, self._entropy(ENTROPY_OCTETS)), person_in(records, ended)
        await records.append(adapted_record(record_id, now, ended, person, ended="time"))
        telemetry.event("upstream adaptation over", upstream=ended.upstream, kind=ended.kind.value, scope=ended.scope.value)
