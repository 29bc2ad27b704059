"""What a store promises of how each stream's mail is received."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from relay.policy.cases.reputation import Feedback, Pause, Tally


class Reputation(Protocol):
    """How each stream's mail is received, and which streams are paused: shared by every worker and every node.

    `Ledger.finish` counts what leaves, by the UTC day on which it was settled.
    """

    async def paused(self) -> dict[str, Pause]:
        """The pauses in force, by stream."""
        ...

    async def pause(self, pause: Pause, counted_from: float | None = None) -> bool:
        """Pause a stream; False when it is paused already.

        `counted_from` is that of the tally which led to it: False too when the
        counts began anew meanwhile, because somebody resumed the stream.
        """
        ...

    async def resume(self, stream: str) -> Pause | None:
        """End the pause and return it, None when there is none; the stream's counts begin anew at this moment."""
        ...

    async def note(self, feedback: Sequence[Feedback]) -> None:
        """Keep what came back; the same thing twice is one, and what is about mail from before the counts began is nothing."""
        ...

    async def tallies(self, windows: Mapping[str, int]) -> dict[str, Tally]:
        """The counts of each stream in its window: so many UTC days, today among them."""
        ...
