"""What stands around a word of a list, and says that it means something else: [[exemption]] and [[context]] of lists/*.toml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from relay.policy.words.terms import TermHit, read_list

_BEFORE, _BEHIND = 16, 12  # characters of the clause that an exemption looks at
_BESIDE = 24  # characters on either side that a context looks at, whatever clause they stand in


@dataclass(frozen=True, slots=True)
class Exemption:
    """A wording: cues before or behind a term, in its clause. `lowers`: a blocked term is left asking for evidence."""

    terms: frozenset[str]
    before: re.Pattern[str] | None
    behind: re.Pattern[str] | None
    lowers: bool

    def covers(self, hit: TermHit) -> bool:
        """Whether the hit stands in this wording."""
        if self.terms and hit.term.word not in self.terms:
            return False
        if self.before and self.before.search(hit.before(_BEFORE)):
            return True
        return bool(self.behind and self.behind.match(hit.behind(_BEHIND)))


def counts(hit: TermHit) -> bool:
    """Whether the word means what it is in its list for; it may need something beside it, and some wordings exempt it."""
    beside = contexts(hit.term.lexicon).get(hit.term.word)
    if beside is not None and not any(map(beside.search, hit.around(_BESIDE))):
        return False
    return not any(exemption.covers(hit) for exemption in exemptions(hit.term.lexicon) if not exemption.lowers)


@cache
def exemptions(name: str) -> tuple[Exemption, ...]:
    """Those of a list, in its order."""
    return tuple(
        Exemption(
            frozenset(table.get("terms", ())),
            re.compile(table["before"]) if "before" in table else None,
            re.compile(table["after"]) if "after" in table else None,
            table.get("lowers", False),
        )
        for table in read_list(name).get("exemption", ())
    )


@cache
def contexts(name: str) -> Mapping[str, re.Pattern[str]]:
    """What some words of a list need beside them, by the word."""
    return {word: re.compile(table["beside"]) for table in read_list(name).get("context", ()) for word in table["terms"]}
