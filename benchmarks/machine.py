"""What the figures were measured on."""

import os
import platform
import re
import sqlite3
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend

from benchmarks.figures import median
from benchmarks.peers.haraka import MODULES
from benchmarks.processes import PATH


def about() -> dict[str, Any]:
    """Interpreter and how it was built, OpenSSL, cores, disk, peers, and how busy the machine was before."""
    return {
        "measured at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _first_line(["git", "describe", "--always", "--dirty", "--exclude=*"]),
        "cores": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {_release()}",
        "load before": f"{os.getloadavg()[0]:.2f} (one minute's average; other work spoils every figure)",
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
    """With or without what makes an interpreter quick."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    has = [name for name in ("--enable-optimizations", "--with-lto") if name in options]
    built = f"built with {' '.join(has)}" if has else "built without --enable-optimizations (a distribution's own is quicker)"
    return f"{built}, {platform.python_compiler()}"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _release() -> str:
    found = re.search(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text())
    return found[1] if found else ""


def _filesystem() -> str:
    return _first_line(["df", "--output=fstype,source", tempfile.gettempdir()], line=1)


def _haraka() -> str:
    package = MODULES / "Haraka/package.json"
    found = re.search(r'"version": "(.+?)"', package.read_text()) if package.exists() else None
    return f"{found[1]}, node {_first_line(['node', '--version'])}" if found else "not installed"


def _first_line(command: list[str], line: int = 0) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=PATH, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "not installed"
    return " ".join(((done.stdout or done.stderr).splitlines() or [""])[line].split())
