"""What some tests need of the machine: without it they are skipped at home and fail in continuous integration."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def needs(*programs: str) -> None:
    """Skip or fail unless every program is installed; call it first thing in a test or fixture."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if missing := [program for program in programs if shutil.which(program, path=path) is None]:
        _go_without(f"not installed: {', '.join(missing)}")


def full_device() -> Path:
    """The device of Linux to which every write finds no room: a full disk that harms nobody."""
    device = Path("/dev/full")
    if not device.exists():
        _go_without(f"this system has no {device}")
    return device


def _go_without(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
