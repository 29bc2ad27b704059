"""Programs that some tests talk to: missing ones skip a test at home and fail it in continuous integration."""

import os
import shutil

import pytest


def needs(*programs: str) -> None:
    """Skip or fail unless every program is installed; call it first thing in a test or fixture."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if missing := [program for program in programs if shutil.which(program, path=path) is None]:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
