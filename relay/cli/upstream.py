"""`relay upstream`: what is adapted to upstreams' replies, pause and resume, replies that no profile knows."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click

from relay.cli.entries import by_option, event_id, json_option, person, reason_of, reason_option, upstream_of
from relay.cli.opening import Opened, open_all
from relay.cli.output import FINDINGS, counted, emit_json, fail, local_time, option, say, text
from relay.cli.upstream_probe import probe
from relay.records.adapted import adapted_record, name_in, person_in
from relay.records.search import Query, search
from relay.records.unread import KINDS, unread_replies
from relay.records.wording import ADAPTED, REPLY_CLASSES, SCOPES, word
from relay.stores.adaptations import NEVER, Adaptation, Kind, Scope, adaptation_key, rate_at
from relay.upstream.profile import is_known, load_profiles

_MOST_REPLIES = 200


@click.group("upstream")
def upstream() -> None:
    """What the relay does because of upstreams' replies / 因上游服务器的答复而作的调整."""


upstream.add_command(probe)


@upstream.command("status")
@json_option
def status(as_json: bool) -> None:
    """What is adapted now: since when, why, until when / 当前的调整：何时起、为何、到何时."""
    rows = asyncio.run(_status())
    if as_json:
        emit_json(rows)
    else:
        _show(rows)


@upstream.command("pause")
@click.argument("name")
@reason_option
@by_option
def pause(name: str, reason: str, by: str) -> None:
    """Let marketing by the upstream NAME wait until somebody resumes it / 暂停经此上游的营销邮件."""
    asyncio.run(_pause(name, reason_of(reason), person(by)))
    say(f"经上游 {name} 的营销邮件已暂停；其他邮件照常发送。", f"Marketing by the upstream {name} is paused; other mail leaves.")


@upstream.command("resume")
@click.argument("name")
@reason_option
@by_option
@click.option(
    "--all", "everything", is_flag=True, help="End rests, lowered rates and learnt caps too / 也结束等待、降速与收件人上限"
)
def resume(name: str, reason: str, by: str, everything: bool) -> None:
    """End the pauses of the upstream NAME / 恢复经此上游的营销邮件."""
    ended = asyncio.run(_resume(name, reason_of(reason), person(by), everything=everything))
    say(f"上游 {name}：已结束 {ended} 项调整。", f"Upstream {name}: ended {counted(ended, 'adaptation')}.")


@upstream.command("replies")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="Of the last so many days / 最近的天数")
@json_option
def replies(days: int, as_json: bool) -> None:
    """Refusals that no profile knows, counted, so that a profile can grow / 词典尚不认识的上游答复及次数."""
    rows = asyncio.run(_replies(days))
    if as_json:
        emit_json(rows)
        return
    for row in rows:
        click.echo(f"{row['count']:6d}  {row['upstream']}  {row['code']} {row['enhanced']}".rstrip() + f"  {row['text']}")
    if not rows:
        say(f"最近 {days} 天没有词典不认识的答复。", f"No reply of the last {counted(days, 'day')} is unknown to the profiles.")


# What they do --------------------------------------------------------------------------------------------------------


async def _status() -> list[dict[str, Any]]:
    async with open_all(option("config")) as opened:
        found = sorted(await opened.store.adaptations(), key=lambda one: (one.upstream, one.kind, one.since))
        names = dict.fromkeys([*(one.name for one in opened.config.upstream), *(one.upstream for one in found)])
        return [{"upstream": name, "adapted": [_row(opened, one) for one in found if one.upstream == name]} for name in names]


async def _pause(name: str, reason: str, by: str) -> None:
    async with open_all(option("config")) as opened:
        upstream_of(opened.config, name)
        now = time.time()
        key = adaptation_key(opened.keys.addresses.lasting_digest, Kind.PAUSE, name, Scope.UPSTREAM, "")
        wanted = Adaptation(key, Kind.PAUSE, name, Scope.UPSTREAM, b"", now, NEVER, reply_class="manual", said=reason, by=by)
        if not await opened.store.adapt(wanted):
            fail(FINDINGS, f"上游 {name} 已经是暂停状态", f"the upstream {name} is paused already")
        await opened.records.append(adapted_record(event_id(now), now, wanted, None))


