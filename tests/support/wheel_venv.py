"""The command as `pip install .` brings it: a virtual environment far from the checkout that borrows the libraries of ours."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Ours without whatever would lead a command back to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RELAY_", "PIP_"))}


def pip_install(folder: Path) -> Path:
    """Install the checkout into folder/venv; the libraries are there already and nothing is fetched. Its bin folder."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], env=environment(), check=True, timeout=120)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    pip = [str(sys.executable), "-m", "pip", "--python", str(venv / "bin/python"), "install", "--quiet"]
    here = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*pip, *here, str(ROOT)], env=environment(), check=True, timeout=240, capture_output=True)
    return venv / "bin"
