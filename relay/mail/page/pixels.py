"""What a page fetches from elsewhere when it is opened and does not show: tracking pixels.

Whoever owns such a thing learns who opened the mail, and when; its reader sees
nothing of it.  This is the one place that says what counts; the check
`tracking-pixel` and the duty `remove-pixels` ask here.

- A picture, frame, player or object that is too small (up to three pixels a
  side, or without length on one), or that is hidden or cut out by its style,
  by what it stands in, or by a style element.  A picture of which no size is
  told, a line of any length, and what some screens show are seen.
- The background of an element that is hidden, or that is so small and empty.
- What no element ever shows: another style sheet, a font, what a <link>
  fetches, a script, a sound without controls.  Mail reads well without these:
  most readers drop them.

Remote is what leads to a host by http or https, by itself or by the page's
<base>.  What a picture in sight fetches as well is fetched for that picture.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from relay.mail.page.open_elements import tag_names
from relay.mail.page.selecting import TooMuch
from relay.mail.page.sheet_loads import Load
from relay.mail.page.styles import read_style
from relay.mail.page.targets import target_of

_OF_SVG = ("href", "xlink:href")
FETCHED: Mapping[str, tuple[str, ...]] = {
    "img": ("src", "srcset"), "input": ("src",), "source": ("src", "srcset"), "track": ("src",), "embed": ("src",),
    "bgsound": ("src",), "link": ("href",), "script": ("src",), "audio": ("src",), "video": ("src", "poster"),
    "iframe": ("src",), "frame": ("src",), "object": ("data",), "image": _OF_SVG, "feimage": _OF_SVG,
}  # fmt: skip
"""Elements that fetch something, and the attributes that say what."""

WHOLE = tag_names("img input source track embed bgsound link")
"""Elements without an end: the tag is all there is of them."""

NEVER_SHOWN = ("link", "script", "bgsound")
_LOADING = ",".join([*FETCHED, "[background]", "[style]"])

_LINKS = tag_names("stylesheet icon apple-touch-icon preload modulepreload prefetch prerender preconnect dns-prefetch manifest")
_MOST_SOURCES = 4096  # characters of a srcset
_MOST = 2000


class Pixel(NamedTuple):
    """One of them: its first address, the host that learns of it, and its form: an element, or what of one fetches it.

    `attributes` are those that fetch, none where the whole tag does.  `mark` is that of its element (`read_page`), and
    `number` its place among what a style element fetches.
    """

    addresses: tuple[str, ...]
    host: str
    where: str
    form: str
    attributes: tuple[str, ...] = ()
    mark: str = ""
    number: int = -1


def loading_in(node: LexborNode) -> list[LexborNode]:
    """Whatever may fetch something in an element, and the element itself; Lexbor gives some of it twice."""
    return list({one.mem_id: one for one in node.css(_LOADING)}.values())


class Fetching:
    """What a page fetches that is not seen, collected while the page is read. All raise TooMuch for more than mail has."""

    def __init__(self, where: str, mark: str) -> None:
        self._where = where
        self._mark = mark
        self._base = ""
        self._found: list[Pixel] = []

    def set_base(self, nodes: Iterable[LexborNode]) -> None:
        """Where relative addresses begin: the first <base> with an address says it."""
        hrefs = (node.attributes.get("href") for node in nodes)
        self._base = next((target_of(href).host for href in hrefs if href), "")

    def add_unseen(self, node: LexborNode) -> None:
        """An element that nobody sees, with all that it fetches."""
        self.add_element(node)
        self.add_background(node)

    def add_element(self, node: LexborNode) -> None:
        """What an element fetches, as its picture or page."""
        tag = (node.tag or "").lower()
        said = node.attributes
        if (names := FETCHED.get(tag)) and _fetches(tag, said):
            found = {name: addresses for name in names if (addresses := self._remote(_listed(name, said.get(name))))}
            self._add(node, tag, found, () if tag in WHOLE else tuple(found))

    def add_background(self, node: LexborNode) -> None:
        """What an element fetches to stand behind it."""
        said = node.attributes
        found = {"background": self._remote([said.get("background") or ""])}
        found["style"] = self._remote(read_style(said.get("style") or "").addresses)
        for name, addresses in found.items():
            if addresses:
                self._add(node, name, {name: addresses}, (name,))

    def fetches_behind(self, node: LexborNode) -> bool:
        """Whether an element fetches something to stand behind it."""
        said = node.attributes
        return bool(self._remote([said.get("background") or "", *read_style(said.get("style") or "").addresses]))

    def is_remote(self, load: Load) -> bool:
        """Whether a style element fetches it from elsewhere."""
        return bool(self._remote(load.addresses))

    def add_load(self, load: Load, mark: str, number: int) -> None:
        """Something that a style element fetches."""
        addresses = self._remote(load.addresses)
        self._note(Pixel(addresses, self._host(addresses[0]), self._where, load.form, (), mark, number))

    def mark_of(self, node: LexborNode) -> str:
        """What finds its tag in the source, "" where nobody asked for marks."""
        return (node.attributes.get(self._mark) or "") if self._mark else ""

    def pixels(self, in_sight: Iterable[str]) -> list[Pixel]:
        """Those that nothing in sight fetches too."""
        if not self._found:
            return []
        seen = {address.lower() for address in in_sight}
        return [pixel for pixel in self._found if not seen.issuperset(map(str.lower, pixel.addresses))]

    def _add(self, node: LexborNode, form: str, found: Mapping[str, tuple[str, ...]], attributes: tuple[str, ...]) -> None:
        if addresses := tuple(address for some in found.values() for address in some):
            self._note(Pixel(addresses, self._host(addresses[0]), self._where, form, attributes, self.mark_of(node)))

    def _note(self, pixel: Pixel) -> None:
        if len(self._found) >= _MOST:
            raise TooMuch
        self._found.append(pixel)

    def _remote(self, addresses: Iterable[str]) -> tuple[str, ...]:
        return tuple(address for one in addresses if (address := one.strip()) and self._host(address))

    def _host(self, address: str) -> str:
        target = target_of(address)
        if target.host or target.scheme or not self._base or address.startswith("#"):
            return target.host
        return self._base


def _fetches(tag: str, said: Mapping[str, str | None]) -> bool:
    """Whether this one does: not every <input> and <link>."""
    if tag == "input":
        return (said.get("type") or "").strip().lower() == "image"
    return tag != "link" or not _LINKS.isdisjoint((said.get("rel") or "").lower().split())


def _listed(name: str, value: str | None) -> list[str]:
    """The addresses of an attribute: a srcset has several, each with a size behind it."""
    if not value:
        return []
    if name != "srcset":
        return [value]
    return [one.split(None, 1)[0] for one in value[:_MOST_SOURCES].split(",") if one.strip()]
