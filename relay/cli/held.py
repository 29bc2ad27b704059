"""`relay held`: what the relay keeps back, and what people may do about it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from relay.cli.entries import by_option, json_option, mailbox_of, person, reason_of
from relay.cli.held_view import copy_line, copy_row, show_message, totals_lines, totals_row
from relay.cli.opening import Opened, open_all
from relay.cli.output import FINDINGS, USAGE, counted, emit_json, fail, option, say, warn
from relay.gathering import recipient_digest
from relay.holding.intervention import Deed, Done, HeldMail, Intervention, Seen, Wanted
from relay.ids import is_id
from relay.mail.envelope import Recipient
from relay.stores.held import HeldTotals, Why

_why_option = click.option(
    "--why", "whys", multiple=True, type=click.Choice([why.value for why in Why]), help="May be repeated / 可重复"
)
_recipient_option = click.option("--recipient", metavar="ADDRESS", help="Only this recipient's / 仅此收件人")
_stream_option = click.option("--stream", metavar="NAME", help="Only of this stream / 仅此邮件流")
_addresses_option = click.option("--addresses", is_flag=True, help="Show whole addresses / 显示完整地址")


@dataclass(frozen=True, slots=True)
class _Selected:
    """The copies that are meant, as they were typed; all that is held where nothing is said."""

    ids: tuple[str, ...] = ()
    whys: tuple[str, ...] = ()
    recipient: str | None = None
    stream: str | None = None

    def wanted(self, opened: Opened) -> Wanted:
        digest = recipient_digest(opened.keys, Recipient(mailbox_of(self.recipient))) if self.recipient else None
        return Wanted(self.ids, digest, frozenset(map(Why, self.whys)), self.stream or "")


def _selects(command: Callable[..., None]) -> Callable[..., None]:
    """Ask which copies are meant; the command is given them as `selected`, and `by` as it stands."""

    @wraps(command)
    def selecting(
        ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None, is_all: bool, **others: Any
    ) -> None:
        if bool(ids or whys or recipient or stream) == is_all:
            fail(
                USAGE,
                "请写明编号，或 --why、--recipient、--stream，或者 --all",
                "name ids, or say --why, --recipient or --stream, or else --all",
            )
        command(selected=_Selected(_ids(ids), whys, recipient, stream), **others)

    asked: Callable[..., None] = selecting
    for choose in (
        by_option,
        click.option("--all", "is_all", is_flag=True, help="Whatever is held / 全部"),
        _stream_option,
        _recipient_option,
        _why_option,
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        asked = choose(asked)
    return asked


@click.group("held")
def held() -> None:
    """Mail that waits here to be sent later: look at it, let it go, drop it / 暂存的邮件：查看、放行、丢弃."""


# Looking -------------------------------------------------------------------------------------------------------------


@held.command("list")
@_why_option
@_recipient_option
@_stream_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(0), help="Rows shown; 0 = all / 最多显示行数")
@_addresses_option
@json_option
def list_(whys: tuple[str, ...], recipient: str | None, stream: str | None, limit: int, addresses: bool, as_json: bool) -> None:
    """Show what is held, how much for which reason, and since when / 列出暂存的邮件及原因."""
    totals, rows = asyncio.run(_list(_Selected((), whys, recipient, stream), limit, whole=addresses))
    if as_json:
        emit_json({"totals": totals_row(totals), "copies": rows})
        return
    for line in totals_lines(totals):
        click.echo(line)
    for row in rows:
        click.echo(copy_line(row))
    if limit and len(rows) == limit:
        warn(f"（仅显示前 {limit} 行，--limit 0 显示全部）", f"(the first {limit} are shown; --limit 0 shows all)")


@held.command("show")
@click.argument("submission", metavar="ID")
@_addresses_option
@json_option
def show(submission: str, addresses: bool, as_json: bool) -> None:
    """Show one message that is held: from whom, to whom, why, what was said last / 查看一封暂存的邮件."""
    seen = asyncio.run(_seen(_ids([submission])[0]))
    if not seen:
        fail(FINDINGS, f"没有暂存 {submission} 的邮件", f"nothing of {submission} is held")
    show_message(seen, whole=addresses, as_json=as_json)


async def _list(selected: _Selected, limit: int, *, whole: bool) -> tuple[HeldTotals, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    async with open_all(option("config")) as opened:
        totals = await opened.store.held_totals()
        async for page in _mail(opened).pages(selected.wanted(opened)):
            rows += [copy_row(one, whole=whole) for one in page]
            if limit and len(rows) >= limit:
                break
    return totals, rows[:limit] if limit else rows


async def _seen(submission: str) -> list[Seen]:
    async with open_all(option("config")) as opened:
        return [one async for page in _mail(opened).pages(Wanted((submission,))) for one in page]


# Doing ---------------------------------------------------------------------------------------------------------------


@held.command("release")
@_selects
@click.option("--reason", default="", help="It is recorded / 会写入记录")
def release(selected: _Selected, by: str, reason: str) -> None:
    """Let copies leave although a rule holds them / 放行被规则拦下的邮件.

    What the rules refuse, or a limit, an hour or a pause keeps back, still is.
    """
    done = _do(Deed.RELEASE, selected, by, reason)
    say(f"已放行 {done.changed} 份。", f"{counted(done.changed, 'copy', 'copies')} released.")
    _tell_the_rest(done, "不是被规则拦下的（可用 retry）", "not held by a rule (retry is for those)")


@held.command("retry")
@_selects
@click.option("--reason", default="", help="It is recorded / 会写入记录")
def retry(selected: _Selected, by: str, reason: str) -> None:
    """Have copies tried now, whatever they wait for / 立即重试，不再等待."""
    done = _do(Deed.RETRY, selected, by, reason)
    say(f"{done.changed} 份将立即重试。", f"{counted(done.changed, 'copy', 'copies')} will be tried now.")
    _tell_the_rest(done, "", "")


@held.command("drop")
@_selects
@click.option("--reason", required=True, help="It is recorded, and the sender reads it / 会写入记录，并告知发件人")
@click.option(
    "--unreadable", is_flag=True, help="Also what no key opens; nobody can be told of it / 包括没有密钥能打开的（无法告知任何人）"
)
def drop(selected: _Selected, by: str, reason: str, unreadable: bool) -> None:
    """Never send these copies; their sender gets a report / 不再发送，并以报告告知发件人."""
    done = _do(Deed.DROP, selected, by, reason_of(reason), unreadable=unreadable)
    if done.changed or not done.forgotten:
        say(
            f"已丢弃 {done.changed} 份，发件人会收到报告。",
            f"{counted(done.changed, 'copy', 'copies')} dropped; the sender gets a report.",
        )
    if done.forgotten:
        say(
            f"已丢弃没有密钥能打开的 {done.forgotten} 份：发件人与收件人均不可知，无法告知任何人，只写入记录（unreported）。",
            f"{counted(done.forgotten, 'copy', 'copies')} that no key opens dropped: nobody knows from whom and to whom, so"
            " nobody is told; it is on record (unreported).",
        )
    _tell_the_rest(done, "本来就不再发送，只等报告发件人", "will never be sent anyway: only the report to the sender waits")


def _do(deed: Deed, selected: _Selected, by: str, reason: str, *, unreadable: bool = False) -> Done:
    done = asyncio.run(_done(deed, selected, person(by), " ".join(reason.split()), unreadable=unreadable))
    if done == Done():
        fail(FINDINGS, "没有符合条件的暂存邮件", "nothing that is held fits")
    return done


async def _done(deed: Deed, selected: _Selected, by: str, reason: str, *, unreadable: bool) -> Done:
    done = Done()
    async with open_all(option("config")) as opened:
        intervention = Intervention(
            opened.store, opened.records, opened.keys, time.time, by=by, reason=reason, unreadable=unreadable
        )
        async for page in _mail(opened).pages(selected.wanted(opened)):
            done += await intervention.do(deed, page)
        await intervention.finish()
    return done


def _tell_the_rest(done: Done, zh: str, en: str) -> None:
    """What was left as it is; with exit code 1 when nothing was changed, or something is being sent."""
    if done.unfit:
        warn(f"{done.unfit} 份未改动：{zh}", f"{counted(done.unfit, 'copy', 'copies')} left as it is: {en}")
    if done.closed:
        warn(
            f"{done.closed} 份未改动：没有密钥能打开它；请恢复写入它时的密钥文件（[keys] file，备份中有），或用"
            " relay held drop --unreadable 丢弃（无法告知发件人）",
            f"{counted(done.closed, 'copy', 'copies')} left as it is: no key opens it. Put back the key file that it was sealed"
            " with ([keys] file; a backup has it), or drop it with relay held drop --unreadable: its sender cannot be told then",
        )
    if done.leaving:
        warn(
            f"{done.leaving} 份正在发送，未改动；请稍后用 relay held show 查看",
            f"{counted(done.leaving, 'copy', 'copies')} being sent now and left alone; look again with relay held show",
        )
    if done.leaving or not done.changed + done.forgotten:
        raise click.exceptions.Exit(FINDINGS)


# What was typed ------------------------------------------------------------------------------------------------------


def _mail(opened: Opened) -> HeldMail:
    return HeldMail(opened.store, opened.keys, time.time)


def _ids(given: Sequence[str]) -> tuple[str, ...]:
    for one in given:
        if not is_id(one.upper()):
            fail(USAGE, f"“{one}”不是邮件编号", f'"{one}" is no submission id')
    return tuple(dict.fromkeys(one.upper() for one in given))
