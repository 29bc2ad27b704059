"""What a text gives away: identity numbers, cards and accounts, telephones, addresses of others, secrets. Pure.

A text is searched in the form NFKC, where a full-width digit is a digit.  A
number is a hit when its format and check digits fit; it is a sure one when a
word beside it, or its grouping, says what it is.  How often a random number of
the same shape passes is measured, and stands in false_positives.toml.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from relay.policy.detectors import accounts, contacts, digits, identity, secrets
from relay.policy.detectors.contacts import MOST_ADDRESSES, addresses, is_mobile_range
from relay.policy.detectors.digits import MOST_NUMBERS, outline
from relay.policy.detectors.hit import MOST_HITS, Hit, Kind, Scan
from relay.policy.detectors.identity import is_county_of_its_time

PERSONAL: dict[str, Kind] = {kind.name: kind for kind in (*identity.KINDS, *accounts.KINDS, *contacts.KINDS)}
"""Kinds of personal and account data by name."""

SECRETS: dict[str, Kind] = {kind.name: kind for kind in secrets.KINDS}
"""Kinds of keys, tokens and passwords by name."""

__all__ = [
    "MOST_ADDRESSES",
    "MOST_NUMBERS",
    "PERSONAL",
    "SECRETS",
    "Hit",
    "Kind",
    "Searched",
    "addresses",
    "personal_data",
    "read_registers",
    "secret_data",
]


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found in a text, and how many numbers were looked at; one more than asked for where there were more."""

    hits: tuple[Hit, ...]
    numbers: int


def personal_data(text: str, until: date, most: int = MOST_NUMBERS) -> Searched:
    """Every number in the text that may be one of PERSONAL; `until` is the last birthday there can be.

    At most so many numbers are looked at: what has more is a table of people or of nothing, and takes a second.
    """
    scan = Scan(text, until, most)
    hits = _at_most(_personal(scan, outline(text)))
    return Searched(hits, scan.numbers)


def secret_data(text: str) -> tuple[Hit, ...]:
    """Every key, token and password in the text."""
    return _at_most(secrets.in_text(text))


def read_registers() -> None:
    """Read the lists of regions and number ranges, so that no mail waits for that."""
    is_county_of_its_time("1101011980")
    is_mobile_range("13800")


def _personal(scan: Scan, drawn: bytes) -> Iterator[Hit]:
    """The detectors whose hits this outline of the text allows."""
    if digits.OUTLINE in drawn:
        for found in digits.candidates(scan):
            yield from identity.in_candidate(found)
            yield from accounts.in_candidate(found)
            yield from contacts.in_candidate(found)
    yield from identity.in_text(scan)
    if accounts.OUTLINE in drawn:
        yield from accounts.in_text(scan)


def _at_most(hits: Iterator[Hit]) -> tuple[Hit, ...]:
    """The first of each value, the sure ones before all; of a kind no more than count."""
    kept: dict[tuple[str, str], Hit] = {}
    counts: dict[str, int] = {}
    for hit in hits:
        known = kept.get((hit.kind, hit.value))
        if known is None and counts.get(hit.kind, 0) < MOST_HITS:
            counts[hit.kind] = counts.get(hit.kind, 0) + 1
            kept[hit.kind, hit.value] = hit
        elif known is not None and hit.sure and not known.sure:
            kept[hit.kind, hit.value] = hit
    return tuple(kept.values())
