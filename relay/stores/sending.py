"""What a store promises of the days on which streams send: a warm-up grows by them, on every worker and every node alike."""

from collections.abc import Sequence
from typing import Protocol

from relay.policy.cases.reputation import SendingDays


class Sending(Protocol):
    """Calendar days of the organisation on which a stream sent; callers say which day it is."""

    async def note_sending(self, stream: str, day: str) -> None:
        """The stream sends on this day ("2026-11-21"). The same day twice is one; one before the last is none.

        A power cut within the next second may take it back.
        """
        ...

    async def sending_days(self, streams: Sequence[str]) -> dict[str, SendingDays]:
        """The days of each of these streams; of one that never sent none."""
        ...
