"""HTML as people see it: its text, links and pictures, and the text that is there but not seen.

Lexbor reads the page as a browser does, style elements and Outlook's
conditional comments aside.  It takes long for pages nested beyond measure, so
those are not read, and said to be unread.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from relay.mail.legibility import legibility_of
from relay.mail.nesting import PHRASING, is_readable, tag_names
from relay.mail.styles import Colour, Sheet, Style, is_same, read_colour, read_sheet, read_style
from relay.mail.unsubscribing import may_lead_out

_INLINE = PHRASING | tag_names("-comment area bdi data img map ruby wbr")
"""What stands in these stands in one line with its neighbours."""

_UNSEEN = ("script", "style", "title")
_WHITE: Colour = (255, 255, 255)
_MAX_SELECTORS = 200
_LAST_LINKS = 30
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BORDER = "\x1f"  # between two blocks, until the line ends of the source are spaces


@dataclass(frozen=True, slots=True)
class Link:
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


@dataclass(frozen=True, slots=True)
class Image:
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
        _Reading(tree, page).read(html)
    return page


class _Reading:
    """One reading of a tree, which it takes apart on the way."""

    def __init__(self, tree: LexborHTMLParser, page: Page) -> None:
        self.tree = tree
        self.page = page
        self.sheet = Sheet()

    def read(self, html: str) -> None:
        """Take what is hidden out, then links and pictures, then lines."""
        self._read_sheets()
        self._take_hidden(html)
        inline: list[LexborNode] = []
        linked: list[LexborNode] = []
        named: dict[int, str] = {}
        spoken = []
        for node in self.tree.body.traverse() if self.tree.body else ():
            number = node.tag_id
            name = named.get(number)
            if name is None:
                name = named[number] = node.tag or ""
            if name not in _INLINE:
                continue
            inline.append(node)
            if name in ("a", "area"):
                self._add_link(node, name)
                linked.append(node)
            elif name == "img":
                spoken.append(self._add_image(node))
        if " title=" in html or "\ttitle=" in html or "\ntitle=" in html or "TITLE=" in html:
            spoken += [_attribute(node, "title") for node in self.tree.css("[title]")]
        self.page.spoken = "\n".join(text for text in spoken if text)
        self._look_at_ways_out(linked[-_LAST_LINKS:])
        self.page.shown = self._lines(inline)

    def _lines(self, inline: list[LexborNode]) -> str:
        body = self.tree.body
        if body is None:
            return ""
        for node in inline:
            node.unwrap(True)
        body.merge_text_nodes()
        text = body.text(separator=_BORDER, skip_empty=True)
        if "\n" in text or "\t" in text or "  " in text:
            text = _SPACES.sub(" ", text)
        return text.replace(_BORDER, "\n")

    def _read_sheets(self) -> None:
        for name in _UNSEEN:
            for node in self.tree.css(name):
                if name == "style":
                    self._add_sheet(read_sheet(node.text()))
                if node.parent is not None:
                    node.decompose()

    def _add_sheet(self, sheet: Sheet) -> None:
        hiding = (*self.sheet.hiding, *sheet.hiding)[:_MAX_SELECTORS]
        self.sheet = Sheet(hiding, self.sheet.paints or sheet.paints, self.sheet.sizes or sheet.sizes)

    def _take_hidden(self, html: str) -> None:
        """Whole elements, then texts whose size or colour hides them."""
        nodes = self.tree.css("[style]")
        texts = [node.attrs["style"] or "" for node in nodes]
        styles = {text: read_style(text) for text in set(texts)}
        for selector, style in self.sheet.hiding:
            self._take_matching(selector, style)
        if "hidden" in html:
            for node in self.tree.css("[hidden]"):
                self._take(node, "attribute")
        backgrounds = self._backgrounds(styles.values(), html)
        odd = {text: style for text, style in styles.items() if style.hides or style.tiny or _may_fade(style, backgrounds)}
        for node, text in zip(nodes, texts, strict=True) if odd else ():
            if text in odd:
                self._take_styled(node, odd[text])
        if "<font" in html or "<FONT" in html:
            for node in self.tree.css("font[color]"):
                self._take_styled(node, Style(colour=read_colour(_attribute(node, "color"))))

    def _backgrounds(self, styles: Iterable[Style], html: str) -> list[Colour]:
        found = {style.background for style in styles if style.background}
        if "bgcolor" in html or "BGCOLOR" in html:
            found |= {colour for node in self.tree.css("[bgcolor]") if (colour := read_colour(_attribute(node, "bgcolor")))}
        return [_WHITE, *found]

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
        taken = [text for text in texts if self._is_own(text, node, is_said)]
        self._hide(" ".join(text.text_content or "" for text in taken), how)
        for text in taken:
            text.decompose()

    def _is_own(self, text: LexborNode, node: LexborNode, is_said: Callable[[Style], bool]) -> bool:
        element = text.parent
        while element is not None and element != node:
            if is_said(read_style(_attribute(element, "style"))) or element.tag == "font":
                return False
            if self.sheet.sizes and _attribute(element, "class"):
                return False
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
            element = element.parent
            if element is not None and element.is_element_node:
                style = read_style(_attribute(element, "style"))
        return not self.sheet.paints and is_same(colour, _WHITE)

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
                self.page.links[place] = replace(link, size=size, contrast=contrast)

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
