"""`relay explain ID|FILE`: why a mail was refused, or what would happen to one, rule by rule."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from relay.cli import explain_view as view
from relay.cli.opening import open_all, policy_in_force, refuse_foreign_root
from relay.cli.output import FINDINGS, OK, UNREACHABLE, USAGE, emit_json, fail, option, write_new
from relay.config import Config, Listen, fold_login, load_config
from relay.doors.identities import identity_of_listener, identity_of_login
from relay.doors.smtp.contracts import largest_message
from relay.doors.users import load_users
from relay.errors import RuleFailed
from relay.explain import Explained, is_permitted
from relay.explain import explain as explain_message
from relay.ids import is_id, new_id
from relay.keys import load_keys
from relay.mail import replies
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message, MessageError, too_large
from relay.mail.reply import Reply
from relay.pipeline import Line
from relay.records.explanations import explain_record
from relay.records.wording import own_rule_texts
from relay.service.assembly import assemble
from relay.stores.opening import STORE_NAME

RECORDS = "records.db"


@click.command("explain")
@click.argument("subject", metavar="ID|FILE")
@click.option("--identity", help="Who would log in; else the author / 登录账号，默认取发件人")
@click.option("--listener", help="The [[listen]] it would come by; else the first / 监听名称")
@click.option("--from", "reverse_path", help="The reverse-path; else the author / 信封发件人")
@click.option("--to", "recipients", multiple=True, help="A recipient, repeatable; else To and Cc / 收件人，可重复")
@click.option(
    "--eml",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the copy that would leave, whole; never over a file; several get FILE-1, FILE-2 ..."
    " / 写出将要发出的完整副本；不覆盖已有文件；多份时为 FILE-1、FILE-2……",
)
@click.option("--json", "as_json", is_flag=True)
def explain(
    subject: str,
    identity: str | None,
    listener: str | None,
    reverse_path: str | None,
    recipients: Sequence[str],
    eml: Path | None,
    as_json: bool,
) -> None:
    """Explain a recorded refusal by its ID, or judge a message FILE without sending it / 解释一次拒绝，或试判一封邮件."""
    if is_id(subject) and not Path(subject).exists():
        if eml:
            fail(
                USAGE,
                "中继不保存邮件，没有副本可写；请把邮件存成文件后运行 relay explain FILE --eml",
                "the relay keeps no message, so there is no copy to write: save the message and run `relay explain FILE --eml`",
            )
        code = asyncio.run(_explain_id(subject, as_json))
    else:
        code = asyncio.run(_explain_file(Path(subject), Session(identity, listener, reverse_path, recipients), eml, as_json))
    raise click.exceptions.Exit(code)


class Session(NamedTuple):
    """What the command line says of the session that would hand the message in."""

    identity: str | None
    listener: str | None
    reverse_path: str | None
    recipients: Sequence[str]


async def _explain_id(wanted: str, as_json: bool) -> int:
    config = load_config(option("config"))
    _require_used(config)
    explanation = explain_record(config.data_path / RECORDS, load_keys(config.keys_path), wanted, time.time())
    if explanation is None:
        fail(FINDINGS, f"本机记录中没有 {wanted}", f"there is no {wanted} in this node's records")
    if as_json:
        emit_json(explanation)
    else:
        view.show_explanation(explanation)
    return OK


async def _explain_file(path: Path, session: Session, eml: Path | None, as_json: bool) -> int:
    _require_used(load_config(option("config")))
    async with open_all(option("config")) as opened:
        policy = policy_in_force(opened.config)
        assembly = await assemble(opened.config, policy, opened.keys, opened.records, store=opened.store)
        line = assembly.line
        message = _read(line, path, largest_message(opened.config.smtp, assembly.least_upstream_size()))
        submission = _submission(opened.config, message, session)
        stream = line.take_sender(submission.identity, submission.client.listener, submission.reverse_path)
        if isinstance(stream, Reply):
            fail(FINDINGS, f"MAIL FROM 会被拒绝：{stream}", f"MAIL FROM would be refused: {stream}")
        try:
            explained = await explain_message(line, replace(submission, stream=stream.name, policy=policy.hash), message, stream)
        except RuleFailed as fault:
            _end_with_failed_rule(fault)
    files = _write_copies(eml, explained) if eml else {}
    if as_json:
        emit_json([view.as_json(stream, one, files.get(one.ruling.recipient.key, "")) for one in explained])
    else:
        view.show(stream, explained, files)
    return OK if is_permitted(explained) else FINDINGS


def _require_used(config: Config) -> None:
    """An explanation makes nothing: no keys, no store, no records."""
    refuse_foreign_root(config.data_path)
    wanted = (config.keys_path, config.data_path / STORE_NAME, config.data_path / RECORDS)
    if missing := [path for path in wanted if not path.exists()]:
        fail(
            UNREACHABLE,
            f"{missing[0]} 不存在：中继还没有在这里运行过，请先启动服务",
            f"{missing[0]} does not exist: the relay has never run here, start it first",
        )


def _read(line: Line, path: Path, largest: int) -> Message:
    """The message in the file; ends with the door's own verdict when it is over a bound or cannot be read as one."""
    try:
        with path.open("rb") as file:
            octets = file.read(largest + 1)
        if len(octets) > largest:
            raise too_large(largest)
        return line.reader.parse(octets)
    except MessageError as fault:
        reply = replies.refused(fault.rule, fault.text, detail=fault.detail)
        (said, fix) = own_rule_texts(fault.rule, fault.text, fault.bound)
        fail(FINDINGS, f"{path}：{reply}\n  {said['zh']}\n  → {fix['zh']}", f"{path}: {reply}\n  → {fix['en']}")
    except OSError as fault:
        fail(USAGE, f"{path}：无法读取：{fault.strerror}", f"{path}: cannot be read: {fault.strerror}")


