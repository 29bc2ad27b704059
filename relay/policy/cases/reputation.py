"""What is kept of how a stream's mail is received: who is paused, what came back, how many there were, on how many days it sent.

A complaint or a bounce counts on the day on which its mail was sent, not on
the day on which it came back, so that numerator and denominator are about the
same mail.  `thresholds.py` says what follows.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from relay.policy.suppressions.suppression import Digest

KEPT_DAYS = 31
"""How long counts are kept; no window is longer."""

DAY = 86400.0


class Measure(StrEnum):
    """What is measured, or that a person decided."""

    COMPLAINTS = "complaints"
    HARD_BOUNCES = "hard_bounces"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Pause:
    """A stream whose mail waits. `reason` and `reason_zh` are for people; of a person they are one text in any language."""

    stream: str
    at: float
    by: str
    measure: Measure
    reason: str
    reason_zh: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """One thing that came back about one recipient of one submission; `sent_at` is when that was sent."""

    stream: str
    measure: Measure
    submission_id: str
    recipient: Digest
    sent_at: float


@dataclass(frozen=True, slots=True)
class Tally:
    """A stream's counts. `refused` had no mailbox when we came, `returned` were taken by the upstream and came back."""

    delivered: int = 0
    refused: int = 0
    returned: int = 0
    complaints: int = 0
    counted_from: float = 0.0

    @property
    def sent(self) -> int:
        """The recipients whom a server has decided on."""
        return self.delivered + self.refused

    @property
    def hard_bounces(self) -> int:
        return self.refused + self.returned

    def count(self, measure: Measure) -> int:
        return self.complaints if measure is Measure.COMPLAINTS else self.hard_bounces

    def of(self, measure: Measure) -> int:
        """What the count is compared with: nobody complains about what never arrived."""
        return self.delivered if measure is Measure.COMPLAINTS else self.sent

    def ratio(self, measure: Measure) -> float:
        """0 when nothing was sent."""
        return self.count(measure) / self.of(measure) if self.of(measure) else 0.0


@dataclass(frozen=True, slots=True)
class SendingDays:
    """On how many calendar days a stream has sent since it is counted, and the last of them ("2026-11-21", "" for none)."""

    days: int = 0
    last: str = ""

    def number(self, today: date) -> int:
        """Which of its days of sending today is, or would be, from 1 on."""
        return max(1, self.days + (self.last < today.isoformat()))


def first_day(now: float, window: int) -> int:
    """The UTC day with which a window of so many days begins, as a number since the epoch."""
    return int(now // DAY) - window + 1
