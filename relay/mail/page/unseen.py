"""The reading of a page for tracking pixels (`pixels` says what they are), element by element, while it is taken apart."""

import re
from collections.abc import Iterable, Mapping, Sequence

from selectolax.lexbor import LexborNode

from relay.mail.page.looks import Looks
from relay.mail.page.pixels import NEVER_SHOWN, Fetching, Pixel
from relay.mail.page.selecting import Selecting, TooMuch
from relay.mail.page.sheet_loads import MOST_LOADS, Load, loads_of
from relay.mail.page.sizes import is_dot
from relay.mail.page.styles import SELECTOR

SHOWING = ("input", "embed", "frame", "image", "feimage", "iframe", "object", "video")
"""Elements that show what they fetch, pictures aside."""

_GENERATED = re.compile(r"([^:]*)::?(?:before|after)")


class _Painting:
    """A picture that a rule of a style element fetches, and the elements that it stands behind."""

    def __init__(self, load: Load, mark: str, number: int) -> None:
        self.load = load
        self.mark = mark
        self.number = number
        self.nodes: list[LexborNode] = []
        self.generated: list[LexborNode] = []
        self.is_known = True


class Unseen:
    """What a page fetches and nobody sees."""

    def __init__(self, where: str, mark: str, looks: Looks, selecting: Selecting) -> None:
        self._looks = looks
        self._selecting = selecting
        self._fetching = Fetching(where, mark)
        self._paintings: list[_Painting] = []
        self._kept: set[int] = set()  # elements that were taken out and are shown by some screens
        self._owners: dict[int, bool] = {}  # what has sources, and whether it shows nothing
        self.is_complete = True

    @property
    def selectors(self) -> int:
        """Those of the pictures of style elements, which are all looked for."""
        return sum(len(painting.load.selectors) for painting in self._paintings)

    def set_base(self, nodes: Iterable[LexborNode]) -> None:
        """Where relative addresses begin."""
        self._fetching.set_base(nodes)

    def add_sheet(self, node: LexborNode) -> None:
        """What a style element fetches."""
        mark = self._fetching.mark_of(node)
        loads = loads_of(node.text())
        if len(loads) > MOST_LOADS:
            raise TooMuch
        for number, load in enumerate(loads):
            if self._fetching.is_remote(load):
                if load.selectors:
                    self._paintings.append(_Painting(load, mark, number))
                else:
                    self._fetching.add_load(load, mark, number)

    def add(self, node: LexborNode) -> None:
        """What an element fetches that shows nothing of it."""
        self._fetching.add_element(node)

    def match(self) -> None:
        """Find what the pictures of style elements stand behind, before anything is taken out."""
        for painting in self._paintings:
            for selector in painting.load.selectors:
                generated = _GENERATED.fullmatch(selector)
                name = (generated[1].strip() or "*") if generated else selector
                if not SELECTOR.fullmatch(name):
                    painting.is_known = False
                    continue
                nodes = self._selecting.nodes(name)
                (painting.generated if generated else painting.nodes).extend(nodes)

    def take(self, loading: Sequence[LexborNode], how: str) -> None:
        """Elements that are taken out as they are hidden; `how` is "" for those that some screens show."""
        for node in loading:
            self._note(node)
            if node.tag != "img" and (how or self._shows_nothing(node)):
                self._fetching.add_element(node)
            if how or self._looks.is_bare(node):
                self._fetching.add_background(node)

    def keep(self, nodes: Iterable[LexborNode]) -> None:
        """Note elements that are taken out and shown by some screens."""
        if self._paintings:
            self._kept.update([node.mem_id for node in nodes])

    def pixels(
        self, named: Mapping[str, Sequence[LexborNode]], behind: Iterable[LexborNode], in_sight: Iterable[str]
    ) -> list[Pixel]:
        """All of them, when what is hidden was taken out of the elements `named`."""
        for name in (*SHOWING, *NEVER_SHOWN, "audio", "source", "track"):
            for node in named.get(name, ()):
                if node.parent is not None:
                    self._note(node)
                    if self._shows_nothing(node):
                        self._fetching.add_element(node)
        for node in {node.mem_id: node for node in behind}.values():
            if node.parent is not None and self._fetching.fetches_behind(node) and self._looks.is_bare(node):
                self._fetching.add_background(node)
        for painting in self._paintings:
            if self._is_unseen(painting):
                self._fetching.add_load(painting.load, painting.mark, painting.number)
        return self._fetching.pixels(in_sight)

    def _note(self, node: LexborNode) -> None:
        """A page in an attribute is not read."""
        if node.tag == "iframe" and node.attributes.get("srcdoc"):
            self.is_complete = False

    def _shows_nothing(self, node: LexborNode) -> bool:
        tag = (node.tag or "").lower()
        if tag in NEVER_SHOWN:
            return True
        if tag == "audio":
            return "controls" not in node.attributes
        if tag in ("source", "track"):
            return self._is_of_unseen(node)
        if tag in ("image", "feimage"):
            return self._looks.is_unseen(node) or self._is_in_dot(node)
        return tag in SHOWING and self._looks.is_unseen(node)

    def _is_of_unseen(self, node: LexborNode) -> bool:
        """Whether what shows the source is not seen; nothing fetches one that nothing shows."""
        owner = node.parent
        if owner is None or owner.tag not in ("picture", "video", "audio"):
            return False
        if owner.mem_id not in self._owners:
            self._owners[owner.mem_id] = self._hides_sources(owner)
        return self._owners[owner.mem_id]

    def _hides_sources(self, owner: LexborNode) -> bool:
        if owner.tag != "picture":
            return self._shows_nothing(owner)
        image = next((one for one in owner.iter() if one.tag == "img"), None)
        return image is not None and self._looks.is_unseen(image)

    def _is_in_dot(self, node: LexborNode) -> bool:
        """Whether the drawing that it is in is too small."""
        element = node.parent
        while element is not None and element.is_element_node:
            self._selecting.count(1)
            if element.tag == "svg" and self._looks.is_unseen(element):
                return True
            element = element.parent
        return False

    def _is_unseen(self, painting: _Painting) -> bool:
        """Whether it is fetched for some element, and seen behind none."""
        if not painting.is_known or not (painting.nodes or painting.generated):
            return False
        style = painting.load.style
        width, height = style.size.sides
        is_dot_itself = is_dot(width, height) and None not in (width, height) and not style.padded
        is_unseen_itself = style.hides not in ("", "display", "colour") or style.veils or is_dot_itself
        if painting.generated and not is_unseen_itself:
            return not any(self._is_left(node) for node in [*painting.generated, *painting.nodes])
        return not any(self._is_left(node) and not self._is_bare(node) for node in painting.nodes)

    def _is_left(self, node: LexborNode) -> bool:
        return node.mem_id in self._kept or node.parent is not None

    def _is_bare(self, node: LexborNode) -> bool:
        return node.mem_id not in self._kept and self._looks.is_bare(node)
