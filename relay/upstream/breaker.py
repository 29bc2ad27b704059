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

    def left(self) -> float:
        """0 when somebody may connect, else seconds until one may."""
        return max(0.0, self._tries_at - self._clock()) if self.is_open else 0.0

    def begin(self) -> None:
        """Somebody who may connect does so; while it is open that is the one that tries."""
        if self.is_open:
            self._is_probing, self._tries_at = True, self._clock() + PROBE_PATIENCE

    def learnt_nothing(self) -> None:
        """The one that tried found out nothing: the next who comes may try."""
        if self._is_probing:
            self._is_probing, self._tries_at = False, self._clock()

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
        """0 when this identity may connect now, else seconds. It does so at once: while one is open it is the one that tries."""
        concerned = self._of(identity)
        left = max(breaker.left() for breaker in concerned)
        if left == 0:
            for breaker in concerned:
                breaker.begin()
        return left

    def learnt_nothing(self, identity: str) -> None:
        """This identity was let connect, and that says nothing of the upstream: its login was refused, or it gave up."""
        for breaker in self._of(identity):
            breaker.learnt_nothing()

    def _of(self, identity: str) -> list[Breaker]:
        own = self._identities.get(identity)
        return [self._site, own] if own else [self._site]

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
