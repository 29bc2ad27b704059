"""When a copy that is held is tried again, and what becomes of it after a try. Pure.

| what the try said | what becomes of the copy |
|---|---|
| delivered | forgotten |
| refused for good | kept for its sender's report |
| its time is over | refused, and its sender is told |
| a limit is reached | due when the limit has room; a limit wider than one recipient keeps its whole lane waiting |
| the upstream could not be reached | due after the back-off, and so is its whole lane |
| the upstream did not take it for now | due after the back-off |
| nobody knows whether it arrived | due after the back-off |
| a rule, the hours, a pause | due when they say; where a person must decide, when one did |
| no login | due at the next AUTH of its sender, or after the back-off where the relay holds the account |
| store, records or policy cannot be used | due in a while: nothing was tried |
"""

from dataclasses import dataclass
from enum import StrEnum

from relay.answer import Result
from relay.mail import replies
from relay.policy.cases.case import Ruling
from relay.policy.deciding.charges import is_own_limit
from relay.stores.held import NEVER, HeldCopy, Why

JITTER = 0.2
"""The share by which a back-off may be longer or shorter."""

TOGETHER = 600.0
"""Seconds that a refused recipient waits for the others of its submission, so that one report names them all."""

DEFERRED_SECONDS = 900.0
PAUSED_SECONDS = 300.0
"""Seconds until the next look where a rule defers without saying for how long, and in a pause."""

REPORT_LIFETIME = 5 * 86400.0
"""Seconds after which a report that could not be delivered is given up."""


class Fate(StrEnum):
    """What a turn of the courier made of a copy; the label of `relay_courier_copies_total`."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    EXPIRED = "expired"
    INDETERMINATE = "indeterminate"
    PUT_OFF = "put off"
    REPORTED = "reported"
    UNREPORTED = "unreported"


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a copy must wait, and until when; None leaves that to the back-off.

    `is_try` says that the upstream was asked, or asked for: the back-off counts too, and the next one is longer.
    `whole_lane` says that what keeps this copy back keeps back all others of its lane.
    """

    why: Why
    until: float | None = None
    is_try: bool = False
    whole_lane: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a copy: its fate, and unless that is the end of it why it is kept, until when, after how many tries.

    `lane_until` is the time before which nothing of its lane has a chance.
    """

    fate: Fate
    why: Why | None = None
    due_at: float = 0.0
    attempts: int = 0
    lane_until: float | None = None


@dataclass(frozen=True, slots=True)
class BackOff:
    """Seconds from one try to the next: `[hold] first_retry` after the first, doubled up to `longest_retry`."""

    first: float
    longest: float

    def due_after(self, attempts: int, now: float, random: float) -> float:
        """When to try again after so many tries in vain; `random` is of [0, 1)."""
        pause = min(self.first * 2.0 ** min(max(attempts, 1) - 1, 16), self.longest)
        return now + pause * (1 + JITTER * (2 * random - 1))


def put_off(copy: HeldCopy, wait: Wait, now: float, expires_at: float, back_off: BackOff, random: float) -> Next:
    """A copy that must wait; never beyond the end of its time, which its sender must be told of."""
    attempts = copy.attempts + 1 if wait.is_try else copy.attempts
    due_at = max(wait.until or now, back_off.due_after(attempts, now, random) if wait.is_try or wait.until is None else now)
    lane_until = due_at if wait.whole_lane and due_at < NEVER else None
    if copy.why is not Why.REPORT:
        due_at = min(due_at, max(expires_at, now))
    return Next(Fate.PUT_OFF, wait.why, due_at, attempts, lane_until)


def unknown(copy: HeldCopy, result: Result, now: float, expires_at: float, back_off: BackOff, random: float) -> Next:
    """Nobody knows whether this try reached the recipient: the next one comes no sooner than a late reply, and the back-off."""
    attempts = copy.attempts + 1
    due_at = max(result.due, back_off.due_after(attempts, now, random))
    return Next(Fate.INDETERMINATE, Why.UNKNOWN, min(due_at, max(expires_at, now)), attempts)


def refused(fate: Fate, now: float) -> Next:
    """A recipient who will never get it waits for the others of the submission, to be told of together, but not for long."""
    return Next(fate, Why.REPORT, now + TOGETHER)


def wait_for(copy: HeldCopy, result: Result, now: float, back_off: BackOff, *, is_own_login: bool) -> Wait:
    """What a transient result means to a copy; where nothing was tried, the next look comes after the first back-off.

    `is_own_login` says that it leaves with its client's own login only, which nobody but the client can set right.
    """
    match result.why:
        case Why.LIMIT:
            return Wait(Why.LIMIT, result.due, whole_lane=not is_own_limit(result.reply.text[0]))
        case Why.UPSTREAM if result.upstream:
            return Wait(Why.UPSTREAM, result.due, is_try=True, whole_lane=not result.upstream_text)
        case Why.UPSTREAM if result.due > now:  # the upstream is given a rest; a person may end it sooner
            return Wait(Why.UPSTREAM, min(result.due, now + back_off.longest), whole_lane=True)
        case Why.UPSTREAM:  # the time was over before its turn came
            return Wait(copy.why, now)
        case Why.PAUSED:
            return Wait(Why.PAUSED, now + PAUSED_SECONDS, whole_lane=True)
        case Why.AUTHENTICATION if is_own_login:
            return Wait(Why.AUTHENTICATION, NEVER)
        case Why.AUTHENTICATION:
            return Wait(Why.AUTHENTICATION, is_try=True, whole_lane=True)
        case None if result.reply == replies.POLICY_UNUSABLE:  # another set came in force before it left
            return Wait(copy.why, now)
        case None:
            return Wait(copy.why, now + back_off.first)
        case why:
            return Wait(why, result.due)


def wait_for_rule(copy: HeldCopy, ruling: Ruling, result: Result, now: float, back_off: BackOff, *, is_own_login: bool) -> Wait:
    """What keeps back a copy whose ruling objects without refusing it: it says for how long, or holds it."""
    leading = ruling.leading
    if result.why is None and leading is not None:
        return Wait(copy.why, now + (leading.retry_after or DEFERRED_SECONDS))
    return wait_for(copy, result, now, back_off, is_own_login=is_own_login)
