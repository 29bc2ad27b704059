"""Bounces and feedback reports: who was not reached and why, who complained.

    RFC 3464   message/delivery-status, from every server that follows it
    text       mailer-daemons and postmasters that write to people only: NetEase and other Coremail (系统退信), Tencent
               (来自qq.com的退信), Alimail, qmail and their kin; recognised by author and subject, read by addresses and codes
    RFC 5965   message/feedback-report (ARF), also as RFC 9477 (CFBL) sends it

What a code or a sentence means is not decided here: the provider's dictionary
does that (`relay.upstream.profile`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.mail.incoming.text import octets_of, readable_text
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message
from relay.mail.parts.decoding import decode_octets
from relay.mail.parts.fields import Field, readable_fields

MAX_FAILURES = 200
_MAX_TEXT = 2000

_AUTHORS = re.compile(r"post-?master|mail(?:er)?[-_.]?daemon|mdaemon|mailadmin|postoffice|bounces?|mail-?system", re.IGNORECASE)
_SUBJECTS = re.compile(
    r"退信|退回|投递失败|投遞失敗|无法投递|無法投遞|发送失败|未能送达|无法送达|無法送達|未送达"
    r"|undeliver|delivery status notification|delivery (?:failure|failed|has failed|report|notification)"
    r"|returned (?:mail|to sender)|failure notice|mail delivery (?:failed|system|failure)"
    r"|could not be delivered|message not delivered|unzustellbar|non remis|no entregado",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"^.{0,40}(?:Below this line is a copy|This is a copy of the message|Undelivered message follows|Original message"
    r"|原始邮件|原邮件(?!信息)).*",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
# In Chinese running text no space stands before an address, so one is either without Han characters or all of them.
_ADDRESS = re.compile(
    r"""(?:[^\s<>()\[\],;:：，；"'`=“”（）【】\u2e80-\u9fff]{1,64}|(?<![^\s<>()\[\],;:：，；"'“（【])[\u2e80-\u9fff]{1,64})"""
    r"""@[A-Za-z0-9][A-Za-z0-9.-]{1,250}[A-Za-z0-9]"""
)
_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?=[ \-:#(]|$)")
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])")
_HINT = re.compile(
    r"(?<![\d.])[45]\d\d(?!\d)|[45]\.\d{1,3}\.\d{1,3}|原因|不存在|停用|已满|reason|said|error|unknown", re.IGNORECASE
)
_WRITTEN_ID = re.compile(r"message-id\s*[:：]\s*<[^<>]*>", re.IGNORECASE)
_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient who was not reached; `addresses` are mailbox keys, the one that we wrote to first where it is told."""

    addresses: tuple[str, ...]
    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback report: its type in lower case, and the recipients it names as mailbox keys."""

    kind: str
    addresses: tuple[str, ...]


def delivery_failures(message: Message) -> tuple[Failure, ...] | None:
    """What a delivery status notification says has failed for good; None when the mail is none."""
    parts = [part for part in message.structure.parts if part.media_type in _STATUS and not part.in_attached_message]
    if not parts:
        return None
    found = (failure for part in parts for failure in _failures(octets_of(message, part)))
    return tuple(dict.fromkeys(found))[:MAX_FAILURES]


def text_failures(message: Message) -> tuple[Failure, ...] | None:
    """The same from a bounce that is written for people; None when the mail is none."""
    if not _is_text_bounce(message):
        return None
    text = _WRITTEN_ID.sub("", _COPY.sub("", readable_text(message)))
    own = {mailbox.key for mailbox in (*message.addressee_list, *(message.authors or ()))}
    named = [(match.start(), key) for match in _ADDRESS.finditer(text) if (key := _key(match[0])) and key not in own]
    starts: dict[str, int] = {}
    for start, key in named:
        starts.setdefault(key, start)
    return tuple(_text_failure(text, key, starts) for key in list(starts)[:MAX_FAILURES])


def feedback(message: Message) -> Feedback | None:
    """What a feedback report says; None when the mail is none."""
    for part in message.structure.parts:
        if part.media_type == "message/feedback-report" and not part.in_attached_message:
            fields = readable_fields(_normal(octets_of(message, part)))
            kind = next((_text(field) for field in fields if field.name == b"feedback-type"), "").lower()
            addresses = [key for field in fields if field.name == b"original-rcpt-to" if (key := _key(_text(field)))]
            return Feedback(kind, tuple(addresses))
    return None


def _failures(octets: bytes) -> Iterator[Failure]:
    for group in re.split(rb"\r\n[ \t]*\r\n", _normal(octets)):
        fields = {field.name: _text(field) for field in reversed(readable_fields(group + b"\r\n"))}
        if fields.get(b"action", "").lower() != "failed":
            continue
        named = (fields.get(name, "") for name in (b"original-recipient", b"final-recipient", b"x-actual-recipient"))
        addresses = tuple(dict.fromkeys(key for text in named if (key := _key(text.partition(";")[2]))))
        text = fields.get(b"diagnostic-code", "").partition(";")[2].strip()[:_MAX_TEXT]
        status = _ENHANCED.search(fields.get(b"status", ""))
        code, enhanced = _codes(text)
        enhanced = enhanced or (status[1] if status else "")
        yield Failure(addresses, code or (450 if enhanced.startswith("4") else 550), enhanced, text)


def _is_text_bounce(message: Message) -> bool:
    if not _SUBJECTS.search(message.subject):
        return False
    if (message.text("Return-Path") or "").replace(" ", "") == "<>":
        return True
    return any(_AUTHORS.fullmatch(author.local_part) for author in message.authors or ())


def _text_failure(text: str, key: str, starts: dict[str, int]) -> Failure:
    """What stands behind an address up to the next one is about it; with one address alone, everything is."""
    start = starts[key]
    end = min((other for other in starts.values() if other > start), default=len(text))
    about = text[start:end]
    if len(starts) == 1:
        about = text
    elif not _HINT.search(about):
        about = ""
    code, enhanced = _codes(about)
    return Failure((key,), code or 550, enhanced, " ".join(about.split())[:_MAX_TEXT])


def _codes(text: str) -> tuple[int, str]:
    code, enhanced = _CODE.search(text), _ENHANCED.search(text)
    return int(code[1]) if code else 0, enhanced[1] if enhanced else ""


def _key(text: str) -> str:
    """The mailbox key of an address as reports write it, "" when it is none."""
    try:
        return Mailbox.parse(text.strip().strip("<>").strip().rstrip(".")).key
    except MailboxError:
        return ""


def _text(field: Field) -> str:
    return " ".join(decode_octets(field.value).split())


def _normal(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").strip(b"\r\n") + b"\r\n"
