"""How styles hide text (CSS 2.2, CSS Color 4): as much of them as mail needs.

Whoever hides text writes so in the style of an element or in a rule of a style
element.  Both are read here, within bounds, and remembered, because a
newsletter repeats a few styles many times.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_MAX_STYLE = 4096  # characters that are read of one style attribute
_MAX_SHEET = 128 * 1024
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})")
_COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|rgba?\([^()]{1,60}\)|\b[a-z]{3,20}\b")
_RULE = re.compile(r"([^{}]*+)([{}])")
_SELECTOR = re.compile(r"[\w.#*-]{1,80}(?: +[\w.#*-]{1,80}){0,2}")
_EVERYWHERE = re.compile(r"@media\s+(?:only\s+)?(?:all|screen)\s*")
_NAMES = {
    "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0), "gray": (128, 128, 128), "grey": (128, 128, 128), "silver": (192, 192, 192), "navy": (0, 0, 128),
    "maroon": (128, 0, 0), "olive": (128, 128, 0), "teal": (0, 128, 128), "purple": (128, 0, 128), "orange": (255, 165, 0),
    "lime": (0, 255, 0), "aqua": (0, 255, 255), "fuchsia": (255, 0, 255), "snow": (255, 250, 250), "ivory": (255, 255, 240),
    "whitesmoke": (245, 245, 245), "ghostwhite": (248, 248, 255),
}  # fmt: skip

_PLACES = ("left", "top", "right", "bottom", "text-indent", "margin-left", "margin-top")

Colour = tuple[int, int, int]
CLEAR: Colour = (-1, -1, -1)
"""A colour that nobody sees."""


@dataclass(frozen=True, slots=True)
class Style:
    """What one style says of being seen. None: nothing.

    `hides` names the way in which the whole element is hidden, "" when it is not; `tiny` and `colour` hold for text whose
    nearest element with a font size or a colour this is.  `has_picture`: what stands behind cannot be told.
    """

    hides: str = ""
    tiny: bool | None = None
    pixels: float | None = None
    colour: Colour | None = None
    background: Colour | None = None
    has_picture: bool = False
    shows: bool = False
    in_line: bool = False
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the style elements of a mail say: `hiding` pairs a selector with what hides; `paints` tells of backgrounds."""

    hiding: tuple[tuple[str, Style], ...] = ()
    paints: bool = False
    sizes: bool = False


@lru_cache(maxsize=4096)
def read_style(text: str) -> Style:
    """Read a style attribute."""
    said = _declarations(text[:_MAX_STYLE])
    colour = read_colour(said.get("color", ""))
    behind = said.get("background-color") or said.get("background", "")
    background = read_colour(behind)
    pictured = said.get("background", "") + said.get("background-image", "")
    return Style(
        hides=_hides(said) or ("colour" if colour == CLEAR else ""),
        tiny=_is_tiny(said),
        pixels=_font_pixels(said),
        colour=colour,
        background=None if background == CLEAR else background,
        has_picture="url(" in pictured or "gradient" in pictured,
        shows=said.get("display", "none") != "none" or said.get("visibility") == "visible",
        in_line=said.get("display") in ("inline", "contents"),
        width=_pixels(said.get("width", "")),
        height=_pixels(said.get("height", "")),
    )


@lru_cache(maxsize=64)
def read_sheet(text: str) -> Sheet:
    """Read a style element: the rules for every screen, less what a rule for some screens shows again."""
    hiding: dict[str, Style] = {}
    shown: set[str] = set()
    paints = sizes = False
    for selectors, style, everywhere in _rules(_COMMENT.sub("", text[:_MAX_SHEET])):
        paints = paints or style.background is not None or style.has_picture
        sizes = sizes or style.tiny is False
        for selector in selectors.lower().split(",") if style.hides or style.tiny or style.shows else ():
            name = " ".join(selector.split())
            if style.shows and not style.hides:
                shown.add(name)
            elif everywhere and _SELECTOR.fullmatch(name):
                hiding[" ".join(selector.split())] = style
    return Sheet(tuple((name, style) for name, style in hiding.items() if name not in shown), paints, sizes)


@lru_cache(maxsize=1024)
def read_colour(text: str) -> Colour | None:
    """The first colour in a value; CLEAR when it is transparent, None without one that is known."""
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
    return all(abs(a - b) <= 10 for a, b in zip(one, other, strict=True))


def _rules(text: str) -> list[tuple[str, Style, bool]]:
    """Selectors, style, and whether it holds on every screen."""
    found: list[tuple[str, Style, bool]] = []
    opened: list[str] = []
    for match in _RULE.finditer(text):
        said, brace = match[1].strip(), match[2]
        if brace == "{":
            opened.append(said)
        elif opened:
            selectors = opened.pop()
            if not selectors.startswith("@") and len(opened) <= 1:
                found.append((selectors, read_style(said), not opened or bool(_EVERYWHERE.fullmatch(opened[0].lower()))))
    return found


def _declarations(text: str) -> dict[str, str]:
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
    if said.get("visibility") in ("hidden", "collapse"):
        return "visibility"
    if (opacity := _number(said.get("opacity", ""))) is not None and opacity <= (10 if "%" in said["opacity"] else 0.1):
        return "opacity"
    clipped = any(_number(said.get(name, "")) == 0 for name in ("max-height", "height", "max-width", "width"))
    if clipped and said.get("overflow", "").startswith(("hidden", "clip")):
        return "size"
    away = [
        _number(said.get(name, "")) for name in ("left", "top", "right", "bottom", "text-indent", "margin-left", "margin-top")
    ]
    return "position" if any(number is not None and number <= -900 for number in away) else ""


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


def _pixels(text: str) -> int | None:
    number = _number(text)
    return int(number) if number is not None and not text.endswith(("%", "em", "vw")) else None


def _hex(digits: str) -> Colour | None:
    if len(digits) in (3, 4):
        digits = "".join(digit * 2 for digit in digits)
    if len(digits) not in (6, 8):
        return None
    if digits[6:] and int(digits[6:], 16) < 26:
        return CLEAR
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _rgb(text: str) -> Colour | None:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if len(numbers) > 3 and numbers[3] <= (10 if text.rstrip(") ").endswith("%") else 0.1):
        return CLEAR
    if len(numbers) < 3 or not all(0 <= number <= 255 for number in numbers[:3]):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2])
