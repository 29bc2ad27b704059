"""What a mail that came in is: one of a closed set of kinds, and what it says of ours.

complaint   feedback report (RFC 5965, also as RFC 9477 sends it): abuse, fraud, or an opt-out in its form
bounce      delivery status notification (RFC 3464), or a provider's text bounce, with a failure for good
notice      a report that changes nothing: delays, "not spam", our own reports
token       a refusal by the mail that a List-Unsubscribe mailto asks for: the token is the subject
auto_reply  out of office and other machines (RFC 3834)
words       its writer says "stop"; it counts only if it answers a mail of ours, which is not known here
innocent    everything else: nobody has to look at it, nothing follows from it
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from relay.mail.incoming.bounces import Failure, delivery_failures, feedback, text_failures
from relay.mail.incoming.spoken_refusals import is_refusal
from relay.mail.incoming.text import octets_of, own_lines, readable_text, text_of_part
from relay.mail.message import Message
from relay.mail.parts.decoding import decode_octets
from relay.mail.parts.fields import Field, readable_fields
from relay.mail.parts.mime import Part

MAX_TOKENS = 20
MAX_IDS = 50
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{75}(?![A-Za-z0-9_-])")
_MESSAGE_ID = re.compile(r"<([^<>\s@]{1,200}@[^<>\s@]{1,200})>")
_WRITTEN_ID = re.compile(r"message-id\s*[:：]\s*<([^<>\s@]{1,200}@[^<>\s@]{1,200})>", re.IGNORECASE)
# Every run of blanks has one reading: with two, each word before what is no token would double the work.
_ONLY_TOKEN = re.compile(
    r"\s*(?:(?:re|aw|回复|答复|unsubscribe|退订|取消订阅)\s*(?:[:：]\s*)?)*([A-Za-z0-9_-]{75})\s*", re.IGNORECASE
)
_OUR_REPORT = re.compile(r"<[0-9A-HJKMNP-TV-Z]{26}\.[0-9a-f]{8}\.report@")
_AUTO_SUBJECT = re.compile(
    r"\s*(?:自动回复|自動回覆|自动答复|自動回復|自动应答|外出自动|休假自动|不在通知|自動返信|부재중"
    r"|autoreply|auto(?:matic)?[ -]?(?:reply|response)|out of (?:the )?office|vacation"
    r"|abwesend|abwesenheit|automatische antwort|réponse automatique|respuesta automática)",
    re.IGNORECASE,
)
_AUTO_FIELDS = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply", "X-AutoReply-From", "X-Mail-Autoreply")
_RETURNED = re.compile(r"(?:text|message)/(?:rfc822-headers|global-headers|rfc822|global)")
_COMPLAINTS = frozenset({"abuse", "fraud", "complaint", "virus"})
_OPT_OUTS = frozenset({"opt-out", "opt-out-list"})


class LetterKind(StrEnum):
    """What a mail that came in is."""

    COMPLAINT = "complaint"
    BOUNCE = "bounce"
    NOTICE = "notice"
    TOKEN = "refusal_by_token"  # noqa: S105 - no password
    AUTO_REPLY = "auto_reply"
    WORDS = "refusal_by_words"
    INNOCENT = "innocent"


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as read.

    `tokens` are texts with the form of an unsubscribe token, `message_ids`
    those of the mails that it returns or answers, without brackets;
    `sender` is its author's mailbox key, "" when there is not exactly one;
    `addresses` the recipients that a feedback report names; `opts_out` says
    that a feedback report asks to be left alone instead of complaining.
    """

    kind: LetterKind
    tokens: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    addresses: tuple[str, ...] = ()
    sender: str = ""
    opts_out: bool = False


