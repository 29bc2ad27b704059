"""How well people can read the text of an element: its size, and its contrast to what is behind it (WCAG 2.2, 1.4.3).

Told from the style attributes and the old attributes of HTML up to the root.
Where a style sheet or a picture may say otherwise, nothing is told.
"""

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from relay.mail.page.styles import WHITE, Colour, Sheet, Style, read_colour, read_style

_LINK: Colour = (0, 0, 238)


def legibility_of(link: LexborNode, sheet: Sheet) -> tuple[float | None, float | None]:
    """Pixels of a link's text, and its contrast to 1; None where nothing tells."""
    around = [(node, read_style(attribute(node, "style"))) for node in _upwards(_innermost(link))]
    return _size(around, sheet), _contrast(around, sheet)


def contrast_of(node: LexborNode) -> float | None:
    """The contrast of an element's text to 1, style sheets aside."""
    return _contrast([(one, read_style(attribute(one, "style"))) for one in _upwards(node)], Sheet())


def _innermost(link: LexborNode) -> LexborNode:
    """The element that holds the link's first words: it may be painted by itself."""
    for node in link.traverse(include_text=True, skip_empty=True):
        if node.is_text_node and node.parent is not None:
            return node.parent
    return link


def _upwards(node: LexborNode | None) -> Iterator[LexborNode]:
    while node is not None and node.is_element_node:
        yield node
        node = node.parent


def _size(around: list[tuple[LexborNode, Style]], sheet: Sheet) -> float | None:
    for node, style in around:
        if style.pixels is not None:
            return style.pixels
        if style.tiny is not None or node.tag == "font" or (sheet.sizes and attribute(node, "class")):
            return None
    return None


def _contrast(around: list[tuple[LexborNode, Style]], sheet: Sheet) -> float | None:
    colour = _colour(around)
    for node, style in around:
        if style.has_picture or attribute(node, "background") or (sheet.paints and attribute(node, "class")):
            return None
        if behind := style.background or read_colour(attribute(node, "bgcolor")):
            return ratio(colour, behind)
    return None if sheet.paints else ratio(colour, WHITE)


def _colour(around: list[tuple[LexborNode, Style]]) -> Colour:
    """What the text or its link says; a link does not take the colour of what it stands in."""
    for node, style in around:
        if colour := style.colour or read_colour(attribute(node, "color")):
            return colour
        if node.tag == "a":
            break
    return _LINK


def ratio(one: Colour, other: Colour) -> float:
    """The contrast of two colours to 1."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def attribute(node: LexborNode, name: str) -> str:
    """An attribute of an element, "" without one."""
    return node.attrs.get(name, "") or ""
