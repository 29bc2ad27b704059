"""What people see of one part of a message: its text, links and pictures, and the text that is there and not seen.

A campaign sends one body in thousands of messages, so what was read of the
last few parts is kept, and with it what rules found there (`Once`).  It is kept
by all that it is made of, octet for octet; nothing of the message around the part,
of its sender or of a recipient comes into it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, TypeVar

from relay.lazy import lazy
from relay.mail.page.conditional import only_in_outlook
from relay.mail.page.dynamic import UNDRAWN, as_drawn
from relay.mail.page.pixels import Pixel
from relay.mail.page.visible import Image, Link, Page, read_page
from relay.mail.parts.decoding import decode_file, decode_transfer
from relay.mail.words.folding import Folded, fold, is_disguised

LONGEST_KEPT = 128 * 1024
"""Octets of a part that is kept: mail readers cut longer pages."""

MOST_KEPT = 6
"""Parts that are kept in a process."""

_URL = re.compile(r"https?://[^\s<>\"'“”‘’（）()，。；、【】《》]{1,2000}", re.IGNORECASE)
_MOST_WORKS = 50
_UNKNOWN = object()
S = TypeVar("S", bound="Once")
T = TypeVar("T")


class Once:
    """Keeps what was worked out of it, as long as it is kept itself; of very many works only the last."""

    @lazy
    def _known(self) -> dict[object, object]:
        return {}

    def once(self: S, work: Callable[[S], T]) -> T:
        """What `work` makes of this, made once however many rules ask."""
        known = self._known
        found = known.get(work, _UNKNOWN)
        if found is _UNKNOWN:
            found = work(self)
            if len(known) >= _MOST_WORKS:  # some are of one day
                known.clear()
            known[work] = found
        return found  # type: ignore[return-value]  # it is what `work` returned


@dataclass(frozen=True)
class Text(Once):
    """One text that people see.

    `where` names its place in words of ours, as it comes into records: "subject", "text part 1", "html part 2",
    "attachment 1 (.csv)", "html part 2, Outlook" (what Outlook alone shows), "attachment 1 (.csv), name".  `Content.files` has
    the names that senders gave.
    """

    where: str
    shown: str
    wraps: bool = False

    @lazy
    def folded(self) -> Folded:
        """As it is searched, with the way back."""
        return fold(self.shown, wraps=self.wraps)

    @lazy
    def is_disguised(self) -> bool:
        """Whether numbers and keys may stand there that only a folded text has."""
        return is_disguised(self.shown)

    @property
    def normalised(self) -> str:
        """As it is searched: one width, case and script, nothing invisible, no separators between Han characters."""
        return self.folded.text

    def position(self, start: int, end: int) -> tuple[int, int]:
        """Where normalised[start:end], which is not empty, stands in `shown`."""
        return self.folded.shown(start, end)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Text that is not seen. `how`: display, visibility, opacity, size, position, attribute, font-size, colour."""

    how: str
    text: Text


@dataclass(frozen=True, eq=False)
class Sight(Once):
    """What people see of one part. `octets`: how long it is without its transfer encoding."""

    octets: int
    texts: tuple[Text, ...]
    links: tuple[Link, ...] = ()
    images: tuple[Image, ...] = ()
    pixels: tuple[Pixel, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    is_complete: bool = True


class Source(NamedTuple):
    """All that the sight of a part depends on. `kind`: "html", "amp" or "text"; `where` is its place."""

    octets: bytes
    encoding: str
    charset: str
    kind: str
    where: str


def sight_of(source: Source, most: int) -> Sight:
    """What people see of it; nothing of a part that has more than so many octets when its transfer encoding is taken off."""
    return _kept(source) if len(source.octets) <= min(LONGEST_KEPT, most) else _read(source, most)


def _read(source: Source, most: int = LONGEST_KEPT) -> Sight:
    octets = decode_transfer(source.octets, source.encoding)
    if len(octets) > most:
        return Sight(len(octets), (), is_complete=False)
    is_saved = source.where.startswith("attachment")
    text, is_certain = decode_file(octets, source.charset, source.kind != "text", is_saved)
    sight = _sight_of_text(len(octets), text, source)
    return sight if is_certain else replace(sight, is_complete=False)


def _sight_of_text(length: int, text: str, source: Source) -> Sight:
    if source.kind == "text":
        links = tuple([Link(url, url, source.where, tag="text") for url in _urls(text)])
        return Sight(length, (_text(source.where, text, wraps=True),) if text else (), links)
    if source.kind == "amp":
        return _sight_of_pages(length, read_page(as_drawn(text), source.where, UNDRAWN))
    page, outlook = read_page(text, source.where), only_in_outlook(text)
    page.is_complete = page.is_complete and outlook is not None
    return _sight_of_pages(length, page, read_page(outlook, f"{source.where}, Outlook") if outlook else None)


_kept = lru_cache(maxsize=MOST_KEPT)(_read)


def _text(where: str, shown: str, wraps: bool = False) -> Text:
    """That of another mail with the same words: most that is made for one reader is in the addresses of links."""
    return _kept_text(where, shown, wraps) if len(shown) <= LONGEST_KEPT else Text(where, shown, wraps)


_kept_text = lru_cache(maxsize=MOST_KEPT)(Text)


def _sight_of_pages(octets: int, page: Page, outlook: Page | None = None) -> Sight:
    """Of what Outlook alone shows all is one text: colours and sizes are its own there."""
    texts = [_text(page.where, page.shown), Text(f"{page.where}, alt", page.spoken)]
    links, is_complete = page.links, page.is_complete
    if outlook:
        said = (outlook.shown, outlook.spoken, *(text for _, text in outlook.hidden))
        texts.append(Text(outlook.where, "\n".join(filter(None, said))))
        links, is_complete = links + outlook.links, is_complete and outlook.is_complete
    return Sight(
        octets,
        tuple(text for text in texts if text.shown),
        tuple(links),
        tuple(page.images),
        tuple(page.pixels),
        tuple(Hidden(how, Text(f"{page.where}, hidden", text)) for how, text in page.hidden),
        is_complete,
    )


def _urls(text: str) -> Iterable[str]:
    return _URL.findall(text) if "://" in text else ()
