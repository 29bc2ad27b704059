"""How large an element is said to be, by its style (CSS 2.2, CSS Values 4) or by the attributes of HTML, in whole pixels."""

import re
from collections.abc import Mapping
from typing import NamedTuple

DOT = 3
"""A picture of so many pixels a side shows nothing."""

LARGE = 1_000_000
"""What depends on the window or on what stands around."""

_LENGTH = re.compile(r"(?:calc\(\s*+)?([-+]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))\s*+([a-z%]{0,5})\s*+\)?")
_PIXELS = {
    "": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "q": 0.945,
    "em": 16.0, "rem": 16.0, "ex": 8.0, "ch": 8.0, "vw": 12.0, "vh": 12.0, "vmin": 12.0, "vmax": 12.0,
}  # fmt: skip
"""Of letters as most mails have them, and of a window on a desk."""


class Size(NamedTuple):
    """What one style says of both sides. None: nothing, or `auto`."""

    width: int | None = None
    height: int | None = None
    least_width: int | None = None
    least_height: int | None = None
    most_width: int | None = None
    most_height: int | None = None

    def over(self, other: "Size") -> "Size":
        """This where it says something, else the other."""
        return Size(*[mine if mine is not None else theirs for mine, theirs in zip(self, other, strict=True)])

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Width and height within the least and the most; None where nothing tells."""
        width = _within(self.width, self.least_width, self.most_width)
        return width, _within(self.height, self.least_height, self.most_height)

    @property
    def says_small(self) -> bool:
        """Whether it makes a side no longer than a dot's."""
        return any(side is not None and side <= DOT for side in self.sides)


NO_SIZE = Size()


_PROPERTIES = ("width", "height", "min-width", "min-height", "max-width", "max-height")
_MOST = ("max-width", "max-height")
_OPEN = ("auto", "none", "initial", "unset", "revert", "max-content", "min-content", "fit-content")


def read_size(said: Mapping[str, str]) -> Size:
    """What the declarations of a style say, by property."""
    size = Size(*[read_length(said.get(name, "")) for name in _PROPERTIES])
    if size.most_width == LARGE:  # no bound
        size = size._replace(most_width=None)
    if size.most_height == LARGE:
        size = size._replace(most_height=None)
    return NO_SIZE if size == NO_SIZE else size


def opens_size(said: Mapping[str, str]) -> bool:
    """Whether these declarations may undo what other rules say of the size."""
    return any(said.get(name) in _OPEN for name in _PROPERTIES) or any(read_length(said.get(name, "")) == LARGE for name in _MOST)


def is_dot(width: int | None, height: int | None) -> bool:
    """Whether a picture of these sides shows nothing: without length on one, or up to three pixels on both."""
    if width == 0 or height == 0:
        return True
    return width is not None and height is not None and width <= DOT and height <= DOT


def read_length(text: str) -> int | None:
    """A length of CSS; None for what is none, and for less than none."""
    if not text:
        return None
    match = _LENGTH.fullmatch(text.partition("!")[0].strip())
    if match is None:
        return None
    number = float(match[1])
    if match[2] not in _PIXELS:  # a share of what stands around, as a rule
        return 0 if number == 0 else LARGE
    return int(number * _PIXELS[match[2]]) if number >= 0 else None


def read_dimension(text: str) -> int | None:
    """The attribute `width` or `height` (HTML, "rules for parsing dimension values"); None for a share of what stands around."""
    if len(text) < 10 and text.isascii() and text.isdecimal():
        return int(text)
    match = _LENGTH.match(text.strip())
    return int(float(match[1])) if match and match[2] != "%" and float(match[1]) >= 0 else None


def _within(said: int | None, least: int | None, most: int | None) -> int | None:
    if most is not None and most <= DOT:
        said = most if said is None else min(said, most)
    if said is not None and least is not None:
        said = max(said, least)
    return said
