"""HTML as people see it: its text, links and pictures, and the text that is there but not seen.

Lexbor reads the page as a browser does, style elements and Outlook's
conditional comments aside.  It takes long for pages nested beyond measure, so
those are not read, and said to be unread.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from relay.mail.legibility import legibility_of
from relay.mail.nesting import is_readable, tag_names
from relay.mail.styles import Colour, Sheet, Style, is_same, read_colour, read_sheet, read_style
from relay.mail.unsubscribing import may_lead_out

_BLOCKS = tag_names(
    "address article aside blockquote body br caption center col colgroup dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe legend li main menu nav "
    "object ol optgroup option p pre search section select summary table tbody td template textarea tfoot th thead tr ul "
    "video"
)
"""What begins a line of its own. All else, comments and elements that nobody knows too, stands in one with its neighbours."""

_UNSEEN = ("script", "style", "title")
_NAMED = tag_names("a area font img script style title")
_WHITE: Colour = (255, 255, 255)
_MAX_SELECTORS = 200
_MAX_STEPS = 100_000
_LAST_LINKS = 30
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BORDER = "\x1f"  # between two blocks, until the line ends of the source are spaces


class Link(NamedTuple):
    """A link; `shown` is its text. `hidden` says how it is hidden, "" when it is not; `tag` is "text" in plain text.

    Of a link that leads out of the mail also the size of its text in pixels and its contrast, None where nothing tells.
    """

    href: str
    shown: str
    where: str
    hidden: str = ""
    tag: str = "a"
    size: float | None = None
    contrast: float | None = None


class Image(NamedTuple):
    """A picture; width and height in pixels, None where nothing tells."""

    src: str
    where: str
    alt: str = ""
    width: int | None = None
    height: int | None = None
    hidden: str = ""


@dataclass(slots=True)
class Page:
    """What one HTML part holds. `spoken` is what pictures and links say beside the text (alt, title)."""

    where: str
    shown: str = ""
    spoken: str = ""
    links: list[Link] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    hidden: list[tuple[str, str]] = field(default_factory=list)  # how, text
    is_complete: bool = True


def read_page(html: str, where: str) -> Page:
    """Read an HTML part."""
    page = Page(where)
    if not is_readable(html):
        page.is_complete = False
        return page
    tree = LexborHTMLParser(html)
    if tree.root is not None and tree.body is not None:
        try:
            _Reading(tree, page).read()
        except _TooMuch:
            page.is_complete = False
    return page


class _TooMuch(Exception):
    """The page asks for more work than mail does."""


@cache
def _numbers(names: frozenset[str]) -> dict[int, str]:
    """Lexbor's numbers of known elements."""
    tree = LexborHTMLParser("")
    return {node.tag_id: name for name in names for node in [tree.create_node(name)]}


