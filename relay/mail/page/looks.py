"""Whether pictures and backgrounds of a page are seen: how large their elements are, and what cuts them out.

Old attributes, the style of an element and the style elements have their say
in turn (CSS Cascading 5), as far as pixels need it.  In doubt a picture is
seen: where a rule for some screens makes it larger, or one whose elements
cannot be told.
"""

from collections.abc import Mapping
from itertools import islice

from selectolax.lexbor import LexborNode

from relay.mail.page.legibility import attribute
from relay.mail.page.open_elements import tag_names
from relay.mail.page.pixels import loading_in
from relay.mail.page.selecting import Selecting, names_of
from relay.mail.page.sizes import DOT, LARGE, NO_SIZE, Size, is_dot, read_dimension
from relay.mail.page.styles import Rule, Sheet, Style, read_style

_BOXES = tag_names(
    "address article aside blockquote center div dl figure footer form h1 h2 h3 h4 h5 h6 header main nav p pre section"
)
"""What is as large as it says, whatever it holds."""

_IN_LINE = tag_names("a abbr b big code em font i ins label s small span strong sub sup tt u")
_CELLS = tag_names("table td th")
_MOST_ALONE = 4  # elements of a table that has nothing but one cell
_BLANKS = " \t\r\n\f"
_BY_DISPLAY = ("display", "visibility", "attribute")


