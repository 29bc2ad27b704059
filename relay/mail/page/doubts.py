"""What some reader may not see of a page, in whatever way it is hidden.

`styles` knows ways in which text is hidden, and tells a sender which it is.
Who asks whether readers surely see a text needs the opposite: here only what is
known to hide nothing passes, and in doubt a text counts as unseen.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from selectolax.lexbor import LexborHTMLParser, LexborNode

from relay.mail.page.legibility import attribute, contrast_of, ratio
from relay.mail.page.open_elements import tag_names
from relay.mail.page.styles import MAX_SHEET, MAX_STYLE, WHITE, declarations, read_colour

_CLOSED = "dialog,details,datalist,select,textarea,video,audio,object,canvas,iframe,noscript,[popover]"
"""What stands in these is seen by some readers at most."""

_INSTEAD = "svg,math,rp,progress,meter,noembed,noframes"
"""What stands in these is drawn in another way, or for readers who know nothing better."""

_ANY = "*"
_FOREIGN = "link[rel~=stylesheet i]"
_IDLE = frozenset({"currentcolor", "inherit", "normal", "visible", "static", "relative"})
_HARMLESS = re.compile(
    r"(?:background|border|outline|list-style|text-decoration|font-(?:family|weight|style|variant)|page-break|mso-(?!hide)|-ms-"
    r"|-moz-osx-|-webkit-(?:text-size-adjust|font-smoothing|user-select|border|hyphens))[\w-]*"
    r"|text-(?:align|transform|rendering|size-adjust|shadow|overflow)|vertical-align|white-space|word-(?:break|wrap)|overflow-wrap"
    r"|line-break|hyphens|direction|float|clear|box-(?:sizing|shadow)|cursor|table-layout|(?:min-|max-)?(?:width|height)|tab-size"
)
"""Properties that hide no text whatever they say: a size cuts nothing off where nothing says `overflow`."""

_DISPLAYS = tag_names(
    "block inline inline-block list-item flow-root flex inline-flex grid inline-grid table inline-table table-row table-cell "
    "table-row-group table-header-group table-footer-group table-caption"
)
_PLACES = frozenset({"left", "right", "top", "bottom", "z-index"})
_BRACE = re.compile(r"([{}])")
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_ASIDE = re.compile(r"\[[^\[\]]*\]|::?[\w-]+(?:\([^()]*\))?")
_NAME = re.compile(r"[.#]?[A-Za-z_][\w-]*")
_LENGTH = re.compile(r"(-?)(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})([a-z%]*)")
_FAR = {"px": 600, "pt": 450, "": 0, "em": 40, "rem": 40, "%": 50}
"""Text that is pushed further may be out of sight."""

_LEAST = {"px": 6, "pt": 5, "em": 0.4, "rem": 0.4, "%": 40}
"""Letters that are smaller may be none."""

_NEVER = float("inf")
_FAINT = 1.6
"""A text with less contrast to 1 may be none; none should have less than 4.5."""

_MOST_LIGHT = 100
"""Light texts of which it is looked what they stand on: a walk up to the root for each."""

_MOST_SELECTORS = 32
_MAX_MATCHED = 20_000_000  # characters of the page for each selector


def take_doubtful(tree: LexborHTMLParser, length: int, kept: str) -> None:
    """Take out what may not be seen of a page; the link to `kept`, what stands in it and around it stay."""
    body, selector = tree.body, _doubtful_selector(tree, length)
    if body is None:
        return
    links = [] if tree.css_first("html[popover],body[popover]") else tree.css(f'a[href="{kept}"]')
    own = {node.mem_id for link in links for node in _upwards(link)}
    doubtful = {node.mem_id for node in (*tree.css(selector), *_hiding(tree))}
    taken = tree.css(f"{selector},[style]") if doubtful else []
    if selector == _ANY or any(node.mem_id in doubtful for node in _upwards(body)):
        taken = list(body.iter(include_text=True))
        doubtful = {node.mem_id for node in taken}
    for number, node in reversed({node.mem_id: node for node in taken}.items()):  # some come twice; those inside others first
        if number in doubtful and number not in own:
            node.decompose()


def _hiding(tree: LexborHTMLParser) -> list[LexborNode]:
    """The elements whose own style may hide them; a newsletter repeats a few styles many times."""
    styled = [(node, attribute(node, "style")[: MAX_STYLE + 1]) for node in tree.css("[style]")]
    styles = {style for _, style in styled}
    hide = {style for style in styles if not _is_harmless(style)}
    light = {style for style in styles - hide if _is_light(style)}
    lights = [node for node, style in styled if style in light]
    faint = [node for node in lights[:_MOST_LIGHT] if (contrast_of(node) or 0) < _FAINT]
    return [*(node for node, style in styled if style in hide), *faint, *lights[_MOST_LIGHT:]]


def _upwards(node: LexborNode) -> list[LexborNode]:
    """The element and those that it stands in."""
    found: list[LexborNode] = []
    element: LexborNode | None = node
    while element is not None and element.is_element_node:
        found.append(element)
        element = element.parent
    return found


def _doubtful_selector(tree: LexborHTMLParser, length: int) -> str:
    """The elements that their name or a style element makes doubtful."""
    sheets = [node.text() for node in tree.css("style")]
    if tree.css_first(_FOREIGN) or any(len(text) > MAX_SHEET for text in sheets):
        return _ANY
    styled = {selector for text in sheets for selector in _selectors(text)}
    if _ANY in styled or len(styled) > _MOST_SELECTORS or len(styled) * length > _MAX_MATCHED:
        return _ANY
    return ",".join([_CLOSED, _INSTEAD, *sorted(styled)])


@lru_cache(maxsize=8)
def _selectors(text: str) -> frozenset[str]:
    """What the rules that may hide text mean, told by the last element of each alone."""
    text = _COMMENT.sub("", text)
    if "@import" in text.lower() or "\\" in text:
        return frozenset({_ANY})
    found: set[str] = set()
    for selectors, said in _blocks(text):
        if "@font-face" not in selectors and not _is_harmless(said, is_rule=True):
            found.update(map(_element, selectors.split(",")))
    return frozenset(found)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The innermost blocks, each with what stands before it; readers end what is left open."""
    pieces = [*_BRACE.split(text), "}", ""]
    for place in range(0, len(pieces) - 3, 2):
        before, opens, said, closes = pieces[place : place + 4]
        if (opens, closes) == ("{", "}"):
            yield before, said


