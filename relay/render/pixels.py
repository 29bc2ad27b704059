"""do = "remove-pixels": images from elsewhere that nobody can see, which tell their owner who opened the mail and when.

An image counts as unseen when both its sides are at most one pixel, when one
has no length, or when it hides itself.  Its tag is cut out of the HTML; nothing else changes.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from relay.errors import DutyImpossible
from relay.mail.message import Message
from relay.mail.mime import Part
from relay.render.splice import Octets

_MOST_TAG = 4096  # octets of an <img>, which is looked at in one piece
_LONG = 10**6
_IMAGE = re.compile(rb"<img(?=[\s/])", re.IGNORECASE)
_TAG = re.compile(rb"""<img(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""", re.IGNORECASE)  # a ">" in a quoted value ends no tag
_ATTRIBUTE = re.compile(rb"""([A-Za-z-]{1,40}+)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
_REMOTE = re.compile(rb"\s*(?:https?:)?//", re.IGNORECASE)
_SIZE = re.compile(rb"\s*0*([0-9]{1,6})(?:\.\d*)?\s*(?:px)?\s*", re.IGNORECASE)
_HIDDEN = re.compile(
    rb"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0*)?\s*(?:;|!|$))", re.IGNORECASE
)
_STYLED = re.compile(rb"(?:^|;)\s*(?:max-)?(width|height)\s*:([^;!]*)", re.IGNORECASE)


def without_pixels(message: Message) -> Message:
    """The message without such images; as it is when it has none.

    Raises DutyImpossible where one may be in what cannot be read or changed.
    """
    if not message.structure.is_complete:
        raise DutyImpossible("the parts of the message cannot all be read, so tracking pixels may be in them")
    parts = [part for part in message.structure.parts if _is_html(part)]
    found = [(part, ranges) for part in parts if (ranges := pixels(Octets(message.body, part).text))]
    if not found:
        return message
    if message.is_signed_or_encrypted:
        raise DutyImpossible("the message is signed or encrypted, so its tracking pixels cannot be removed")
    body = message.body
    for part, ranges in reversed(found):
        body = Octets(body, part).without(ranges)
    return replace(message, body=body)


def pixels(html: bytes) -> list[tuple[int, int]]:
    """Where the tags of such images stand."""
    return [(start, end) for start, end in _images(html) if _is_pixel(html[start:end])]


def _images(html: bytes) -> Iterator[tuple[int, int]]:
    for begin in _IMAGE.finditer(html):
        start, bound = begin.start(), begin.start() + _MOST_TAG
        if html.find(b">", start, bound) > 0 and (tag := _TAG.match(html, start, bound)):
            yield tag.span()


def _is_pixel(tag: bytes) -> bool:
    attributes: dict[bytes, bytes] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(tag[4:]):
        attributes.setdefault(name.lower(), double or single or bare)  # of two, readers take the first
    if not _REMOTE.match(attributes.get(b"src", b"")):
        return False
    style = attributes.get(b"style", b"")
    sides = {name: attributes.get(name, b"") for name in (b"width", b"height")}
    sides |= {name.lower(): size for name, size in _STYLED.findall(style)}
    lengths = [_pixels(size) for size in sides.values()]
    return bool(_HIDDEN.search(style)) or b"hidden" in _bare_names(tag) or 0 in lengths or max(lengths) <= 1


def _bare_names(tag: bytes) -> list[bytes]:
    return _ATTRIBUTE.sub(b" ", tag[4:-1]).lower().replace(b"/", b" ").split()


def _pixels(size: bytes) -> int:
    """A length in pixels; what is none, or in another unit, is long."""
    match = _SIZE.fullmatch(size)
    return int(match[1]) if match else _LONG


def _is_html(part: Part) -> bool:
    return part.is_leaf and part.media_type == "text/html" and not part.in_attached_message
