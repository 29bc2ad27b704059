"""What people see of a message: subject, texts, links and pictures, and what is there and not seen.

Worked out once per message, when a rule first asks for it (`Message.content`).
The work is bounded in parts and octets, and what was left out is said
(`Content.is_complete`): a rule must not take "not read" for "not there".
Nothing here is stored or logged.
"""

import re
from binascii import a2b_qp
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from relay.mail.decoding import decode_base64, decode_octets
from relay.mail.folding import Folded, fold
from relay.mail.lazy import lazy
from relay.mail.mime import Part, Structure, attachments_of
from relay.mail.visible import Image, Link, Page, read_page

MAX_PART = 1024**2
"""Octets that are decoded of one part."""

MAX_OCTETS = 4 * 1024**2
"""Octets that are decoded of all parts together."""

MAX_TEXTS = 100
"""Texts that are read of one message."""

_ENCODINGS = ("7bit", "8bit", "binary", "quoted-printable", "base64")
_HTML = ("text/html", "application/xhtml+xml")
_TEXTS = ("application/json", "application/csv", "application/xml", "text/")
_SUFFIXES = (".txt", ".csv", ".json", ".htm", ".html", ".md", ".log", ".tsv")
_URL = re.compile(r"https?://[^\s<>\"'“”‘’（）()，。；、【】《》]{1,2000}", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True)
class Text:
    """One text that people see. `where` names its place for them: "subject", "text part 1", "html part 2", "attachment a.csv"."""

    where: str
    shown: str
    wraps: bool = False

    @lazy
    def folded(self) -> Folded:
        """As it is searched, with the way back."""
        return fold(self.shown, wraps=self.wraps)

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


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a message there was to read: its depth, its parts, the octets of the texts that were decoded."""

    depth: int
    parts: int
    octets: int


@dataclass(frozen=True, eq=False)
class Content:
    """See the module. `is_complete`: nothing that people could read was left out."""

    texts: tuple[Text, ...]
    links: tuple[Link, ...]
    images: tuple[Image, ...]
    hidden: tuple[Hidden, ...]
    bounds: Bounds
    is_complete: bool
    _known: dict[object, object] = field(default_factory=dict, repr=False)

    @property
    def every_text(self) -> Iterator[Text]:
        """The texts that are seen and those that are not."""
        yield from self.texts
        yield from (hidden.text for hidden in self.hidden)

    def once(self, work: "Callable[[Content], T]") -> T:
        """What `work` makes of this content, made once however many rules ask."""
        if work not in self._known:
            self._known[work] = work(self)
        return self._known[work]  # type: ignore[return-value]  # it is what `work` returned


def read_content(subject: str, structure: Structure, body: bytes) -> Content:
    """Read the texts of a message. Sealed parts show nothing and hide nothing."""
    reading = _Reading(body)
    reading.texts.append(Text("subject", subject))
    for part in structure.parts:
        if part.is_leaf and (kind := _kind(part)):
            reading.read(part, kind)
    depth = max((part.depth for part in structure.parts), default=0)
    return Content(
        texts=tuple(text for text in reading.texts if text.shown),
        links=tuple(reading.links),
        images=tuple(reading.images),
        hidden=tuple(reading.hidden),
        bounds=Bounds(depth, len(structure.parts), reading.octets),
        is_complete=structure.is_complete and reading.is_complete,
    )


class _Reading:
    """One reading of all parts, within the bounds."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._count = 0
        self.octets = 0
        self.is_complete = True
        self.texts: list[Text] = []
        self.links: list[Link] = []
        self.images: list[Image] = []
        self.hidden: list[Hidden] = []

    def read(self, part: Part, kind: str) -> None:
        """Add what one part shows."""
        self._count += 1
        length = part.end - part.start
        if self._count > MAX_TEXTS or self.octets > MAX_OCTETS or length > 2 * MAX_PART or part.encoding not in _ENCODINGS:
            self.is_complete = False
            return
        octets = _decoded(self._body[part.start : part.end], part.encoding)
        self.octets += len(octets)
        if len(octets) > MAX_PART or self.octets > MAX_OCTETS:
            self.is_complete = False
            return
        charset = next((value for name, value in part.parameters if name == "charset"), "")
        text = decode_octets(octets, "" if charset.lower() in ("", "us-ascii", "ascii") else charset)
        where = self._where(part, kind)
        if kind == "html":
            self._add_page(read_page(text, where))
        else:
            self.texts.append(Text(where, text, wraps=True))
            self.links += [Link(url, url, where, tag="text") for url in _urls(text)]

    def _where(self, part: Part, kind: str) -> str:
        files = attachments_of(part)
        return f"attachment {files[0].filename}".strip() if files else f"{kind} part {self._count}"

    def _add_page(self, page: Page) -> None:
        self.is_complete = self.is_complete and page.is_complete
        self.texts.append(Text(page.where, page.shown))
        self.texts.append(Text(f"{page.where}, alt", page.spoken))
        self.links += page.links
        self.images += page.images
        self.hidden += [Hidden(how, Text(f"{page.where}, hidden", text)) for how, text in page.hidden]


def _kind(part: Part) -> str:
    """ "html", "text", or "" for what is no text."""
    if part.media_type in _HTML:
        return "html"
    names = [file.filename.lower() for file in attachments_of(part)]
    if any(name.endswith((".htm", ".html")) for name in names):
        return "html"
    return "text" if part.media_type.startswith(_TEXTS) or any(name.endswith(_SUFFIXES) for name in names) else ""


def _decoded(octets: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return decode_base64(octets)
    return a2b_qp(octets) if encoding == "quoted-printable" else octets


def _urls(text: str) -> Iterable[str]:
    return _URL.findall(text) if "://" in text else ()
