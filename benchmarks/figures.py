"""What is made of measurements: medians, percentiles, growth, and whether a promise holds. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import ge, le

median = statistics.median
FLAT = 0.05  # a tenth more for every ten times as many


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratio_of(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of the rounds' ratios: each rate with what was measured beside it."""
    return median(rate / beside for rate, beside in pairs)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The power with which y grows with x, by least squares over the logarithms: 0 is flat, 1 is linear."""
    logs = [(math.log10(x), math.log10(y)) for x, y in points]
    across, up = statistics.mean(x for x, _ in logs), statistics.mean(y for _, y in logs)
    spread = sum((x - across) ** 2 for x, _ in logs)
    return sum((x - across) * (y - up) for x, y in logs) / spread if spread else 0.0


def growth(power: float) -> str:
    """What the power means, in a word."""
    if power < FLAT:
        return "flat"
    if power < 0.9:
        return "less than linear"
    return "linear" if power <= 1.1 else "more than linear"


@dataclass(frozen=True, slots=True)
class Claim:
    """A line of "what must hold": its target, and what was measured (None: nothing could be)."""

    text: str
    target: float
    measured: float | None
    unit: str = ""
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the promise is kept; what was not measured is not."""
        return self.measured is not None and (le if self.at_most else ge)(self.measured, self.target)

    def row(self) -> list[str]:
        """Its line in the table."""
        word = "at most" if self.at_most else "at least"
        measured = "not measured" if self.measured is None else f"{short(self.measured)}{self.unit}"
        return [self.text, f"{word} {short(self.target)}{self.unit}", measured, "**held**" if self.holds else "not held"]


def short(number: float) -> str:
    """Three figures, and no more than a reader can use."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 else f"{number:.1e}"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is words, the others are figures."""
    ruler = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heading, ruler, *rows])
