"""A machine on which somebody types what the documents say: a root of its own, the sources, and no network.

What the documents name below /etc, /var, /opt and /usr/local lies below the
machine's root.  `sudo` goes on as the same user, files are given to nobody, and
`systemctl` does with the unit's own command what systemd would do with it.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.support.documents import ROOT
from tests.support.ports import free_port
from tests.support.serving import Listening
from tests.support.upstream import RecordingUpstream
from tests.support.wheel_venv import environment

_OUTSIDE = re.compile(r"(?<![\w.~:/-])/(?=(?:etc|var|opt|usr/local)/)")
_SOURCES = ("relay", "policies", "systemd", "docs", "pyproject.toml", "README.md", "LICENSE", "config.example.toml", "Makefile")
_SHIMS = {
    "sudo": 'while [ "$1" = -u ]; do shift 2; done; exec "$@"',
    "install": 'exec /usr/bin/install $(printf "%s\\n" "$*" | sed "s/-o relay -g relay//")',
    "systemd-sysusers": 'exec {real} --root={root} "$@"',
    "systemd-tmpfiles": 'exec {real} --root={root} "$@"',
}
_FOLDERS = (
    "etc/systemd/system",
    "etc/sysusers.d",
    "etc/tmpfiles.d",
    "etc/prometheus",
    "usr/local/bin",
    "opt",
    "var/lib",
    "var/backups",
)


def borrow_libraries(venv: Path) -> None:
    """The libraries are on this machine already, in the environment that runs the tests."""
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")


class Machine:
    """`type` runs one command as it stands in a document and returns what it said and its exit code."""

    def __init__(self, folder: Path, upstream: RecordingUpstream):
        self.upstream = upstream
        self.root, self.home, self.shims = folder / "root", folder / "home", folder / "shims"
        for name in _FOLDERS:
            (self.root / name).mkdir(parents=True)
        self.shims.mkdir()
        for name, script in _SHIMS.items():
            real = shutil.which(name, path="/usr/bin:/bin:/usr/sbin") or name
            shim = self.shims / name
            shim.write_text(f"#!/bin/sh\n{script.format(real=real, root=self.root)}\n")
            shim.chmod(0o755)
        self.home.mkdir()
        for name in _SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.home / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, self.home / name)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
        borrow_libraries(folder / "venv")
        self.bin = folder / "venv" / "bin"
        pip = self.bin / "pip"
        pip.write_text(f'#!/bin/sh\nexec {self.bin}/python -m pip "$@"\n')
        pip.chmod(0o755)
        self.public = free_port()
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, dict[str, str]] = {}
        self.said: list[str] = []

    # Typing

    def here(self, command: str) -> str:
        """The command with the paths of this machine."""
        return _OUTSIDE.sub(f"{self.root}/", command).replace(" -C / ", f" -C {self.root} ")

    def type(self, command: str, stdin: str = "") -> tuple[int, str]:
        if command.startswith("systemctl "):
            return self._systemctl(shlex.split(command)[1:])
        if re.fullmatch(r"relay( --config \S+)? serve", command):
            self.stop()
            self._serve(shlex.split(self.here(command)))
            return 0, "".join(self.said)
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", self.here(command)],
            cwd=self.home,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,  # without a terminal a password is read from stdin
        )
        if "-m venv" in command and done.returncode == 0:
            borrow_libraries(Path(self.here(command).split()[-1]))
        if re.search(r"\brelay\b.* init\b", command):
            self._choose_free_ports()
        return done.returncode, done.stdout + done.stderr

    @property
    def environment(self) -> dict[str, str]:
        installed = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_IGNORE_INSTALLED": "1"}
        path = f"{self.shims}:{self.root}/usr/local/bin:{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {**environment(), **installed, "PATH": path, "PIP_QUIET": "1", "RELAY_LANG": "en", "HOME": str(self.home)}

    @property
    def config(self) -> Path:
        own = self.root / "etc/relay/config.toml"
        return own if own.exists() else self.home / "config.toml"

    def _choose_free_ports(self) -> None:
        """Other tests use the usual ports meanwhile; and what is the service's own lies below this machine's root."""
        if not self.config.exists():
            return
        text = self.config.read_text("utf-8")
        text = text.replace("127.0.0.1:8026", f"127.0.0.1:{self.public}")
        ours = f'addresses = ["{self.upstream.address}"]\nca_file = "{self.upstream.ca_file}"'
        text = re.sub(r'addresses = \["smtp.*\]', ours, text)  # nobody asks a real provider
        text = re.sub(r'help_address = ".*"', 'help_address = "127.0.0.1:0"', text)
        text = re.sub(r'address = "0\.0\.0\.0:\d+"', 'address = "127.0.0.1:0"', text)
        self.config.write_text(text.replace("[http]\n", '[http]\naddress = "127.0.0.1:0"\n'), "utf-8")
        if self.config.is_relative_to(self.root) and (data := self.config.parent / "data").exists():
            text = self.config.read_text("utf-8").replace('data_dir = "data"', f'data_dir = "{self.root}/var/lib/relay"')
            self.config.write_text(text, "utf-8")
            shutil.rmtree(self.root / "var/lib/relay", ignore_errors=True)
            data.rename(self.root / "var/lib/relay")

    # The service

    def _systemctl(self, words: list[str]) -> tuple[int, str]:
        verb = next(word for word in words if not word.startswith("-"))
        if verb == "daemon-reload":
            return self._verify_units()
        if verb in ("stop", "restart", "disable"):
            self.stop()
        if verb in ("start", "restart", "enable"):
            self._serve(shlex.split(self.here(self._command_of_unit())))
        if verb == "reload":
            assert self.process
            self.process.send_signal(signal.SIGHUP)
        assert verb in ("start", "stop", "restart", "reload", "enable", "disable"), verb
        return 0, ""

    def _command_of_unit(self) -> str:
        """What the unit runs; where none was installed, the service is what somebody started by hand."""
        if not self._unit.exists():
            return "relay serve"
        (command,) = re.findall(r"^ExecStart=(.+)$", self._unit.read_text("utf-8"), re.MULTILINE)
        return str(command)

    @property
    def _unit(self) -> Path:
        return self.root / "etc/systemd/system/relay.service"

    def _verify_units(self) -> tuple[int, str]:
        """systemd's own opinion of what was copied."""
        place = self.shims / "relay.service"
        place.write_text(self.here(self._unit.read_text("utf-8")), "utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", place], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def _serve(self, command: list[str]) -> None:
        assert self.process is None, "it is running already"
        self.said = []
        command[0] = shutil.which(command[0], path=self.environment["PATH"]) or command[0]
        self.process = subprocess.Popen(
            command, cwd=self.home, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.ready = Listening(self.process.stdout, self.said).until_ready()
        assert self.ready, "".join(self.said)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            assert self.process.wait(60) == 0, "".join(self.said)
            self.process = None

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


def today() -> str:
    """The day of the organisation that the shipped policies describe: another than in UTC for a third of the time."""
    return datetime.now(ZoneInfo("Asia/Shanghai")).date().isoformat()


def is_root() -> bool:
    return os.geteuid() == 0
