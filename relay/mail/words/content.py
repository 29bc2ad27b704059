"""What people see of a message: subject, texts, links, pictures and names of files, and what is there and not seen.

Worked out once per message, when a rule first asks for it (`Message.content`).
The work is bounded in parts and octets, and what was left out is said
(`Content.is_complete`): a rule must not take "not read" for "not there".
Nothing here is stored or logged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relay.lazy import lazy
from relay.mail.page.pixels import Pixel
from relay.mail.page.visible import Image, Link
from relay.mail.parts.decoding import is_known_charset
from relay.mail.parts.mime import Attachment, Part, Structure, attachments_of
from relay.mail.parts.slices import has_padding_inside
from relay.mail.words.sight import Hidden, Once, Sight, Source, Text, sight_of

MAX_PART = 1024**2
"""Octets that are decoded of one part."""

MAX_OCTETS = 4 * 1024**2
"""Octets that are decoded of all parts together."""

MAX_TEXTS = 100
"""Texts that are read of one message."""

MAX_NAMES = 128 * 1024
"""Characters that are read of all names of attachments together."""

_ENCODINGS = ("7bit", "8bit", "binary", "quoted-printable", "base64")
_WRAPPED = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_P7M = (".p7m", ".p7z")
_HEAD = 128  # octets of a wrapping, of which the first name its kind
_FURTHEST = 6  # behind its tag and length
_ENCRYPTED = (bytes.fromhex("06092a864886f70d010703"), bytes.fromhex("060b2a864886f70d0109100117"))
"""The object identifiers of enveloped and of authenticated enveloped data (RFC 5652, RFC 5083)."""

_AMP = "text/x-amp-html"
_HTML = ("text/html", "application/xhtml+xml", _AMP)
_TEXTS = ("application/json", "application/csv", "application/xml", "text/")
_SUFFIXES = (".txt", ".csv", ".json", ".htm", ".html", ".md", ".log", ".tsv")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a message there was to read: its depth, its parts, the octets of the texts that were decoded."""

    depth: int
    parts: int
    octets: int


@dataclass(frozen=True, eq=False)
class Content(Once):
    """See the module. `is_complete`: nothing that people could read was left out; `files`: names of text attachments by place.

    `sights` are of the subject and of each part that has a text, in their order.  `names` has the names of all attachments,
    decoded; two that one part was given stand on two lines.
    """

    sights: tuple[Sight, ...]
    names: tuple[Text, ...]
    bounds: Bounds
    is_complete: bool
    files: Mapping[str, str]

    @lazy
    def texts(self) -> tuple[Text, ...]:
        """The texts that are seen, none of them empty."""
        return tuple([text for sight in self.sights for text in sight.texts])

    @lazy
    def links(self) -> tuple[Link, ...]:
        return tuple([link for sight in self.sights for link in sight.links])

    @lazy
    def images(self) -> tuple[Image, ...]:
        return tuple([image for sight in self.sights for image in sight.images])

    @lazy
    def pixels(self) -> tuple[Pixel, ...]:
        return tuple([pixel for sight in self.sights for pixel in sight.pixels])

    @lazy
    def hidden(self) -> tuple[Hidden, ...]:
        return tuple([hidden for sight in self.sights for hidden in sight.hidden])

    @lazy
    def every_text(self) -> tuple[Text, ...]:
        """The texts that are seen, those that are not, and the names of attachments."""
        return (*self.texts, *[hidden.text for hidden in self.hidden], *self.names)


def read_content(subject: str, structure: Structure, body: bytes) -> Content:
    """Read the texts of a message. Sealed parts show nothing and hide nothing."""
    reading = _Reading(body)
    attached = 0
    for part in structure.parts:
        files = attachments_of(part)
        attached += bool(files)
        place = _place(files[0].filename, attached) if files else ""
        reading.add_names(place, files)
        if part.is_leaf and (kind := _kind(part, files)):
            reading.read(part, kind, place)
            if files:
                reading.files[place] = files[0].filename
        elif part.is_leaf and _is_open(part, body):
            reading.is_complete = False
    depth = max((part.depth for part in structure.parts), default=0)
    return Content(
        sights=(Sight(0, (Text("subject", subject),) if subject else ()), *reading.sights),
        names=tuple(reading.names),
        bounds=Bounds(depth, len(structure.parts), reading.octets),
        is_complete=structure.is_complete and reading.is_complete,
        files=reading.files,
    )


class _Reading:
    """One reading of all parts, within the bounds."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._count = 0
        self.octets = 0
        self._letters = 0
        self.is_complete = True
        self.sights: list[Sight] = []
        self.names: list[Text] = []
        self.files: dict[str, str] = {}

    def add_names(self, place: str, files: Iterable[Attachment]) -> None:
        """Add how the attachment at this place is called."""
        shown = "\n".join([file.filename for file in files])
        self._letters += len(shown)
        if self._letters > MAX_NAMES:
            self.is_complete = False
        elif shown:
            self.names.append(Text(f"{place}, name", shown))

    def read(self, part: Part, kind: str, attachment: str) -> None:
        """Add what one part shows; `attachment` is its place where readers are shown a file."""
        self._count += 1
        encoding = part.encoding
        if (
            self._count > MAX_TEXTS
            or self.octets > MAX_OCTETS
            or part.end - part.start > 2 * MAX_PART
            or encoding not in _ENCODINGS
        ):
            self.is_complete = False
            return
        form = "amp" if kind == "html" and part.media_type == _AMP else kind
        where = attachment or f"{kind} part {self._count}"
        source = Source(self._body[part.start : part.end], encoding, part.charset, form, where)
        sight = sight_of(source, min(MAX_PART, MAX_OCTETS - self.octets))
        self.octets += sight.octets
        charsets = [value for name, value in part.parameters if name == "charset"]
        is_shifted = encoding == "base64" and has_padding_inside(self._body, part.start, part.end)
        if len(charsets) > 1 or not is_known_charset(source.charset) or is_shifted or not sight.is_complete:
            self.is_complete = False  # what is read may not be all that people see
        self.sights.append(sight)


def _place(filename: str, number: int) -> str:
    """Where an attachment is: its number and how its name ends, the rest of which may say anything of anybody."""
    ending = next((suffix for suffix in _SUFFIXES if filename.lower().endswith(suffix)), "")
    return f"attachment {number} ({ending})" if ending else f"attachment {number}"


def _kind(part: Part, files: Iterable[Attachment]) -> str:
    """ "html", "text", or "" for what is no text."""
    if part.media_type in _HTML:
        return "html"
    names = [file.filename.lower() for file in files]
    if any(name.endswith((".htm", ".html")) for name in names):
        return "html"
    return "text" if part.media_type.startswith(_TEXTS) or any(name.endswith(_SUFFIXES) for name in names) else ""


def _is_open(part: Part, body: bytes) -> bool:
    """Whether people read what S/MIME wraps without any key: all that does not say to be encrypted (RFC 8551 section 3)."""
    if part.media_type not in _WRAPPED and not any(file.filename.lower().endswith(_P7M) for file in attachments_of(part)):
        return False
    octets = part.octets(body, _HEAD)
    return not any(0 <= octets.find(oid) <= _FURTHEST for oid in _ENCRYPTED)
