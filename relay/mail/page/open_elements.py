"""Which elements of a page a parser of HTML may have open, and what formatting it may have to open again.

What a tag closes is told with certainty or not at all: an element stays on the
stack unless every parser closes it there (WHATWG HTML, 13.2.6), so that the
stack here is never lower than a parser's.
"""


def tag_names(text: str) -> frozenset[str]:
    """Names that are written one beside the other."""
    return frozenset(text.split())


FORMATTING = tag_names("a b big code em font i nobr s small strike strong tt u")
_PHRASING = FORMATTING | tag_names("abbr acronym bdo cite del dfn ins kbd label mark o:p q samp span sub sup time var")
_ALONE = tag_names(
    "area base body br col embed head hr html iframe image img input link meta noembed noframes param script source style "
    "textarea title track wbr xmp"
)
"""What never stands on the stack: void elements, raw text, and what a page has once whatever it says."""

_BLOCKS = tag_names(
    "address article aside blockquote button center details div dl fieldset figcaption figure footer header main nav ol pre "
    "section summary ul"
)
_ENDS_P = (_BLOCKS - {"button"}) | tag_names("dd dt h1 hr li p xmp")
_MAY_END = {"h1": frozenset({"h1"}), "option": frozenset({"option"}), "optgroup": frozenset({"option"})}
"""A start tag ends these only where nothing stands in them."""

_MAY_END_P = tag_names("dialog dir form hgroup listing menu search table")
_CELLS = tag_names("caption td th")
_ROW_GROUPS = tag_names("tbody tfoot thead")
_IMPLIED = ("tr", "tbody")
_IN_TABLE = _CELLS | _ROW_GROUPS | tag_names("col colgroup tr")
_TABLE = frozenset({"table"})
_IN_ROW = _ROW_GROUPS | tag_names("table tr")
_CONTEXT = {"td": _IN_ROW, "th": _IN_ROW, "tr": _ROW_GROUPS | _TABLE}
_SCOPE = _CELLS | _TABLE
_ITEMS = {"li": tag_names("li"), "dd": tag_names("dd dt"), "dt": tag_names("dd dt")}
_HELD_BY = {
    **dict.fromkeys(_IN_TABLE | _TABLE, _TABLE),
    **dict.fromkeys(_BLOCKS | {"h1"}, _SCOPE),
    **dict.fromkeys(_ITEMS, _SCOPE | tag_names("ol ul dl")),
    "p": _SCOPE | {"button"},
}
"""What an end tag does not reach through; the end tags of phrasing elements reach through phrasing only."""

_HEADINGS = {f"h{number}": "h1" for number in range(2, 7)}
"""The end tag of one closes another."""