class _Reading:
    """One reading of a tree, which it takes apart on the way."""

    def __init__(self, tree: LexborHTMLParser, page: Page) -> None:
        self.tree = tree
        self.page = page
        self.sheet = Sheet()
        self.climbed = 0
        self.named: dict[str, list[LexborNode]] = {}

    def read(self) -> None:
        """Take what is hidden out, then links and pictures, then lines."""
        inline = self._sort_nodes()
        self._read_sheets()
        inline += self._take_hidden()
        linked = []
        for name in ("area", "a"):
            for node in self.named.get(name, ()):
                if node.parent is not None:
                    self._add_link(node, name)
                    linked.append(node)
        spoken = [self._add_image(node) for node in self.named.get("img", ()) if node.parent is not None]
        spoken += [_attribute(node, "title") for node in self.tree.css("[title]")]
        self.page.spoken = "\n".join(text for text in spoken if text)
        self._look_at_ways_out(linked[-_LAST_LINKS:])
        self.page.shown = self._lines(inline)

    def _sort_nodes(self) -> list[LexborNode]:
        """Keep the nodes that are asked for by their names; those that stand in a line, in their order."""
        root, named, blocks, inline = self.tree.root, _numbers(_NAMED), _numbers(_BLOCKS), []
        for node in root.traverse() if root is not None else ():
            number = node.tag_id
            if number in blocks:
                continue
            inline.append(node)
            if number in named:
                self.named.setdefault(named[number], []).append(node)
        return inline

    def _lines(self, inline: list[LexborNode]) -> str:
        body = self.tree.body
        if body is None:
            return ""
        for node in inline:
            if node.parent is not None:
                node.unwrap(True)
        body.merge_text_nodes()
        text = body.text(separator=_BORDER, skip_empty=True)
        if "\n" in text or "\t" in text or "  " in text:
            text = _SPACES.sub(" ", text)
        return text.replace(_BORDER, "\n")

    def _read_sheets(self) -> None:
        for name in _UNSEEN:
            for node in self.named.get(name, ()):
                if name == "style":
                    self._add_sheet(read_sheet(node.text()))
                if node.parent is not None:
                    node.decompose()

    def _add_sheet(self, sheet: Sheet) -> None:
        hiding = (*self.sheet.hiding, *sheet.hiding)[:_MAX_SELECTORS]
        self.sheet = Sheet(hiding, self.sheet.paints or sheet.paints, self.sheet.sizes or sheet.sizes)

    def _take_hidden(self) -> list[LexborNode]:
        """Whole elements, then texts whose size or colour hides them; the elements whose style puts them into a line."""
        nodes = self.tree.css("[style]")
        texts = [node.attrs["style"] or "" for node in nodes]
        styles = {text: read_style(text) for text in set(texts)}
        for selector, style in self.sheet.hiding:
            self._take_matching(selector, style)
        others = self.tree.css("[hidden],[bgcolor]")
        for node in others:
            if "hidden" in node.attrs:
                self._take(node, "attribute")
        backgrounds = [_WHITE, *{style.background for style in styles.values() if style.background}]
        backgrounds += {colour for node in others if (colour := read_colour(_attribute(node, "bgcolor")))}
        odd = {text: style for text, style in styles.items() if style.hides or style.tiny or _may_fade(style, backgrounds)}
        for node, text in zip(nodes, texts, strict=True) if odd else ():
            if text in odd:
                self._take_styled(node, odd[text])
        for node in self.named.get("font", ()):
            if node.parent is not None and (colour := read_colour(_attribute(node, "color"))):
                self._take_styled(node, Style(colour=colour))
        in_line = {text for text, style in styles.items() if style.in_line}
        return [node for node, text in zip(nodes, texts, strict=True) if text in in_line] if in_line else []

    def _take_matching(self, selector: str, style: Style) -> None:
        try:
            nodes = self.tree.css(selector)
        except SelectolaxError:
            return  # what Lexbor does not know as a selector, mail readers hardly do
        for node in nodes:
            if not read_style(_attribute(node, "style")).shows:
                self._take_styled(node, style)

    def _take_styled(self, node: LexborNode, style: Style) -> None:
        if style.hides:
            self._take(node, style.hides)
        elif style.tiny:
            self._take_texts(node, "font-size", lambda other: other.tiny is not None)
        elif style.colour and self._is_unseen(node, style, style.colour):
            self._take_texts(node, "colour", lambda other: other.colour is not None)

    def _take(self, node: LexborNode, how: str) -> None:
        """Out of the tree, if nothing around it was taken before."""
        if node.parent is None:
            return
        for link in node.css("a"):
            self._add_link(link, "a", how)
        for image in node.css("img"):
            self._add_image(image, how)
        self._hide(node.text(separator=" "), how)
        node.decompose()

    def _take_texts(self, node: LexborNode, how: str, is_said: Callable[[Style], bool]) -> None:
        """The texts of an element, those aside that stand in another which says of itself how it is seen."""
        if node.parent is None:
            return
        texts = [text for text in node.traverse(include_text=True, skip_empty=True) if text.is_text_node]
        self._count(len(texts))
        taken = [text for text in texts if self._is_own(text, node, is_said)]
        self._hide(" ".join(text.text_content or "" for text in taken), how)
        for text in taken:
            text.decompose()

    def _is_own(self, text: LexborNode, node: LexborNode, is_said: Callable[[Style], bool]) -> bool:
        element, end = text.parent, node.mem_id  # to compare nodes would compare what stands in them
        while element is not None and element.mem_id != end:
            if is_said(read_style(_attribute(element, "style"))) or element.tag == "font":
                return False
            if self.sheet.sizes and _attribute(element, "class"):
                return False
            self._count(1)
            element = element.parent
        return True

    def _is_unseen(self, node: LexborNode, style: Style, colour: Colour) -> bool:
        """Whether the text has the colour of what it stands on."""
        element: LexborNode | None = node
        while element is not None and element.is_element_node:
            if style.has_picture or (self.sheet.paints and _attribute(element, "class")) or _attribute(element, "background"):
                return False
            behind = style.background or read_colour(_attribute(element, "bgcolor"))
            if behind:
                return is_same(colour, behind)
            self._count(1)
            element = element.parent
            if element is not None and element.is_element_node:
                style = read_style(_attribute(element, "style"))
        return not self.sheet.paints and is_same(colour, _WHITE)

    def _count(self, steps: int) -> None:
        """Steps that may be taken again and again for nested elements."""
        self.climbed += steps
        if self.climbed > _MAX_STEPS:
            raise _TooMuch

    def _hide(self, text: str, how: str) -> None:
        if text := _SPACES.sub(" ", text).strip():
            self.page.hidden.append((how, text))

    def _add_link(self, node: LexborNode, tag: str, hidden: str = "") -> None:
        href = _attribute(node, "href").strip()
        if href:
            shown = _SPACES.sub(" ", node.text()).strip()
            self.page.links.append(Link(href, shown, self.page.where, hidden, tag))

    def _look_at_ways_out(self, nodes: list[LexborNode]) -> None:
        """How well people read the links by which they leave; those stand among the last."""
        place = len(self.page.links)
        for node in reversed(nodes):
            if not _attribute(node, "href").strip():
                continue
            place -= 1
            link = self.page.links[place]
            if may_lead_out(link.shown, link.href):
                size, contrast = legibility_of(node, self.sheet)
                self.page.links[place] = link._replace(size=size, contrast=contrast)

    def _add_image(self, node: LexborNode, hidden: str = "") -> str:
        style = read_style(_attribute(node, "style"))
        width, height = (
            said if said is not None else _pixels(_attribute(node, name))
            for said, name in ((style.width, "width"), (style.height, "height"))
        )
        alt = _attribute(node, "alt")
        self.page.images.append(Image(_attribute(node, "src").strip(), self.page.where, alt, width, height, hidden))
        return alt


def _attribute(node: LexborNode, name: str) -> str:
    return node.attrs.get(name, "") or ""


def _pixels(text: str) -> int | None:
    text = text.strip().removesuffix("px")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None


def _may_fade(style: Style, backgrounds: list[Colour]) -> bool:
    colour = style.colour
    return colour is not None and any(is_same(colour, background) for background in backgrounds)
