"""AMP for Email (text/x-amp-html) as its readers draw it: HTML with other names, and with templates that data fill in.

An element that a binding hides or shows (`[hidden]`) counts as shown: readers
come to see it by what they press.
"""

import re

UNDRAWN = "style[amp4email-boilerplate],style[amp-boilerplate],script"
"""Styles that every such part must have, which hide the page until the reader's own script shows it, and that script."""

_NAMES = {"template": "div", "amp-img": "img", "amp-anim": "img", "amp-pixel": "img hidden"}
_TAG = re.compile(rf"<(/?)({'|'.join(_NAMES)})(?=[ \t\r\n\f/>])", re.IGNORECASE | re.ASCII)
_FIELD = re.compile(r"\{\{\{?[^{}]{0,200}\}\}\}?")
_START = re.compile(r"<[A-Za-z][^<>]*+>")
_BINDS = re.compile(r"(?:\[hidden\]|data-amp-bind-hidden)[ \t\r\n\f]*+=", re.IGNORECASE | re.ASCII)
_HIDDEN = re.compile(r"[ \t\r\n\f]hidden(?=[ \t\r\n\f/>])", re.IGNORECASE | re.ASCII)


def as_drawn(html: str) -> str:
    """In HTML's own elements; what data will stand in for within a template is left out."""
    pieces: list[str] = []
    place, is_template = 0, False
    for tag in _TAG.finditer(html):
        name, between = tag[2].lower(), html[place : tag.start()]
        pieces += (_FIELD.sub("", between) if is_template else between, f"<{tag[1]}{_NAMES[name]}")
        place, is_template = tag.end(), not tag[1] if name == "template" else is_template
    drawn = "".join([*pieces, html[place:]])
    return _START.sub(_unhidden, drawn) if _BINDS.search(drawn) else drawn


def _unhidden(tag: re.Match[str]) -> str:
    return _HIDDEN.sub("", tag[0]) if _BINDS.search(tag[0]) else tag[0]
