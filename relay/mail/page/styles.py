"""How styles hide text (CSS 2.2, CSS Color 4): as much of them as mail needs.

Whoever hides text writes so in the style of an element or in a rule of a style
element.  Both are read here, within bounds, and remembered, because a
newsletter repeats a few styles many times.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from relay.mail.page.sizes import DOT, LARGE, NO_SIZE, Size, is_dot, opens_size, read_length, read_size

MAX_STYLE = 4096
"""Characters that are read of one style attribute."""

MAX_SHEET = 128 * 1024
"""Characters that are read of one style element."""

_MAX_COLOUR = 100
_SHORT = 300  # characters
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})")
_CHANNEL = re.compile(rf"({_NUMBER.pattern})(%?)")
_COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|rgba?\([^()]{1,60}\)|\b[a-z]{3,20}\b")
_BRACE = re.compile(r"([{}])")
SELECTOR = re.compile(r"(?:\*|[\w.#-]{1,80})(?: +(?:\*|[\w.#-]{1,80})){0,2}")
"""What can be looked for: up to three elements in each other, by tag, classes and id."""
_EVERYWHERE = re.compile(r"@media\s+(?:only\s+)?(?:all|screen)\s*")
_FILTER = re.compile(r"opacity\(([^()]{1,20})\)")
_SCALE = re.compile(r"scale(?:x|y|3d)?\(\s*+([^(),]{1,20})")
_CLIP = re.compile(r"(inset|circle|ellipse)\(\s*+([^\s(),]{1,20})")
_CUT_OUT = re.compile(r"(rect|polygon|xywh)\(([^()]{0,200})\)")
_ADDRESS = re.compile(r"""(?:url|src|image|image-set)\(\s*+["']?+\s*+([^"'()\s]{1,4096})""")
_ASIDE = re.compile(r"\[[^\[\]]{0,200}\]|::?[\w-]{1,40}(?:\([^()]{0,80}\))?")
_NAME = re.compile(r"\*|[.#]?[\w-]+")
_NAMES = {
    "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0), "gray": (128, 128, 128), "grey": (128, 128, 128), "silver": (192, 192, 192), "navy": (0, 0, 128),
    "maroon": (128, 0, 0), "olive": (128, 128, 0), "teal": (0, 128, 128), "purple": (128, 0, 128), "orange": (255, 165, 0),
    "lime": (0, 255, 0), "aqua": (0, 255, 255), "fuchsia": (255, 0, 255), "snow": (255, 250, 250), "ivory": (255, 255, 240),
    "whitesmoke": (245, 245, 245), "ghostwhite": (248, 248, 255),
}  # fmt: skip

_PLACES = ("left", "top", "right", "bottom", "text-indent", "margin-left", "margin-top")
_GROW = frozenset({"flex", "flex-grow", "zoom"})
_STRETCH = frozenset({"aspect-ratio", "inset", "align-self", "justify-self"})

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
CLEAR: Colour = (-1, -1, -1)
"""A colour that nobody sees."""


@dataclass(frozen=True, slots=True)
class Style:
    """What one style says of being seen. None: nothing.

    `hides` names the way in which the whole element is hidden, "" when it is not; `veils` how its pictures are, while its text
    may be there for those who listen; `tiny` and `colour` hold for text whose nearest element with a font size or a colour
    this is.  `has_picture`: what stands behind cannot be told.  `reveals`: it may undo what hides, and `opens` what is small.
    `addresses` is what it fetches; that may be seen around what the element holds if `padded`, and beyond the size that it is
    given if it `grows`.  `stretches`: it may have a size without being given one, or gives one to what stands in it.
    """

    hides: str = ""
    veils: str = ""
    tiny: bool | None = None
    pixels: float | None = None
    colour: Colour | None = None
    background: Colour | None = None
    has_picture: bool = False
    shows: bool = False
    in_line: bool = False
    reveals: bool = False
    padded: bool = False
    grows: bool = False
    stretches: bool = False
    opens: bool = False
    size: Size = NO_SIZE
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What a style element says of how elements look, for one selector.

    `names`: those of its elements, as far as they are read; `everywhere`: it holds on every screen; `insists`: it outdoes
    the style of an element; `is_known`: it can be told which elements it means.
    """

    selector: str
    names: frozenset[str]
    style: Style
    everywhere: bool
    insists: bool
    is_known: bool

    @property
    def is_special(self) -> bool:
        """Whether it is for elements of a class or an id, and not for all of a kind."""
        return any(name[0] in ".#" for name in self.names)

    @property
    def weight(self) -> tuple[int, int, int]:
        """The greater outdoes the less (CSS Selectors 4, "specificity")."""
        ids, classes = self.selector.count("#"), self.selector.count(".")
        return ids, classes, len(_NAME.findall(self.selector)) - ids - classes


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the style elements of a mail say: `hiding` pairs a selector with what hides; `paints` tells of backgrounds.

    `rules` are those that make an element small or large, veil it or reveal it.
    """

    hiding: tuple[tuple[str, Style], ...] = ()
    paints: bool = False
    sizes: bool = False
    rules: tuple[Rule, ...] = ()

    def with_also(self, other: "Sheet") -> "Sheet":
        """Both."""
        return Sheet(
            (*self.hiding, *other.hiding), self.paints or other.paints, self.sizes or other.sizes, (*self.rules, *other.rules)
        )


def read_style(text: str) -> Style:
    """Read a style attribute; what newsletters repeat is short, and only that is remembered."""
    return _short_style(text) if len(text) <= _SHORT else _style(text[:MAX_STYLE])


def _style(text: str) -> Style:
    said = declarations(text)
    colour = read_colour(said.get("color", ""))
    behind = said.get("background-color") or said.get("background", "")
    background = read_colour(behind)
    pictured = said.get("background", "") + said.get("background-image", "")
    size = read_size(said)
    return Style(
        hides=_hides(said) or ("colour" if colour == CLEAR else ""),
        veils=_veils(said, size),
        tiny=_is_tiny(said),
        pixels=_font_pixels(said),
        colour=colour,
        background=None if background == CLEAR else background,
        has_picture="url(" in pictured or "gradient" in pictured,
        shows=said.get("display", "none") != "none" or said.get("visibility") == "visible",
        in_line=said.get("display") in ("inline", "contents"),
        reveals=_reveals(said, size),
        padded=any(name.startswith(("padding", "border")) and _has_length(value) for name, value in said.items()),
        grows=not _GROW.isdisjoint(said) or said.get("display", "").startswith("table"),
        stretches=not _STRETCH.isdisjoint(said)
        or said.get("position") in ("absolute", "fixed", "sticky")
        or said.get("display", "").endswith(("flex", "grid", "box")),
        opens=opens_size(said),
        size=size,
        addresses=tuple(_addresses(said)) if "(" in text else (),
    )


_short_style = lru_cache(maxsize=2048)(_style)


def read_sheet(text: str) -> Sheet:
    """Read a style element: the rules for every screen, less what a rule for some screens shows again."""
    return _sheet(text[:MAX_SHEET])


@lru_cache(maxsize=8)
def _sheet(text: str) -> Sheet:
    hiding: dict[str, Style] = {}
    shown: set[str] = set()
    looks: list[Rule] = []
    paints = sizes = False
    for selectors, style, everywhere, insists in _rules(_COMMENT.sub("", text)):
        paints = paints or style.background is not None or style.has_picture
        sizes = sizes or style.tiny is False
        is_larger = style.padded or style.grows or style.stretches
        is_look = style.veils or style.reveals or is_larger or style.size != NO_SIZE
        hides_text = style.hides or style.tiny or style.shows
        for selector in selectors.split(",") if is_look or hides_text else ():
            name = " ".join(selector.split())
            is_known = bool(SELECTOR.fullmatch(name))
            if style.shows and not style.hides:
                shown.add(name.lower())
            elif everywhere and hides_text and is_known:
                hiding[name] = style
            if is_look:
                looks.append(Rule(name, last_names(name), style, everywhere, insists, is_known))
    return Sheet(tuple((name, style) for name, style in hiding.items() if name.lower() not in shown), paints, sizes, tuple(looks))


def last_names(selector: str) -> frozenset[str]:
    """The tag, classes and id that a selector says of its elements themselves, in lower case."""
    last = re.split(r"[\s>+~]", _ASIDE.sub("", selector[-300:].lower()).strip())[-1]
    return frozenset(_NAME.findall(last))


def read_colour(text: str) -> Colour | None:
    """The first colour in a value; CLEAR when it is transparent, None without one that is known."""
    return _colour(text[:_MAX_COLOUR]) if text else None


@lru_cache(maxsize=1024)
def _colour(text: str) -> Colour | None:
    text = text.strip().lower()
    if text.startswith("transparent"):
        return CLEAR
    for found in _COLOUR.findall(text):
        if found in _NAMES:
            return _NAMES[found]
        if found.startswith("#"):
            return _hex(found[1:])
        if found.startswith("rgb"):
            return _rgb(found)
    return _hex(text) if re.fullmatch(r"[0-9a-f]{6}", text) else None


def is_same(one: Colour, other: Colour) -> bool:
    """Whether nobody tells these apart: no channel differs by more than 4 %."""
    return abs(one[0] - other[0]) <= 10 and abs(one[1] - other[1]) <= 10 and abs(one[2] - other[2]) <= 10


def _rules(text: str) -> Iterator[tuple[str, Style, bool, bool]]:
    """Selectors, style, whether it holds on every screen, and whether it insists."""
    opened: list[str] = []
    pieces = _BRACE.split(text)
    for said, brace in zip(map(str.strip, pieces[::2]), pieces[1::2], strict=False):
        if brace == "{":
            opened.append(said)
        elif opened:
            selectors = opened.pop()
            if not selectors.startswith("@") and len(opened) <= 1:
                everywhere = not opened or bool(_EVERYWHERE.fullmatch(opened[0].lower()))
                yield selectors, read_style(said), everywhere, "!important" in said


def declarations(text: str) -> dict[str, str]:
    """What a style says, by property, in lower case."""
    if "/*" in text:
        text = _COMMENT.sub("", text)
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    pairs = (declaration.partition(":") for declaration in text.lower().split(";"))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs}


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else 0
    return match[2] or ("\ufffd" if not 0 < code < 0x110000 else chr(code))


def _hides(said: dict[str, str]) -> str:
    if said.get("display") == "none":
        return "display"
    if said.get("visibility") in ("hidden", "collapse") or said.get("content-visibility") == "hidden":
        return "visibility"
    if _is_faint(said.get("opacity", "")) or any(map(_is_faint, _FILTER.findall(said.get("filter", "")))):
        return "opacity"
    if _shrinks(said):
        return "size"
    clipped = any(_number(said.get(name, "")) == 0 for name in ("max-height", "height", "max-width", "width"))
    if clipped and said.get("overflow", "").startswith(("hidden", "clip")):
        return "size"
    away = [_number(said.get(name, "")) for name in _PLACES]
    far = -400 if said.get("position") in ("absolute", "fixed") else -900
    return "position" if any(number is not None and number <= far for number in away) else ""


def _veils(said: dict[str, str], size: Size) -> str:
    """How nothing is left of the pictures in it, where `_hides` finds nothing."""
    if is_dot(*size.sides) and None not in size.sides and said.get("overflow", "").startswith(("hidden", "clip")):
        return "size"
    shapes = _CUT_OUT.findall(said.get("clip-path", ""))
    if said.get("position") in ("absolute", "fixed"):
        shapes += _CUT_OUT.findall(said.get("clip", ""))
    return "clip" if any(_is_point(shape, numbers.replace(",", " ").split()) for shape, numbers in shapes) else ""


def _is_point(shape: str, numbers: list[str]) -> bool:
    """Whether a shape has no area to speak of."""
    sides = [read_length(number) for number in numbers]
    if shape == "polygon":
        return bool(numbers) and (len(set(numbers[::2])) == 1 or len(set(numbers[1::2])) <= 1)
    if len(sides) < 4 or any(side is None or side == LARGE for side in sides):
        return False
    top, right, bottom, left = (side or 0 for side in sides[:4])
    return is_dot(right - left, bottom - top) if shape == "rect" else is_dot(bottom, left)


def _reveals(said: dict[str, str], size: Size) -> bool:
    """Whether it may be there to undo what hides: on a telephone, say."""
    if said.get("display", "none") != "none" or said.get("visibility") == "visible" or said.get("overflow") == "visible":
        return True
    opacity = said.get("opacity", "")
    if (opacity and not _is_faint(opacity)) or opens_size(said):
        return True
    return any(side is not None and side > DOT for side in (size.width, size.height, size.most_width, size.most_height))


def _has_length(value: str) -> bool:
    """Whether a value has a number that is not 0."""
    return any(digit in value for digit in "123456789")


def _addresses(said: dict[str, str]) -> Iterator[str]:
    """What a browser fetches for these declarations."""
    for value in said.values():
        if "(" in value:
            yield from _ADDRESS.findall(value)


def _is_faint(opacity: str) -> bool:
    number = _number(opacity.strip())
    return number is not None and number <= (10 if "%" in opacity else 0.1)


def _shrinks(said: dict[str, str]) -> bool:
    """Whether nothing is left of it: scaled to a point, or clipped from its edges to the middle (CSS Masking 1)."""
    scales = [*_SCALE.findall(said.get("transform", "")), said.get("scale", "")]
    clips = _CLIP.findall(said.get("clip-path", ""))
    return any(_number(scale) == 0 for scale in scales) or any(
        (_number(size) or 0) >= 50 and "%" in size if shape == "inset" else _number(size) == 0 for shape, size in clips
    )


def _font_size(said: dict[str, str]) -> str:
    return said.get("font-size") or next((word for word in said.get("font", "").split() if _NUMBER.match(word)), "")


def _font_pixels(said: dict[str, str]) -> float | None:
    """The size of text where it is given in pixels or points."""
    size = _font_size(said).partition("/")[0]
    number = _number(size)
    if number is None or not size.endswith(("px", "pt")):
        return None
    return number if size.endswith("px") else number * 4 / 3


def _is_tiny(said: dict[str, str]) -> bool | None:
    """Whether nobody reads this size: a pixel or less. None when no size is given."""
    size = _font_size(said)
    number = _number(size)
    if number is None:
        return False if size else None
    return number <= (1 if size.endswith(("px", "pt")) else 0.1 if size.endswith("em") else 5 if size.endswith("%") else 0)


def _number(text: str) -> float | None:
    match = _NUMBER.match(text)
    return float(match[0]) if match else None


def _hex(digits: str) -> Colour | None:
    if len(digits) in (3, 4):
        digits = "".join(digit * 2 for digit in digits)
    if len(digits) not in (6, 8):
        return None
    if digits[6:] and int(digits[6:], 16) < 26:
        return CLEAR
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _rgb(text: str) -> Colour | None:
    channels = _CHANNEL.findall(text)
    numbers = [float(number) * (2.55 if share and place < 3 else 1) for place, (number, share) in enumerate(channels)]
    if len(numbers) > 3 and numbers[3] <= (10 if text.rstrip(") ").endswith("%") else 0.1):
        return CLEAR
    if len(numbers) < 3 or not all(0 <= number <= 255 for number in numbers[:3]):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2])