async def _resume(name: str, reason: str, by: str, *, everything: bool) -> int:
    async with open_all(option("config")) as opened:
        found = [one for one in await opened.store.adaptations() if one.upstream == name]
        ending = [one for one in found if everything or one.kind is Kind.PAUSE]
        if not ending:
            fail(FINDINGS, f"上游 {name} 没有暂停", f"the upstream {name} is not paused")
        for one in ending:
            now, about = time.time(), person_in(opened.records, one)
            # The record first: mail flows again only when it says by whose word.
            record = adapted_record(event_id(now), now, one, about, ended="person", reason=reason, by=by)
            await opened.records.append(record)
            await opened.store.end_adaptation(one.key)
        return len(ending)


async def _replies(days: int) -> list[dict[str, Any]]:
    async with open_all(option("config")) as opened:
        known = load_profiles()
        profiles = {one.name: known.get(one.provider, known["generic"]) for one in opened.config.upstream}

        def is_read(name: str, code: int, enhanced: str, said: str) -> bool:
            return is_known(profiles.get(name, known["generic"]), code, enhanced, said)

        found = search(opened.records.reader, Query(kinds=KINDS, since=time.time() - days * 86400))
        rows = unread_replies((entry.record for entry in found), is_read, _MOST_REPLIES)
    return [
        {"count": count, "upstream": one.upstream, "code": one.code, "enhanced": one.enhanced, "text": one.text}
        for one, count in rows
    ]


# What they show ------------------------------------------------------------------------------------------------------


def _row(opened: Opened, one: Adaptation) -> dict[str, Any]:
    is_rate = one.kind is Kind.RATE
    return {
        "kind": one.kind.value,
        "scope": one.scope.value,
        "of": name_in(opened.records.reader, one),
        "value": (rate_at(one, time.time()) if is_rate else one.value) or None,
        "since": local_time(one.since),
        "until": None if one.until == NEVER else local_time(one.until),
        "class": one.reply_class,
        "is_login": bool(one.login),
        "said": one.said,
        "by": one.by,
    }


def _show(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        click.secho(row["upstream"], bold=True)
        if not row["adapted"]:
            say("  一切照常", "  nothing is adapted")
        for one in row["adapted"]:
            click.secho(f"  {_headline(one)}", fg="red" if one["kind"] == "pause" else "yellow")
            cause = word(REPLY_CLASSES, one["class"])
            say(
                f"    原因：{cause['zh']}：{one['said']}（{one['by']}）",
                f"    because: {cause['en']}: {one['said']} (by {one['by']})",
            )


def _headline(one: Mapping[str, Any]) -> str:
    what, scope = word(ADAPTED, one["kind"]), word(SCOPES, one["scope"])
    whose = f" {one['of']}" if one["of"] else ""
    value_zh = f"：{one['value']}" if one["value"] else ""
    value = f": {one['value']}" if one["value"] else ""
    value_zh, value = (f"{value_zh} 位/分钟", f"{value} a minute") if one["kind"] == "rate" else (value_zh, value)
    login_zh, login = ("（此密码被拒绝）", " (this password was refused)") if one["is_login"] else ("", "")
    until_zh, until = (
        (f"到 {one['until']}", f"until {one['until']}") if one["until"] else ("直到有人恢复", "until somebody resumes it")
    )
    return text(
        f"{what['zh']}{value_zh}（{scope['zh']}{whose}）{login_zh}：自 {one['since']} {until_zh}",
        f"{what['en']}{value} ({scope['en']}{whose}){login}: since {one['since']}, {until}",
    )
