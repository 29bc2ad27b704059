"""A message as it came: the header section as raw fields, the body as one run of octets.

Nothing here re-serialises.  Whoever changes a message replaces single fields
by their octets; what is not replaced leaves as it came (law 3).

What happens to a message that is not as RFC 5322 wants it:

    bare CR, bare LF, CR CR LF       one CRLF each, decided before anything else is read (or all refused: `line_ends`)
    last line without an end         gets its CRLF
    a header and no empty line       the empty line is added, the body is empty
    empty; no header; NUL; a first line of white space; an mbox From line; a header line
    without name and colon; too many or too large                              MessageError
    "From :", 8-bit in a field's name, a folded line of white space only, no From, two of
    what may stand once, an unreadable Sender                                  parsed, named in `defects`, refused by rule
    8-bit in values, long lines, missing Date or Message-ID                    taken
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from relay.lazy import lazy
from relay.mail.mailbox import Mailbox
from relay.mail.parts.addresses import AddressList, parse_address_list
from relay.mail.parts.archives import Enclosed, archives_of
from relay.mail.parts.decoding import decode_octets, decode_unstructured
from relay.mail.parts.fields import Field, FieldError, read_fields, structure_defects
from relay.mail.parts.mime import Attachment, Structure, walk
from relay.mail.words.content import Content, read_content

_COMMENT = re.compile(r"\([^()]*\)")
_BY = re.compile(r"(?:^|\s)by\s+([^\s;()]{1,255})", re.IGNORECASE)
_STRUCTURE = "base/header-structure"
Limit = Literal["", "size", "line_length", "header_fields", "header_size", "received"]


class MessageError(ValueError):
    """The message cannot be taken at all; the text is ASCII and safe to show to the client.

    `rule` names why ("base/header-structure"), `detail` is the enhanced status code without its class ("6.0"),
    `limit` names the bound that was exceeded, "" when it was none; `bound` is its octets, 0 where it counts something else.
    """

    def __init__(self, rule: str, detail: str, text: str, limit: Limit = "", bound: int = 0) -> None:
        super().__init__(text)
        self.rule = rule
        self.detail = detail
        self.text = text
        self.limit = limit
        self.bound = bound


@dataclass(frozen=True)
class Message:
    """Header fields and body, all lines ending in CRLF. What rules ask is worked out when first asked."""

    fields: tuple[Field, ...]
    body: bytes

    @classmethod
    def parse(
        cls,
        data: bytes,
        *,
        line_ends: Literal["normalise", "reject"] = "normalise",
        max_fields: int = 1000,
        max_header_size: int = 256 * 1024,
        max_line: int = 1024**2,
    ) -> "Message":
        """Read a message as received, dot-stuffing removed.

        Raises MessageError when it cannot be taken at all.
        """
        data = normalise_line_ends(data, line_ends)
        if b"\0" in data:
            raise MessageError(_STRUCTURE, "6.0", "the message has a NUL octet")
        header, body = _split(data, max_header_size)
        if has_line_over(max_line, header) or has_line_over(max_line, body):
            raise line_too_long(max_line)
        try:
            fields = read_fields(header)
        except FieldError as error:
            raise MessageError(_STRUCTURE, "6.0", str(error)) from None
        if len(fields) > max_fields:
            raise MessageError(_STRUCTURE, "6.0", f"the header has more than {max_fields} fields", "header_fields")
        message = cls(fields, body)
        message.__dict__["header"] = header  # it is at hand
        return message

    @lazy
    def header(self) -> bytes:
        """The header section without the empty line after it."""
        return b"".join([field.raw for field in self.fields])

    @property
    def octets(self) -> bytes:
        """The message as it came, line ends normalised."""
        return b"".join((self.header, b"\r\n", self.body))

    @property
    def size(self) -> int:
        """Octets of header section, empty line and body."""
        return len(self.header) + 2 + len(self.body)

    @lazy
    def received_digest(self) -> bytes:
        """SHA-256 of the message, line ends normalised; the same bytes sent again give the same digest."""
        digest = hashlib.sha256(self.header + b"\r\n")
        digest.update(self.body)
        return digest.digest()

    @lazy
    def _by_name(self) -> dict[bytes, list[Field]]:
        named: dict[bytes, list[Field]] = {}
        for field in self.fields:
            named.setdefault(field.name, []).append(field)
        return named

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, in order; case does not matter."""
        return tuple(self._by_name.get(name.lower().encode(), ()))

    def first(self, name: str) -> Field | None:
        found = self._by_name.get(name.lower().encode())
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        """The first field of that name in one line, encoded-words decoded (RFC 2047); None without one."""
        field = self.first(name)
        return decode_unstructured(field.value) if field else None

    @lazy
    def defects(self) -> tuple[str, ...]:
        """What parses but must be refused (RFC 5322 section 3.6).

        no-from, two-from, duplicate-NAME, obsolete-colon-space, 8bit-field-name, blank-folded-line, unreadable-sender
        """
        unreadable = ["unreadable-sender"] if self.first("Sender") and self.sender is None else []
        return (*structure_defects(self.fields), *unreadable)

    @lazy
    def subject(self) -> str:
        """The decoded subject, "" without one."""
        return self.text("Subject") or ""

    @lazy
    def authors(self) -> tuple[Mailbox, ...] | None:
        """The mailboxes of the one From field; None when readers could disagree on who they are."""
        return self._mailboxes_of("From")

    @lazy
    def sender(self) -> Mailbox | None:
        """The mailbox of the one Sender field; None without one, and when it cannot be read (a defect)."""
        mailboxes = self._mailboxes_of("Sender")
        return mailboxes[0] if mailboxes and len(mailboxes) == 1 else None

    @lazy
    def author_name(self) -> str:
        """What From shows beside the address, decoded, without quotes; "" when there is nothing."""
        text = self.text("From") or ""
        name, bracket, _ = text.rpartition("<")
        if not bracket:
            name = text.partition("(")[2].rpartition(")")[0]
        return name.strip().removeprefix('"').removesuffix('"').strip()

    @lazy
    def reply_to(self) -> tuple[Mailbox, ...] | None:
        """The mailboxes that answers go to instead of From; None without the field, and when it cannot be read."""
        return self._mailboxes_of("Reply-To")

    @property
    def refers(self) -> bool:
        """Whether it says which message it answers or goes on from (RFC 5322 section 3.6.4)."""
        return any(field.value for name in ("In-Reply-To", "References") for field in self.all(name))

    @lazy
    def received_by(self) -> tuple[str, ...]:
        """The servers that Received fields name as those who took the message, in lower case."""
        found = (_BY.search(_COMMENT.sub(" ", decode_octets(field.value))) for field in self.all("Received"))
        return tuple(one[1].rstrip(".").lower() for one in found if one)

    @property
    def return_path(self) -> Mailbox | None:
        """The mailbox in a Return-Path that came with the message; None without one, null or unreadable."""
        field = self.first("Return-Path")
        found = parse_address_list(field.value) if field else None
        return found.mailboxes[0] if found and found.mailboxes else None

    def _mailboxes_of(self, name: str) -> tuple[Mailbox, ...] | None:
        fields = self.all(name)
        if len(fields) != 1:
            return None
        found = parse_address_list(fields[0].value)
        return found.mailboxes if found.mailboxes and not found.faults and not found.has_group else None

    @lazy
    def _addressed(self) -> AddressList:
        lists = [parse_address_list(field.value) for name in ("To", "Cc") for field in self.all(name)]
        distinct = {mailbox.key: mailbox for found in reversed(lists) for mailbox in reversed(found.mailboxes)}
        return AddressList(tuple(reversed(distinct.values())), sum(found.faults for found in lists))

    @property
    def addressee_list(self) -> tuple[Mailbox, ...]:
        """The distinct mailboxes in To and Cc that can be read, in order."""
        return self._addressed.mailboxes

    @property
    def addressees(self) -> int:
        """How many mailboxes To and Cc show; entries that cannot be read count too."""
        return len(self._addressed.mailboxes) + self._addressed.faults

    @lazy
    def structure(self) -> Structure:
        """The MIME parts; see `Structure.is_complete` before taking an absence for a fact."""
        return walk(self.fields, self.body)

    @lazy
    def attachments(self) -> tuple[Attachment, ...]:
        return self.structure.attachments()

    @lazy
    def archives(self) -> tuple[Enclosed, ...]:
        """The attachments that hold other files, and what is in them; nothing is unpacked."""
        return archives_of(self.structure, self.body)

    @property
    def is_signed_or_encrypted(self) -> bool:
        """Whether any part is sealed by S/MIME or OpenPGP/MIME, so that its octets must not change."""
        return self.structure.is_signed_or_encrypted

    @lazy
    def content(self) -> Content:
        """What people see of it, and what is hidden there; see `Content.is_complete` before taking an absence for a fact."""
        return read_content(self.subject, self.structure, self.body)

    @lazy
    def has_8bit_body(self) -> bool:
        return not self.body.isascii()

    @property
    def has_8bit_header(self) -> bool:
        return not self.header.isascii()

    @lazy
    def message_id(self) -> str | None:
        """The Message-ID as the client wrote it; None when missing or empty."""
        return self.text("Message-ID") or None

    @property
    def auto_submitted(self) -> bool:
        """Whether a program says that it wrote this (RFC 3834 section 5)."""
        word = (self.text("Auto-Submitted") or "no").partition(";")[0].partition("(")[0]
        return word.strip().lower() != "no"

    @property
    def received_count(self) -> int:
        """How many relays the message has passed, by its Received fields."""
        return len(self.all("Received"))


