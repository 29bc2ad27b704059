"""A property that is worked out when it is first asked for, and kept.

`functools.cached_property` of Python 3.11 does the same under a lock that all
objects of a class share: it takes longer, and a large message that is read in
a thread would stop the loop at the same property of another.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - it decorates
    """Works on objects that have a `__dict__`; two threads that ask one object at once may both work it out."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        found = instance.__dict__[self._name] = self._work(instance)
        return found
