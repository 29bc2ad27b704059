"""HTML as people see it: its text, links and pictures, and the text that is there but not seen.

Lexbor reads the page as a browser does, style elements aside; what Outlook alone reads is in
`conditional`.  Pages nested beyond measure take long: they are not read, and said to be unread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from relay.mail.page.conditional import MOST_COMMENTS, conditional_comments
from relay.mail.page.doubts import take_doubtful
from relay.mail.page.legibility import attribute, legibility_of
from relay.mail.page.looks import Looks, small_rules
from relay.mail.page.nesting import is_readable
from relay.mail.page.open_elements import tag_names
from relay.mail.page.pixels import Pixel, loading_in
from relay.mail.page.selecting import Selecting, TooMuch
from relay.mail.page.sizes import is_dot
from relay.mail.page.spoken import SPEAKING, spoken_by
from relay.mail.page.styles import (
    MAX_SHEET,
    MAX_STYLE,
    WHITE,
    Colour,
    Sheet,
    Style,
    is_same,
    read_colour,
    read_sheet,
    read_style,
)
from relay.mail.page.unseen import Unseen
from relay.mail.page.unsubscribing import may_lead_out

_BLOCKS = tag_names(
    "address article aside blockquote body br caption center col colgroup dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe legend li main menu nav "
    "object ol optgroup option p pre search section select summary table tbody td template textarea tfoot th thead tr ul "
    "video"
)
"""What begins a line of its own. All else, comments and elements that nobody knows too, stands in one with its neighbours."""

_UNSEEN = ("script", "style", "title")
_FRAMES = tag_names("iframe object video")
_NAMED = _FRAMES | tag_names(
    "a area audio base bgsound embed feimage font frame image img input link script source style title track"
)
_OLD = f"[hidden],[bgcolor],[background],{SPEAKING}"
_MAX_SELECTORS = 200
_MAX_MATCHED = 20_000_000  # characters of the page for each class of each selector
_LAST_LINKS = 30
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

    @property
    def is_unseen(self) -> bool:
        """Whether nobody sees it: hidden, without length, or a few pixels a side."""
        return bool(self.hidden) or is_dot(self.width, self.height)


@dataclass(slots=True)
class Page:
    """What one HTML part holds. `spoken` is what pictures and links say beside the text (alt, title); `pixels` see there."""

    where: str
    shown: str = ""
    spoken: str = ""
    links: list[Link] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    pixels: list[Pixel] = field(default_factory=list)
    hidden: list[tuple[str, str]] = field(default_factory=list)  # how, text
    is_complete: bool = True


def read_page(html: str, where: str, without: str = "", mark: str = "", *, surely: str = "") -> Page:
    """Read an HTML part, less the elements of the selector `without`; `mark` is an attribute that pixels are found by.

    `surely`: less whatever some reader may not see, a link to that aside.
    """
    page = Page(where)
    if not is_readable(html):
        page.is_complete = False
        return page
    tree = LexborHTMLParser(html)
    for node in reversed(tree.css(without) if without else ()):  # those inside others first
        node.decompose()
    if surely:
        take_doubtful(tree, len(html), surely)
    if tree.root is not None and tree.body is not None:
        try:
            _Reading(tree, page, len(html), mark).read()
        except TooMuch:
            page.is_complete = False
    _look_into_comments(html, page)
    return page


def _look_into_comments(html: str, page: Page) -> None:
    """What Outlook fetches and shows nothing of."""
    for number, (start, end) in enumerate(conditional_comments(html)):
        inside = read_page(html[start:end], page.where) if number < MOST_COMMENTS else Page("", is_complete=False)
        page.pixels += inside.pixels
        page.is_complete = page.is_complete and inside.is_complete


@cache
def _numbers(names: frozenset[str]) -> dict[int, str]:
    """Lexbor's numbers of known elements."""
    tree = LexborHTMLParser("")
    return {node.tag_id: name for name in names for node in [tree.create_node(name)]}


