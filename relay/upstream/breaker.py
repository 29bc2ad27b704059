"""When nobody connects: after failures in a row, until one copy has tried whether it works again.

The state is this process's own: each worker finds out for itself that an
upstream is down, which costs at most a few connections, and none of them has
to ask a store before it connects.
"""

from collections.abc import Callable

OPENS_AFTER = 5
"""Failures in a row after which nobody connects for a while."""

SHORTEST = 10.0
LONGEST = 600.0
"""Seconds until one copy tries: the shortest at first, twice as long after each probe that fails."""

PROBE_PATIENCE = 60.0
"""Seconds for a probe to say how it went; after that another one may try."""


class Breaker:
    """One thing that may be down: an upstream, or one identity there."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = 0.0
        self._closed_until = 0.0  # before that nobody may try

    @property
    def is_open(self) -> bool:
        """Whether nobody may connect but a probe."""
        return self._pause > 0

    def wait(self) -> float:
        """0 when the caller may connect, else the seconds until somebody may; a caller who may, is the probe of an open one."""
        if not self.is_open:
            return 0.0
        left = self._closed_until - self._clock()
        if left > 0:
            return left
        self._closed_until = self._clock() + PROBE_PATIENCE
        return 0.0

    def failed(self) -> bool:
        """Count a failure; whether this one opened the breaker."""
        self._failures += 1
        if self._failures < OPENS_AFTER:
            return False
        opens = not self.is_open
        if opens or self._closed_until - self._clock() <= PROBE_PATIENCE:
            self._pause = SHORTEST if opens else min(2 * self._pause, LONGEST)
            self._closed_until = self._clock() + self._pause
        return opens

    def worked(self) -> bool:
        """It works; whether this closed the breaker."""
        closes, self._failures, self._pause = self.is_open, 0, 0.0
        return closes
