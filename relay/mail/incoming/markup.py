"""HTML as the lines that a reader sees.

Anybody can send a mail here, so this never raises, and its work grows with the
length of the text only: it moves forward, and passes over nothing a second
time.  (The standard library's parser asserts on `<![x`, and on 64 KB of `<a `
it works for minutes.)
"""

import re
from collections.abc import Iterator
from html import unescape

_BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "hr", "ul", "ol", "section", "pre"})
_SKIPPED = frozenset({"style", "script", "head", "title", "blockquote", "template"})
_RAW = frozenset({"style", "script"})
"""What stands in these is no HTML up to their end tag."""

_LONGEST = 16  # characters of a tag's beginning that are read; a longer name is none of ours
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
_SPACE = re.compile(r"[\s\u00a0]+")
# As long as a character's number gets: of a longer one `unescape` would make an integer, and raise at some length.
_REFERENCE = re.compile(r"&(?:#\d{1,9}|#[xX][0-9A-Fa-f]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});?")


def lines_of_html(html: str) -> str:
    """What a reader sees, without what is quoted in a blockquote. What a tag that never ends hides, nobody sees."""
    return "".join(_Reader(html).pieces())


class _Reader:
    """One reading, from the first character to the last."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._end = len(html)
        self._next: dict[str, int] = {}
        self._skipping = 0

    def pieces(self) -> Iterator[str]:
        position = 0
        while position < self._end:
            mark = self._find("<", position)
            if mark > position and not self._skipping:
                yield _SPACE.sub(" ", _REFERENCE.sub(_character, self._html[position:mark]))
            if mark == self._end:
                return
            position, piece = self._pass(mark)
            yield piece

    def _find(self, wanted: str, start: int) -> int:
        """Where it stands from `start` on, the text's end when nowhere.

        What was found is remembered, so each `wanted` passes over the text once, provided that `start` never goes back.
        """
        found = self._next.get(wanted, -1)
        if found < start:
            found = self._html.find(wanted, start)
            found = self._next[wanted] = self._end if found < 0 else found
        return found

    def _pass(self, mark: int) -> tuple[int, str]:
        """Where to go on behind what this "<" begins, and what is seen of it."""
        begin = self._html[mark : mark + _LONGEST]
        if begin.startswith("<!--"):
            return self._find("-->", mark + 2) + 3, ""  # <!--> is a whole comment
        if tag := _TAG.match(begin):
            return self._pass_tag(mark, tag[2].lower(), bool(tag[1]))
        if begin[1:2] in {"!", "?", "/"}:
            return self._find(">", mark + 2) + 1, ""
        return mark + 1, "" if self._skipping else "<"

    def _pass_tag(self, mark: int, name: str, closes: bool) -> tuple[int, str]:
        end = self._end_of_tag(mark + 1)
        stands_alone = self._html[end - 1 : end] == "/"
        if name in _SKIPPED and not stands_alone:
            self._skipping = max(0, self._skipping - 1) if closes else self._skipping + 1
            if name in _RAW and not closes:
                return self._end_of_raw(name, end), ""
        if name in _BREAKS:
            return end + 1, "\n"
        return end + 1, " " if name in ("td", "th") and not closes else ""

    def _end_of_tag(self, position: int) -> int:
        """Its ">"; one inside a quoted value is none, unless the quotation never ends."""
        while True:
            close = self._find(">", position)
            quote = min(self._find('"', position), self._find("'", position))
            if quote >= close:
                return close
            if self._html[position:quote].rstrip().endswith("="):
                end = self._find(self._html[quote], quote + 1)
                if end == self._end:
                    return close
                position = end + 1
            else:
                position = quote + 1

    def _end_of_raw(self, name: str, position: int) -> int:
        """The end tag that ends what is no HTML, the text's end without one."""
        while (position := self._find("</", position)) < self._end:
            if self._html[position + 2 : position + 2 + len(name)].lower() == name:
                break
            position += 2
        return position


def _character(reference: re.Match[str]) -> str:
    return unescape(reference[0])
