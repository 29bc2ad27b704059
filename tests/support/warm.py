"""`relay` commands that need not import the relay: each is forked from a process that has, and is otherwise like any other.

A command that is started (`python -m relay ...`) spends most of its time on imports.  Here one template process per process
of tests imports all verbs, and each command is a fork of it, with words, folder, environment, standard streams and exit
status of its own.  tests/end_to_end/test_cli_codes.py starts each verb for itself, so that a forgotten import is found, and
shows that both ways say the same.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
_starting = threading.Lock()
_templates: list[socket.socket] = []  # one, once somebody asked


class Forked:
    """A command that runs; as much of a Popen as the tests ask for. `streams` are its standard streams."""

    def __init__(
        self, words: list[str], streams: list[IO[Any]], cwd: Path | str | None = None, env: dict[str, str] | None = None
    ):
        self.args = words
        self.returncode: int | None = None
        self._answers, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"words": words, "cwd": str(cwd or Path.cwd()), "env": _around(env)}
        with its:
            descriptors = [its.fileno(), *(stream.fileno() for stream in streams)]
            socket.send_fds(_template(), [json.dumps(request).encode()], descriptors)
        weakref.finalize(self, self._answers.close)
        self._turn = threading.Lock()  # several threads may wait
        self._until_told(120)
        self.pid = self._heard()

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or the number of the signal that ended it, negative. Raises TimeoutExpired."""
        if self.returncode is None:
            self._until_told(timeout)
            with self._turn:
                if self.returncode is None:
                    self.returncode = self._heard()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # the template has reaped it and not said so yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _until_told(self, timeout: float | None) -> None:
        told = select.poll()
        told.register(self._answers, select.POLLIN)
        if not told.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)

    def _heard(self) -> int:
        octets = self._answers.recv(32)
        assert octets, "the template has ended"
        return int(octets)


def run(
    *words: object,
    stdin: str | None = None,
    cwd: Path | str | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `relay WORDS` to its end; what it said, as text. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as typed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        typed.write((stdin or "").encode())
        typed.seek(0)
        command = Forked([str(word) for word in words], [typed, out, err], cwd, env)
        try:
            status = command.wait(seconds)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait(30)
            raise
        return subprocess.CompletedProcess(command.args, status, _text(out), _text(err))


def run_afresh(
    *words: object,
    stdin: str | None = None,
    cwd: Path | str | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """The same in a process that begins with nothing."""
    command = [sys.executable, "-m", "relay", *map(str, words)]
    return subprocess.run(
        command, input=stdin, cwd=cwd, env=_around(env), timeout=seconds, capture_output=True, text=True, check=False
    )


def _around(env: dict[str, str] | None) -> dict[str, str]:
    return {**(os.environ if env is None else env), "PYTHONPATH": str(ROOT)}


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode().replace("\r\n", "\n")


def _template() -> socket.socket:
    """The way to this process's template, which ends when this process does."""
    with _starting:
        if not _templates:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.warm_template", str(its.fileno())],
                    pass_fds=[its.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
            _templates.append(ours)
            atexit.register(_end, ours, process)
        return _templates[0]


def _end(control: socket.socket, template: subprocess.Popen[bytes]) -> None:
    control.close()
    template.wait(60)
