"""`relay lint`: what the rules have against messages that are still files, with place and remedy. No store, no service."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from relay.cli.explain_view import in_brackets, printable, weight
from relay.cli.opening import policy_in_force
from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, language, option, say, text, warn
from relay.config import Config, load_config
from relay.doors.smtp.contracts import largest_message
from relay.errors import RuleFailed
from relay.linting import Found, Position, unreadable
from relay.linting import lint as lint_message
from relay.mail.envelope import Identity, IdentityKind
from relay.mail.message import Message, MessageError
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.reading import MessageReader
from relay.records.wording import detail_words
from relay.service.policies import countries_of
from relay.upstream.profile import load_profiles


@click.command("lint")
@click.argument("place", metavar="FILE|DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--stream", help="The stream that judges; else the one that takes the author's mail / 邮件流，默认按发件人")
@click.option("--json", "as_json", is_flag=True)
def lint(place: Path, stream: str | None, as_json: bool) -> None:
    """Say what the rules have against a message FILE, or every *.eml in a DIR, before it is sent / 发送前检查邮件."""
    config = load_config(option("config"))
    policy = policy_in_force(config)
    files = sorted(place.rglob("*.eml")) if place.is_dir() else [place]
    if not files:
        fail(USAGE, f"{place} 中没有 .eml 文件", f"there are no .eml files in {place}")
    desk = _Desk(config, policy, stream)
    judged = [(path, *desk.judge(path)) for path in files]
    if as_json:
        emit_json([{"file": str(path), "stream": name, "findings": list(map(_as_json, found))} for path, name, found in judged])
    else:
        _show(judged)
    raise click.exceptions.Exit(FINDINGS if any(found for _, _, found in judged) else OK)


class _Desk:
    """What files are judged by."""

    def __init__(self, config: Config, policy: PolicySet, stream: str | None) -> None:
        self._config = config
        self._policy = policy
        self._named = self._stream(stream) if stream else None
        self._profiles = load_profiles()
        self._reader = MessageReader(config.smtp)
        self._now = datetime.fromtimestamp(time.time(), policy.zone)

    def judge(self, path: Path) -> tuple[str, list[Found]]:
        """The stream that the file was judged by, and what its rules have against it."""
        try:
            message = self._reader.parse_file(path, largest_message(self._config.smtp, None))
        except MessageError as fault:
            stream = self._named or self._policy.streams[0]
            return stream.name, [unreadable(stream, fault)]
        stream = self._named or self._taking(path, message)
        countries = countries_of(stream, self._config, self._profiles)
        try:
            return stream.name, lint_message(self._policy, stream, message, countries, self._now)
        except RuleFailed as fault:
            why = f"{type(fault.__cause__).__name__}: {fault.__cause__}"
            fail(FINDINGS, f"{path}：规则 {fault.rule} 无法求值：{why}", f"{path}: {fault}: {why}")

    def _stream(self, name: str) -> Stream:
        try:
            return self._policy.stream(name)
        except KeyError:
            names = ", ".join(stream.name for stream in self._policy.streams)
            fail(USAGE, f"没有邮件流 {name}；现有 {names}", f"there is no stream {name}; there are {names}")

    def _taking(self, path: Path, message: Message) -> Stream:
        """The stream that takes the author's mail, by whichever door."""
        author = message.authors[0] if message.authors else None
        identity = Identity(author.key if author else "", IdentityKind.USER, frozenset())
        offered = (self._policy.stream_for(identity, listen.name, author) for listen in self._config.listen)
        taking = next(filter(None, offered), None)
        if taking is None:
            who = author.wire if author else "?"
            fail(
                FINDINGS,
                f"{path}：没有邮件流接收 {who} 的邮件；请用 --stream 指定，或把账号写进 streams/ 的 match",
                f"{path}: no stream takes mail of {who}: give --stream, or write the account into a match in streams/",
            )
        return taking


def _show(judged: Sequence[tuple[Path, str, list[Found]]]) -> None:
    for path, stream, found in judged:
        mark = "✗" if found else "✓"
        say(
            f"{mark} {path}（邮件流 {stream}）：{f'{len(found)} 处问题' if found else '没有问题'}",
            f"{mark} {path} (stream {stream}): {counted(len(found), 'finding') if found else 'nothing found'}",
        )
        for one in found:
            _show_one(path, one)
    warn(
        "未检查：收件人的拒收与同意、上限、时段（见 relay send --dry-run）",
        "Not looked at: refusals and consents of the recipients, limits, hours (relay send --dry-run looks)",
    )


def _show_one(path: Path, found: Found) -> None:
    objection = found.objection
    said = f"{text(objection.text_zh, objection.text)}{in_brackets(detail_words(objection.rule, objection.detail)[language()])}"
    turned = text("〔放宽〕", " [relaxed]") if objection.observed else ""
    click.secho(
        f"  {objection.rule}：{weight(objection.action)}{turned}：{said}"
        if language() == "zh"
        else f"  {objection.rule}: {weight(objection.action)}{turned}: {said}",
        bold=True,
    )
    for position in found.positions:
        click.echo(f"    {_place(path, position)}")
    if fix := text(objection.fix_zh, objection.fix):
        click.echo(f"    → {fix}")
    if objection.cite:
        click.echo(f"    {objection.cite}")


def _place(path: Path, position: Position) -> str:
    where = printable(position.where)
    if position.line and not position.in_text:
        where = f"{path}:{position.line}: {where}"
    elif position.line:
        where = text(f"{where}，第 {position.line} 行", f"{where}, line {position.line}")
    column = text(f"，第 {position.column} 字", f", character {position.column}") if position.column else ""
    return f"{where}{column}{': ' + printable(position.excerpt) if position.excerpt else ''}"


def _as_json(found: Found) -> dict[str, Any]:
    one = found.objection
    return {
        "rule": one.rule,
        "action": one.action.word,
        "observed": one.observed,
        "text": {"en": one.text, "zh": one.text_zh},
        "fix": {"en": one.fix, "zh": one.fix_zh},
        "detail": one.detail,
        "cite": one.cite,
        "recipients": found.recipients,
        "positions": [asdict(position) for position in found.positions],
    }
