"""Which elements of a page a selector of a style element means, in a number of steps that is bounded for each page."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from relay.mail.page.legibility import attribute

_MAX_STEPS = 100_000
_PIECES = re.compile(r"\*|[.#]?[\w-]+")


class TooMuch(Exception):
    """The page asks for more work than mail does."""


class Selecting:
    """The elements of one tree, by selectors of `styles`."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        self._tree = tree
        self._steps = 0

    def count(self, steps: int) -> None:
        """Steps that may be taken again and again for nested elements. Raises TooMuch."""
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise TooMuch

    def nodes(self, selector: str) -> list[LexborNode]:
        """Those that it means; none where Lexbor does not know it as a selector: mail readers hardly do either."""
        *around, last = selector.split()
        around = [one.lower() for one in around]
        try:
            nodes = self._tree.css(last)  # with a combinator Lexbor goes back and forth for every element
        except SelectolaxError:
            return []
        self.count(len(nodes))
        return [node for node in nodes if self._stands_in(node, around)] if around else nodes

    def means(self, selector: str, node: LexborNode) -> bool:
        """Whether it means this element."""
        *around, last = selector.lower().split()
        self.count(1)
        return _fits(node, attribute(node, "class"), last) and self._stands_in(node, around)

    def _stands_in(self, node: LexborNode, selectors: list[str]) -> bool:
        """Whether elements around it match these, the innermost last."""
        wanted = list(selectors)
        element = node.parent
        while wanted and element is not None and element.is_element_node:
            classes = attribute(element, "class")
            self.count(1 + len(classes) // 32)
            if _fits(element, classes, wanted[-1]):
                wanted.pop()
            element = element.parent
        return not wanted


def names_of(node: LexborNode) -> frozenset[str]:
    """How a selector can call an element: by its tag, classes and id."""
    return _names(node, attribute(node, "class"))


def _names(node: LexborNode, classes: str) -> frozenset[str]:
    own = (node.tag or "", f"#{attribute(node, 'id').lower()}", "*")
    return frozenset([*own, *(f".{name}" for name in classes.lower().split())])


def _fits(element: LexborNode, classes: str, selector: str) -> bool:
    """Whether an element matches a selector without a combinator."""
    return _names(element, classes).issuperset(_PIECES.findall(selector))