class _Reading:
    """One reading of a tree, which it takes apart on the way."""

    def __init__(self, tree: LexborHTMLParser, page: Page, length: int, mark: str) -> None:
        self.tree = tree
        self.page = page
        self.length = length
        self.sheet = Sheet()
        self.selecting = Selecting(tree)
        self.looks = Looks(self.selecting)
        self.unseen = Unseen(page.where, mark, self.looks, self.selecting)
        self.behind: list[LexborNode] = []  # elements that may fetch something to stand behind them
        self.titled: list[tuple[LexborNode, str]] = []
        self.painted: dict[int, Colour | None] = {}  # elements with a colour or picture behind them by an old attribute
        self.named: dict[str, list[LexborNode]] = {}

    def read(self) -> None:
        """Take what is hidden out, then links and pictures, then lines."""
        inline = self._sort_nodes()
        self.unseen.set_base(self.named.get("base", ()))
        self._read_sheets()
        self.looks.read(self.sheet)
        self.unseen.match()
        inline += self._take_hidden()
        linked = []
        for name in ("area", "a"):
            for node in self.named.get(name, ()):
                if node.parent is not None:
                    self._add_link(node, name)
                    linked.append(node)
        spoken = [self._add_image(node) for node in self.named.get("img", ()) if node.parent is not None]
        spoken += [title for node, title in self.titled if node.parent is not None]
        self.page.spoken = "\n".join(text for text in spoken if text)
        self._look_at_ways_out(linked[-_LAST_LINKS:])
        in_sight = (image.src for image in self.page.images if not image.is_unseen)
        self.page.pixels = self.unseen.pixels(self.named, self.behind, in_sight)
        self.page.is_complete = self.page.is_complete and self.unseen.is_complete
        self.page.shown = self._lines(inline)

    def _sort_nodes(self) -> list[LexborNode]:
        """Keep the nodes that are asked for by their names; those that stand in a line, in their order."""
        root, named, blocks = self.tree.root, _numbers(_NAMED), _numbers(_BLOCKS - _FRAMES)
        inline = [node for node in root.traverse() if node.tag_id not in blocks] if root is not None else []
        for node in inline:
            if name := named.get(node.tag_id):
                self.named.setdefault(name, []).append(node)
        if not _FRAMES.isdisjoint(self.named):
            frames = _numbers(_FRAMES)
            inline = [node for node in inline if node.tag_id not in frames]
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
            text = _single_spaced(text)
        return text.replace(_BORDER, "\n")

    def _read_sheets(self) -> None:
        for name in _UNSEEN:
            for node in self.named.get(name, ()):
                if name == "style":
                    self._add_sheet(node)
                elif name == "script":
                    self.unseen.add(node)
                if node.parent is not None:
                    node.decompose()

    def _add_sheet(self, node: LexborNode) -> None:
        text = node.text()
        if len(text) > MAX_SHEET:
            self.page.is_complete = False
        self.sheet = self.sheet.with_also(read_sheet(text))
        self.unseen.add_sheet(node)
        looked_for = [*(selector for selector, _ in self.sheet.hiding), *(rule.selector for rule in small_rules(self.sheet))]
        count = len(looked_for) + self.unseen.selectors
        matched = sum(selector.count(".") + 1 for selector in looked_for) + self.unseen.selectors
        if count > _MAX_SELECTORS or self.length * matched > _MAX_MATCHED:
            raise TooMuch

    def _take_hidden(self) -> list[LexborNode]:
        """Whole elements, then texts whose size or colour hides them; the elements whose style puts them into a line."""
        nodes = self.tree.css("[style]")
        texts = [node.attrs["style"] or "" for node in nodes]
        styles = {text: read_style(text) for text in set(texts)}
        if any(len(text) > MAX_STYLE for text in styles):
            self.page.is_complete = False
        for selector, style in self.sheet.hiding:
            self._take_matching(selector, style)
        self._take_old_attributes()
        backgrounds = [WHITE, *{style.background for style in styles.values() if style.background}]
        backgrounds += {colour for colour in self.painted.values() if colour}
        odd = {
            text: style
            for text, style in styles.items()
            if style.hides or style.tiny or style.veils or style.addresses or _may_fade(style, backgrounds)
        }
        for node, text in zip(nodes, texts, strict=True) if odd else ():
            if text in odd:
                self._take_styled(node, odd[text])
        for node in self.named.get("font", ()):
            if node.parent is not None and (colour := read_colour(attribute(node, "color"))):
                self._take_styled(node, Style(colour=colour))
        in_line = {text for text, style in styles.items() if style.in_line}
        return [node for node, text in zip(nodes, texts, strict=True) if text in in_line] if in_line else []

    def _take_old_attributes(self) -> None:
        """What HTML hides without a style; what it paints and says beside the text is kept for later: a walk costs more."""
        found = {node.mem_id: node for node in self.tree.css(_OLD)}  # some come twice
        said = [(node, node.attributes) for node in found.values()]
        self.painted = {node.mem_id: read_colour(attributes.get("bgcolor") or "") for node, attributes in said}
        self.titled = [(node, text) for node, attributes in said for text in spoken_by(node.tag, attributes)]
        for node, attributes in said:
            if attributes.get("background"):
                self.behind.append(node)
            if "hidden" in attributes:
                self._take(node, "attribute")

    def _take_matching(self, selector: str, style: Style) -> None:
        for node in self.selecting.nodes(selector):
            if not read_style(attribute(node, "style")).shows:
                self._take_styled(node, style)

    def _take_styled(self, node: LexborNode, style: Style) -> None:
        if style.hides:
            self._take(node, style.hides)
            return
        if style.veils and node.parent is not None:
            self.looks.veil(node, style.veils)
        if style.addresses:
            self.behind.append(node)
        if style.tiny:
            self._take_texts(node, "font-size", lambda other: other.tiny is not None)
        elif style.colour and self._is_unseen(node, style, style.colour):
            self._take_texts(node, "colour", lambda other: other.colour is not None)

    def _take(self, node: LexborNode, how: str) -> None:
        """Out of the tree, if nothing around it was taken before."""
        if node.tag == "html" and self.tree.body is not None:  # the root itself cannot be taken out
            node = self.tree.body
        if node.parent is None:
            return
        for link in node.css("a"):
            self._add_link(link, "a", how)
        if loading := loading_in(node):
            self._take_loading(node, loading, how)
        self._hide(node.text(separator=" "), how)
        node.decompose()

    def _take_loading(self, node: LexborNode, loading: list[LexborNode], how: str) -> None:
        """What fetches something in an element that is hidden, on every screen or on some; a colour hides no picture."""
        if how == "colour" or self.looks.is_revealed(node, how):
            self._take_inner(node)
            loading, how = loading_in(node), ""
            self.unseen.keep(node.css("*"))
        for image in loading:
            if image.tag == "img":
                self._add_image(image, how)
        self.unseen.take(loading, how)

    def _take_inner(self, node: LexborNode) -> None:
        """What is hidden by itself on every screen, in an element whose pictures are seen."""
        styled = [(inner, read_style(attribute(inner, "style")).hides) for inner in node.css("[style]")]
        self.selecting.count(len(styled))
        for inner, how in styled:
            is_inner = inner.parent is not None and inner.mem_id != node.mem_id
            if is_inner and how not in ("", "colour") and not self.looks.is_revealed(inner, how):
                self._take(inner, how)

    def _take_texts(self, node: LexborNode, how: str, is_said: Callable[[Style], bool]) -> None:
        """The texts of an element, those aside that stand in another which says of itself how it is seen."""
        if node.parent is None:
            return
        texts = [text for text in node.traverse(include_text=True, skip_empty=True) if text.is_text_node]
        self.selecting.count(len(texts))
        taken = [text for text in texts if self._is_own(text, node, is_said)]
        self._hide(" ".join(text.text_content or "" for text in taken), how)
        for text in taken:
            text.decompose()

    def _is_own(self, text: LexborNode, node: LexborNode, is_said: Callable[[Style], bool]) -> bool:
        element, end = text.parent, node.mem_id  # to compare nodes would compare what stands in them
        while element is not None and element.mem_id != end:
            if is_said(read_style(attribute(element, "style"))) or element.tag == "font":
                return False
            if self.sheet.sizes and attribute(element, "class"):
                return False
            self.selecting.count(1)
            element = element.parent
        return True

    def _is_unseen(self, node: LexborNode, style: Style, colour: Colour) -> bool:
        """Whether the text has the colour of what it stands on."""
        element: LexborNode | None = node
        while element is not None and element.is_element_node:
            if style.has_picture or (self.sheet.paints and attribute(element, "class")):
                return False
            behind = style.background
            if element.mem_id in self.painted:
                if attribute(element, "background"):
                    return False
                behind = behind or self.painted[element.mem_id]
            if behind:
                return is_same(colour, behind)
            self.selecting.count(1)
            element = element.parent
            if element is not None and element.is_element_node:
                style = read_style(attribute(element, "style"))
        return not self.sheet.paints and is_same(colour, WHITE)

    def _hide(self, text: str, how: str) -> None:
        if text := _single_spaced(text).strip():
            self.page.hidden.append((how, text))

    def _add_link(self, node: LexborNode, tag: str, hidden: str = "") -> None:
        href = attribute(node, "href").strip()
        if href:
            shown = _single_spaced(node.text()).strip()
            self.page.links.append(Link(href, shown, self.page.where, hidden, tag))

    def _look_at_ways_out(self, nodes: list[LexborNode]) -> None:
        """How well people read the links by which they leave; those stand among the last."""
        nodes = [node for node in nodes if attribute(node, "href").strip()]
        links = self.page.links[len(self.page.links) - len(nodes) :]
        for number in may_lead_out([(link.shown, link.href) for link in links]):
            size, contrast = legibility_of(nodes[number], self.sheet)
            self.page.links[number - len(nodes)] = links[number]._replace(size=size, contrast=contrast)

    def _add_image(self, node: LexborNode, hidden: str = "") -> str:
        said = node.attributes
        width, height = self.looks.sides(node, said, read_style(said.get("style") or ""))
        alt = said.get("alt") or ""
        src = (said.get("src") or "").strip()
        image = Image(src, self.page.where, alt, width, height, hidden or self.looks.veil_of(node))
        self.page.images.append(image)
        if image.is_unseen:
            self.unseen.add(node)
        return alt


def _single_spaced(text: str) -> str:
    """The white space of HTML as one blank; a run of blanks is halved at a time, as most are short."""
    for blank in "\n\t\r\f":
        if blank in text:
            text = text.replace(blank, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _may_fade(style: Style, backgrounds: list[Colour]) -> bool:
    colour = style.colour
    return colour is not None and any(is_same(colour, background) for background in backgrounds)
