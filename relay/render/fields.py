"""do = "remove-fields" and do = "add-fields": header fields that do not leave, and those that receivers want to see.

    List-Id          <newsletter.example.com>                      RFC 2919: the stream, under the sender's domain
    Feedback-ID      20261122:newsletter:marketing:examplecom      what Gmail's complaint figures are kept by
    Auto-Submitted   auto-generated                                RFC 3834: nobody answers it automatically
    CFBL-Address     feedback@example.com; report=arf              RFC 9477: where complaints go, with a CFBL-Feedback-ID

A field that the message has already stays as its writer set it.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache

from relay.mail.mailbox import Mailbox, is_at_or_below
from relay.mail.message import Message
from relay.policy.rules.duty import AddFields, RemoveFields
from relay.render.letterhead import Letterhead

CFBL_ADDRESS, CFBL_FEEDBACK_ID = b"cfbl-address", b"cfbl-feedback-id"
_DAY = 86400
_LEAST_SENDER, _LONGEST_SENDER = 5, 15  # characters of a Feedback-ID's last part

Added = tuple[bytes, bytes]
"""A field's name in lower case and its octets."""


def removed_names(tables: Iterable[RemoveFields], present: Iterable[bytes]) -> frozenset[bytes]:
    """Return which of the names present (lower case) the duties remove."""
    names = [(name, name.decode("latin-1")) for name in present]
    matching = [_any_of(table.fields).match for table in tables]
    return frozenset([name for name, text in names for matches in matching if matches(text)])


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or "(?!)")


def added_fields(
    table: AddFields, message: Message, letterhead: Letterhead, at: float, removed: frozenset[bytes] = frozenset()
) -> Iterator[Added]:
    """The fields that the message lacks without those that are removed; none that could not be true of it."""
    author = message.authors[0] if message.authors else None
    values = {
        "List-Id": _list_id(letterhead.stream, author) if author else "",
        "Feedback-ID": _feedback_id(table, letterhead, author, at) if author else "",
        "Auto-Submitted": "auto-generated",
        "CFBL-Address": f"{letterhead.feedback_mailbox}; report=arf" if _takes_feedback(letterhead, author) else "",
    }
    for name in table.fields:
        key = name.lower().encode()
        if values[name] and (message.first(name) is None or key in removed):
            yield key, f"{name}: {values[name]}\r\n".encode()


def feedback_id(text: str) -> Added:
    """The field that tells a complaint what it is about (RFC 9477 section 3.2)."""
    return CFBL_FEEDBACK_ID, f"CFBL-Feedback-ID: {text}\r\n".encode()


def _list_id(stream: str, author: Mailbox) -> str:
    return f"<{stream}.{author.domain}>"


def _feedback_id(table: AddFields, letterhead: Letterhead, author: Mailbox, at: float) -> str:
    """The day, the stream, the purpose, and who sends: what complaints are counted by must not be one mail's alone."""
    sender = table.sender_id or _sender_of(author.domain)
    return f"{_day_of(int(at // _DAY))}:{letterhead.stream}:{letterhead.purpose}:{sender}"


@lru_cache(maxsize=256)
def _sender_of(domain: str) -> str:
    return re.sub(r"[^a-z0-9]", "", domain)[:_LONGEST_SENDER].ljust(_LEAST_SENDER, "0")


@lru_cache(maxsize=8)
def _day_of(number: int) -> str:
    """The day of that number since 1970, in UTC."""
    return f"{datetime.fromtimestamp(number * _DAY, UTC):%Y%m%d}"


def _takes_feedback(letterhead: Letterhead, author: Mailbox | None) -> bool:
    """RFC 9477 section 3.1: one signature must speak for both domains, and that is the one of the domain in CFBL-Address."""
    domain = letterhead.feedback_mailbox.rpartition("@")[2]
    if author is None or not domain or domain not in letterhead.signing_domains:
        return False
    return is_at_or_below(author.domain, domain)
