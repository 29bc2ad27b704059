"""The tags of an HTML page as a parser sees them: none in comments, in attribute values and in text that is no HTML.

This follows the tokenizer of the HTML standard (WHATWG, 13.2.5) for pages
without elements that change how it reads (`nesting` turns to those).  It goes
forward only.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_W = r"[ \t\r\n\f]"
_NAME = r"[A-Za-z][^ \t\r\n\f/>]*+"
_VALUE = rf"""{_W}*+={_W}*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|(?=>)|\Z|[^ \t\r\n\f>"'][^ \t\r\n\f>]*+)"""
_ATTRIBUTE = rf"[^ \t\r\n\f/>][^ \t\r\n\f/>=]*+(?>(?:{_VALUE})?)"
_COMMENT = r"!--(?:-?>|.*?(?:--!?>|\Z))|[!?][^>]*+|/(?![A-Za-z])[^>]*+"
_TAG = rf"(?P<end>/?)(?P<name>{_NAME})(?P<said>(?>(?:[ \t\r\n\f/]++|{_ATTRIBUTE})*))(?:>|(?P<unended>\Z))"
_MARKUP = re.compile(rf"<(?:{_COMMENT}|{_TAG})", re.DOTALL)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_NAMED = re.compile(rf"(?P<name>[^ \t\r\n\f/>][^ \t\r\n\f/>=]*+)(?P<value>(?>(?:{_VALUE})?))")
_BEFORE_VALUE = re.compile(rf"""{_W}*+={_W}*+["']?""")
_SHORT = 32
_RAW = {
    name: re.compile(rf"</{name}(?=[ \t\r\n\f/>])", re.IGNORECASE | re.ASCII)
    for name in ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
}
"""What ends an element whose text is no HTML."""


class Tag(NamedTuple):
    """One tag: html[start:end], with its name up to `named`. `text_end` is where the text behind it ends that is no HTML."""

    name: str
    is_end: bool
    start: int
    named: int
    end: int
    text_end: int


class Attribute(NamedTuple):
    """One attribute of a tag: html[start:end]; what stands in its quotes begins at `value`, and ends at `value_end`."""

    name: str
    start: int
    end: int
    value: int
    value_end: int


def tags(html: str) -> Iterator[tuple[str, bool, int]]:
    """Name, whether it is an end tag, and about how many attributes it has.

    A name that is not ASCII is given as "?", and so is a script that may end where no other does.
    """
    for tag in tag_spans(html):
        length = tag.end - tag.named - 1
        yield tag.name, tag.is_end, count_attributes(html[tag.named : tag.end - 1]) if length > _SHORT else 0
        if tag.name == "script" and tag.text_end > tag.end and html.find("<!--", tag.end, tag.text_end) >= 0:
            yield "?script", False, 0


def tag_spans(html: str) -> Iterator[Tag]:
    """All tags, in their order. A name that is not ASCII is given as "?"."""
    position = 0
    while match := _MARKUP.search(html, position):
        position = match.end()
        name = match["name"]
        if match["unended"] is not None:  # a parser drops it, and nothing stands behind it
            return
        if name is None:
            continue
        name, is_end = name.lower() if name.isascii() else "?", bool(match["end"])
        text_end = position
        if name in _RAW and not is_end:
            found = _RAW[name].search(html, position)
            text_end = found.start() if found else len(html)
        yield Tag(name, is_end, match.start(), match.end("name"), position, text_end)
        position = text_end


def attributes_of(html: str, tag: Tag) -> Iterator[Attribute]:
    """The attributes of a tag, in their order, with names in lower case."""
    for match in _NAMED.finditer(html, tag.named, tag.end - 1):
        before = _BEFORE_VALUE.match(html, match.start("value"), match.end())
        value = before.end() if before else match.end()
        is_quoted = value < match.end() and html[value - 1] in "\"'"
        yield Attribute(match["name"].lower(), match.start(), match.end(), value, match.end() - is_quoted)


def count_attributes(said: str) -> int:
    """How many attributes this part of a tag has."""
    return len(_ATTRIBUTES.findall(said))
