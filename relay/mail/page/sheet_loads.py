"""What a style element fetches: other style sheets, fonts, and the pictures of its rules (CSS Syntax 3, CSS Fonts 4).

Read forward once, and only where it fetches something at all.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from relay.mail.page.styles import MAX_SHEET, MAX_STYLE, Style, read_style

_FETCHES = re.compile(r"(?:url|src|image|image-set)\(|\\|@import", re.IGNORECASE)
MOST_LOADS = 500
"""What is looked at of one style element."""
_DEEPEST = 8  # rules in each other
_TOKEN = re.compile(
    r"""/\*.*?(?:\*/|\Z)|"(?>(?:[^"\\\r\n]|\\(?:\r\n|.))*)"?|'(?>(?:[^'\\\r\n]|\\(?:\r\n|.))*)'?|url\(\s*+(?!["'\s])[^)]*+\)?|[{};]""",
    re.DOTALL | re.IGNORECASE,
)
"""What ends a statement, and what may hold such characters without ending one."""
_BEFORE = re.compile(r"(?>(?:\s++|/\*.*?(?:\*/|\Z)|<!--|-->)*)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_IMPORTED = re.compile(r"""@import\s*+(?:url\(\s*+)?["']?+\s*+([^"')\s;]{1,4096})""", re.IGNORECASE)


class Load(NamedTuple):
    """Something that is fetched, and the text that goes without it: sheet[start:end].

    `selectors` and `style` are of the rule that it stands in; of another style sheet and of a font they are empty.
    """

    form: str
    addresses: tuple[str, ...]
    start: int
    end: int
    selectors: tuple[str, ...] = ()
    style: Style = Style()


class _Block(NamedTuple):
    """A rule that is open: its prelude, where that and its text begin, and what its own declarations fetch."""

    prelude: str
    start: int
    inside: int
    loads: list[Load]


def loads_of(sheet: str) -> tuple[Load, ...]:
    """All that the text of a style element fetches, in the order in which it ends; of too much one more than is looked at."""
    return _loads_of(sheet[:MAX_SHEET])


@lru_cache(maxsize=8)
def _loads_of(sheet: str) -> tuple[Load, ...]:
    return tuple(islice(_read(sheet), MOST_LOADS + 1)) if _FETCHES.search(sheet) else ()


def _read(sheet: str) -> Iterator[Load]:
    opened: list[_Block] = []
    begin = 0
    for token in _TOKEN.finditer(sheet):
        if token[0] not in ("{", "}", ";"):
            continue
        begin = _behind_blanks(sheet, begin, token.start())
        if token[0] == "{":
            opened.append(_Block(_plain(sheet[begin : token.start()]), begin, token.end(), []))
        else:
            yield from _statement(sheet, begin, token.end() if token[0] == ";" else token.start(), opened)
            if token[0] == "}" and opened:
                yield from _block(sheet, opened.pop(), token)
        begin = token.end()
    yield from _statement(sheet, _behind_blanks(sheet, begin, len(sheet)), len(sheet), opened)
    while opened:  # what is not closed ends with the sheet
        yield from _block(sheet, opened.pop(), None)


def _statement(sheet: str, start: int, end: int, opened: list[_Block]) -> Iterator[Load]:
    """What one declaration or at-rule without a block fetches; that of a rule is kept until the rule ends."""
    text = _plain(sheet[start:end])
    if not opened:
        if imported := _IMPORTED.match(text):
            yield Load("@import", (imported[1],), start, end)
    elif len(opened) <= _DEEPEST and (addresses := read_style(text.removesuffix(";")).addresses):
        opened[-1].loads.append(Load("style", addresses, start, end))


def _block(sheet: str, block: _Block, closed: re.Match[str] | None) -> Iterator[Load]:
    """What a rule fetches, now that all of it is known."""
    end, after = (closed.start(), closed.end()) if closed else (len(sheet), len(sheet))
    if block.prelude.lower().startswith("@font-face"):
        if addresses := tuple(address for load in block.loads for address in load.addresses):
            yield Load("@font-face", addresses, block.start, after)
    elif block.loads and not block.prelude.startswith("@"):
        style = read_style(_plain(sheet[block.inside : min(end, block.inside + MAX_STYLE)]))
        selectors = tuple(" ".join(one.split()) for one in block.prelude.split(","))
        yield from (load._replace(selectors=selectors, style=style) for load in block.loads)


def _behind_blanks(sheet: str, start: int, end: int) -> int:
    found = _BEFORE.match(sheet, start, end)
    return found.end() if found else start


def _plain(text: str) -> str:
    """Without comments."""
    return (_COMMENT.sub(" ", text) if "/*" in text else text).strip()
