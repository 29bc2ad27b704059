"""`relay explain ID|FILE`: why a mail was refused, or what would happen to one, rule by rule."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from relay.cli.opening import Opened, open_all
from relay.cli.output import FINDINGS, OK, USAGE, emit_json, fail, language, option, say, text
from relay.explain import Explained, is_permitted
from relay.explain import explain as explain_message
from relay.ids import is_id, new_id
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message, MessageError
from relay.policy.case import Asked
from relay.policy.parse import parse_policies
from relay.policy.sets import Stream
from relay.records.explanations import Explanation, explain_record
from relay.service.assembly import assemble
from relay.service.policies import PolicyArchive, read_folder


@click.command("explain")
@click.argument("subject", metavar="ID|FILE")
@click.option("--identity", help="Who would log in; else the author / 登录账号，默认取发件人")
@click.option("--listener", help="The [[listen]] it would come by; else the first / 监听名称")
@click.option("--from", "reverse_path", help="The reverse-path; else the author / 信封发件人")
@click.option("--to", "recipients", multiple=True, help="A recipient, repeatable; else To and Cc / 收件人，可重复")
@click.option("--json", "as_json", is_flag=True)
def explain(
    subject: str, identity: str | None, listener: str | None, reverse_path: str | None, recipients: Sequence[str], as_json: bool
) -> None:
    """Explain a recorded refusal by its ID, or judge a message FILE without sending it / 解释一次拒绝，或试判一封邮件."""
    if is_id(subject) and not Path(subject).exists():
        code = asyncio.run(_explain_id(subject, as_json))
    else:
        code = asyncio.run(_explain_file(Path(subject), identity, listener, reverse_path, recipients, as_json))
    raise click.exceptions.Exit(code)


async def _explain_id(wanted: str, as_json: bool) -> int:
    async with open_all(option("config")) as opened:
        explanation = explain_record(opened.records.path, opened.keys, wanted, time.time())
    if explanation is None:
        fail(FINDINGS, f"本机记录中没有 {wanted}", f"there is no {wanted} in this node's records")
    if as_json:
        emit_json(explanation)
    else:
        _show_explanation(explanation)
    return OK


async def _explain_file(
    path: Path,
    identity: str | None,
    listener: str | None,
    reverse_path: str | None,
    recipients: Sequence[str],
    as_json: bool,
) -> int:
    async with open_all(option("config")) as opened:
        policy = parse_policies(read_folder(opened.config.policies_path))
        archived = PolicyArchive(opened.config.data_path).in_force()
        policy = PolicyArchive(opened.config.data_path).load(archived) if archived else policy
        assembly = await assemble(opened.config, policy, opened.keys, opened.records)
        line = assembly.line
        line.store = opened.store
        message = _read(line.parse, path)
        submission = _submission(opened, message, identity, listener, reverse_path, recipients)
        stream = policy.stream_for(submission.identity, submission.client.listener, submission.reverse_path)
        if stream is None:
            fail(
                FINDINGS, "没有任何邮件流接收这封邮件（550 5.7.1 [stream]）", "no stream takes this message (550 5.7.1 [stream])"
            )
        explained = await explain_message(line, replace(submission, stream=stream.name, policy=policy.hash), message, stream)
    if as_json:
        emit_json([_as_json(one) for one in explained])
    else:
        _show(stream, explained)
    return OK if is_permitted(explained) else FINDINGS


def _read(parse: Callable[[bytes], Message], path: Path) -> Message:
    try:
        return parse(path.read_bytes())
    except MessageError as fault:
        fail(FINDINGS, f"{path}：邮件格式不合规 [{fault.rule}] {fault.text}", f"{path}: [{fault.rule}] {fault.text}")
    except OSError as fault:
        fail(USAGE, f"{path}：无法读取：{fault.strerror}", f"{path}: cannot be read: {fault.strerror}")


def _submission(
    opened: Opened,
    message: Message,
    identity: str | None,
    listener: str | None,
    reverse_path: str | None,
    recipients: Sequence[str],
) -> Submission:
    """The submission that a client would make of this file, with what the command line says otherwise."""
    author = message.authors[0] if message.authors else None
    sender = _mailbox(reverse_path) if reverse_path else author
    if sender is None:
        fail(USAGE, "邮件没有可读的 From，请用 --from 指定", "the message has no readable From: give --from")
    who = identity or sender.key
    owns = {sender.key, *(opened.config.auth.senders.get(who.casefold(), ()))}
    to = tuple(Recipient(_mailbox(r)) for r in recipients) or tuple(Recipient(m) for m in message.addressee_list)
    if not to:
        fail(USAGE, "邮件没有收件人，请用 --to 指定", "the message has no recipients: give --to")
    now = time.time()
    listen = listener or opened.config.listen[0].name
    return Submission(
        new_id(now, os.urandom(10)),
        now,
        Client(listen, "127.0.0.1", "explain", None, "ESMTPSA"),
        Identity(who.casefold(), IdentityKind.USER, frozenset(owns)),
        sender,
        "",
        "",
        to,
    )


def _mailbox(address: str) -> Mailbox:
    try:
        return Mailbox.parse(address)
    except MailboxError as fault:
        fail(USAGE, f"“{address}”不是有效的邮箱地址", f'"{address}": {fault}')


def _show(stream: Stream, explained: Sequence[Explained]) -> None:
    say(
        f"邮件流：{stream.name}（{stream.purpose.value}，{stream.mode}）",
        f"Stream: {stream.name} ({stream.purpose.value}, {stream.mode})",
    )
    for one in explained:
        click.echo()
        click.secho(f"{one.ruling.recipient.mailbox.wire}: {one.ruling.action.word}", bold=True)
        for asked in one.ruling.asked:
            click.echo(f"  {_asked_line(asked)}")
        if one.reply is not None:
            click.echo("  " + "\n  ".join(one.reply.lines()))
        if one.impossible:
            say(f"  无法生成合规副本：{one.impossible}", f"  no compliant copy can be made: {one.impossible}")
        if one.copy is not None:
            say("  将要发出的邮件头：", "  the header that would leave:")
            click.echo("    " + one.copy.header.decode("utf-8", "replace").rstrip().replace("\r\n", "\n    "))


def _asked_line(asked: Asked) -> str:
    if not asked.asked:
        return text(f"- {asked.rule}：未询问（{asked.why}）", f"- {asked.rule}: not asked ({asked.why})")
    objection = asked.objection
    if objection is None:
        return text(f"✓ {asked.rule}：无异议", f"ok {asked.rule}")
    detail = f" ({objection.detail})" if objection.detail else ""
    why = "" if asked.why == "asked" else f" [{asked.why}]"
    cite = f" {objection.cite}" if objection.cite else ""
    words = objection.text_zh if language() == "zh" else objection.text
    remedy = objection.fix_zh if language() == "zh" else objection.fix
    return f"✗ {asked.rule}: {objection.action.word}{why}: {words}{detail}{cite}" + (f"\n      → {remedy}" if remedy else "")


def _as_json(one: Explained) -> dict[str, Any]:
    return {
        "recipient": one.ruling.recipient.mailbox.wire,
        "action": one.ruling.action.word,
        "rules": [
            {
                "rule": asked.rule,
                "asked": asked.asked,
                "why": asked.why,
                "action": asked.objection.action.word if asked.objection else None,
                "detail": asked.objection.detail if asked.objection else "",
                "cite": asked.objection.cite if asked.objection else "",
            }
            for asked in one.ruling.asked
        ],
        "reply": one.reply.lines() if one.reply else None,
        "impossible": one.impossible,
        "header": one.copy.header.decode("utf-8", "replace") if one.copy else None,
    }


def _show_explanation(explanation: Explanation) -> None:
    chosen = language()
    click.echo(f"{explanation.id}  {explanation.stream}  {explanation.sender}")
    for fate in explanation.fates:
        click.secho(f"\n{fate.sentence[chosen]}", bold=True)
        click.echo("  " + ", ".join(fate.people) + (f" … ({fate.count})" if fate.count > len(fate.people) else ""))
        for reason in fate.reasons:
            click.echo(f"  {reason.rule} ({reason.weight[chosen]}): {reason.text[chosen]} {reason.detail}".rstrip())
            if reason.fix[chosen]:
                click.echo(f"      → {reason.fix[chosen]}")
            if reason.cite:
                click.echo(f"      {reason.cite}")
        if fate.upstream_text:
            click.echo(f"  {fate.upstream_text}")
