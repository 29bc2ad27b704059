"""`relay explain ID|FILE`: why a mail was refused, or what would happen to one, rule by rule."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from relay.cli import explain_view as view
from relay.cli.opening import open_all, policy_in_force
from relay.cli.output import FINDINGS, OK, USAGE, emit_json, fail, option, write_new
from relay.cli.presumed import RECORDS, Session, end_with_failed_rule, read_message, require_used, submission_of
from relay.config import load_config
from relay.doors.smtp.contracts import largest_message
from relay.errors import RuleFailed
from relay.explain import Explained, is_permitted
from relay.explain import explain as explain_message
from relay.ids import is_id
from relay.keys import load_keys
from relay.mail.reply import Reply
from relay.records.explanations import explain_record
from relay.service.assembly import assemble
from relay.service.policies import PolicyArchive


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


async def _explain_id(wanted: str, as_json: bool) -> int:
    config = load_config(option("config"))
    require_used(config)
    archive = PolicyArchive(config.data_path)
    explanation = explain_record(config.data_path / RECORDS, load_keys(config.keys_path), wanted, time.time(), archive.find)
    if explanation is None:
        fail(FINDINGS, f"本机记录中没有 {wanted}", f"there is no {wanted} in this node's records")
    if as_json:
        emit_json(explanation)
    else:
        view.show_explanation(explanation)
    return OK


async def _explain_file(path: Path, session: Session, eml: Path | None, as_json: bool) -> int:
    require_used(load_config(option("config")))
    async with open_all(option("config")) as opened:
        policy = policy_in_force(opened.config)
        assembly = await assemble(opened.config, policy, opened.keys, opened.records, store=opened.store)
        line = assembly.line
        message = read_message(line, path, largest_message(opened.config.smtp, assembly.least_upstream_size()))
        submission = submission_of(opened.config, message, session)
        stream = line.take_sender(submission.identity, submission.client.listener, submission.reverse_path)
        if isinstance(stream, Reply):
            fail(FINDINGS, f"MAIL FROM 会被拒绝：{stream}", f"MAIL FROM would be refused: {stream}")
        try:
            explained = await explain_message(line, replace(submission, stream=stream.name, policy=policy.hash), message, stream)
        except RuleFailed as fault:
            end_with_failed_rule(fault)
    files = _write_copies(eml, explained) if eml else {}
    if as_json:
        emit_json([view.as_json(stream, one, files.get(one.ruling.recipient.key, "")) for one in explained])
    else:
        view.show(stream, explained, files)
    return OK if is_permitted(explained) else FINDINGS


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