def read_letter(message: Message) -> Letter:
    """Say what a mail is. Never raises."""
    authors = message.authors or ()
    sender = authors[0].key if len(authors) == 1 else ""
    if (found := _report(message)) is not None:
        return found
    if only := _ONLY_TOKEN.fullmatch(message.subject):
        return Letter(LetterKind.TOKEN, (only[1],), sender=sender)
    if _is_automatic(message):
        return Letter(LetterKind.AUTO_REPLY)
    if not is_refusal(message.subject, own_lines(readable_text(message))):
        return Letter(LetterKind.INNOCENT)
    return Letter(LetterKind.WORDS, _tokens(message), _answered(message), sender=sender)


def _report(message: Message) -> Letter | None:
    """Reports of machines on mails of ours."""
    if _OUR_REPORT.match(message.message_id or ""):
        return Letter(LetterKind.NOTICE)
    if (said := feedback(message)) is not None:
        if said.kind not in _COMPLAINTS | _OPT_OUTS:
            return Letter(LetterKind.NOTICE)
        return Letter(
            LetterKind.COMPLAINT, _tokens(message), _returned_ids(message),
            addresses=said.addresses, opts_out=said.kind in _OPT_OUTS,
        )  # fmt: skip
    failures = delivery_failures(message)
    if failures is None:
        failures = text_failures(message)
    if failures is None:
        return None
    if not failures:
        return Letter(LetterKind.NOTICE)
    return Letter(LetterKind.BOUNCE, _tokens(message), _returned_ids(message), failures)


def _is_automatic(message: Message) -> bool:
    if message.auto_submitted or _AUTO_SUBJECT.match(message.subject):
        return True
    if (message.text("Precedence") or "").strip().lower() in ("auto_reply", "auto-reply", "bulk", "junk", "list"):
        return True
    return any(message.first(name) for name in _AUTO_FIELDS)


# Traces of ours ------------------------------------------------------------------------------------------------------


def _answered(message: Message) -> tuple[str, ...]:
    fields = (message.text(name) or "" for name in ("In-Reply-To", "References"))
    return tuple(dict.fromkeys(found for text in fields for found in _MESSAGE_ID.findall(text)))[-MAX_IDS:]


def _returned_ids(message: Message) -> tuple[str, ...]:
    """The Message-IDs of the returned mail, wherever a report puts its header section; else of the mail it answers."""
    found = dict.fromkeys(
        match
        for fields in _returned_headers(message)
        for field in fields
        if field.name == b"message-id"
        for match in _MESSAGE_ID.findall(decode_octets(field.value))
    )
    written = dict.fromkeys(match for text in _texts(message) for match in _WRITTEN_ID.findall(text))
    return (*found, *(one for one in (*written, *_answered(message)) if one not in found))[:MAX_IDS]


def _tokens(message: Message) -> tuple[str, ...]:
    """Everything with the form of a token, in bodies and in returned header sections."""
    texts = [*_texts(message)]
    texts += [decode_octets(field.raw) for fields in _returned_headers(message) for field in fields if len(field.raw) < 10_000]
    return tuple(dict.fromkeys(match for text in texts for match in _TOKEN.findall(text)))[:MAX_TOKENS]


def _texts(message: Message) -> Iterator[str]:
    for part in message.structure.parts[:50]:
        if part.is_leaf and part.media_type.startswith(("text/", "message/")):
            yield text_of_part(message, part)


def _returned_headers(message: Message) -> Iterator[tuple[Field, ...]]:
    """Header sections of mails inside the mail: attached whole, as headers only, or as a file named .eml."""
    for part in message.structure.parts[:50]:
        if part.in_attached_message:
            yield part.fields
        elif part.is_leaf and (_RETURNED.fullmatch(part.media_type) or _is_saved_mail(part)):
            octets = octets_of(message, part).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").lstrip(b"\r\n")
            yield readable_fields(octets.partition(b"\r\n\r\n")[0] + b"\r\n")


def _is_saved_mail(part: Part) -> bool:
    names = f"{part.header(b'content-disposition')} {part.header(b'content-type')}".lower()
    return ".eml" in names
