"""Whether an HTML page is nested within reason.

A parser of HTML takes time with the square of the depth, and makes a page of
a few kilobytes a tree of millions of nodes: formatting that is never closed
is opened again in every later block (HTML, "reconstruct the active formatting
elements").  Mails that people wrote are far from both.
"""

import re

MAX_DEPTH = 400
MAX_REOPENED = 50_000
"""Formatting elements that a parser may have to open again, all together."""

_FEW_TAGS, _FEW_FORMATTING = 2500, 50
"""Up to here even the worst page is read in a moment."""


def tag_names(text: str) -> frozenset[str]:
    """Names that are written one beside the other."""
    return frozenset(text.split())


_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]{0,30})")
_VOID = tag_names("area base br col embed hr img input link meta param source track wbr")
_FORMATTING = tag_names("a b big code em font i nobr s small strike strong tt u")
PHRASING = _FORMATTING | tag_names("abbr acronym bdo cite del dfn ins kbd label mark o:p q samp span sub sup time var")
_MAY_FORMAT = frozenset(
    letter + behind
    for name in ("b", "i", "s", "u", "big", "code", "em", "font", "nobr", "small", "strike", "tt")
    for letter in (name[0], name[0].upper())
    for behind in ((name[1], name[1].upper()) if len(name) > 1 else (" ", ">", "/", "\t", "\r", "\n", "\f"))
)
"""How formatting elements begin, and a few others."""

_CELLS = tag_names("td th tr tbody thead tfoot")
_ITEMS = tag_names("li dt dd option")
_SCOPES = tag_names("button caption html marquee object table td template th")
_LISTS = _SCOPES | tag_names("dl ol select ul")


def is_readable(html: str) -> bool:
    """Whether the page is read in time and space that grow with its length."""
    pieces = html.split("<")
    if len(pieces) <= _FEW_TAGS and sum([piece[:2] in _MAY_FORMAT for piece in pieces]) <= _FEW_FORMATTING:
        return True
    opened: list[str] = []
    lost = reopened = 0  # formatting that was not closed before what it stands in
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _VOID:
            continue
        if match[1] or name == "p" or name in _ITEMS or name in _CELLS:
            lost += _close(name, opened)
        if match[1]:
            lost -= lost > 0 and name in _FORMATTING
            continue
        opened.append(name)
        reopened += lost
        if len(opened) > MAX_DEPTH or reopened > MAX_REOPENED:
            return False
    return True


def _close(name: str, opened: list[str]) -> int:
    """Close the nearest element of that name if nothing holds it open, and say how much formatting ended with it unclosed."""
    if opened and opened[-1] == name:
        opened.pop()
        return 0
    for place in range(len(opened) - 1, -1, -1):
        if opened[place] == name:
            lost = sum(one in _FORMATTING for one in opened[place + 1 :])
            del opened[place:]
            return lost
        if _holds(opened[place], name):
            break
    return 0


def _holds(element: str, name: str) -> bool:
    """Whether an end tag of that name does not reach beyond the open element."""
    if name in PHRASING:
        return element not in PHRASING
    if name in _CELLS:
        return element == "table"
    if name == "table":
        return element == "template"
    return element in (_LISTS if name in _ITEMS else _SCOPES)
