"""Mails that come back: refusals, bounces and complaints in the shapes of real servers, and innocent business mail.

Everything is invented; the shapes are those of RFC 3464, RFC 5965 and of what providers write to people.
"""

import itertools
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

from tests.support.business import business_texts
from tests.support.corpus import shipped

NEWS = "news@example.com"
_numbers = itertools.count(1)

POISON = (
    "<html><![foo[ hello</html>", "<p>Hello &#" + "9" * 5000,
    "<a " * 80_000, '<a b="' * 40_000, "<!--" * 60_000, "</" * 120_000,
)  # fmt: skip
"""HTML on which a parser raises, or works for minutes."""


def mail(
    sender: str, subject: str, text: str, *, to: str = NEWS, html: str = "", extra: dict[str, str] | None = None, charset="utf-8"
) -> bytes:
    """An ordinary mail with a date and Message-ID of its own."""
    number = next(_numbers)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = format_datetime(datetime(2026, 3, 3, tzinfo=UTC) + timedelta(minutes=number))
    message["Message-ID"] = f"<{number}.made@client.example>"
    for name, value in (extra or {}).items():
        message[name] = value
    if text or not html:
        message.set_content(text, charset=charset)
        if html:
            message.add_alternative(html, subtype="html", charset=charset)
    else:
        message.set_content(html, subtype="html", charset=charset)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def reply(sender: str, message_id: str, text: str, *, subject: str = "Re: 三月通讯", **more) -> bytes:
    """An answer to the mail with that Message-ID."""
    return mail(
        sender, subject, text, extra={"In-Reply-To": message_id, "References": message_id} | more.pop("extra", {}), **more
    )


def header_of(copy: bytes) -> bytes:
    return copy.partition(b"\r\n\r\n")[0] + b"\r\n"


def dsn(
    recipient: str,
    returned: bytes,
    *,
    status: str = "5.1.1",
    diagnostic: str = "550 5.1.1 User unknown",
    action: str = "failed",
    whole: bool = False,
    original: str = "",
    report: str = "delivery-status",
) -> bytes:
    """RFC 3464, as Postfix, Coremail and others write it."""
    kind, content = ("message/rfc822", returned) if whole else ("text/rfc822-headers", header_of(returned))
    fields = (f"Original-Recipient: rfc822;{original}\r\n" if original else "") + f"Final-Recipient: rfc822; {recipient}\r\n"
    return (
        f"From: MAILER-DAEMON@mx.example.org\r\nTo: {NEWS}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        f"Date: Tue, 3 Mar 2026 10:00:{next(_numbers) % 60:02d} +0800\r\nMessage-ID: <{next(_numbers)}.dsn@mx.example.org>\r\n"
        "Auto-Submitted: auto-replied\r\nReturn-Path: <>\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type={report}; boundary="=_b"\r\n\r\n'
        "--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nYour message could not be delivered.\r\n"
        "--=_b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
        f"{fields}Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n\r\n"
        f"--=_b\r\nContent-Type: {kind}\r\n\r\n"
    ).encode() + content + b"\r\n--=_b--\r\n"  # fmt: skip


def _attached(sender: str, subject: str, html: str, returned: bytes, charset: str = "utf-8", whole: bool = True) -> bytes:
    encoded = b64encode(html.encode(charset)).decode()
    lines = "\r\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    words = f"=?{charset}?B?{b64encode(subject.encode(charset)).decode()}?="
    head = (
        f"From: {sender}\r\nTo: {NEWS}\r\nSubject: {words}\r\nDate: Tue, 3 Mar 2026 10:00:00 +0800\r\n"
        f"Message-ID: <{next(_numbers)}.bounce@provider.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="----=_P"\r\n\r\n'
        f"------=_P\r\nContent-Type: text/html; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n{lines}\r\n"
    ).encode()
    if not whole:
        return head + b"------=_P--\r\n"
    return head + b"------=_P\r\nContent-Type: message/rfc822\r\n\r\n" + returned + b"\r\n------=_P--\r\n"


def netease_bounce(recipient: str, returned: bytes, why: str = "550 User not found", charset: str = "gb18030") -> bytes:
    html = (
        "<html><body><p>抱歉，您的邮件被退回来了……</p><table><tr><td>收件人：</td>"
        f"<td>{recipient}</td></tr><tr><td>退信原因：</td><td>{why}</td></tr></table>"
        f"<p>英文说明: Sorry, your mail to &lt;{recipient}&gt; was returned.</p></body></html>"
    )
    return _attached("Postmaster@163.com", "系统退信/Systems bounce", html, returned, charset)


def tencent_bounce(recipient: str, returned: bytes, why: str = "550 Mailbox not found.") -> bytes:
    html = (
        "<div>很抱歉，您发送的邮件被退回，以下是该邮件的相关信息：</div><div>被退回邮件：三月通讯</div>"
        f"<div>无法发送到 {recipient}</div>"
        f"<div>退信原因：收件人邮件地址不存在。</div><div>host mx3.qq.com[203.0.113.9] said: {why} "
        "http://service.mail.qq.com (in reply to RCPT TO command)</div>"
    )
    return _attached("PostMaster@qq.com", "来自qq.com的退信", html, returned)


def alimail_bounce(recipient: str, returned: bytes) -> bytes:
    html = (
        f"<p>您好，您的邮件未能送达以下收件人：</p><p>{recipient}</p><p>原因：收件人不存在（{recipient}: 550 no such user）</p>"
    )
    return _attached("postmaster@service.alibaba.com", "退信通知：三月通讯", html, returned)


