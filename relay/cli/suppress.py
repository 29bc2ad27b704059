"""`relay suppress`: look at the suppression list, add to it, bring lists in, take it out, lift with a reason."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from relay.cli.entries import (
    REASONS,
    as_row,
    by_option,
    event_id,
    is_in_force,
    json_option,
    line_of,
    mailbox_of,
    moment_of,
    person,
    scope_of,
    seconds_of,
    stream_option,
)
from relay.cli.opening import Opened, open_all
from relay.cli.output import FINDINGS, OK, USAGE, emit_json, fail, option, say, warn
from relay.cli.suppress_lists import clean, export, import_
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import ConsentEvent, EventKind, purpose_of
from relay.policy.suppressions.suppression import REFUSALS, Reason, Suppression
from relay.records.chain import ASSOCIATED
from relay.records.journal import replay, with_applied
from relay.records.suppressed import lifted_record, suppressed_record
from relay.stores.entries import gravest_first

Rows = list[dict[str, Any]]


@click.group("suppress")
def suppress() -> None:
    """The suppression list: who must not be written to / 禁发名单."""


for command in (import_, export, clean):
    suppress.add_command(command)


@dataclass(frozen=True)
class _Asked:
    """Which entries a person asked for."""

    reason: str | None
    scope: str | None

    def is_meant(self, entry: Suppression) -> bool:
        return (self.reason or entry.reason) == entry.reason and (self.scope or entry.scope) == entry.scope


# Looking -------------------------------------------------------------------------------------------------------------


@suppress.command("list")
@click.option("--reason", type=REASONS)
@stream_option
@click.option("--all", "is_all", is_flag=True, help="Lifted and expired ones too / 包括已解除和已过期的")
@click.option("--limit", default=100, show_default=True, help="Rows shown; 0 = all / 最多显示行数")
@json_option
def list_(reason: str | None, stream: str | None, is_all: bool, limit: int, as_json: bool) -> None:
    """Show entries, and how many there are by reason / 显示名单及各原因的数量."""
    asked = _Asked(reason, scope_of(stream) if stream else None)
    counts, shown = asyncio.run(_list(asked, is_all, limit))
    if as_json:
        emit_json({"counts": [{"reason": r, "scope": s, "count": n} for (r, s), n in sorted(counts.items())], "entries": shown})
        return
    for (why, where), number in sorted(counts.items()):
        click.echo(f"{number:10,}  {why:12}  {where}")
    for row in shown:
        click.echo(line_of(row))
    if limit and len(shown) == limit:
        warn(f"（仅显示前 {limit} 行，--limit 0 显示全部）", f"(the first {limit} are shown; --limit 0 shows all)")


async def _list(asked: _Asked, is_all: bool, limit: int) -> tuple[dict[tuple[str, str], int], Rows]:
    shown: Rows = []
    async with open_all(option("config")) as opened:
        counts = await opened.store.count()
        async for entry in opened.store.export():
            if asked.is_meant(entry) and (is_all or is_in_force(entry)):
                shown.append(as_row(opened, entry))
                if len(shown) == limit:
                    break
    return counts, shown


@suppress.command("check")
@click.argument("addresses", nargs=-1, required=True)
@click.option("--history", is_flag=True, help="Lifted and expired ones too / 包括历史记录")
@json_option
def check(addresses: Sequence[str], history: bool, as_json: bool) -> None:
    """Is mail to these ADDRESSES stopped, by what, for which mail? Exit code 1 when one is / 查询地址是否禁发."""
    found = asyncio.run(_check([mailbox_of(address) for address in addresses], history))
    if as_json:
        emit_json(found)
    else:
        _show_found(found)
    is_stopped = any(row["in_force"] for rows in found.values() for row in rows)
    raise click.exceptions.Exit(FINDINGS if is_stopped else OK)


def _show_found(found: dict[str, Rows]) -> None:
    for address, rows in found.items():
        if not rows:
            say(f"{address}：不在名单上", f"{address}: not on the list")
        for row in rows:
            click.echo(line_of(row))


async def _check(mailboxes: Sequence[Mailbox], history: bool) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    async with open_all(option("config")) as opened:
        for mailbox in mailboxes:
            digests = opened.keys.addresses.digests(mailbox.key)
            journalled = opened.records.pending(digests)
            entries, _ = await opened.store.history(digests)
            shown = [entry for entry in entries if history or is_in_force(entry)]
            found[mailbox.wire] = [as_row(opened, entry, mailbox.wire) for entry in gravest_first((*shown, *journalled))]
    return found


# Adding --------------------------------------------------------------------------------------------------------------


@suppress.command("add")
@click.argument("addresses", nargs=-1, required=True)
@click.option("--reason", type=REASONS, required=True)
@stream_option
@click.option("--note", default="", help="What to remember of it / 备注")
@click.option("--expires", metavar="180d", help="hard_bounce only: asked again after that / 仅用于 hard_bounce")
@by_option
@json_option
def add(
    addresses: Sequence[str], reason: str, stream: str | None, note: str, expires: str | None, by: str, as_json: bool
) -> None:
    """Put ADDRESSES on the list / 将地址列入名单."""
    if expires and reason != Reason.HARD_BOUNCE:
        fail(USAGE, "只有 hard_bounce 可以过期", "only a hard_bounce may expire")
    mailboxes = [mailbox_of(address) for address in addresses]
    added = asyncio.run(_add(mailboxes, Reason(reason), scope_of(stream), note, seconds_of(expires), person(by)))
    if as_json:
        emit_json(added)
        return
    for address, is_new in added.items():
        if is_new:
            say(f"{address}：已列入名单", f"{address}: put on the list")
        else:
            say(f"{address}：名单上已有此项", f"{address}: on the list already")


async def _add(
    mailboxes: Sequence[Mailbox], reason: Reason, scope: str, note: str, seconds: float | None, by: str
) -> dict[str, bool]:
    added: dict[str, bool] = {}
    async with open_all(option("config")) as opened:
        opened.records.check()
        for mailbox in mailboxes:
            now = time.time()
            digests = opened.keys.addresses.digests(mailbox.key)
            sealed = opened.keys.records.seal(mailbox.key.encode(), ASSOCIATED)
            (there,) = await opened.store.find([digests])
            known = [entry.digest for entry in there if (entry.scope, entry.reason) == (scope, reason)]
            digest = (known or digests)[0]  # what is in force stays in force, and remembers that it was said again
            entry = Suppression(digest, scope, reason, "cli", now, sealed, note, now + seconds if seconds else None)
            added[mailbox.wire] = await opened.store.suppress(entry)
            if added[mailbox.wire]:
                record = suppressed_record(event_id(entry.at), entry.at, entry, by)
                await opened.records.append_many(await with_applied(record, entry, opened.store, time.time))
    return added


# Lifting -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Word:
    """On whose word an entry is lifted: the person's later consent for a refusal, an admin's reason for anything else."""

    consent: str
    said_at: float
    why: str
    by: str

    def allows(self, entry: Suppression) -> bool:
        if entry.reason in REFUSALS:
            return bool(self.consent) and self.said_at > entry.last_at
        return bool(self.why)


@suppress.command("lift")
@click.argument("address")
@click.option(
    "--consent",
    default="",
    help="A refusal: how, when, where they consented; they can read it / 同意的方式、时间、地点，收件人可见",
)
@click.option("--at", metavar="TIME", help="When the person said so; later than the refusal; default: now / 同意的时间，默认此刻")
@click.option("--reason", "why", default="", help="hard_bounce, manual, manual_all: why / 解除原因")
@click.option("--only", type=REASONS, help="Lift only this reason / 仅解除此原因")
@stream_option
@by_option
@json_option
def lift(
    address: str, consent: str, at: str | None, why: str, only: str | None, stream: str | None, by: str, as_json: bool
) -> None:
    """Lift what stops mail to ADDRESS: a refusal with --consent, anything else with --reason / 解除禁发.

    Refusals that still wait on this node count before anything is lifted. One that waits on another node, because the
    store was away there, is heard later: said after the consent, it is in force again / 解除前会先计入本节点尚未写入存储的拒绝；
    其他节点上尚未写入的拒绝稍后才计入，若晚于同意的时间，将重新生效。
    """
    mailbox, word = mailbox_of(address), _Word(consent.strip(), moment_of(at), why.strip(), person(by))
    lifted, left = asyncio.run(_lift(mailbox, _Asked(only, scope_of(stream) if stream else None), word))
    if as_json:
        emit_json({"lifted": lifted, "left": left})
    else:
        for row in lifted:
            say(f"已解除：{row['reason']}（{row['scope']}）", f"lifted: {row['reason']} ({row['scope']})")
    for row in left:
        _tell_left(row, word)
    if not lifted and not left:
        warn(f"{address}：名单上没有可解除的记录", f"{address}: nothing on the list to lift")
    raise click.exceptions.Exit(OK if lifted and not left else USAGE if left and not lifted else FINDINGS)


async def _lift(mailbox: Mailbox, asked: _Asked, word: _Word) -> tuple[Rows, Rows]:
    """What was lifted, and what was left in force for want of a word."""
    lifted: Rows = []
    left: Rows = []
    async with open_all(option("config")) as opened:
        opened.records.check()
        await replay(opened.records, opened.store, time.time)  # the store must know what the person said last
        (there,) = await opened.store.find([opened.keys.addresses.digests(mailbox.key)])
        for entry in filter(asked.is_meant, there):
            if not word.allows(entry):
                left.append(as_row(opened, entry, mailbox.wire))
                continue
            try:
                if await _lift_one(opened, mailbox, entry, word):
                    lifted.append(as_row(opened, entry, mailbox.wire))
            except ValueError:  # the person refused again since the store was asked
                left.append(as_row(opened, replace(entry, again_at=time.time()), mailbox.wire))
    return lifted, left


async def _lift_one(opened: Opened, mailbox: Mailbox, entry: Suppression, word: _Word) -> bool:
    now = time.time()
    digests = opened.keys.addresses.digests(mailbox.key)
    sealed = opened.keys.records.seal(mailbox.key.encode(), ASSOCIATED)
    consent = None
    if entry.reason in REFUSALS:
        said = EventKind.GRANTED.value, word.said_at, now, word.consent, word.by, purpose_of(entry.scope)
        consent = ConsentEvent(event_id(now), digests[0], sealed, *said)
    if not await opened.store.lift(digests, entry.scope, entry.reason, consent, word.why):
        return False
    record = lifted_record(
        event_id(now),
        now,
        digest=digests[0],
        sealed=sealed,
        scope=entry.scope,
        reason=entry.reason,
        by=word.by,
        consent=consent,
        note=word.why,
    )
    await opened.records.append(record)
    return True


def _tell_left(row: dict[str, Any], word: _Word) -> None:
    reason, since = row["reason"], row["again_at"] or row["at"]
    if reason not in REFUSALS:
        warn(f"{reason}：请用 --reason 写明解除原因", f"{reason}: say why with --reason")
    elif word.consent:
        warn(
            f"{reason}：同意的时间（--at）必须晚于拒绝的时间 {since}",
            f"{reason}: the consent (--at) must be later than the refusal of {since}",
        )
    else:
        warn(
            f'{reason}：这是收件人的拒绝，须有其后的同意：--consent "方式、时间、地点"',
            f'{reason}: the recipient refused; only a later consent lifts it: --consent "how, when, where"',
        )