def too_large(bound: int) -> MessageError:
    """The message is over `bound` octets."""
    return MessageError("base/size", "3.4", f"the message is larger than {bound} octets", "size", bound)


def line_too_long(bound: int) -> MessageError:
    """A line of the message is over `bound` octets."""
    return MessageError("base/line-length", "6.0", f"a line is longer than {bound} octets", "line_length", bound)


def normalise_line_ends(data: bytes, line_ends: str = "normalise") -> bytes:
    """Make every line end in CRLF, the last one included; CRLF-only data is returned as it is.

    CR CR LF is one line end, any other lone CR or LF is one each.  Raises
    MessageError for them when `line_ends` is "reject" (RFC 5321 section 2.3.8).
    """
    ends = data.count(b"\r\n")
    if _count(data, b"\n") != ends or _count(data, b"\r") != ends:
        if line_ends == "reject":
            raise MessageError("base/line-ends", "6.11", "the message has a CR or LF that is not part of CR LF")
        # the second replacement takes what was CR CR LF
        data = data.replace(b"\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return data if not data or data.endswith(b"\r\n") else data + b"\r\n"


def has_line_over(limit: int, data: bytes, start: int = 0, end: int | None = None) -> bool:
    """Whether a line of data[start:end] has more than `limit` octets before its CRLF; looks once per `limit` octets."""
    end = len(data) if end is None else end
    while end - start > limit:
        found = data.rfind(b"\r\n", start, start + limit + 2)
        if found < 0:
            return True
        start = found + 2
    return False


def _count(data: bytes, octet: bytes) -> int:
    """As data.count(octet), in a third of the time for long data: deleting is better tuned than counting."""
    return len(data) - len(data.replace(octet, b""))


def _split(data: bytes, max_header_size: int) -> tuple[bytes, bytes]:
    if not data:
        raise MessageError(_STRUCTURE, "6.0", "the message is empty")
    if data.startswith(b"\r\n"):
        raise MessageError(_STRUCTURE, "6.0", "the message has no header")
    blank = data.find(b"\r\n\r\n", 0, max_header_size + 2)
    if blank >= 0:
        return data[: blank + 2], data[blank + 4 :]
    if len(data) > max_header_size:
        text = f"the header is larger than {max_header_size} octets"
        raise MessageError(_STRUCTURE, "6.0", text, "header_size", max_header_size)
    return data, b""
