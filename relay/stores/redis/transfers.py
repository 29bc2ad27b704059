"""Persons whose data left the country, in Redis: the half of `Transfers` that turns digests into arguments."""

from collections.abc import Sequence

from relay.policy.cases.transfers import Category, Crossing, Transferred
from relay.policy.suppressions.suppression import Digest
from relay.stores.redis.link import Argument, RedisLink
from relay.stores.redis.words import in_parts, listed
from relay.stores.transfers import Transfers, by_year

_FLAGS = (
    frozenset[Category](),
    frozenset({Category.ORDINARY}),
    frozenset({Category.SENSITIVE}),
    frozenset(Category),
)


class TransfersInRedis(Transfers):
    """`Transfers` on a link; every operation checks who the store is, like all others."""

    _link: RedisLink

    async def transferred(self, year: int, recipients: Sequence[Digest]) -> list[Transferred]:
        answers = await in_parts(recipients, lambda some: self._link.operate("transferred", [year, *listed(some)]))
        return [Transferred(year, some, sensitive, _FLAGS[flag]) for some, sensitive, flags in answers for flag in flags]

    async def transfer_years(self) -> list[Transferred]:
        words = await self._link.operate("transfer_years", [])
        named = (name.decode().split() for name in words[::2])
        return by_year((int(year), category, int(persons)) for (year, category), persons in zip(named, words[1::2], strict=True))


def crossing_words(crossing: Crossing | None) -> list[Argument]:
    """Year, category, bound and end of the year; nothing where nobody counts."""
    if crossing is None:
        return listed([])
    most = "" if crossing.most is None else str(crossing.most)
    return listed([crossing.year, crossing.category.value, most, repr(crossing.ends)])
