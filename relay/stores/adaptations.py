"""What the relay does for a time because of what an upstream replied: known to every worker and every node.

An adaptation never changes once it is made: what it asks for at a moment is a
function of that moment (`rate_at`).  Each ends by itself at `until`, but a
pause, which a person ends.  A stronger one takes the place of the one before.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

import orjson

from relay.policy.suppressions.suppression import Digest

NEVER = math.inf
"""Ends at no time by itself: a person must end it."""

MOST = 1000
"""Adaptations in force at a time; further ones are not kept."""

RECOVERY_SECONDS = 600.0
RECOVERY = 1.25
"""A lowered rate grows by a quarter every ten minutes."""


class Kind(StrEnum):
    """What is done; the label of `relay_upstream_adapted`."""

    REST = "rest"  # nothing of the scope leaves until then
    RATE = "rate"  # so many recipients a minute, more with time
    RECIPIENTS = "recipients"  # so many recipients of one mail
    PAUSE = "pause"  # marketing waits until a person resumes it


class Scope(StrEnum):
    """What is adapted, at one upstream."""

    IDENTITY = "identity"  # the mail of one login
    UPSTREAM = "upstream"  # everything
    DOMAIN = "domain"  # mail to one recipient domain


LEAST_STEP = {Kind.REST: 60.0, Kind.RATE: 60.0, Kind.RECIPIENTS: 1.0, Kind.PAUSE: 1.0}
"""By how much more weight a new adaptation must have than the one in force: ten refusals of one moment are one."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One thing that is done.

    `key` stands for kind, upstream, scope, what exactly is adapted, and `login`; `sealed` names the identity or the
    domain for people who may see it, empty for a whole upstream.  `value`: of a rate the recipients a minute at `since`,
    else the recipients of one mail.  `login` is set on a rest that binds one password only, because it was refused.
    `reply_class` and `said` are of the reply that caused it, or "manual" and what the person wrote.
    """

    key: Digest
    kind: Kind
    upstream: str
    scope: Scope
    sealed: bytes
    since: float
    until: float
    value: int = 0
    login: bytes = b""
    reply_class: str = ""
    said: str = ""
    by: str = "relay"

    @property
    def weight(self) -> float:
        """What makes a new one stronger than the one in force: a later end, a fresh halving, fewer recipients."""
        match self.kind:
            case Kind.REST:
                return self.until
            case Kind.RATE:
                return self.since
            case Kind.RECIPIENTS:
                return -float(self.value)
            case Kind.PAUSE:
                return 0.0

    def is_in_force(self, now: float) -> bool:
        return now < self.until

    def outdoes(self, other: "Adaptation") -> bool:
        """Whether this one takes the place of the other, which is in force under the same key."""
        return self.weight >= other.weight + LEAST_STEP[self.kind]


_OCTETS = ("key", "sealed", "login")


def adaptation_key(
    digest: Callable[[str], Digest], kind: Kind, upstream: str, scope: Scope, name: str, login: bytes = b""
) -> Digest:
    """What an adaptation is kept under; NUL cannot stand in a name, so no two share a text."""
    return digest("\0".join(("adapted", kind, upstream, scope, name, login.hex())))


def rate_at(adaptation: Adaptation, now: float) -> int:
    """Recipients a minute that a lowered rate lets leave at this moment."""
    steps = math.floor(max(0.0, now - adaptation.since) / RECOVERY_SECONDS)
    return int(adaptation.value * RECOVERY**steps)


def dump_adaptation(adaptation: Adaptation) -> bytes:
    """As octets, for a store that keeps it whole."""
    facts = asdict(adaptation) | {name: getattr(adaptation, name).hex() for name in _OCTETS}
    return orjson.dumps(facts | {"until": None if adaptation.until == NEVER else adaptation.until})


def load_adaptation(octets: bytes) -> Adaptation:
    """What `dump_adaptation` wrote."""
    facts = orjson.loads(octets)
    facts |= {name: bytes.fromhex(facts[name]) for name in _OCTETS}
    until = NEVER if facts["until"] is None else facts["until"]
    return Adaptation(**facts | {"kind": Kind(facts["kind"]), "scope": Scope(facts["scope"]), "until": until})


class Adaptations(Protocol):
    """What is adapted, shared by every worker and every node."""

    async def adaptations(self) -> list[Adaptation]:
        """Those in force now."""
        ...

    async def adapt(self, adaptation: Adaptation) -> bool:
        """Keep it; False when one as strong is in force under its key, or there are `MOST` others."""
        ...

    async def end_adaptation(self, key: Digest) -> Adaptation | None:
        """End the one under this key and return it, None when there is none in force."""
        ...

    async def take_ended(self) -> Sequence[Adaptation]:
        """Forget those whose time is over and return them: each is returned to one caller only."""
        ...
