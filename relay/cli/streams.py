"""`relay streams`: how each stream's mail is received; pause one, resume one."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import click

from relay.cli.entries import by_option, event_id, json_option, person, reason_of, reason_option
from relay.cli.opening import Opened, open_all, policy_in_force
from relay.cli.output import FINDINGS, USAGE, counted, emit_json, fail, local_time, option, say, text
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.deciding.thresholds import PAUSABLE, excesses
from relay.policy.sets.model import Rates
from relay.policy.sets.policy_set import Stream
from relay.records.paused import paused_record, resumed_record


@click.group("streams", invoke_without_command=True)
@json_option
@click.pass_context
def streams(ctx: click.Context, as_json: bool) -> None:
    """How each stream's mail is received, and which are paused / 各邮件流的投诉、退信与暂停状态."""
    if ctx.invoked_subcommand is None:
        rows = asyncio.run(_list())
        if as_json:
            emit_json(rows)
        else:
            _show(rows)


@streams.command("pause")
@click.argument("name")
@reason_option
@by_option
def pause(name: str, reason: str, by: str) -> None:
    """Let the mail of the stream NAME wait: 451 until somebody resumes it / 暂停一个邮件流，其邮件一律答复 451."""
    asyncio.run(_pause(name, reason_of(reason), person(by)))
    say(f"邮件流 {name} 已暂停。", f"The stream {name} is paused.")


@streams.command("resume")
@click.argument("name")
@reason_option
@by_option
def resume(name: str, reason: str, by: str) -> None:
    """End a pause; complaints and bounces are counted anew from now on / 恢复邮件流，投诉与退信重新计数."""
    asyncio.run(_resume(name, reason_of(reason), person(by)))
    say(
        f"邮件流 {name} 已恢复；投诉与退信从现在起重新计数。",
        f"The stream {name} is resumed; complaints and bounces are counted anew from now on.",
    )


async def _list() -> list[dict[str, Any]]:
    async with open_all(option("config")) as opened:
        policy = policy_in_force(opened.config)
        tallies = await opened.store.tallies({stream.name: stream.thresholds.window for stream in policy.streams})
        pauses = await opened.store.paused()
    rows = [_row(stream, tallies[stream.name], pauses.pop(stream.name, None)) for stream in policy.streams]
    return rows + [{"stream": name, "purpose": None, "paused": _paused(left)} for name, left in pauses.items()]


async def _pause(name: str, reason: str, by: str) -> None:
    async with open_all(option("config")) as opened:
        stream = _stream(opened, name)
        now = time.time()
        wanted = Pause(name, now, by, Measure.MANUAL, reason, reason)
        tally = await _tally(opened, stream)
        if not await opened.store.pause(wanted):
            fail(FINDINGS, f"邮件流 {name} 已经是暂停状态", f"the stream {name} is paused already")
        await opened.records.append(paused_record(event_id(now), now, wanted, tally))


async def _resume(name: str, reason: str, by: str) -> None:
    async with open_all(option("config")) as opened:
        paused = (await opened.store.paused()).get(name)
        if paused is None:
            fail(FINDINGS, f"邮件流 {name} 没有暂停", f"the stream {name} is not paused")
        now = time.time()
        named = [stream for stream in policy_in_force(opened.config).streams if stream.name == name]
        tally = await _tally(opened, named[0]) if named else Tally()
        # The record first: mail flows again only when it says by whose word.
        await opened.records.append(resumed_record(event_id(now), now, paused, tally, reason=reason, by=by))
        await opened.store.resume(name)


async def _tally(opened: Opened, stream: Stream) -> Tally:
    return (await opened.store.tallies({stream.name: stream.thresholds.window}))[stream.name]


def _stream(opened: Opened, name: str) -> Stream:
    known = {stream.name: stream for stream in policy_in_force(opened.config).streams}
    if name not in known:
        listed = ", ".join(known)
        fail(USAGE, f"策略中没有邮件流“{name}”，现有：{listed}", f'the policy has no stream "{name}"; there are {listed}')
    return known[name]


def _row(stream: Stream, tally: Tally, pause: Pause | None) -> dict[str, Any]:
    held = stream.thresholds
    return {
        "stream": stream.name,
        "purpose": stream.purpose.value,
        "paused": _paused(pause),
        "window_days": held.window,
        "minimum": held.minimum,
        "sent": tally.sent,
        "delivered": tally.delivered,
        "counted_from": local_time(tally.counted_from) if tally.counted_from else None,
        "complaints": _rate(tally, Measure.COMPLAINTS, _in_force(stream, held.complaints)),
        "hard_bounces": _rate(tally, Measure.HARD_BOUNCES, _in_force(stream, held.hard_bounces)),
        "over": [{"zh": one.text_zh, "en": one.text} for one in excesses(tally, held)],
    }


def _in_force(stream: Stream, rates: Rates) -> dict[str, str | None]:
    """The thresholds that the relay acts by: where a rate only warns, there is none that pauses."""
    return {"warn": rates.warn, "pause": rates.pause if stream.purpose in PAUSABLE else None}


def _rate(tally: Tally, measure: Measure, thresholds: Mapping[str, str | None]) -> dict[str, Any]:
    return {"count": tally.count(measure), "percent": round(100 * tally.ratio(measure), 3), **thresholds}


def _paused(pause: Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    reason = text(pause.reason_zh, pause.reason)
    return {"since": local_time(pause.at), "by": pause.by, "measure": pause.measure.value, "reason": reason}


def _show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.secho(row["stream"] + (f"  {row['purpose']}" if row["purpose"] else ""), bold=True)
        if paused := row["paused"]:
            since, by, why = paused["since"], paused["by"], paused["reason"]
            line = text(f"  已暂停：{why}（{by}，{since}）", f"  paused: {why} (by {by}, {since})")
            click.secho(line, fg="red")
        if row["purpose"] is None:
            say("  策略中已没有此邮件流", "  no longer in the policy")
            continue
        say(
            f"  {row['window_days']} 天内发往 {row['sent']} 位收件人（满 {row['minimum']} 位起计算比率）",
            f"  {counted(row['sent'], 'recipient')} in {counted(row['window_days'], 'day')}"
            f" (rates count from {row['minimum']} on)",
        )
        for key, zh, en in (("complaints", "投诉", "complaints"), ("hard_bounces", "硬退信", "hard bounces")):
            rate = row[key]
            said = f"{rate['count']} = {rate['percent']:g}%"
            then_zh, then = (f"暂停 {rate['pause']}", f"pause {rate['pause']}") if rate["pause"] else ("从不暂停", "never pauses")
            say(f"  {zh} {said}（告警 {rate['warn']}，{then_zh}）", f"  {en} {said} (warn {rate['warn']}, {then})")
