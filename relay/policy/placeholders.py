"""Fields of a template that nobody filled in, and greetings that lost their name.

Each is looked for by the letters that it begins with; behind them a bounded
pattern is matched in place, so the work is a few searches of the text.
"""

import re
from collections.abc import Iterator
from itertools import chain

_SYNTAXES = {
    "{{": re.compile(r"\{\{\{?[^{}\r\n]{1,80}\}?\}\}"),
    "{%": re.compile(r"\{%[^{}%\r\n]{1,80}%\}"),
    "*|": re.compile(r"\*\|[^|\r\n]{1,80}\|\*"),
    "%%": re.compile(r"%%[A-Za-z_][^%\s]{0,80}%%"),
    "${": re.compile(r"\$\{[^{}\r\n]{1,80}\}"),
    "<%": re.compile(r"<%[^%>\r\n]{1,80}%>"),
    "[[": re.compile(r"\[\[[A-Za-z_][^\[\]\r\n]{0,80}\]\]"),
}
"""Of Mustache, Jinja, Mailchimp, Salesforce, JavaScript, ERB and Acoustic, by what they begin with."""

_GREETINGS = ("dear", "hi", "hello", "尊敬的", "亲爱的", "您好", "你好", "致")
_NOBODY = re.compile(r"[ \t]{0,3}(?:null|undefined|none|nan|n/a)?[ \t]{0,3}[,，:：!！]", re.IGNORECASE)
_MAY_STAND_ALONE = frozenset({"hi", "hello", "您好", "你好", "致"})
"""“Hello,” greets nobody by name and means it; “Hello ,” and “Hello null,” had one."""


def unfilled(text: str) -> Iterator[tuple[int, int]]:
    """Where template fields stand in a text."""
    for begins, pattern in _SYNTAXES.items():
        place = text.find(begins)
        while place >= 0:
            match = pattern.match(text, place)
            if match:
                yield match.span()
            place = text.find(begins, match.end() if match else place + 1)


def nameless(text: str) -> Iterator[tuple[int, int]]:
    """Where a greeting of a letter's beginning greets nobody: “Dear ,”, “尊敬的：”, “Hi null,”."""
    start = 0
    for line in text[:2000].splitlines(keepends=True)[:40]:
        greeting = line.lstrip().casefold()
        word = next((word for word in _GREETINGS if greeting.startswith(word)), "")
        indent = len(line) - len(line.lstrip())
        rest = line[indent + len(word) : indent + len(word) + 20]
        if word and (match := _NOBODY.match(rest)) and not (word in _MAY_STAND_ALONE and len(match[0]) == 1):
            yield start + indent, start + indent + len(word) + match.end()
        start += len(line)


def placeholders(text: str) -> list[tuple[int, int]]:
    """Both, in their order."""
    return sorted(chain(unfilled(text), nameless(text)))
