"""What `relay held` prints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from relay.cli.output import counted, emit_json, local_time, say, text
from relay.holding.intervention import Seen
from relay.mail.mailbox import Mailbox, mask
from relay.stores.held import HeldTotals, Why

_WHYS: Mapping[Why, tuple[str, str]] = {
    Why.LIMIT: ("达到发送限额", "a limit is reached"),
    Why.UPSTREAM: ("上游服务器暂时不收", "the upstream server did not take it for now"),
    Why.UNKNOWN: ("结果未知，将再次尝试", "nobody knows whether it arrived"),
    Why.LANE: ("同一去向有更早的邮件在等待", "earlier mail on the same way waits"),
    Why.HOURS: ("不在发送时段内", "outside the hours in which the stream sends"),
    Why.RULE: ("规则要求由人查看", "a rule wants a person to look at it"),
    Why.PAUSED: ("邮件流或上游的营销邮件已暂停", "its stream, or marketing by its upstream, is paused"),
    Why.AUTHENTICATION: ("没有可用的登录信息，等待该账号下次登录", "no usable login: the account's next login frees it"),
    Why.REPORT: ("不再发送，等待报告发件人", "it will not be sent: the report to its sender waits"),
}


def totals_row(totals: HeldTotals) -> dict[str, Any]:
    """How much is held, for machines."""
    copies = {why.value: totals.copies.get(why, 0) for why in Why}
    return {"copies": copies, "octets": totals.octets, "oldest": local_time(totals.oldest_at) if totals.oldest_at else None}


def totals_lines(totals: HeldTotals) -> Iterator[str]:
    """How much is held, for people."""
    if not any(totals.copies.values()):
        yield text("没有暂存的邮件。", "Nothing is held.")
        return
    for why in Why:
        if number := totals.copies.get(why, 0):
            yield f"{number:10,}  {why.value:14}  {text(*_WHYS[why])}"
    oldest = local_time(totals.oldest_at) if totals.oldest_at else "-"
    yield text(
        f"正文共 {totals.octets:,} 字节；最早的一份始于 {oldest}",
        f"{counted(totals.octets, 'octet')} of messages; the oldest copy waits since {oldest}",
    )


def copy_row(seen: Seen, *, whole: bool) -> dict[str, Any]:
    """One copy, for machines and for `copy_line`."""
    copy, detail = seen.copy, seen.detail
    return {
        "id": copy.message,
        "recipient": _shown(detail.recipient.mailbox if detail else None, whole=whole),
        "stream": seen.submission.stream if seen.submission else None,
        "why": copy.why.value,
        "since": local_time(copy.held_at),
        "next_try": None if seen.is_leaving or copy.due_at >= seen.message.expires_at else local_time(copy.due_at),
        "being_sent": seen.is_leaving,
        "tries": copy.attempts,
        "expires": local_time(seen.message.expires_at),
        "last_reply": detail.reply.splitlines()[0] if detail and detail.reply else "",
        "rule": detail.rule if detail else "",
        "said": text(detail.why_zh or detail.why_en, detail.why_en) if detail else "",
        "upstream": detail.upstream if detail else "",
        "upstream_text": detail.upstream_text if detail else "",
        "released": detail.released if detail else False,
    }


def copy_line(row: Mapping[str, Any]) -> str:
    """One copy in a line for people."""
    who = row["recipient"] or text("（没有能打开它的密钥）", "(no key of this relay opens it)")
    when = text("正在发送", "being sent") if row["being_sent"] else _next(row)
    return "  ".join(filter(None, (row["id"], who, row["stream"] or "?", row["why"], row["since"], when, _last(row))))


def show_message(seen: Sequence[Seen], *, whole: bool, as_json: bool) -> None:
    """A message and all its copies that are held."""
    message, submission = seen[0].message, seen[0].submission
    copies = [copy_row(one, whole=whole) for one in seen]
    envelope = {
        "id": message.id,
        "at": local_time(submission.at if submission else message.at),
        "expires": local_time(message.expires_at),
        "octets": message.octets,
        "stream": submission.stream if submission else None,
        "identity": _named(submission.identity.name, whole=whole) if submission else None,
        "reverse_path": _path(submission.reverse_path, whole=whole) if submission else None,
        "client": submission.client.address if submission else None,
        "listener": submission.client.listener if submission else None,
    }
    if as_json:
        emit_json({**envelope, "copies": copies})
        return
    for name, zh, en in _ENVELOPE:
        if (value := envelope[name]) is not None:
            click.echo(f"{text(zh, en)}: {value}")
    if submission is None:
        say("没有能打开信封的密钥。", "No key of this relay opens its envelope.")
    for row in copies:
        _show_copy(row)


_ENVELOPE = (
    ("id", "编号", "id"),
    ("at", "收到", "came in"),
    ("expires", "到期", "is given up"),
    ("octets", "字节（密封后）", "octets, sealed"),
    ("stream", "邮件流", "stream"),
    ("identity", "账号", "identity"),
    ("reverse_path", "信封发件人", "reverse-path"),
    ("client", "客户端", "client"),
    ("listener", "监听", "listener"),
)


def _show_copy(row: Mapping[str, Any]) -> None:
    who = row["recipient"] or text("（没有能打开它的密钥）", "(no key of this relay opens it)")
    click.secho(f"\n{who}", bold=True)
    when = text("正在发送", "being sent now") if row["being_sent"] else _next(row)
    click.echo(f"  {row['why']}: {text(*_WHYS[Why(row['why'])])}")
    say(
        f"  自 {row['since']} 起；已尝试 {row['tries']} 次；{when}",
        f"  since {row['since']}; tried {counted(row['tries'], 'time')}; {when}",
    )
    if row["released"]:
        say("  已由人放行", "  a person released it")
    for line in filter(None, (_last(row), row["said"], row["upstream_text"])):
        click.echo(f"  {line}")


def _next(row: Mapping[str, Any]) -> str:
    if row["next_try"] is None:
        return text("需由人处理，或等待登录", "until a person or a login frees it")
    return text(f"下次尝试 {row['next_try']}", f"next try {row['next_try']}")


def _last(row: Mapping[str, Any]) -> str:
    return text(f"最近的答复：{row['last_reply']}", f"last: {row['last_reply']}") if row["last_reply"] else ""


def _path(mailbox: Mailbox | None, *, whole: bool) -> str:
    return _shown(mailbox, whole=whole) if mailbox else "<>"


def _shown(mailbox: Mailbox | None, *, whole: bool) -> str:
    return "" if mailbox is None else mailbox.wire if whole else mask(mailbox.wire)


def _named(identity: str, *, whole: bool) -> str:
    """A listener's name is nobody's address."""
    return identity if whole or "@" not in identity else mask(identity)
