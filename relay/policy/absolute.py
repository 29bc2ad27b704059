"""Absolute terms of advertising, and the contexts in which they claim nothing (Advertising Law Art 9(3); SAMR 2023 no. 6)."""

import re
from dataclasses import dataclass
from functools import cache

from relay.mail.content import Content
from relay.policy.lexicon import Hit, hits_of, read_list

TIERS = ("block", "evidence", "notice")
_BEFORE, _BEHIND = 16, 12  # characters of the clause that are looked at


@dataclass(frozen=True, slots=True)
class Exemption:
    """A context: cues before or behind a term, in its clause. `lowers`: a blocked term is left asking for evidence."""

    terms: frozenset[str]
    before: re.Pattern[str] | None
    behind: re.Pattern[str] | None
    lowers: bool

    def covers(self, hit: Hit) -> bool:
        """Whether the hit stands in this context."""
        if self.terms and hit.term.word not in self.terms:
            return False
        if self.before and self.before.search(hit.before(_BEFORE)):
            return True
        return bool(self.behind and self.behind.match(hit.behind(_BEHIND)))


def absolute_hits(content: Content) -> tuple[tuple[Hit, str], ...]:
    """The absolute terms that claim something, each with its tier; worked out once per message."""
    return content.once(_judged)


def _judged(content: Content) -> tuple[tuple[Hit, str], ...]:
    found = ((hit, _tier(hit)) for hit in hits_of(content).get("absolute", ()))
    return tuple((hit, tier) for hit, tier in found if tier)


def _tier(hit: Hit) -> str:
    """The tier that counts, "" when none does."""
    tier = hit.term.group
    for exemption in _exemptions():
        if exemption.covers(hit):
            return TIERS[1] if exemption.lowers and tier == TIERS[0] else ""
    return tier


@cache
def _exemptions() -> tuple[Exemption, ...]:
    return tuple(
        Exemption(
            frozenset(table.get("terms", ())),
            re.compile(table["before"]) if "before" in table else None,
            re.compile(table["after"]) if "after" in table else None,
            table.get("lowers", False),
        )
        for table in read_list("absolute")["exemption"]
    )
