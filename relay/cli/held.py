"""`relay held`: what the relay keeps back, and what people may do about it."""

import asyncio
import time
from collections.abc import Callable, Sequence
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


def _selects(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say which copies are meant."""
    for choose in (
        by_option,
        click.option("--all", "is_all", is_flag=True, help="Whatever is held / 全部"),
        _stream_option,
        _recipient_option,
        _why_option,
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        command = choose(command)
    return command


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
    totals, rows = asyncio.run(_list(whys, recipient, stream, limit, whole=addresses))
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


async def _list(
    whys: tuple[str, ...], recipient: str | None, stream: str | None, limit: int, *, whole: bool
) -> tuple[HeldTotals, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    async with open_all(option("config")) as opened:
        totals = await opened.store.held_totals()
        async for page in _mail(opened).pages(_wanted(opened, (), whys, recipient, stream)):
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
def release(
    ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None, is_all: bool, by: str, reason: str
) -> None:
    """Let copies leave although a rule holds them / 放行被规则拦下的邮件.

    What the rules refuse, or a limit, an hour or a pause keeps back, still is.
    """
    done = _do(Deed.RELEASE, ids, whys, recipient, stream, is_all, by, reason)
    say(f"已放行 {done.changed} 份。", f"{counted(done.changed, 'copy', 'copies')} released.")
    _tell_the_rest(done, "不是被规则拦下的（可用 retry）", "not held by a rule (retry is for those)")


@held.command("retry")
@_selects
@click.option("--reason", default="", help="It is recorded / 会写入记录")
def retry(
    ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None, is_all: bool, by: str, reason: str
) -> None:
    """Have copies tried now, whatever they wait for / 立即重试，不再等待."""
    done = _do(Deed.RETRY, ids, whys, recipient, stream, is_all, by, reason)
    say(f"{done.changed} 份将立即重试。", f"{counted(done.changed, 'copy', 'copies')} will be tried now.")
    _tell_the_rest(done, "", "")


@held.command("drop")
@_selects
@click.option("--reason", required=True, help="It is recorded, and the sender reads it / 会写入记录，并告知发件人")
def drop(
    ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None, is_all: bool, by: str, reason: str
) -> None:
    """Never send these copies; their sender gets a report / 不再发送，并以报告告知发件人."""
    done = _do(Deed.DROP, ids, whys, recipient, stream, is_all, by, reason_of(reason))
    say(
        f"已丢弃 {done.changed} 份，发件人会收到报告。",
        f"{counted(done.changed, 'copy', 'copies')} dropped; the sender gets a report.",
    )
    _tell_the_rest(done, "本来就不再发送，只等报告发件人", "will never be sent anyway: only the report to the sender waits")


def _do(
    deed: Deed,
    ids: tuple[str, ...],
    whys: tuple[str, ...],
    recipient: str | None,
    stream: str | None,
    is_all: bool,
    by: str,
    reason: str,
) -> Done:
    if bool(ids or whys or recipient or stream) == is_all:
        fail(
            USAGE,
            "请写明编号，或 --why、--recipient、--stream，或者 --all",
            "name ids, or say --why, --recipient or --stream, or else --all",
        )
    done = asyncio.run(_done(deed, _ids(ids), whys, recipient, stream, person(by), " ".join(reason.split())))
    if done == Done():
        fail(FINDINGS, "没有符合条件的暂存邮件", "nothing that is held fits")
    return done


async def _done(
    deed: Deed, ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None, by: str, reason: str
) -> Done:
    done = Done()
    async with open_all(option("config")) as opened:
        intervention = Intervention(opened.store, opened.records, opened.keys, time.time, by=by, reason=reason)
        async for page in _mail(opened).pages(_wanted(opened, ids, whys, recipient, stream)):
            done += await intervention.do(deed, page)
    return done


def _tell_the_rest(done: Done, zh: str, en: str) -> None:
    """What was left as it is; with exit code 1 when nothing was changed, or something is being sent."""
    if done.unfit:
        warn(f"{done.unfit} 份未改动：{zh}", f"{counted(done.unfit, 'copy', 'copies')} left as it is: {en}")
    if done.leaving:
        warn(
            f"{done.leaving} 份正在发送，未改动；请稍后用 relay held show 查看",
            f"{counted(done.leaving, 'copy', 'copies')} being sent now and left alone; look again with relay held show",
        )
    if done.leaving or not done.changed:
        raise click.exceptions.Exit(FINDINGS)


# What was typed ------------------------------------------------------------------------------------------------------


def _mail(opened: Opened) -> HeldMail:
    return HeldMail(opened.store, opened.keys, time.time)


def _ids(given: Sequence[str]) -> tuple[str, ...]:
    for one in given:
        if not is_id(one.upper()):
            fail(USAGE, f"“{one}”不是邮件编号", f'"{one}" is no submission id')
    return tuple(dict.fromkeys(one.upper() for one in given))


def _wanted(opened: Opened, ids: tuple[str, ...], whys: tuple[str, ...], recipient: str | None, stream: str | None) -> Wanted:
    digest = recipient_digest(opened.keys, Recipient(mailbox_of(recipient))) if recipient else None
    return Wanted(ids, digest, frozenset(map(Why, whys)), stream or "")
