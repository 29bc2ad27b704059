"""Reports on what became of mail (RFC 3464), for the person who sent it.

One report per submission: a part for people in Chinese and English, a part
for machines, and the header section of what was sent (all of it for
RET=FULL).  All of it is 7-bit, so that any upstream takes the report; only a
mailbox with non-ASCII characters stands in From and To as it is.
"""

import binascii
import hashlib
import re
from base64 import b64encode, encodebytes
from collections.abc import Sequence
from dataclasses import dataclass

from relay.mail.envelope import Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply, ascii_text

MAX_RETURNED = 1024**2  # octets of a message that RET=FULL returns; of a larger one the header section
_MAX_LINE = 998  # RFC 5322 section 2.1.1
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Named:
    """One recipient whom the report is about.

    `reply` is what the client would have been told.  `zh` and `en` say the
    reason and the remedy to a person, "" leaves it at the reply.
    `remote_mta` is the upstream's host name when it was the one that refused.
    """

    recipient: Recipient
    reply: Reply
    zh: str = ""
    en: str = ""
    remote_mta: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a report says of those whom it names: its action in RFC 3464's words, its subject, its first sentence."""

    action: str
    subject_zh: str
    subject_en: str
    opening_zh: str
    opening_en: str


FAILED = Notice(
    "failed",
    "未送达 {} 位收件人",
    "Not delivered to {} recipient{}",
    "以下 {} 位收件人没有收到。",
    "did not reach the following {}.",
)
RELAYED = Notice(
    "relayed",
    "已转交 {} 位收件人",
    "Handed on for {} recipient{}",
    "以下 {} 位收件人的邮件已转交上游服务器；该服务器不提供送达回执，之后不会再有通知。",
    "was handed on to the upstream server for the following {}. That server confirms no deliveries: you will hear no more.",
)
"""RFC 3461 section 5.2.2: who asked to hear of success hears that a server took it which will not tell."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Who reports and when; `sender` None stands for the relay's own mailbox, `date` and `message_id` as in the field."""

    hostname: str
    sender: Mailbox | None
    date: str
    message_id: str
    arrival_date: str


def is_reportable(message: Message, reverse_path: Mailbox | None) -> bool:
    """Whether somebody may be told: never without a reverse-path, and never about a report.

    What a program sent is reported on like anything else (RFC 3461 section 6.2): it is a failure notice, not a reply.
    """
    content_type = message.first("content-type")
    is_report = content_type is not None and content_type.value.lower().startswith(b"multipart/report")
    return reverse_path is not None and not is_report


def build_report(
    reported: Submission,
    message: Message,
    named: Sequence[Named],
    heading: Heading,
    *,
    notice: Notice = FAILED,
    delivered: int = 0,
) -> bytes:
    """Build the report on `message` for its reverse-path; `delivered` recipients have it.

    The same arguments give the same octets, so that a retry sends the same report.
    """
    if reported.reverse_path is None:
        raise ValueError("nobody can be told: the reverse-path is null")
    parts = [
        _for_people(reported, named, heading, notice, delivered),
        _for_machines(reported, named, heading, notice),
        _returned(reported, message),
    ]
    boundary = b"=_" + hashlib.sha256(b"".join(parts)).hexdigest()[:40].encode()
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    return _header(reported.reverse_path, len(named), heading, notice, boundary) + b"\r\n" + body


