"""A word of a list, and where one stands in what people read."""

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from relay.data_files import data_file
from relay.mail.words.folding import fold_word
from relay.mail.words.sight import Text

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
class TermHit:
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

    def around(self, length: int) -> tuple[str, str]:
        """What stands before and behind it, over the ends of clauses."""
        text = self.text.normalised
        return text[max(0, self.start - length) : self.start], text[self.end : self.end + length]

    def is_within(self, phrase: str) -> bool:
        """Whether it stands inside this phrase, which is given as it is written."""
        folded = fold_word(phrase)
        text, longest = self.text.normalised, len(folded)
        found = text.find(folded, max(0, self.end - longest))
        return 0 <= found <= self.start


@cache
def read_list(name: str) -> dict[str, Any]:
    """The file of one list."""
    return tomllib.loads(data_file("relay.policy.words", "lists", f"{name}.toml"))
