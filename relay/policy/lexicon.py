"""The word lists of lists/*.toml, and where their words stand in what people read.

All lists are searched in one pass (Aho-Corasick), once per message, in folded
text; see relay.mail.folding for what hides no word.  A hit keeps the word of
the list and its place, never the sentence around it.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation

from relay.mail.content import Content, Text
from relay.mail.folding import fold_word
from relay.policy.case import Spot
from relay.policy.rule import Finding

MASKED = "masked"
"""The group of phrases that hold a word of their list and mean something else."""

_MOST_NAMED, _MOST_SPOTS = 6, 50
_CLAUSE_ENDS = frozenset(",。;!?\n…")


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a list. `group` is its tier or category, `kind` what it is there ("goods", "promises")."""

    lexicon: str
    group: str
    kind: str
    word: str
    points: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A term in a text; `start` and `end` are places in its normalised form."""

    term: Term
    text: Text
    start: int
    end: int

    def before(self, length: int) -> str:
        """What stands before it in its clause."""
        found = self.text.normalised[max(0, self.start - length) : self.start]
        return found[max(found.rfind(end) for end in _CLAUSE_ENDS) + 1 :]

    def behind(self, length: int) -> str:
        """What stands behind it in its clause."""
        found = self.text.normalised[self.end : self.end + length]
        return found[: min((place for end in _CLAUSE_ENDS if (place := found.find(end)) >= 0), default=length)]

    def is_within(self, phrase: str) -> bool:
        """Whether it stands inside this phrase, which is given as it is written."""
        folded = fold_word(phrase)
        text, longest = self.text.normalised, len(folded)
        found = text.find(folded, max(0, self.end - longest))
        return 0 <= found <= self.start


def read_lists() -> None:
    """Read all lists now: it takes a tenth of a second, once in a process."""
    _index()


def hits_of(content: Content) -> Mapping[str, tuple[Hit, ...]]:
    """The hits of every list by its name, in order; found once per message."""
    return content.once(_search)


def seen(hits: Iterable[Hit], code: str = "") -> Finding | None:
    """The finding on these hits: the words of the list and how often each stands there; None without any."""
    counts: dict[str, int] = {}
    spots: dict[Spot, None] = {}
    for hit in hits:
        counts[hit.term.word] = counts.get(hit.term.word, 0) + 1
        spots.setdefault(Spot(hit.text.where, *hit.text.position(hit.start, hit.end)))
    if not counts:
        return None
    words = [word if count == 1 else f"{word} x{count}" for word, count in counts.items()]
    more = f", {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return Finding(", ".join(words[:_MOST_NAMED]) + more, code, spots=tuple(spots)[:_MOST_SPOTS])


@cache
def read_list(name: str) -> dict[str, Any]:
    """The file of one list."""
    return tomllib.loads(files("relay.policy").joinpath("lists", f"{name}.toml").read_text("utf-8"))


def _search(content: Content) -> Mapping[str, tuple[Hit, ...]]:
    automaton, terms = _index()
    found: dict[str, list[Hit]] = {}
    for text in content.every_text:
        folded = text.normalised
        for number, start, end in automaton.find_matches_as_indexes(folded, overlapping=True):
            if _stands_alone(folded, start, end):
                for term in terms[number]:
                    found.setdefault(term.lexicon, []).append(Hit(term, text, start, end))
    return {name: tuple(_longest(hits)) for name, hits in found.items()}


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a word of Latin letters or digits is whole there: "NO.1" is not in "NO.12"."""
    return not (_is_inside_word(text, end) or _is_inside_word(text, start))


def _is_inside_word(text: str, place: int) -> bool:
    around = text[place - 1 : place + 1] if place else ""
    return len(around) == 2 and around.isascii() and around.isalnum()


def _longest(hits: list[Hit]) -> Iterator[Hit]:
    """Those that stand inside no longer hit of their list, masks left out."""
    for text in {id(hit.text): hit.text for hit in hits}.values():
        reached = -1
        for hit in sorted((hit for hit in hits if hit.text is text), key=lambda hit: (hit.start, -hit.end)):
            if hit.end > reached:
                reached = hit.end
                if hit.term.group != MASKED:
                    yield hit


def _terms() -> Iterator[Term]:
    absolute = read_list("absolute")
    for tier in absolute["tier"]:
        yield from (Term("absolute", tier["name"], "term", word) for word in tier["terms"])
    for name in ("regulated", "prohibited"):
        table = read_list(name)
        for category in table["category"]:
            for kind in ("promises", "goods", "banned", "terms", "notice"):
                yield from (Term(name, category["name"], kind, word) for word in category.get(kind, ()))
        yield from _masked(name, table)
    for group, words in read_list("figures").items():
        yield from (Term("figures", group, "term", word) for word in words)
    promotional = read_list("promotional")
    for words in promotional["words"]:
        yield from (Term("promotional", str(words["points"]), "term", word, words["points"]) for word in words["terms"])
    yield from _masked("promotional", promotional)


def _masked(name: str, table: Mapping[str, Any]) -> Iterator[Term]:
    return (Term(name, MASKED, MASKED, phrase) for masked in table.get("masked", ()) for phrase in masked["phrases"])


def _written(word: str, aliases: Mapping[str, str]) -> Iterable[str]:
    """The ways in which a word is written."""
    return {word, *(word.replace(plain, alias) for alias, plain in aliases.items())}


@cache
def _index() -> tuple[AhoCorasick, tuple[tuple[Term, ...], ...]]:
    """The automaton, and the terms of each of its patterns."""
    aliases = read_list("absolute")["aliases"]
    found: dict[str, tuple[Term, ...]] = {}
    for term in _terms():
        for written in _written(term.word, aliases if term.lexicon == "absolute" else {}):
            folded = fold_word(written)
            found[folded] = (*found.get(folded, ()), term)
    return AhoCorasick(found, implementation=Implementation.DFA), tuple(found.values())
