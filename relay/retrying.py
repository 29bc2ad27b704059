"""When a copy that is held is tried again, and what becomes of it after a try. Pure.

| what the try said | what becomes of the copy |
|---|---|
| delivered | forgotten |
| refused for good | kept for its sender's report |
| a limit is reached | due when the limit has room; where it is wider than one recipient, its whole lane waits |
| the upstream did not take it, or could not be reached | due after the back-off; not reached: its whole lane waits |
| nobody knows whether it arrived | due after the back-off, as unknown |
| a rule, a pause, the hours | due when they say, at last when a person says so |
| the store or the records are away | due in a moment: nothing was tried |
| its time is over | refused, and its sender is told |
"""

from dataclasses import dataclass
from enum import StrEnum

FIRST = 60.0
LONGEST = 3600.0
JITTER = 0.2
"""Seconds of the first back-off and the longest, and the share by which each is longer or shorter."""

REPORT_SECONDS = 600.0
"""How long a refused recipient waits for the others of its submission, so that one report names them all."""


def due_after(attempts: int, now: float, random: float) -> float:
    """When to try again what was tried `attempts` times: 1 minute, doubled to 1 hour; `random` is of [0, 1)."""
    pause = min(FIRST * 2.0 ** min(max(attempts, 1) - 1, 10), LONGEST)
    return now + pause * (1 + JITTER * (2 * random - 1))
