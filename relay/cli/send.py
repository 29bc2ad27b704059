"""`relay send --dry-run`: what the line would do with a message to everybody on a list. Nothing leaves, nothing is recorded."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import click

from relay.cli.explain_view import in_brackets, weight
from relay.cli.lists import contacts, opened_faults, opened_source
from relay.cli.opening import open_all, policy_in_force
from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, language, option, say, text
from relay.cli.presumed import Session, end_with_failed_rule, read_message, require_used, submission_of
from relay.config import Config, load_config
from relay.doors.smtp.contracts import largest_message
from relay.errors import RuleFailed
from relay.explain import Foretold, foretell
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply
from relay.pipeline import Line
from relay.policy.cases.case import Action
from relay.policy.sets.policy_set import Stream
from relay.records.wording import detail_words
from relay.service.assembly import assemble


@click.command("send")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Needed: mail itself goes in by SMTP / 必填：真正发送请走 SMTP")
@click.option(
    "--to",
    "recipients",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="A list: CSV with a column of addresses, and one of countries (country) if you have it; - is stdin / 收件人名单（CSV）",
)
@click.option("--column", default="", help="The column with the addresses / 邮箱所在的列")
@click.option("--separately", is_flag=True, help="One message for each recipient, as mail merge sends it / 逐个收件人各发一封")
@click.option("--identity", help="Who would log in; else the author / 登录账号，默认取发件人")
@click.option("--listener", help="The [[listen]] it would come by; else the first / 监听名称")
@click.option("--from", "reverse_path", help="The reverse-path; else the author / 信封发件人")
@click.option("--json", "as_json", is_flag=True)
def send(
    file: Path,
    dry_run: bool,
    recipients: Path,
    column: str,
    separately: bool,
    identity: str | None,
    listener: str | None,
    reverse_path: str | None,
    as_json: bool,
) -> None:
    """With --dry-run: every recipient's verdict on FILE, by the real store; nothing leaves / 试发，逐个给出结论."""
    if not dry_run:
        fail(
            USAGE,
            "relay send 只做试发，请加 --dry-run；真正发送请把邮件交给中继的 SMTP 端口",
            "relay send only tries: add --dry-run. To send, hand the message in by SMTP",
        )
    session = Session(identity, listener, reverse_path)
    code = asyncio.run(_send(file, recipients, column, separately, session, as_json))
    raise click.exceptions.Exit(code)


Contact = tuple[Mailbox, str]
"""A recipient and the country that the list gives, "" where it gives none."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A message before the line, with whatever the door would know of it."""

    line: Line
    config: Config
    message: Message
    session: Session
    stream: Stream

    async def foretell(self, contacts: Sequence[Contact]) -> list[Foretold]:
        """What would become of these recipients of one transaction."""
        submission = submission_of(self.config, self.message, self.session, [mailbox for mailbox, _ in contacts])
        submission = replace(submission, stream=self.stream.name, policy=self.line.policy.hash)
        listed = {mailbox.key: country for mailbox, country in contacts if country}
        try:
            return await foretell(self.line, submission, self.message, self.stream, listed)
        except RuleFailed as fault:
            end_with_failed_rule(fault)


async def _send(file: Path, to: Path, column: str, separately: bool, session: Session, as_json: bool) -> int:
    config = load_config(option("config"))
    require_used(config)
    async with open_all(option("config")) as opened:
        policy = policy_in_force(opened.config)
        assembly = await assemble(opened.config, policy, opened.keys, opened.records, store=opened.store)
        message = read_message(assembly.line, file, largest_message(config.smtp, assembly.least_upstream_size()))
        stream = _stream_of(assembly.line, config, message, session)
        trial = _Trial(assembly.line, config, message, session, stream)
        together = 1 if separately else config.smtp.max_recipients
        told = _Told(stream, policy.hash, as_json)
        with opened_source(to) as source, opened_faults(None) as faults:
            for part in _in_parts(contacts(source, column, faults), together):
                told.add(await trial.foretell(part))
        faults.show(to.name)
    told.end(to, faults.count)
    return OK if told.everybody and not faults.count else FINDINGS


def _stream_of(line: Line, config: Config, message: Message, session: Session) -> Stream:
    first = submission_of(config, message, session, [])
    stream = line.take_sender(first.identity, first.client.listener, first.reverse_path)
    if isinstance(stream, Reply):
        fail(FINDINGS, f"MAIL FROM 会被拒绝：{stream}", f"MAIL FROM would be refused: {stream}")
    return stream


