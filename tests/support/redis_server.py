"""A real redis-server on a free port of 127.0.0.1, set up to keep what it acknowledged."""

import os
import resource
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import SECONDS, wait_for_server

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


def required_redis_server() -> str:
    """The path of redis-server. Without one the test is skipped at home and fails in CI."""
    path = shutil.which("redis-server")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed; it is in Debian's package redis-server")
        pytest.skip("redis-server is not installed")
    return path


class RedisServer:
    """One server with its folder, running inside `with`; `stop` and `kill` end it, `start` brings it back with its data."""

    def __init__(self, folder: Path, options: tuple[str, ...] = DURABLE) -> None:
        self.program = required_redis_server()
        self.folder = folder
        self.options = options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", "", *self.options]
        log = (self.folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen([self.program, *arguments], stdout=log, stderr=log)
        wait_for_server(self._process, self._answers, (self.folder / "redis.log").read_text)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def fill_disk(self) -> None:
        """From now on none of its files may grow."""
        if self._process is not None:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def pause(self) -> None:
        """Freeze it: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Send one command by hand and return the first part of the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            octets = [word.encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(octets) + b"".join(b"$%d\r\n%s\r\n" % (len(o), o) for o in octets))
            return connection.recv(65536).decode(errors="replace")

    def _answers(self) -> bool:
        try:
            return self.command("PING").startswith("+PONG")
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        self._process.wait(30)
        self._process = None
