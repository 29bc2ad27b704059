"""do = "footer": what a law wants readers to see under the text, with the recipient's own unsubscribe link.

It stands once in each form of the text: in all parts of a
multipart/alternative, in the root of a multipart/related, in the first text
of any other multipart.  What a text shows already is not said again; the link
is, because only ours is the recipient's own and stops this relay's mail.

Charset and transfer encoding of the parts stay.  In HTML what is not ASCII is
written as character references; a plain text that cannot have Chinese or
Japanese characters gets the English footer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relay.errors import DutyImpossible
from relay.mail.message import Message
from relay.mail.page.enclosure import elements_around
from relay.mail.page.visible import Page, read_page
from relay.mail.parts.decoding import charset_named, decode_octets, guessed_codec
from relay.mail.parts.mime import Part
from relay.policy.rules.duty import FooterPart
from relay.render.body import Body
from relay.render.letterhead import Language, Languages, Letterhead
from relay.render.said import says
from relay.render.shown import shown_texts
from relay.render.splice import Octets, Slot
from relay.render.wording import LINK, Line, as_html, as_text, footer_lines

_HTML = "text/html"
_ENGLISH: Languages = ("en",)
_NO_ASCII = ("utf-16", "utf-32", "utf-7", "unicode-1-1-utf-7", "ucs-", "iso-10646", "ebcdic", "ibm037", "cp037")
_MARK = "relay:footer"
_MARKED = as_html([Line("", _MARK)], _ENGLISH).encode()
"""Stands where the footer is to stand, while it is seen whether readers see it."""
_ESCAPES = re.compile(rb"\x1b(?:\([BJ]|\$[@B]|\$?\([A-Z]|\$\)[A-Z])")
_TO_ASCII = (b"\x1b(B", b"\x1b(J")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the footer is to say, and in which languages; `reasons` in the words of a pack, "" for ours.

    A text that cannot have all of them gets English, and what some law wants beside it (`by_law`).
    """

    parts: tuple[FooterPart, ...]
    reasons: Mapping[Language, str]
    languages: Languages
    by_law: Languages = ()


def footed(message: Message, wish: Wish, letterhead: Letterhead, *, eight_bit: bool) -> Body:
    """The body of the message with the footer in every text that readers are shown.

    `eight_bit` lets 8-bit octets into a part that is declared to have them.
    Raises DutyImpossible that says why it cannot be done.
    """
    if message.is_signed_or_encrypted:
        raise DutyImpossible("the message is signed or encrypted, so its text cannot have a footer")
    if not message.structure.is_complete:
        raise DutyImpossible("the parts of the message cannot all be read, so its text cannot have a footer")
    if lacking := [missing for part in wish.parts if (missing := letterhead.lacks(part))]:
        raise DutyImpossible(f"the footer lacks {', '.join(lacking)}")
    texts = shown_texts(message.structure)
    if not texts:
        raise DutyImpossible("the message has no text that could have a footer")
    body: bytes = message.body
    pieces: list[bytes | Slot] = []
    for part in reversed(texts):  # from the end, so that the places of the parts before it stay
        writing = _Writing(Octets(body, part), part, wish, letterhead, eight_bit)
        if (found := writing.texts()) is None:
            continue
        spliced = writing.octets.splice(writing.place, found, is_html=writing.is_html)
        pieces[:0] = [spliced.slot, spliced.tail]
        body = spliced.head
    return Body((body, *pieces))