class Looks:
    """How elements of one tree look."""

    def __init__(self, selecting: Selecting) -> None:
        self._selecting = selecting
        self._rules: tuple[Rule, ...] = ()
        self._showing: list[Rule] = []
        self._revealing: list[Rule] = []
        self._enlarging: list[Rule] = []
        self._stretching: list[Rule] = []
        self._small: set[int] = set()
        self._veiled: dict[int, str] = {}

    def read(self, sheet: Sheet) -> None:
        """Take what the style elements say, all of them together."""
        self._rules = sheet.rules
        self._revealing = [rule for rule in sheet.rules if _may_reveal(rule)]
        self._showing = [rule for rule in self._revealing if rule.style.shows]
        self._enlarging = [rule for rule in sheet.rules if rule.style.padded or rule.style.grows]
        self._stretching = [rule for rule in sheet.rules if rule.style.grows or rule.style.stretches]
        for rule in small_rules(sheet):
            nodes = self._selecting.nodes(rule.selector)
            if rule.style.size.says_small:
                self._small.update([node.mem_id for node in nodes])
            for node in nodes if rule.style.veils else ():
                self.veil(node, rule.style.veils)

    def veil(self, node: LexborNode, how: str) -> None:
        """Note that no picture of the element is seen, unless some screens show it."""
        veiled = loading_in(node)
        self._selecting.count(len(veiled))
        if veiled and not self.is_revealed(node, how):
            for one in veiled:
                self._veiled.setdefault(one.mem_id, how)

    def veil_of(self, node: LexborNode) -> str:
        """How its picture is cut out, "" where it is not."""
        return self._veiled.get(node.mem_id, "") if self._veiled else ""

    def is_revealed(self, node: LexborNode, how: str) -> bool:
        """Whether some screens show an element that is hidden in this way."""
        return self._is_meant(self._showing if how in _BY_DISPLAY else self._revealing, node)

    def sides(self, node: LexborNode, said: Mapping[str, str | None], style: Style) -> tuple[int | None, int | None]:
        """Width and height of a picture, where some screen shows it; None where nothing tells."""
        if style.size is NO_SIZE:
            sides = read_dimension(said.get("width") or ""), read_dimension(said.get("height") or "")
        else:
            sides = style.size.over(_dimensions(said)).sides
        if not is_dot(*sides) and not (self._small and node.mem_id in self._small):
            return sides
        found = [size.sides for size in self._sizes(node, said, style)]
        return next((sides for sides in found if not is_dot(*sides)), found[0])

    def is_unseen(self, node: LexborNode) -> bool:
        """Whether a picture, frame or player shows nothing."""
        said = node.attributes
        return bool(self.veil_of(node)) or is_dot(*self.sides(node, said, read_style(said.get("style") or "")))

    def is_bare(self, node: LexborNode) -> bool:
        """Whether nothing of an element's background is seen."""
        if self.veil_of(node):
            return True
        style, tag = read_style(attribute(node, "style")), node.tag or ""
        if self._is_larger(node, style):
            return False
        sizes = [size.sides for size in self._sizes(node, node.attributes if tag in _CELLS else {}, style)]
        if all(is_dot(*sides) for sides in sizes):
            return tag in _BOXES or (tag in _IN_LINE and _is_empty(node)) or (tag in _CELLS and _is_alone(node))
        lies_flat = tag in (_BOXES | _IN_LINE) and not any(height for _, height in sizes)
        return lies_flat and _is_empty(node) and not self._is_stretched(node) and not self._is_stretched(node.parent)

    def _is_larger(self, node: LexborNode, style: Style) -> bool:
        """Whether something may make an element larger than the size that it is given."""
        return style.padded or style.grows or self._is_meant(self._enlarging, node)

    def _is_stretched(self, node: LexborNode | None) -> bool:
        """Whether an element may have a size without being given one, and what stands in it too."""
        if node is None or not node.is_element_node:
            return False
        style = read_style(attribute(node, "style"))
        return style.grows or style.stretches or self._is_meant(self._stretching, node)

    def _is_meant(self, rules: list[Rule], node: LexborNode) -> bool:
        """Whether some rule may mean the element, as far as its own names tell."""
        if not rules:
            return False
        self._selecting.count(1 + len(rules) // 8)
        names = names_of(node)
        return any(rule.names <= names for rule in rules)

    def _sizes(self, node: LexborNode, said: Mapping[str, str | None], style: Style) -> list[Size]:
        """Its size, and those that it may have on some screens."""
        if not self._rules:
            return [style.size.over(_dimensions(said))]
        self._selecting.count(1 + len(self._rules) // 8)
        names = names_of(node)
        rules = [rule for rule in self._rules if rule.names <= names and (rule.is_special or rule.style.size.says_small)]
        sure = [rule for rule in rules if rule.everywhere and rule.is_known and self._selecting.means(rule.selector, node)]
        sure.sort(key=lambda rule: rule.weight)
        size = _dimensions(said)
        for one in [rule for rule in sure if not rule.insists]:
            size = one.style.size.over(size)
        size = style.size.over(size)
        for one in [rule for rule in sure if rule.insists]:
            size = one.style.size.over(size)
        unsure = [rule.style for rule in rules if rule.is_special and not (rule.everywhere and rule.is_known)]
        return [size, *(Size(LARGE, LARGE) if style.opens else style.size.over(size) for style in unsure)]


def small_rules(sheet: Sheet) -> list[Rule]:
    """Those of a sheet that make pictures unseen."""
    sure = (rule for rule in sheet.rules if rule.everywhere and rule.is_known)
    return [rule for rule in sure if rule.style.veils or rule.style.size.says_small]


def _may_reveal(rule: Rule) -> bool:
    return rule.style.reveals and not rule.style.hides and rule.is_special and (rule.insists or not rule.everywhere)


def _dimensions(said: Mapping[str, str | None]) -> Size:
    return Size(read_dimension(said.get("width") or ""), read_dimension(said.get("height") or ""))


def _is_empty(node: LexborNode) -> bool:
    inside = node.child
    return inside is None or (inside.next is None and _is_blank(inside))


def _is_blank(node: LexborNode) -> bool:
    return node.is_text_node and not (node.text_content or "").strip(_BLANKS)


def _is_alone(cell: LexborNode) -> bool:
    """Whether it is an empty table, or the only cell of one that nothing makes larger."""
    table: LexborNode | None = cell
    for _ in range(_MOST_ALONE):
        if table is not None and table.tag != "table":
            table = table.parent
    if table is None or table.tag != "table":
        return False
    within = list(islice(table.traverse(include_text=True), 2 * _MOST_ALONE + 2))
    elements = [node for node in within if not _is_blank(node)]  # a text that is none is no element either, and too many
    if len(elements) > _MOST_ALONE or sum(node.tag in ("td", "th") for node in elements) > 1:
        return False
    said = table.attributes
    width, height = read_style(said.get("style") or "").size.over(_dimensions(said)).sides
    is_told = table.mem_id == cell.mem_id or not (said.get("class") or said.get("id") or "%" in (said.get("width") or ""))
    return is_told and (width or 0) <= DOT and (height or 0) <= DOT
