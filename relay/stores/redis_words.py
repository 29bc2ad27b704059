"""Values as the operations of `redis_functions` take them: one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from relay.stores.redis_link import Argument

T = TypeVar("T")


def listed(items: Iterable[Argument | Sequence[Argument]]) -> list[Argument]:
    """The number of items, then the items, those that are lists one after the other."""
    words: list[Argument] = []
    number = 0
    for item in items:
        number += 1
        if isinstance(item, bytes | str | int | float):
            words.append(item)
        else:
            words += item
    return [number, *words]


def batches(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The items, some at a time; an empty sequence where there are none."""
    for start in range(0, len(items) or 1, most):
        yield items[start : start + most]
