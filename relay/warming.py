"""How far the warm-ups of streams are: learnt from the store, and told to it when a stream has sent."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from relay import telemetry
from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import SendingDays
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.stores.contracts import Store


class Warming:
    """One per worker."""

    def __init__(self) -> None:
        self._days: Mapping[str, SendingDays] = {}
        self._noted: dict[str, str] = {}

    def days(self, stream: Stream) -> SendingDays:
        """On how many days the stream has sent, as the store knew it a second ago; none while that is unknown."""
        return self._days.get(stream.name, SendingDays())

    async def learn(self, store: Store, policy: PolicySet) -> None:
        """Ask the store about the streams that warm up. Raises StoreUnavailable."""
        warming = [stream.name for stream in policy.streams if stream.limits.warm_up is not None]
        self._days = await store.sending_days(warming) if warming else {}

    async def ready(self, store: Store, policy: PolicySet, stream: Stream) -> None:
        """Ask now about a stream that nobody asked about yet: its first mail must not meet the limit of the first day."""
        if stream.limits.warm_up is None or stream.name in self._days:
            return
        with suppress(StoreUnavailable):  # which the mail's own question will meet too
            await self.learn(store, policy)

    async def note(self, store: Store, policy: PolicySet, stream: Stream, now: float) -> None:
        """Today is a day of sending for this stream. A store that is away hears it after the next mail."""
        if stream.limits.warm_up is None:
            return
        today = datetime.fromtimestamp(now, policy.zone).date().isoformat()
        if self._noted.get(stream.name) == today:
            return
        try:
            await store.note_sending(stream.name, today)
            await self.learn(store, policy)
        except StoreUnavailable as fault:
            telemetry.store_errors_total.labels(store.name, fault.reason).inc()
        else:
            self._noted[stream.name] = today
