"""Whose data left the country this year: what is counted, and how many persons that may be.

A law may let the data of some persons a year leave on a lighter ground, and
want a graver one from a number on (CAC Order 16 Art 5, 7, 8).  It counts
distinct persons of a calendar year, those whose sensitive data left apart from
the others.  A person counts from the step on that lets a copy leave for a
server abroad, whatever becomes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum


class Category(StrEnum):
    """What is told of a person: PIPL Art 28 names what is sensitive, and all data of children under 14 are."""

    ORDINARY = "ordinary"
    SENSITIVE = "sensitive"


@dataclass(frozen=True, slots=True)
class Transferred:
    """Persons of each category whose data left in a year, and as what the recipient is one of them."""

    year: int
    ordinary: int = 0
    sensitive: int = 0
    counted: frozenset[Category] = frozenset()

    def persons(self, category: Category) -> int:
        """How many of this category."""
        return self.sensitive if category is Category.SENSITIVE else self.ordinary

    def beside(self, elsewhere: "Transferred") -> "Transferred":
        """With those whose data left otherwise."""
        return replace(self, ordinary=self.ordinary + elsewhere.ordinary, sensitive=self.sensitive + elsewhere.sensitive)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A copy that leaves for a server abroad: its recipient counts, once a year and category.

    `most` is how many may be counted at that step (None: as many as come), by `rule`; `ends` is when the year does.
    """

    year: int
    category: Category
    ends: float
    most: int | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a ground allows: data of fewer persons of this category than `below`, by `rule`, to these countries."""

    rule: str
    basis: str
    category: Category
    below: int
    to: tuple[str, ...] = ()

    @property
    def warns_from(self) -> int:
        """Four fifths, from where somebody has to see to a graver ground."""
        return -(-self.below * 4 // 5)

    @property
    def marks(self) -> Mapping[int, str]:
        """The numbers of persons that are written down when they are reached."""
        return {self.warns_from: "80 %", self.below - 1: "100 %"}


def year_of(now: datetime) -> tuple[int, float]:
    """The calendar year of an aware moment, and when it ends."""
    return now.year, datetime(now.year + 1, 1, 1, tzinfo=now.tzinfo).timestamp()


def in_year(known: Transferred, today: date) -> Transferred:
    """What is known of the year of this day: nobody yet, where the other one ended a moment ago."""
    return known if known.year == today.year else Transferred(today.year)
