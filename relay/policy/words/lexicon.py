"""The word lists of lists/*.toml, and where their words stand in what people read.

All lists are searched in one pass (Aho-Corasick), once per message, in folded
text; see relay.mail.words.folding for what hides no word.  A hit keeps the word of
the list and its place, never the sentence around it.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation

from relay.mail.words.content import Content
from relay.mail.words.folding import fold_word
from relay.mail.words.sight import Text
from relay.policy.cases.case import MOST_SPOTS, Spot
from relay.policy.rules.rule import Finding
from relay.policy.words.terms import Term, TermHit, read_list
from relay.policy.words.wordings import contexts, counts, exemptions

MASKED = "masked"
"""The group of phrases that hold a word of their list and mean something else."""

_MOST_NAMED = 6
_JUDGED_BY_TIER = "absolute"
"""The list whose exemptions may lower a word instead of leaving it out: see relay.policy.words.absolute."""


def read_lists() -> None:
    """Read all lists now: it takes a tenth of a second, once in a process."""
    _, terms = _index()
    for name in {term.lexicon for some in terms for term in some}:
        exemptions(name)
        contexts(name)


def hits_of(content: Content) -> Mapping[str, tuple[TermHit, ...]]:
    """The hits of every list by its name, in order; found once per message."""
    return content.once(_search)


def seen(hits: Iterable[TermHit], code: str = "") -> Finding | None:
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
    return Finding(", ".join(words[:_MOST_NAMED]) + more, code, spots=tuple(spots)[:MOST_SPOTS])


def _search(content: Content) -> Mapping[str, tuple[TermHit, ...]]:
    found: dict[str, tuple[TermHit, ...]] = {}
    for text in content.every_text:
        for name, hits in text.once(_search_in).items():
            found[name] = (*found[name], *hits) if name in found else hits
    return found


def _search_in(text: Text) -> Mapping[str, tuple[TermHit, ...]]:
    automaton, terms = _index()
    found: dict[str, list[TermHit]] = {}
    folded = text.normalised
    for number, start, end in automaton.find_matches_as_indexes(folded, overlapping=True):
        if _stands_alone(folded, start, end):
            for term in terms[number]:
                found.setdefault(term.lexicon, []).append(TermHit(term, text, start, end))
    return {name: tuple(hit for hit in _longest(hits) if name == _JUDGED_BY_TIER or counts(hit)) for name, hits in found.items()}


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a word of Latin letters or digits is whole there: "NO.1" is not in "NO.12"."""
    return not (_is_inside_word(text, end) or _is_inside_word(text, start))


def _is_inside_word(text: str, place: int) -> bool:
    around = text[place - 1 : place + 1] if place else ""
    return len(around) == 2 and around.isascii() and around.isalnum()


def _longest(hits: list[TermHit]) -> Iterator[TermHit]:
    """Of the hits of one text those that stand inside no longer hit of their list, masks left out."""
    reached = -1
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if hit.end > reached:
            reached = hit.end
            if hit.term.group != MASKED:
                yield hit


def all_terms() -> Iterator[Term]:
    """Every term of every list, masks among them."""
    absolute = read_list("absolute")
    for tier in absolute["tier"]:
        yield from (Term("absolute", tier["name"], "term", word) for word in tier["terms"])
    for name in ("regulated", "prohibited"):
        table = read_list(name)
        for category in table["category"]:
            for kind in ("promises", "goods", "banned", "terms", "notice"):
                yield from (Term(name, category["name"], kind, word) for word in category.get(kind, ()))
        yield from _masked(name, table)
    figures = read_list("figures")
    for group in ("statistics", "sources", "prices"):
        yield from (Term("figures", group, "term", word) for word in figures[group])
    yield from _masked("figures", figures)
    promotional = read_list("promotional")
    for words in promotional["words"]:
        yield from (Term("promotional", str(words["points"]), "term", word, words["points"]) for word in words["terms"])
    yield from _masked("promotional", promotional)
    transactional = read_list("transactional")
    yield from (Term("transactional", "terms", "term", word) for word in transactional["terms"])
    yield from _masked("transactional", transactional)


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
    for term in all_terms():
        for written in _written(term.word, aliases if term.lexicon == "absolute" else {}):
            folded = fold_word(written)
            found[folded] = (*found.get(folded, ()), term)
    return AhoCorasick(found, implementation=Implementation.DFA), tuple(found.values())
