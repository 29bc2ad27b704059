"""Fixtures that many files have, each with options of its own:

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
"""

from typing import Any

import pytest

from tests.support.upstream import RecordingUpstream


def an_upstream(*, scope: Any = "function", **options: Any) -> Any:
    """One that this file has to itself, instead of the station's."""

    @pytest.fixture(scope=scope)
    def upstream():
        with RecordingUpstream(**options) as server:
            yield server

    return upstream
