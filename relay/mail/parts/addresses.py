"""Address lists in From, Sender, To and Cc (RFC 5322 section 3.4), read strictly.

An entry is one mailbox that every reader sees the same way, or a fault: an
address in an unquoted display name (unless it is the one in the brackets), a
comment inside an address, a source route, text after the brackets, an
encoded-word where an address should be, a semicolon after it.
What cannot be read never counts as absent, so no list looks shorter than it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.mail.mailbox import Mailbox, MailboxError

MAX_ENTRIES = 10_000

# Tokens of a structured field: quoted-string, one bracketed address, special, white space, anything else.
_TOKEN = re.compile(
    r"""(?P<quoted>"(?>(?:[^"\\]++|\\.)*)")
      | (?P<angle><(?>(?:"(?>(?:[^"\\]++|\\.)*)"|[^<>"]++)*)>)
      | (?P<special>[()<>,:;"\\])
      | (?P<space>[\ \t]+)
      | (?P<text>[^()<>,:;"\\\ \t]+)""",
    re.VERBOSE | re.DOTALL,
)
_UNCLOSED = frozenset('<>"\\)')
_COMMENT_PIECE = re.compile(r"[^()\\]+|\\.|[()\\]", re.DOTALL)
_ONE_PLAIN = re.compile(  # nearly every From: one address, maybe in brackets after plain words
    r"""[A-Za-z0-9\ !#$%&'*+/=?^_`{|}~.\u0080-\U0010ffff-]*<([^<>"@\ ]+@[^<>"@\ ]+)> | ([^<>"@\ ,:;()\\]+@[^<>"@\ ,:;()\\]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class AddressList:
    """The mailboxes of one field in order, how many entries could not be read, and whether it has a group."""

    mailboxes: tuple[Mailbox, ...] = ()
    faults: int = 0
    has_group: bool = False


class _UnreadableError(ValueError):
    """Quotes, brackets or comments do not close."""


def parse_address_list(value: bytes) -> AddressList:
    """Read the unfolded value of an address field."""
    try:
        text, opaque = value.decode(), False
    except UnicodeDecodeError:  # undeclared octets may stand in a display name, never in an address
        text, opaque = value.decode("latin-1"), True
    if (plain := _ONE_PLAIN.fullmatch(text)) and (mailbox := _mailbox(plain[1] or plain[2], opaque)):
        return AddressList((mailbox,))
    return _Reader(opaque).read(text)


class _Reader:
    """Collects the entries of one list; `entry` holds the tokens since the last comma, comments left out."""

    def __init__(self, opaque: bool) -> None:
        self.opaque = opaque
        self.mailboxes: list[Mailbox] = []
        self.faults = 0
        self.has_group = False
        self.in_group = False
        self.entry: list[tuple[str, str]] = []

    def read(self, text: str) -> AddressList:
        try:
            for kind, token in _tokens(text):
                self._take(kind, token)
            self._end_entry()
            self.faults += self.in_group
        except _UnreadableError:
            self.faults += max(1, text.count("@") - len(self.mailboxes))
        return AddressList(tuple(self.mailboxes), self.faults, self.has_group)

    def _take(self, kind: str, text: str) -> None:
        if kind != "special":
            self.entry.append((kind, text))
        elif text == ",":
            self._end_entry()
        elif text == ":" and not self.in_group and self._is_phrase():
            self.has_group = self.in_group = True
            self.entry.clear()
        elif text == ";":  # outside a group some writers separate by it: whatever it ends is a fault of its own
            if not self.in_group:
                self.entry.append((kind, text))
            self._end_entry()
            self.in_group = False
        else:
            self.entry.append((kind, text))
        if len(self.mailboxes) + self.faults > MAX_ENTRIES:
            raise _UnreadableError

    def _is_phrase(self) -> bool:
        """A group's name: words, but no address that a colon makes look like one."""
        words = [(kind, token) for kind, token in self.entry if kind != "space"]
        return bool(words) and all(kind == "quoted" or (kind == "text" and "@" not in token) for kind, token in words)

    def _end_entry(self) -> None:
        tokens = _strip(self.entry)
        self.entry = []
        if not tokens:
            return
        mailbox = _mailbox(spec, self.opaque) if (spec := _addr_spec(tokens)) else None
        if mailbox:
            self.mailboxes.append(mailbox)
        else:
            self.faults += 1


def _addr_spec(tokens: list[tuple[str, str]]) -> str | None:
    """The address of one entry: all of it, or what stands in the brackets at its end."""
    *before, (kind, token) = tokens
    if kind == "angle":
        spec = token[1:-1].strip(" \t")
        plain = all(k in ("quoted", "space") or (k == "text" and "@" not in t) for k, t in before)
        named_by_itself = "".join(t for _, t in before).strip(" \t").lower() == spec.lower()
        return spec if plain or named_by_itself else None
    if all(k in ("text", "quoted") for k, _ in tokens):
        return "".join(t for _, t in tokens)
    return None


def _mailbox(addr_spec: str, opaque: bool) -> Mailbox | None:
    if opaque and not addr_spec.isascii():
        return None
    try:
        return Mailbox.parse(addr_spec)
    except MailboxError:
        return None


def _strip(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    start, end = 0, len(tokens)
    while start < end and tokens[start][0] == "space":
        start += 1
    while end > start and tokens[end - 1][0] == "space":
        end -= 1
    return tokens[start:end]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Tokens in order; a comment comes out as white space, so one inside an address tears it apart."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match[0] in _UNCLOSED:
            raise _UnreadableError
        if match[0] == "(":
            end = _comment_end(text, position)
            yield "space", " "
            position = end
        else:
            yield str(match.lastgroup), match[0]
            position = match.end()


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for piece in _COMMENT_PIECE.finditer(text, start):
        if piece[0] == "\\":
            break
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if depth == 0:
            return piece.end()
    raise _UnreadableError
