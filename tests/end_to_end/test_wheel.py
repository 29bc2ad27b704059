"""What `pip install .` gives: a wheel with everything in it, which works far from the checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RELAY_", "PIP_"))}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=environment, check=True, stdin=subprocess.DEVNULL, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new virtual environment with the wheel; it borrows the libraries of ours."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--ignore-installed", wheel)
    return folder


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    sources = [path for path in (ROOT / "relay").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    shipped = [*(ROOT / "policies").rglob("*.toml"), ROOT / "config.example.toml"]
    wanted = {path.relative_to(ROOT).as_posix() for path in sources}
    wanted |= {f"relay/shipped/{path.relative_to(ROOT).as_posix()}" for path in shipped}
    assert {"relay/shipped/policies/organisation.toml", "relay/upstream/providers/netease.toml"} <= wanted
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert wanted <= held
    assert not [name for name in held if not name.startswith("relay/")]


def test_it_brings_the_command_and_its_own_code(installed):
    said = run(installed / "venv/bin/relay", "--version", cwd=installed).stdout
    assert said.startswith("relay, version ")
    place = run(installed / "venv/bin/python", "-c", "import relay; print(relay.__file__)", cwd=installed).stdout
    assert Path(place.strip()).is_relative_to(installed)


def test_the_demo_runs_from_the_wheel(installed):
    said = run(installed / "venv/bin/relay", "--lang", "en", "demo", cwd=installed).stdout
    assert said.rstrip().endswith("✓ All of it held.")
