"""When nobody connects: after failures in a row, until one copy has tried whether it works again.

The state is this process's own: each worker finds out for itself that an
upstream is down, which costs a few connections, and none of them has to ask a
store before it connects.
"""

from collections.abc import Callable

OPENS_AFTER = 5
"""Failures in a row after which nobody connects for a while."""

SHORTEST = 10.0
LONGEST = 600.0
"""Seconds until a copy tries: at first, and at most; twice as long after each one that fails."""

PROBE_PATIENCE = 60.0
"""Seconds for that copy to say how it went; after them another one may try."""


class Breaker:
    """One thing that may be down: an upstream, or the logins of one identity there."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = 0.0  # 0: closed, everybody may connect
        self._tries_at = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether nobody may connect but one copy that tries."""
        return self._pause > 0

    def wait(self) -> float:
        """0 when the caller may connect, else seconds until somebody may; who may while it is open is the one that tries."""
        if not self.is_open:
            return 0.0
        left = self._tries_at - self._clock()
        if left > 0:
            return left
        self._is_probing, self._tries_at = True, self._clock() + PROBE_PATIENCE
        return 0.0

    def failed(self) -> None:
        """Count a failure. Of those that began before it opened, none makes the wait longer."""
        self._failures += 1
        if self._failures < OPENS_AFTER or (self.is_open and not self._is_probing):
            return
        self._pause = min(2 * self._pause, LONGEST) if self.is_open else SHORTEST
        self._is_probing, self._tries_at = False, self._clock() + self._pause

    def worked(self) -> None:
        """It works: everybody may connect."""
        self._failures, self._pause, self._is_probing = 0, 0.0, False


class Breakers:
    """Those of one upstream: its own, and one for each identity whose logins fail."""

    MOST = 1000  # identities; the one that failed first goes first

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._site = Breaker(clock)
        self._identities: dict[str, Breaker] = {}

    @property
    def open(self) -> int:
        """How many are open."""
        return self._site.is_open + sum(breaker.is_open for breaker in self._identities.values())

    def wait(self, identity: str) -> float:
        """0 when this identity may connect now, else seconds."""
        own = self._identities.get(identity)
        return (own.wait() if own else 0.0) or self._site.wait()

    def failed(self) -> None:
        """The upstream gave no connection, or nothing but silence or 421."""
        self._site.failed()

    def login_failed(self, identity: str) -> None:
        """The upstream could not check this identity's login."""
        own = self._identities.pop(identity, None) or Breaker(self._clock)
        self._identities[identity] = own
        own.failed()
        while len(self._identities) > self.MOST:
            del self._identities[next(iter(self._identities))]

    def worked(self, identity: str) -> None:
        """The upstream took this identity's login, or answered its mail."""
        self._site.worked()
        self._identities.pop(identity, None)