class OpenElements:
    """The stack. What is lost is formatting that was not closed before what it stood in."""

    def __init__(self) -> None:
        self._opened: list[str] = []
        self._formatting = [0]  # among the first so many of them
        self._sure = 0  # the first so many are open in every parser
        self._lost: dict[str, int] = {}
        self._all_lost = 0

    @property
    def depth(self) -> int:
        return len(self._opened) + self._all_lost

    @property
    def waiting(self) -> int:
        """Formatting elements that a parser may open again at the next text."""
        return self._formatting[-1] - self._formatting[self._sure] + self._all_lost

    def start(self, name: str) -> None:
        """A start tag: what it closes, then its element."""
        name = _HEADINGS.get(name, name)
        if name in _IN_TABLE:
            if "table" not in self._opened:
                return  # parsers pass over it
            self._back_to(_CONTEXT.get(name, _TABLE))
        else:
            self._end_before(name)
        if name in _ALONE:
            return
        if self._sure == len(self._opened):
            self._sure += 1
        self._opened.append(name)
        self._formatting.append(self._formatting[-1] + (name in FORMATTING))

    def end(self, name: str) -> None:
        """An end tag."""
        name = _HEADINGS.get(name, name)
        if name in FORMATTING:
            self._end_formatting(name)
        elif name not in self._opened:
            if name in _IMPLIED:
                self._doubt(_TABLE, 1)
        elif not self._close(name) and name in _IMPLIED:
            self._doubt(_TABLE, 1)

    def _end_before(self, name: str) -> None:
        if name in ("a", "nobr"):
            self._end_formatting(name)
        elif name == "button":
            self.end(name)
        elif name in _ITEMS:
            self._end_item(_ITEMS[name])
        elif name == "table":
            self._doubt_table()
        elif name in _MAY_END:
            self._doubt(_MAY_END[name])
        if "p" in self._opened:
            if name in _ENDS_P:
                self._close("p")
            elif name in _MAY_END_P:
                self._doubt({"p"})

    def _end_formatting(self, name: str) -> None:
        """The standard's "adoption agency": it may also close phrasing elements that it passes, and what was opened again."""
        if name in self._opened:
            place = self._last(name)
            alone = place == len(self._opened) - 1
            if alone or (place < self._sure and not self._lost.get(name) and _PHRASING.issuperset(self._opened[place:])):
                self._cut(place)
                return
        elif not self._lost.get(name):
            return
        elif _SCOPE.isdisjoint(self._opened):
            self._lost[name] -= 1
            self._all_lost -= 1
        first = next((place for place, one in enumerate(self._opened) if one in _PHRASING), self._sure)
        self._sure = min(self._sure, first)

    def _close(self, name: str) -> bool:
        """Close the nearest of that name, if parsers surely do so."""
        place = self._last(name)
        surely = place < self._sure
        if not surely:
            self._doubt({name})
        if place == len(self._opened) - 1 or (surely and not self._is_held(name, self._opened[place + 1 :])):
            self._cut(place)
            return True
        self._doubt({name})
        return False

    def _is_held(self, name: str, inside: list[str]) -> bool:
        if name in _HELD_BY:
            return not _HELD_BY[name].isdisjoint(inside)
        return name not in _PHRASING or not _PHRASING.issuperset(inside)

    def _end_item(self, names: frozenset[str]) -> None:
        for place in range(len(self._opened) - 1, -1, -1):
            name = self._opened[place]
            if name in names:
                if place >= self._sure:
                    break
                self._cut(place)
                return
            if name not in _PHRASING and name not in ("p", "div", "address"):
                break
        self._doubt(names)

    def _back_to(self, context: frozenset[str]) -> None:
        """Close what a part of a table is not put into."""
        place = next(place for place in range(len(self._opened) - 1, -1, -1) if self._opened[place] in context)
        if place >= self._sure:
            self._doubt(context, 1)
        elif place < len(self._opened) - 1:
            if self._opened[place + 1] in FORMATTING:
                self._lose(self._opened[place + 1])
            self._cut(place + 1)

    def _doubt_table(self) -> None:
        """A table that does not stand in a cell of the table around it closes that."""
        for place in range(self._sure - 1, -1, -1):
            if self._opened[place] in _CELLS:
                return
            if self._opened[place] == "table":
                self._sure = place
                return

    def _doubt(self, names: frozenset[str] | set[str], behind: int = 0) -> None:
        """Parsers may have closed the last of these that was surely open, or all that stands behind it."""
        for place in range(self._sure - 1, -1, -1):
            if self._opened[place] in names:
                self._sure = min(self._sure, place + behind)
                return

    def _cut(self, place: int) -> None:
        """Close all from there on, of which the first is closed by its name."""
        in_cell = False
        for number in range(place, len(self._opened)):
            name = self._opened[number]
            in_cell = in_cell or (name in _CELLS and number < self._sure)
            if name in FORMATTING and number > place and not in_cell:  # a cell keeps its formatting to itself
                self._lose(name)
        del self._opened[place:], self._formatting[place + 1 :]
        self._sure = min(self._sure, place)

    def _lose(self, name: str) -> None:
        self._lost[name] = self._lost.get(name, 0) + 1
        self._all_lost += 1

    def _last(self, name: str) -> int:
        return len(self._opened) - 1 - self._opened[::-1].index(name)