def _end_with_failed_rule(fault: RuleFailed) -> NoReturn:
    """Say what the line keeps to itself: why, in the words of whatever the rule raised."""
    reply, why = replies.POLICY_UNUSABLE, f"{type(fault.__cause__).__name__}: {fault.__cause__}"
    fail(
        FINDINGS,
        f"规则 {fault.rule} 无法求值：{why}\n  {reply}\n  → 请修改该规则，使其适用于每一封邮件",
        f"{fault}: {why}\n  {reply}\n  → Correct the rule so that it works on every mail",
    )


def _submission(config: Config, message: Message, session: Session) -> Submission:
    """The submission that a client would make of this file, with what the command line says otherwise."""
    author = message.authors[0] if message.authors else None
    sender = _mailbox(session.reverse_path) if session.reverse_path else author
    if sender is None:
        fail(USAGE, "邮件没有可读的 From，请用 --from 指定", "the message has no readable From: give --from")
    asked = map(_mailbox, session.recipients) if session.recipients else message.addressee_list
    recipients: dict[str, Recipient] = {}
    for mailbox in asked:
        recipients.setdefault(mailbox.key, Recipient(mailbox))  # as the door does: a repeated one counts once
    if not recipients:
        fail(USAGE, "邮件没有收件人，请用 --to 指定", "the message has no recipients: give --to")
    listen = _listen(config, session.listener)
    identity = _identity(config, listen, session.identity or sender.wire)
    protocol = "ESMTPS" if identity.kind is IdentityKind.TRUSTED else "ESMTPSA"
    client = Client(listen.name, "127.0.0.1", "explain", None, protocol)
    now = time.time()
    return Submission(new_id(now, os.urandom(10)), now, client, identity, sender, "", "", tuple(recipients.values()))


def _listen(config: Config, name: str | None) -> Listen:
    found = next((listen for listen in config.listen if name in (None, listen.name)), None)
    if found is None:
        fail(USAGE, f"没有名为 {name} 的 [[listen]]", f"there is no [[listen]] named {name}")
    return found


def _identity(config: Config, listen: Listen, login: str) -> Identity:
    """Whom the door would take this login for, its password being right."""
    if listen.auth == "none":
        return identity_of_listener(config, listen)
    if config.auth.mode == "users":
        user = load_users(config.path(config.auth.users_file)).get(fold_login(login))
        if user is None:
            fail(USAGE, f"没有用户 {login}，请用 --identity 指定", f"there is no user {login}: give --identity")
        return Identity(user.name, IdentityKind.USER, user.owns)
    return identity_of_login(config, fold_login(login), config.upstream_named(listen.upstream).name, Credentials(login, ""))


def _mailbox(address: str) -> Mailbox:
    try:
        return Mailbox.parse(address)
    except MailboxError as fault:
        fail(USAGE, f"“{address}”不是有效的邮箱地址", f'"{address}": {fault}')


def _write_copies(target: Path, explained: Sequence[Explained]) -> dict[str, str]:
    """Write every copy whole: to the file, or numbered beside it when they are several.

    Returns the files by recipient key.  A copy is as good as sent: its
    signature and its unsubscribe link are valid, so that only this user may read it.
    """
    copies = [(one.ruling.recipient.key, one.copy) for one in explained if one.copy]
    names = [target] if len(copies) == 1 else [target.with_stem(f"{target.stem}-{n}") for n in range(1, len(copies) + 1)]
    if taken := [name for name in names if name.exists()]:
        fail(
            USAGE, f"{taken[0]} 已存在，不会覆盖；请另选文件名", f"{taken[0]} exists and is not overwritten; choose another name"
        )
    for name, (_, copy) in zip(names, copies, strict=True):
        write_new(name, copy.header + copy.body)
    return {key: str(name) for name, (key, _) in zip(names, copies, strict=True)}