class _Writing:
    """The footer of one part."""

    def __init__(self, octets: Octets, part: Part, wish: Wish, letterhead: Letterhead, eight_bit: bool) -> None:
        self.octets = octets
        self.is_html = part.media_type == _HTML
        self._codec = _codec(part, octets.text)
        self._wish, self._letterhead = wish, letterhead
        self._takes_8bit = bool(octets.encoding) or not octets.text.isascii() or (eight_bit and part.encoding != "7bit")
        text = octets.text
        self.place, self._ends, self._links = len(text), b"", frozenset[str]()
        if self.is_html:
            self.place, self._ends, page = self._find_place()
            self._links, shown = frozenset([link.href for link in page.links if link.shown and not link.hidden]), page.shown
        else:
            shown = self._decoded(text)
        self._shown = shown.casefold()

    def _find_place(self) -> tuple[int, bytes, Page]:
        """Before the last </body>, else at the end, where readers add to the body too; and the page as they see it.

        The footer stands in the body itself, so that nothing which the HTML left open can hide it: the end tags of
        what is open there come with it.
        """
        text = self.octets.text
        end = text.lower().rfind(b"</body")
        for place in (end, len(text)) if end >= 0 else (len(text),):
            html, ends = self._marked(place, b""), b""
            around = elements_around(html, _MARK)
            if around:
                ends = "".join(f"</{name}>" for name in around if name.isascii()).encode()
                html = self._marked(place, ends)
                around = elements_around(html, _MARK)
            if around == () and _is_marked(page := read_page(html, "", surely=_MARK)):
                return place, ends, page
        raise DutyImpossible("the HTML hides what stands at its end, or is nested too deeply to be read")

    def _marked(self, place: int, ends: bytes) -> str:
        text = self.octets.text
        return self._decoded(b"".join([text[:place], ends, _MARKED, text[place:]]))

    def _decoded(self, octets: bytes) -> str:
        return decode_octets(octets, "" if self._codec == "ascii" else self._codec)

    def texts(self) -> tuple[bytes, ...] | None:
        """The octets around the link, None when the text shows all of it already."""
        languages, needed = self._wish.languages, self._wish.by_law
        lines = self._lines(languages)
        if not lines:
            return None
        if self.is_html:
            return self._ended(self._ends + as_html(lines, languages).encode("ascii", "xmlcharrefreplace"))
        for some in (lines, self._lines(needed or _ENGLISH)):
            try:
                octets = as_text(some).encode(self._codec)
            except UnicodeEncodeError:
                continue
            if self._takes_8bit or octets.isascii():
                return self._ended(self._to_ascii() + octets)
        raise DutyImpossible("the footer cannot be written in the charset of the text; send the text as UTF-8, and not as 7bit")

    def _lines(self, languages: Languages) -> list[Line]:
        wish = self._wish
        lines = footer_lines(wish.parts, self._letterhead, languages, wish.reasons)
        return [line for line in lines if not self._shows(line)]

    def _shows(self, line: Line) -> bool:
        """Whether a reader sees it without us. Never of the link: another's link would not be the recipient's."""
        if line.link == LINK:
            return False
        return line.link in self._links or any(says(self._shown, fact) for fact in line.facts)

    def _ended(self, octets: bytes) -> tuple[bytes, ...]:
        """With the line ends of the part, and a line end before it where the text has none."""
        text = self.octets.text
        bare = self.octets.encoding == "base64" and b"\n" in text and b"\r\n" not in text
        end = b"\n" if bare else b"\r\n"
        octets = octets.replace(b"\n", end)
        if self.octets.encoding == "base64" and self.place and text[self.place - 1 : self.place] != b"\n":
            octets = end + octets
        return tuple(octets.split(LINK.encode()))

    def _to_ascii(self) -> bytes:
        """What leads back to ASCII where a text in ISO-2022 ends in another set."""
        escapes = _ESCAPES.findall(self.octets.text) if b"\x1b" in self.octets.text else []
        return _TO_ASCII[0] if escapes and escapes[-1] not in _TO_ASCII else b""


def _is_marked(page: Page) -> bool:
    return page.is_complete and any(link.href == _MARK and not link.hidden for link in page.links)


def _codec(part: Part, text: bytes) -> str:
    """What a part may be written in. Raises DutyImpossible for a charset in which ASCII is not ASCII."""
    charset = part.charset.strip().lower()
    if charset.startswith(_NO_ASCII):
        raise DutyImpossible(f"a text of the message is in the charset {charset[:20]}, which cannot have a footer")
    codec = charset_named(charset)
    if charset in ("", "us-ascii", "ascii"):
        codec = "ascii" if text.isascii() else guessed_codec(text)
        return codec if codec != "latin-1" else "ascii"
    if codec == "gb18030" and charset != "gb18030":
        return "gbk"  # its readers may know no four octets
    if codec == "iso2022_kr" or (codec == "utf-8" and charset not in ("utf-8", "utf8")):
        return "ascii"
    return codec