def _element(selector: str) -> str:
    """A selector for at least the same elements, in whatever case their names are read."""
    last = re.split(r"[\s>+~]", _ASIDE.sub("", selector).strip())[-1]
    names = _NAME.findall(last)
    if ";" in selector or not last or "".join(names) != last:
        return _ANY
    tags = [name for name in names if name[0] not in ".#"]
    kinds = [f'[{"id" if name[0] == "#" else "class"}~="{name[1:]}" i]' for name in names if name[0] in ".#"]
    return "".join([*tags[:1], *kinds])


@lru_cache(maxsize=2048)
def _is_harmless(style: str, *, is_rule: bool = False) -> bool:
    if len(style) > MAX_STYLE or (is_rule and _is_light(style)):
        return False
    return all(_passes(name, value) for name, value in declarations(style).items() if name)


@lru_cache(maxsize=2048)
def _is_light(style: str) -> bool:
    """Whether its text needs something dark behind it."""
    colour = read_colour(declarations(style).get("color", ""))
    return colour is not None and min(colour) >= 0 and ratio(colour, WHITE) < _FAINT


def _passes(name: str, value: str) -> bool:
    """Whether a declaration hides nothing."""
    if value in _IDLE or _HARMLESS.fullmatch(name):
        return True
    if name == "display":
        return value in _DISPLAYS
    if name == "color":
        return (colour := read_colour(value)) is not None and min(colour) >= 0
    lengths = [(float(minus + number), unit) for minus, number, unit in _LENGTH.findall(value)]
    if "(" in value:  # what is computed is not told
        return False
    if name in ("font", "font-size"):  # a weight is a number too
        return all(number >= (_LEAST.get(unit, _NEVER) if unit else 1) for number, unit in lengths)
    if name in ("line-height", "opacity", "zoom"):
        return all(number >= (_LEAST.get(unit, _NEVER) if unit else 0.5) for number, unit in lengths)
    if name.startswith(("margin", "padding")) or name in ("text-indent", "letter-spacing", "word-spacing"):
        return all(0 <= number <= _FAR.get(unit, 0) for number, unit in lengths)
    return value == "none" or (value in ("0", "auto") and name in _PLACES)
