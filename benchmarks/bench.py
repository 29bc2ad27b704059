"""What every group gets: how much it may take, where it may write, and how it says what it found."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
FAULTS = (RuntimeError, OSError, AssertionError, subprocess.SubprocessError)
"""How a measurement fails: with a server that does not start, mail that is not accepted, a command that takes too long."""


@dataclass(frozen=True, slots=True)
class Section:
    """A group's part of the report: Markdown, plots by file name, and the promises it can judge."""

    title: str
    text: str
    plots: dict[str, str] = field(default_factory=dict)
    claims: tuple[Any, ...] = ()
    measured: Sequence[str] = ()  # the values of machine.MOMENT


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: `workers` processes of every system; `quick` measures less, and once."""

    quick: bool
    workers: int

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    @property
    def seconds(self) -> float:
        """What one measurement of a rate should take."""
        return 0.6 if self.quick else 1.0

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one group, removed with everything in it."""
        with tempfile.TemporaryDirectory(prefix="relay-bench-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)  # Postfix's processes are not root
            yield Path(name)

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def attempt(self, what: str, work: Callable[[], float]) -> float | None:
        """Measure; what cannot be measured is said and is None, and the others go on."""
        try:
            return work()
        except FAULTS as fault:
            self.say(f"not measured: {what}: {fault}")
            return None
