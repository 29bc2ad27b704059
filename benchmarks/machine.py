"""What the figures were measured on."""

import os
import platform
import re
import sqlite3
import subprocess
import sysconfig
import tempfile
import time
import timeit
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend

from benchmarks.figures import median
from benchmarks.peers.haraka import MODULES
from benchmarks.processes import PATH

NOT_INSTALLED = "not installed"
MOMENT = ("measured at", "commit", "load before")


def moment() -> dict[str, str]:
    """When and of which commit something is measured, and how busy the machine is before."""
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    commit = _first_line(["git", "describe", "--always", "--dirty", "--exclude=*"])
    return dict(zip(MOMENT, (now, commit, f"{os.getloadavg()[0]:.2f}"), strict=True))


def about() -> dict[str, Any]:
    """Interpreter and how it was built, OpenSSL, cores, disk, peers."""
    return {
        "cores": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {_release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {_build()}",
        "OpenSSL that signs": f"{backend.openssl_version_text()} (in `cryptography`)",
        "OpenSSL of the ceiling": _first_line(["openssl", "version"]),
        "SQLite": sqlite3.sqlite_version,
        "Redis": _first_line(["redis-server", "--version"]),
        "Postfix": _first_line(["postconf", "-d", "-h", "mail_version"]),
        "OpenDKIM": _first_line(["opendkim", "-V"]).partition(": ")[2],
        "Haraka": _haraka(),
        "disk": f"{_filesystem()}; an fdatasync of 4 KB takes {median(syncs(50)) * 1e3:.2f} ms (median)",
    }


def syncs(count: int, folder: Path | None = None) -> list[float]:
    """How long it takes to append 4 KB to a file and have it on the disk, so many times."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(count):
            begun = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return taken


def _build() -> str:
    """What makes an interpreter quick, as far as its build tells, and how quick it is: builds say less than they do."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    has = [name for name in ("--enable-optimizations", "--with-lto") if name in options]
    built = [f"built with {' '.join(has)}"] if has else []
    return ", ".join([*built, platform.python_compiler(), f"{_call_seconds() * 1e9:.0f} ns for a call of a method"])


def _call_seconds() -> float:
    """One call of a method in a loop, at best: nobody is undisturbed for long."""
    return min(timeit.repeat("called.increased()", globals={"called": _Called()}, number=100_000, repeat=20)) / 100_000


class _Called:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 1

    def increased(self) -> int:
        return self.count + 1


def _processor() -> str:
    """Its name, and whether it multiplies the numbers of RSA eight at a time."""
    told = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*: (.+)", told)
    return (found[1] if found else platform.machine()) + (", with AVX-512 IFMA" if "avx512ifma" in told else "")


def _release() -> str:
    found = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    return found[1] if found else ""


def _filesystem() -> str:
    return _first_line(["df", "--output=fstype,source", tempfile.gettempdir()], line=1)


def _haraka() -> str:
    package = MODULES / "Haraka/package.json"
    found = re.search(r'"version": "(.+?)"', package.read_text()) if package.exists() else None
    return f"{found[1]}, node {_first_line(['node', '--version'])}" if found else NOT_INSTALLED


def _first_line(command: list[str], line: int = 0) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=PATH, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "not installed"
    return " ".join(((done.stdout or done.stderr).splitlines() or [""])[line].split())
