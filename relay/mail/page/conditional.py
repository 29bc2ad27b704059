"""What Outlook for Windows shows of a page and nobody else: the HTML in its conditional comments.

A comment whose text everybody reads ("downlevel-revealed") hides none, and one
that names Outlook to leave it out is for nobody: both are passed over.  Most
comments hold tags alone, to make up for what Word cannot lay out; the few that
have text are put together, so that one short reading tells it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import unescape

from relay.mail.page.pixels import FETCHED

MAX_COMMENTS = 2000
"""Conditional comments that are looked at for text."""
MOST_COMMENTS = 200
"""Of a page, of those that may fetch something."""

_BEGIN, _DASHES = "<!--[", "<!--"
_FEW = 16  # brackets of other things before the next comment
_LONGEST = 200  # characters of a condition
_LONGEST_KEPT = 128 * 1024  # characters of a page whose comments are kept
_CONDITION = re.compile(r"<!--\[if\b[^\]<>]*+\]>", re.IGNORECASE | re.ASCII)
_END = "<![endif]-->"
_ENDS = re.compile(r"<!\[endif\](?:-{0,3}>)?", re.IGNORECASE | re.ASCII)
_REVEALED = re.compile(r"[ \t\r\n\f]*+(?:<!--[ \t\r\n\f]*+-->|<!-->|-->)")
_NOT_OUTLOOK = re.compile(r"![ \t(]*+mso", re.IGNORECASE | re.ASCII)
_SETTINGS = re.compile(r"<(/?)xml(?=[ \t\r\n\f/>])", re.IGNORECASE | re.ASCII)
_WORDLESS = re.compile(r"<style\b[^<>]*+>[^<]*+</style|<!--|<[^<>]*+>", re.IGNORECASE | re.ASCII)
_ELEMENT = re.compile(
    r"(?:(?<=<)|(?<=</))(?:(table|tbody|thead|tfoot|tr|td|th|caption)|v:(?:roundrect|rect|oval|shape))(?=[ \t\r\n\f/>])",
    re.IGNORECASE | re.ASCII,
)
"""What HTML drops or does not know where it stands alone: a part of a table is a block, and a shape of VML a link."""

_MAY_FETCH = re.compile(rf"<(?:{'|'.join(FETCHED)})[\s/]|url\(|@import|background", re.IGNORECASE)
_BESIDE = 40  # characters of a text that goes on in the comment


def only_in_outlook(html: str) -> str | None:
    """A page of the comments that have text, "" where none has; None: there are too many to look at."""
    known: dict[str, bool] = {}
    pieces: dict[str, None] = {}
    for number, (begin, start, end, behind) in enumerate(_comments(html)):
        if number >= MAX_COMMENTS:
            return None
        content = html[start:end]
        if content not in known:
            known[content] = _has_words(content)
        if known[content]:
            before = "" if content.lstrip().startswith("<") else html[max(0, begin - _BESIDE) : begin].rpartition(">")[2]
            after = "" if content.rstrip().endswith(">") else html[behind : behind + _BESIDE].partition("<")[0]
            pieces[_block(before + _without_settings(content) + after)] = None
    return "".join(pieces)


def conditional_comments(html: str) -> Iterator[tuple[int, int]]:
    """Where the HTML in such comments stands that may fetch something."""
    for _, start, end, _ in _comments(html):
        has_address = start < end and html.find("//", start, end) >= 0  # most draw tables, and nothing else
        if has_address and _MAY_FETCH.search(html, start, end):
            yield start, end


def _comments(html: str) -> Iterable[tuple[int, int, int, int]]:
    """Where each begins, where its content starts and ends, and where the page goes on."""
    return _all_comments(html) if len(html) <= _LONGEST_KEPT else _each_comment(html)


@lru_cache(maxsize=2)  # a page is asked for what they show and for what they fetch
def _all_comments(html: str) -> tuple[tuple[int, int, int, int], ...]:
    return tuple(_each_comment(html))


def _each_comment(html: str) -> Iterator[tuple[int, int, int, int]]:
    known: dict[str, bool] = {}
    odd_ends: list[tuple[int, int]] | None = None
    begin, last = _next(html, 0), html.rfind(_END)
    while begin >= 0:
        start = end = behind = html.find("]>", begin, begin + _LONGEST) + 2
        condition = html[begin:start]
        if condition not in known:
            known[condition] = _CONDITION.fullmatch(condition) is not None and not _NOT_OUTLOOK.search(condition)
        if not known[condition]:
            start = end = behind = begin + len(_BEGIN)
        elif not _REVEALED.match(html, start):
            end = html.find(_END, start) if start <= last else -1
            behind = end + len(_END)
            if end < 0:
                odd_ends = [found.span() for found in _ENDS.finditer(html)] if odd_ends is None else odd_ends
                end, behind = _ended(html, start, odd_ends)
        yield begin, start, end, behind
        begin = _next(html, behind)


def _next(html: str, place: int) -> int:
    """Where the next comment begins, -1 without one; to look for one character takes a tenth, and few texts have this one."""
    found = place + len(_DASHES) - 1
    for _ in range(_FEW):
        found = html.find("[", found + 1)
        if found < 0:
            return -1
        if html.startswith(_DASHES, found - len(_DASHES)):
            return found - len(_DASHES)
    return html.find(_BEGIN, found)


def _ended(html: str, start: int, odd_ends: list[tuple[int, int]]) -> tuple[int, int]:
    """Where a comment ends that does not say so in the usual way: in another, as others see it, or with the page."""
    place = bisect_left(odd_ends, (start, start))
    if place < len(odd_ends):
        return odd_ends[place]
    end = html.find("-->", start)
    return (end, end + 3) if end >= 0 else (len(html), len(html))


def _has_words(content: str) -> bool:
    plain = _WORDLESS.sub("", _without_settings(content))
    return any(map(str.isalnum, unescape(plain)))


def _without_settings(content: str) -> str:
    """Less what Office reads for itself."""
    pieces: list[str] = []
    place, is_shown = 0, True
    for tag in _SETTINGS.finditer(content):
        if is_shown:
            pieces.append(content[place : tag.start()])
        place, is_shown = tag.start(), bool(tag[1])
    return content if not place else "".join(pieces) + (content[place:] if is_shown else "")


def _block(content: str) -> str:
    """By itself, whatever it leaves open: most comments open what another closes."""
    html = _ELEMENT.sub(lambda name: "div" if name[1] else "a", content).replace("fillcolor=", "bgcolor=")
    opened = html.count("<div") - html.count("</div")
    return f"<div>{html}</div>{'</div>' * opened}"
