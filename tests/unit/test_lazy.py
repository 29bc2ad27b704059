"""Properties that are worked out once, and what a thread that works one out must not stop."""

import threading
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from relay.lazy import lazy


@dataclass(frozen=True)
class Sum:
    left: int
    right: int

    @lazy
    def total(self) -> int:
        """What both make."""
        asked.append(self.left)
        return self.left + self.right


asked: list[int] = []


def test_it_is_worked_out_once_for_each_object():
    asked.clear()
    one, two = Sum(1, 2), Sum(3, 4)
    assert [one.total, one.total, two.total, one.total] == [3, 3, 7, 3]
    assert asked == [1, 3]
    assert replace(one, right=9).total == 10
    assert one == Sum(1, 2)


def test_it_is_as_fast_to_its_owner_as_an_attribute_and_as_frozen():
    one = Sum(1, 2)
    assert one.total == one.__dict__["total"] == 3
    with pytest.raises(FrozenInstanceError):
        one.total = 4


def test_an_object_does_not_wait_for_another_that_is_busy():
    begun, go_on = threading.Event(), threading.Event()

    class Work:
        def __init__(self, waits: bool):
            self.waits = waits

        @lazy
        def done(self) -> bool:
            if self.waits:
                begun.set()
                assert go_on.wait(30)
            return True

    busy = Work(True)
    thread = threading.Thread(target=lambda: busy.done)
    thread.start()
    try:
        assert begun.wait(30)
        other = threading.Thread(target=lambda: Work(False).done, daemon=True)
        other.start()
        other.join(30)
        assert not other.is_alive()
    finally:
        go_on.set()
        thread.join(30)
