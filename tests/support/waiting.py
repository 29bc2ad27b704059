"""Waiting for what another process, thread or task does.

The seconds only end a test that would wait for ever; no test says with them how fast anything is.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable

SECONDS = 60.0


def wait_until(
    condition: Callable[[], object],
    seconds: float = SECONDS,
    *,
    every: float = 0.05,
    said: Callable[[], str] = lambda: "",
) -> None:
    """Ask until it is so; AssertionError with what was `said` meanwhile when it never is. Blocks: in async tests use `until`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never came true:\n{said()}"
        time.sleep(every)


async def until(condition: Callable[[], object], seconds: float = SECONDS, *, said: Callable[[], str] = lambda: "") -> None:
    """The same for async tests."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never came true:\n{said()}"
        await asyncio.sleep(0.005)


def wait_for_server(process: subprocess.Popen[bytes], answers: Callable[[], object], log: Callable[[], str] = lambda: "") -> None:
    """Wait until a server that was just started answers; AssertionError with its log when it ended instead."""

    def answers_or_ended() -> object:
        assert process.poll() is None, f"it ended at once:\n{log()}"
        return answers()

    wait_until(answers_or_ended, every=0.02, said=log)