def qmail_bounce(recipient: str, returned: bytes) -> bytes:
    text = (
        "Hi. This is the qmail-send program at mx.example.org.\nI'm afraid I wasn't able to deliver your message to the following"
        f" addresses.\n\n<{recipient}>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        "--- Below this line is a copy of the message.\n\n"
    ) + returned.decode("utf-8", "replace").replace("\r\n", "\n")
    return mail("MAILER-DAEMON@mx.example.org", "failure notice", text)


def complaint(returned: bytes, *, kind: str = "abuse", recipient: str = "") -> bytes:
    """RFC 5965, as Yahoo and mailbox providers with CFBL (RFC 9477) send it."""
    named = f"Original-Rcpt-To: <{recipient}>\r\n" if recipient else ""
    return (
        f"From: feedback@arf.mail.example\r\nTo: {NEWS}\r\nSubject: FW: News\r\nDate: Tue, 3 Mar 2026 10:00:00 +0800\r\n"
        f"Message-ID: <{next(_numbers)}.arf@arf.mail.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="a1"\r\n\r\n'
        "--a1\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"
        f"--a1\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: F/1\r\nVersion: 1\r\n{named}"
        "--a1\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n"
    ).encode() + returned + b"\r\n--a1--\r\n"  # fmt: skip


# What one of them alone leads to: 5.1.1 binds at once, other words for "no such mailbox" have to be said of two mails.
SHIPPED_REPORTS = {
    "bounce-163": ("bounce", "", ""),
    "bounce-exchange": ("bounce", "5.1.10", ""),
    "bounce-postfix": ("bounce", "5.1.1", "hard_bounce"),
    "bounce-qq": ("bounce", "", ""),
    "bounce-two-status-parts": ("bounce", "5.1.1", "hard_bounce"),
    "complaint-yahoo": ("complaint", "", "complaint"),
}
"""Reports of tests/corpus in the shapes of real servers: kind, enhanced status code, suppression."""


def shipped_report(name: str, message_id: str, recipient: str) -> bytes:
    """One of them, about the mail of ours with that Message-ID; text in base64 goes on naming ada@example.org."""
    ours = shipped(name).replace(b"<20260303100000.4711@client.example>", message_id.encode())
    return ours.replace(b"ada@example.org", recipient.encode())


# Innocent mail -------------------------------------------------------------------------------------------------------

_TOPICS = (
    "报价单",
    "三月发票",
    "订单 2026-118",
    "会议纪要",
    "合同修订",
    "样品寄送",
    "付款通知",
    "展会邀请",
    "quotation",
    "invoice 4711",
    "delivery date",
)


def business_mails(count: int, message_id: str = "") -> Iterator[bytes]:
    """Ordinary mails of customers, no text twice; with `message_id` they answer one of ours, and quote its footer."""
    quoted = "\n\n------------------ 原始邮件 ------------------\n发件人: News <news@example.com>\n\n退订 | Unsubscribe | TD\n"
    for number, written in enumerate(business_texts(count)):
        topic = _TOPICS[number % len(_TOPICS)]
        signature = "" if number % 3 else f"\n\n王芳 {13_800_000_000 + number}\n"
        sender = f"customer{number}@example.{('org', 'net', 'cn')[number % 3]}"
        charset = "gb18030" if number % 5 == 0 else "utf-8"
        if message_id:
            yield reply(sender, message_id, written + signature + quoted, subject=f"Re: {topic}", charset=charset)
        elif number % 4 == 1:
            html = "".join(f"<p>{line}</p>" for line in written.splitlines())
            yield mail(sender, topic, "", html=f"{html}<p><a href='https://x.example/u'>退订</a></p>")
        else:
            yield mail(sender, topic, written + signature, charset=charset)


def auto_replies(count: int, message_id: str) -> Iterator[bytes]:
    """Out of office, in the ways in which servers and people mark it; some quote words of refusal."""
    kinds: list[tuple[str, dict[str, str]]] = [
        ("自动回复: 三月通讯", {"Auto-Submitted": "auto-replied"}),
        ("自动回复: 三月通讯", {"X-AutoReply-From": "x@example.org"}),
        ("Automatic reply: News", {"X-Auto-Response-Suppress": "All", "Auto-Submitted": "auto-generated"}),
        ("Out of Office: News", {}),
        ("Re: News", {"Precedence": "auto_reply"}),
        ("Abwesenheitsnotiz", {"X-Autoreply": "yes"}),
    ]
    texts = ("退订", "我正在休假，3月10日回来。", "Unsubscribe", "I am out of the office until Monday.", "STOP", "T")
    for number in range(count):
        subject, extra = kinds[number % len(kinds)]
        yield reply(f"away{number}@example.org", message_id, texts[number % len(texts)], subject=subject, extra=extra)


def newsletters(count: int) -> Iterator[bytes]:
    """What others send to this mailbox: full of words of refusal, and no answer to anything."""
    for number in range(count):
        yield mail(
            f"news@shop{number}.example", f"本周特惠 {number} / Sale", "退订\nUnsubscribe\n本周特惠\n",
            html="<h1>Sale</h1><p>TD</p><p><a href='https://shop.example/u'>取消订阅</a></p>",
            extra={"List-Unsubscribe": "<https://shop.example/u>", "Precedence": "bulk"} if number % 2 else {},
        )  # fmt: skip
