"""Processes for the length of a `with`, ended by their own id, and what the kernel says about them."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

PATH = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A server that has started when its port answers; what it says goes to `log`."""

    def __init__(self, command: Sequence[str], *, log: Path, port: int, folder: Path | None = None) -> None:
        self._command, self._log, self._port, self._folder = command, log, port, folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=PATH, stdout=log, stderr=log, cwd=self._folder)
        wait_for_port(self._port, self._command[0], self._log)
        return self

    def __exit__(self, *_: Any) -> None:
        end(self._process)


def wait_for_port(port: int, name: str, log: Path, seconds: float = 30) -> None:
    """Return once somebody listens there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{name} does not listen: {log.read_text(errors='replace')[-500:]}")


def end(process: subprocess.Popen[Any] | None, seconds: float = 30) -> None:
    """Ask it to stop, then make it."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def cpu_seconds(pids: Iterable[int]) -> float:
    """The CPU time of these processes, user and system."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pids: Iterable[int], line: str = "VmRSS") -> int:
    """Octets of resident memory; line VmHWM: the most there ever was."""
    total = 0
    for pid in pids:
        for text in Path(f"/proc/{pid}/status").read_text().splitlines():
            if text.startswith(line):
                total += int(text.split()[1]) * 1024
    return total
