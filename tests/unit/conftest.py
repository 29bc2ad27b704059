"""What tests of several modules stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.records.append import Records
from tests.support.clocks import Clock
from tests.support.records import NOW, opened


@pytest.fixture
def clock() -> Clock:
    """It begins when what tests/support/records.py builds happened."""
    return Clock(NOW)


@pytest.fixture
def records(tmp_path: Path, clock: Clock) -> Iterator[Records]:
    with opened(tmp_path / "records.db", clock=clock) as records:
        yield records