def _header(recipient: Mailbox, count: int, heading: Heading, notice: Notice, boundary: bytes) -> bytes:
    sender = heading.sender.wire if heading.sender else f"MAILER-DAEMON@{heading.hostname}"
    zh, en = notice.subject_zh.format(count), f" / {notice.subject_en.format(count, 's' * (count > 1))}"
    lines = [
        f"Date: {heading.date}",
        f"From: Mail Delivery System <{sender}>",
        f"To: <{recipient.wire}>",
        f"Subject: {_encoded(zh)}\r\n {_encoded(en)}",
        f"Message-ID: {heading.message_id}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary.decode()}"',
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _encoded(text: str) -> str:
    """One RFC 2047 encoded-word; the caller keeps it under 75 characters."""
    return f"=?utf-8?B?{b64encode(text.encode()).decode()}?="


def _for_people(reported: Submission, named: Sequence[Named], heading: Heading, notice: Notice, delivered: int) -> bytes:
    others_zh = f"其余 {delivered} 位收件人已收到，请勿向他们重发。" if delivered else ""
    others_en = f"The other {delivered} have it; do not send it to them again." if delivered else ""
    lines = [
        f"您于 {heading.arrival_date} 发出的邮件，{notice.opening_zh.format(len(named))}{others_zh}", "",
        *(line for one in named for line in _paragraph(one, one.zh, "答复：")),
        f"编号：{reported.id}（询问管理员时请提供）", "",
        "-" * 60, "",
        f"Your message of {heading.arrival_date} {notice.opening_en.format(len(named))} {others_en}".rstrip(), "",
        *(line for one in named for line in _paragraph(one, one.en, "Reply: ")),
        f"Id: {reported.id} (name it when you ask your administrator)",
    ]  # fmt: skip
    text = "".join(f"{line}\r\n" for line in lines).encode()
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encodebytes(text).replace(
        b"\n", b"\r\n"
    )


def _paragraph(one: Named, explanation: str, label: str) -> list[str]:
    explained = [f"    {explanation}"] if explanation else []
    return [f"  {one.recipient.mailbox.wire}", *explained, f"    {label}{one.reply}", ""]


def _for_machines(reported: Submission, named: Sequence[Named], heading: Heading, notice: Notice) -> bytes:
    message = [f"Reporting-MTA: dns; {heading.hostname}"]
    if reported.envid:
        message.append(f"Original-Envelope-Id: {_plain(reported.envid)}")
    message.append(f"Arrival-Date: {heading.arrival_date}")
    groups = [message, *(_recipient_group(one, notice) for one in named)]
    text = "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii")


def _recipient_group(one: Named, notice: Notice) -> list[str]:
    lines = []
    if one.recipient.orcpt:
        kind, _, address = one.recipient.orcpt.partition(";")
        lines.append(f"Original-Recipient: {kind}; {_plain(address)}")
    lines.append(f"Final-Recipient: {_typed(one.recipient.mailbox)}")
    lines += [f"Action: {notice.action}", f"Status: {one.reply.status or f'{one.reply.code // 100}.0.0'}"]
    if one.remote_mta:
        lines.append(f"Remote-MTA: dns; {ascii_text(one.remote_mta)}")
    return [*lines, f"Diagnostic-Code: smtp; {one.reply}"[:_MAX_LINE]]


def _plain(xtext: str) -> str:
    """RFC 3461 section 4: undo xtext; what is not printable ASCII after that becomes `?`."""
    return ascii_text(_XTEXT.sub(lambda match: chr(int(match[1], 16)), xtext))


def _typed(mailbox: Mailbox) -> str:
    if not mailbox.needs_smtputf8:
        return f"rfc822; {mailbox.wire}"
    # RFC 6533 section 3: utf-8-addr-xtext, the form for 7-bit reports.
    return "utf-8; " + "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in mailbox.wire)


def _returned(reported: Submission, message: Message) -> bytes:
    if reported.ret == "FULL" and message.size <= MAX_RETURNED and _is_7bit(whole := message.header + b"\r\n" + message.body):
        return b"Content-Type: message/rfc822\r\n\r\n" + whole
    if _is_7bit(message.header):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + message.header
    encoded = _quoted_printable(message.header)
    return b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded


def _is_7bit(octets: bytes) -> bool:
    """RFC 2045 section 2.7: ASCII without NUL in lines of at most 998 octets."""
    return octets.isascii() and b"\0" not in octets and max(map(len, octets.split(b"\r\n"))) <= _MAX_LINE


def _quoted_printable(text: bytes) -> bytes:
    lines = (binascii.b2a_qp(line).replace(b"=\n", b"=\r\n") for line in text.split(b"\r\n"))
    return b"\r\n".join(lines)
