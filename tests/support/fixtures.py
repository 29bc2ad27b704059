"""Fixtures that many files have, each with options of its own:

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", workers=2)
house = a_courier_house(policy=LIMITED)
"""

from typing import Any

import pytest

from tests.support.courier import CourierHouse
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


def a_courier_house(**options: Any) -> Any:
    """A line that holds and its courier, in front of this file's `upstream`."""

    @pytest.fixture
    def house(tmp_path, upstream):
        with CourierHouse(tmp_path, upstream, **options) as running:
            yield running

    return house
