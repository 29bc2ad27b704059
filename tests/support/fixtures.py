"""Fixtures that many files have, each with options of its own:

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", workers=2)
"""

from typing import Any

import pytest

from tests.support.service import Relay
from tests.support.upstream import RecordingUpstream


def an_upstream(*, scope: Any = "function", **options: Any) -> Any:
    """One that this file has to itself, instead of the station's."""

    @pytest.fixture(scope=scope)
    def upstream():
        with RecordingUpstream(**options) as server:
            yield server

    return upstream


def a_relay(*, scope: Any = "function", **options: Any) -> Any:
    """A running one in front of this file's `upstream`."""

    @pytest.fixture(scope=scope)
    def relay(tmp_path_factory, upstream):
        with Relay(tmp_path_factory.mktemp("relay"), upstream, **options) as running:
            yield running

    return relay
