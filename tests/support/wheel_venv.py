"""The command as `pip install .` brings it, in a virtual environment far from the checkout."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Ours without whatever would lead a command back to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RELAY_", "PIP_"))}


def pip_install(folder: Path) -> Path:
    """Install the checkout into folder/venv, which borrows our libraries, so that nothing is fetched. Its bin folder."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], env=environment(), check=True, timeout=120)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    pip = [str(sys.executable), "-m", "pip", "--python", str(venv / "bin/python"), "install", "--quiet"]
    here = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*pip, *here, str(ROOT)], env=environment(), check=True, timeout=240, capture_output=True)
    return venv / "bin"


def pip_install_with_libraries(folder: Path) -> Path:
    """Install the checkout into an empty folder/venv, as people do. Its bin folder.

    pip asks the index that it is set up for.  Where that does not answer, the test is skipped at home and fails in
    continuous integration.
    """
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], env=environment(), check=True, timeout=240)
    index = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", str(ROOT)]
    done = subprocess.run(pip, env=environment() | index, check=False, timeout=600, capture_output=True, text=True)
    unreachable = [line.strip() for line in done.stderr.splitlines() if "Retrying (Retry(" in line]
    if done.returncode and unreachable and not os.environ.get("CI"):
        pytest.skip(f"pip cannot reach its index: {unreachable[0]}")
    assert done.returncode == 0, done.stderr
    return venv / "bin"
