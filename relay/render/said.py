"""Whether a text that people see says a fact already: a name, an address, a mailbox, the address of a page.

It must stand there whole.  "One" is not in "everyone" nor in "one.example",
unsubscribe@x.example not in no-unsubscribe@x.example.  Chinese has no bounds
of words, and a line may end between any two of its characters.
"""

import re
from functools import lru_cache

_EAST = "\u2e80"
"""From here on characters are Chinese, Japanese and Korean, with their own punctuation."""

_JOINS = frozenset("-_@+/=&%#?~'’")
"""What makes one name or address with the letters around it."""


def says(text: str, fact: str) -> bool:
    """Whether the fact stands in `text`, which is case-folded. An empty one stands nowhere."""
    folded = fact.casefold().strip()
    return bool(folded) and any(
        (folded[0] >= _EAST or not _goes_on(text[max(0, found.start() - 2) : found.start()][::-1]))
        and (folded[-1] >= _EAST or not _goes_on(text[found.end() : found.end() + 2]))
        for found in _pattern(folded).finditer(text)
    )


def _goes_on(beside: str) -> bool:
    """Whether a word or an address goes on over its edge: with a letter, or with what joins letters."""
    joined = beside.removeprefix(".")  # a full stop may end a sentence as well
    return bool(joined) and joined[0] < _EAST and (joined[0].isalnum() or joined[0] in _JOINS)


@lru_cache(maxsize=256)
def _pattern(fact: str) -> re.Pattern[str]:
    """White space stands where the fact has it, and beside Chinese characters anywhere or nowhere."""
    words = fact.split()
    pieces = [re.escape(words[0][0])]
    for number, word in enumerate(words):
        for place, character in enumerate(word):
            if place or number:
                before = word[place - 1] if place else words[number - 1][-1]
                is_eastern = before >= _EAST or character >= _EAST
                pieces += [r"\s*+" if is_eastern else "" if place else r"\s++", re.escape(character)]
    return re.compile("".join(pieces))
