"""Values as the operations of `functions` take them: one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from relay.stores.redis.link import Argument

T = TypeVar("T")

TOGETHER = 1000
"""Items in one operation that looks them up: Redis serves nobody else meanwhile."""


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


async def in_parts(items: Sequence[T], ask: Callable[[Sequence[T]], Awaitable[Any]]) -> list[Any]:
    """What Redis answers of items, a part of them in each operation; all travel with whatever else is asked in this turn."""
    asking = [ask(part) for part in parts(items, TOGETHER)]
    return [await asking[0]] if len(asking) == 1 else list(await asyncio.gather(*asking))


def moment_of(text: bytes) -> float | None:
    """A moment that may be none."""
    return float(text) if text else None


def parts(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """The items, some at a time."""
    return [items[start : start + most] for start in range(0, len(items), most)]
