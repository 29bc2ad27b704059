"""One mailbox, two faces: the wire form and the key.

The *wire* form goes to the upstream as the client gave it (RFC 5321 section
2.4: the case of a local part is the receiver's business), with needless
quotes removed and the domain as lower-case A-label.  The
*key* is what suppression, consent, limits, ledger and records compare: local
part NFC and case-folded, `@`, the same A-label.  Dots and +tags are kept:
folding them would refuse one person on another person's word.

There is one parser, and it is strict.  Whatever another MTA would read
differently (encoded-words, comments, source routes, control or invisible
characters, spaces) is refused,
so that the address we judge is the address that receives.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import idna

MAX_LOCAL_PART = 64  # octets, RFC 5321 section 4.5.3.1.1
MAX_PATH = 256  # octets with the brackets, RFC 5321 section 4.5.3.1.3

# RFC 5321 section 4.1.2 Dot-string over RFC 5322 atext; RFC 6531 section 3.3 adds non-ASCII.
_ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"')
_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = re.compile(r"([A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*)@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
# Letters and marks that Unicode calls default-ignorable: fillers, joiners, variation selectors.
_FILLER = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_QUOTED_PAIR = re.compile(r"\\(.)")
_NOT_A_MAILBOX = "this is not a mailbox that RFC 5321 allows"


class MailboxError(ValueError):
    """The text is not one mailbox; the message is safe to show to the person who typed it."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that mail can be sent to.

    `wire` is what the upstream gets, `key` what stores compare, `domain` the
    lower-case A-label (or an address literal in brackets).
    """

    wire: str
    key: str
    domain: str

    @property
    def local_part(self) -> str:
        """The local part as given, unquoted where quotes were needless."""
        return self.wire[: -len(self.domain) - 1]

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the wire form has non-ASCII characters (RFC 6531 section 3.3)."""
        return not self.wire.isascii()

    @classmethod
    def parse(cls, text: str, *, literals: bool = False) -> "Mailbox":
        """Read one mailbox; `literals` allows an address literal such as [192.0.2.1].

        Raises MailboxError.
        """
        plain = _PLAIN.fullmatch(text)
        if plain and len(plain[1]) <= MAX_LOCAL_PART and len(text) <= MAX_PATH - 2 and "xn--" not in plain[2]:
            return cls(text, f"{plain[1].casefold()}@{plain[2]}", plain[2])
        local_part, at, domain = text.rpartition("@")
        if not at or not local_part or not domain:
            raise MailboxError(_NOT_A_MAILBOX)
        unquoted = _unquote(local_part)
        wire_local = unquoted if _DOT_STRING.fullmatch(unquoted) else local_part
        ascii_domain = _address_literal(domain) if literals and domain.startswith("[") else a_label(domain)
        wire = f"{wire_local}@{ascii_domain}"
        _within_limits(wire_local, wire)
        return cls(wire, f"{_fold(unquoted)}@{ascii_domain}", ascii_domain)

    def __str__(self) -> str:
        return self.wire


def a_label(domain: str) -> str:
    """Return the domain as lower-case A-label (RFC 5890); at least two labels.

    Raises MailboxError.
    """
    if not domain.isascii():
        if any(_is_deceptive(character) for character in domain if character not in "\u200c\u200d"):  # joiners: RFC 5892 A.1
            raise MailboxError("the domain has invisible characters")
        return _idna(unicodedata.normalize("NFC", domain))
    lowered = _qualified(domain.lower())
    return _idna(lowered) if "xn--" in lowered else lowered


@lru_cache(maxsize=4096)
def is_at_or_below(domain: str, other: str) -> bool:
    """Whether a domain is the other, or a subdomain of it; both lower-case A-labels."""
    return domain == other or domain.endswith(f".{other}")


def upwards(domain: str) -> Iterator[str]:
    """The domain, then those above it, down to two labels."""
    labels = domain.split(".")
    return (".".join(labels[i:]) for i in range(len(labels) - 1))


def _idna(domain: str) -> str:
    try:
        encoded = idna.encode(domain, uts46=True, transitional=False).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise MailboxError("the domain is not a valid internationalised domain name") from None
    return _qualified(encoded)


def _qualified(domain: str) -> str:
    """The lower-case ASCII domain, if it has two labels at least and does not look like an address literal."""
    labels = domain.split(".")
    if len(labels) < 2 or len(domain) > 253 or not all(map(_LDH_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise MailboxError("the domain is not a fully qualified domain name")
    return domain


def _unquote(local_part: str) -> str:
    if quoted := _QUOTED_STRING.fullmatch(local_part):
        unquoted = _QUOTED_PAIR.sub(r"\1", quoted[1])
    elif _DOT_STRING.fullmatch(local_part):
        unquoted = local_part
    else:
        raise MailboxError(_NOT_A_MAILBOX)
    if not unquoted or any(_is_deceptive(character) for character in unquoted):
        raise MailboxError("the local part is empty or has invisible characters")
    if "=?" in unquoted:  # lax servers decode RFC 2047 encoded-words even here
        raise MailboxError("the local part looks like an encoded-word")
    return unquoted


def _is_deceptive(character: str) -> bool:
    """Control, format, separator, surrogate, private, unassigned or a filler: nothing a person can see or type."""
    return character > "\x7f" and (unicodedata.category(character) in _UNSEEN or bool(_FILLER.match(character)))


def _fold(unquoted: str) -> str:
    # Case folding can leave NFC, so normalise again afterwards (Unicode 3.13, D146).
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", unquoted).casefold())


def _address_literal(domain: str) -> str:
    if not re.fullmatch(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]", domain, re.IGNORECASE):
        raise MailboxError("this address literal is not one that RFC 5321 section 4.1.3 allows")
    return domain.lower()


def _within_limits(local_part: str, wire: str) -> None:
    if len(local_part.encode()) > MAX_LOCAL_PART:
        raise MailboxError("the local part is longer than 64 octets")
    if len(wire.encode()) > MAX_PATH - 2:
        raise MailboxError("the mailbox is longer than 254 octets")


_WORD = re.compile(r""""(?:[^"\\]|\\.){0,80}"@[^\s<>()\[\],;:"]*|[^\s<>()\[\],;:"]+""")
_SIGNS_OF_AN_ADDRESS = ("@", "\uff20", "%40")


def mask(mailbox: str) -> str:
    """Show who is meant to those who know, and nothing to others: a***@example.org."""
    local_part, at, domain = mailbox.rpartition("@")
    return f"{local_part[:1]}***@{domain}" if at else f"{mailbox[:1]}***"


def without_addresses(text: str) -> str:
    """Text that somebody wrote, with *** for every word that may be an address."""
    for sign in _SIGNS_OF_AN_ADDRESS:
        if sign in text:
            return _WORD.sub(_hidden, text)
    return text


def _hidden(word: re.Match[str]) -> str:
    return "***" if any(sign in word[0] for sign in _SIGNS_OF_AN_ADDRESS) else word[0]
