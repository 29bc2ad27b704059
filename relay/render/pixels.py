"""do = "remove-pixels": what is fetched from elsewhere when a mail is opened and shows nothing, as `relay.mail.page.pixels` says.

Of the HTML that readers are shown this is cut out, and not an octet more: the
tag of a picture or a <link>, the attribute by which a frame, a player or a
background is fetched, the declaration of a style, the rule of a style element
that brings in another sheet or a font.  What a page shows afterwards is
compared with what it showed before; where a pixel would be left, or something
in sight would go with it, the duty is impossible.

A tag is found by a mark of its own, put into a copy of the page that only the
parser sees: so it is the parser that says which tag made which element.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from itertools import pairwise

from relay.errors import DutyImpossible
from relay.mail.message import Message
from relay.mail.page.conditional import conditional_comments
from relay.mail.page.dynamic import UNDRAWN, as_drawn
from relay.mail.page.pixels import FETCHED, Pixel
from relay.mail.page.sheet_loads import loads_of
from relay.mail.page.styles import read_style
from relay.mail.page.tags import Attribute, Tag, attributes_of, tag_spans
from relay.mail.page.visible import Page, read_page
from relay.mail.parts.decoding import decode_octets
from relay.mail.parts.mime import Part
from relay.render.splice import Octets

_AMP = "text/x-amp-html"
_HTML = ("text/html", "application/xhtml+xml", _AMP)
_MARK = "relay-mark"
_MAY_PAINT = re.compile(r"background|style", re.IGNORECASE)
_OF_STYLE = re.compile(r"""&#?\w{1,40};|"[^"]*"|'[^']*'|\([^()]*\)|(;)""")
"""What a ";" in the source of a style attribute is no end of a declaration in, and the ";" that is one."""

_BLANKS = Counter(dict.fromkeys(" \n", 1 << 40))
"""How many there are says nothing."""

Range = tuple[int, int]


def without_pixels(message: Message) -> Message:
    """The message without them; as it is when it has none.

    Raises DutyImpossible where one is in what cannot be read or changed.
    """
    if not message.structure.is_complete:
        raise DutyImpossible("the parts of the message cannot all be read, so tracking pixels may be in them")
    content = message.content
    if content.is_complete and not content.pixels:
        return message
    found = [(part, ranges) for part in message.structure.parts if _is_shown(part) and (ranges := _pixels_of(message, part))]
    if not found:
        return message
    if message.is_signed_or_encrypted:
        raise DutyImpossible("the message is signed or encrypted, so its tracking pixels cannot be removed")
    body = message.body
    for part, ranges in reversed(found):
        body = Octets(body, part).without(ranges)
    return replace(message, body=body)


def _is_shown(part: Part) -> bool:
    """Whether readers are shown it in the mail; a page that is attached is somebody's file."""
    is_file = part.header(b"content-disposition").strip().lower().startswith("attachment")
    return part.is_leaf and part.media_type in _HTML and not part.in_attached_message and not is_file


def _pixels_of(message: Message, part: Part) -> Sequence[Range]:
    html = Octets(message.body, part).text
    if part.media_type != _AMP:
        return pixels(html, part.charset)
    if _page(as_drawn(decode_octets(html, part.charset)), UNDRAWN).pixels:
        raise DutyImpossible("the message has a part in AMP with a tracking pixel, which cannot be removed")
    return ()


def pixels(html: bytes, charset: str = "") -> Sequence[Range]:
    """What is to be cut out of a page. Raises DutyImpossible where that does not do."""
    before = _page(decode_octets(html, charset))
    if not before.pixels:
        return ()
    ranges = _ranges(html.decode("latin-1"))  # whose places are those of the octets
    after = _page(decode_octets(_without(html, ranges), charset))
    if after.pixels or _held(after) != _held(before):
        raise DutyImpossible("the message has a tracking pixel that cannot be removed from its HTML")
    return ranges


def _page(html: str, without: str = "") -> Page:
    page = read_page(html, "", without)
    if not page.is_complete:
        raise DutyImpossible("the HTML is nested too deeply or too large to be read, so tracking pixels may be in it")
    return page


def _held(page: Page) -> tuple[object, ...]:
    """What must be there afterwards too: every letter, link and picture in sight."""
    letters = Counter("".join([page.shown, *(text for _, text in page.hidden)]))
    links = sorted((link.href, link.shown) for link in page.links)
    return letters - _BLANKS, links, sorted(image.src for image in page.images if not image.is_unseen)


def _ranges(html: str) -> list[Range]:
    mark = _MARK
    while mark in html.lower():
        mark += "-x"
    tags = [tag for tag in tag_spans(html) if not tag.is_end and _may_fetch(html, tag)]
    page = read_page(_marked(html, tags, mark), "", mark=mark)
    cuts = [cut for pixel in page.pixels if pixel.mark for cut in _cuts(html, tags[int(pixel.mark)], pixel)]
    for begin, stop in conditional_comments(html):
        cuts += [(begin + start, begin + end) for start, end in _ranges(html[begin:stop])]
    return _merged(cuts)


def _may_fetch(html: str, tag: Tag) -> bool:
    return tag.name in FETCHED or tag.name == "style" or bool(_MAY_PAINT.search(html, tag.named, tag.end))


def _marked(html: str, tags: Sequence[Tag], mark: str) -> str:
    """The page with the number of each of the tags in it."""
    bounds = [0, *(tag.named for tag in tags), len(html)]
    pieces = [html[start:end] for start, end in pairwise(bounds)]
    marks = (f' {mark}="{number}"' for number in range(len(tags)))
    return "".join([pieces[0], *(text for pair in zip(marks, pieces[1:], strict=True) for text in pair)])


def _cuts(html: str, tag: Tag, pixel: Pixel) -> Iterator[Range]:
    """What goes with one pixel."""
    if pixel.number >= 0:
        loads = loads_of(html[tag.end : tag.text_end])
        yield from [(tag.end + load.start, tag.end + load.end) for load in loads[pixel.number : pixel.number + 1]]
    elif not pixel.attributes:
        yield tag.start, tag.end
    for attribute in attributes_of(html, tag) if pixel.attributes else ():
        if attribute.name in pixel.attributes:
            is_style = attribute.name == "style"
            yield from _declarations(html, attribute, pixel) if is_style else [(attribute.start, attribute.end)]


def _declarations(html: str, attribute: Attribute, pixel: Pixel) -> Iterator[Range]:
    """The declarations of a style attribute that fetch it."""
    start, end = attribute.value, attribute.value_end
    ends = [found.end() for found in _OF_STYLE.finditer(html, start, end) if found[1]]
    for stop in (*ends, end):
        if not set(pixel.addresses).isdisjoint(read_style(unescape(html[start:stop].removesuffix(";"))).addresses):
            yield start, stop
        start = stop


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """In order and apart."""
    merged: list[Range] = []
    for one in sorted(ranges):
        last = merged.pop() if merged and one[0] < merged[-1][1] else one
        merged.append((last[0], max(last[1], one[1])))
    return merged


def _without(html: bytes, ranges: Sequence[Range]) -> bytes:
    bounds = [0, *(place for one in ranges for place in one), len(html)]
    return b"".join([html[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)])