def _in_parts(listed: Iterable[Contact], size: int) -> Iterator[list[Contact]]:
    """As many at a time as one transaction takes, each mailbox once."""
    once = _once(listed)
    while part := list(islice(once, size)):
        yield part


def _once(listed: Iterable[Contact]) -> Iterator[Contact]:
    seen: set[str] = set()
    for mailbox, country in listed:
        if mailbox.key not in seen:
            seen.add(mailbox.key)
            yield mailbox, country


class _Told:
    """Prints each verdict as it comes, and the sum of them at the end."""

    def __init__(self, stream: Stream, policy: str, as_json: bool) -> None:
        self._stream = stream
        self._policy = policy
        self._as_json = as_json
        self._verdicts: Counter[Action] = Counter()
        self._rules: Counter[str] = Counter()
        self._rows: list[dict[str, Any]] = []
        self._presumed = 0  # recipients whose country only the list knows
        if not as_json:
            say(f"邮件流 {stream.name}，策略 {policy}", f"Stream {stream.name}, policy set {policy}")

    @property
    def everybody(self) -> bool:
        """Whether all of them would get the message, and there are some."""
        return bool(self._verdicts) and self._verdicts.keys() <= {Action.PERMIT, Action.WARN}

    def add(self, foretold: Sequence[Foretold]) -> None:
        for one in foretold:
            self._verdicts[one.verdict] += 1
            self._presumed += _is_presumed(one)
            if one.rule:
                self._rules[one.rule] += 1
            if self._as_json:
                self._rows.append(_as_json(one))
            else:
                click.echo(_line(one))

    def end(self, to: Path, rejected: int) -> None:
        verdicts = {action.word: count for action, count in sorted(self._verdicts.items())}
        if self._as_json:
            facts = {"stream": self._stream.name, "policy": self._policy, "verdicts": verdicts, "bad_rows": rejected}
            emit_json(facts | {"rules": dict(self._rules), "presumed": self._presumed, "recipients": self._rows})
            return
        total = sum(verdicts.values())
        by_verdict = text("，", ", ").join(f"{weight(action)} {count:,}" for action, count in sorted(self._verdicts.items()))
        say(f"\n{total:,} 个收件人：{by_verdict or '无'}", f"\n{counted(total, 'recipient')}: {by_verdict or 'none'}")
        for rule, count in self._rules.most_common():
            click.echo(f"  {rule}: {count:,}")
        if self._presumed:
            say(
                f"其中 {self._presumed:,} 人的国家只写在名单里，同意台账中没有：实际发送时并不知道，"
                "请先用 relay consent import 登记",
                f"Of {counted(self._presumed, 'recipient')} only the list knows the country, not the consent ledger: the line"
                " will not, until `relay consent import` has recorded it",
            )
        say(
            "没有发出邮件，也没有写入记录。上限、时段之外的时间和上游服务器的答复无法预知。",
            "Nothing was sent or recorded. What limits, a later hour and the upstream say is not foretold.",
        )


def _is_presumed(one: Foretold) -> bool:
    """Whether its country is the list's, and the ledger has another one or none."""
    return one.case.residence is not None and one.case.residence.is_presumed


def _line(one: Foretold) -> str:
    who, verdict = one.ruling.recipient.mailbox.wire, weight(one.verdict)
    if one.reply is None:
        return f"{verdict}  {who}"
    leading = one.ruling.leading
    if leading is None:
        return f"{verdict}  {who}  {one.reply}"
    detail = in_brackets(detail_words(leading.rule, leading.detail)[language()])
    return f"{verdict}  {who}  {leading.rule}{text('：', ': ')}{text(leading.text_zh, leading.text)}{detail}"


def _as_json(one: Foretold) -> dict[str, Any]:
    return {
        "recipient": one.ruling.recipient.mailbox.wire,
        "verdict": one.verdict.word,
        "rule": one.rule or None,
        "countries": sorted(one.case.jurisdictions),
        "presumed": _is_presumed(one),
        "objections": [
            {"rule": objection.rule, "action": objection.action.word, "detail": objection.detail}
            for objection in one.ruling.objections
        ],
        "reply": one.reply.lines() if one.reply else None,
        "held": one.is_held,
        "impossible": one.impossible,
    }
