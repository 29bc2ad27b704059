"""Consent lists in and out, and the options that say how a consent came about."""

import asyncio
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click
import orjson

from relay.cli.entries import by_option, event_id, json_option, moment_of, person
from relay.cli.lists import Faults, ListFile, Utf8, opened_faults, opened_source, written
from relay.cli.opening import Opened, open_all, ours
from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, option, say, warn
from relay.config import load_config
from relay.mail.mailbox import Mailbox, MailboxError, mask
from relay.policy.consents.consent import (
    ENDING,
    AgeBand,
    Basis,
    ConsentEvent,
    Details,
    EventKind,
    Source,
    Statement,
    answers_refusals,
    covers,
    is_ended,
)
from relay.policy.consents.residence import COUNTRIES, NO_COUNTRY, NO_COUNTRY_ZH
from relay.policy.suppressions.suppression import Digest, Reason, Suppression
from relay.records.consented import consents_record
from relay.records.consents import (
    MOST_EVENTS,
    Said,
    address_of,
    event_of,
    has_room,
    new_event,
    origin_of,
    refusal_of,
    says_the_same,
)
from relay.stores.consent_formats import OWN_COLUMNS, Defaults, Told, own_row, read_consents
from relay.stores.entries import row_of
from relay.stores.tables import Fault

_TOGETHER = 500
_ID_TAKEN = "id 该编号已用于此邮箱的另一事件，请换一个", "id names another event of this mailbox already; give it one of its own"
_FULL = f"此邮箱已有 {MOST_EVENTS} 个事件", f"the ledger has {MOST_EVENTS} events of this mailbox already"
_path = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


# Options -------------------------------------------------------------------------------------------------------------


def _choice(kind: Any) -> click.ParamType[Any]:
    return click.Choice([one.value for one in kind])


def _country(_: click.Context, __: click.Parameter, code: str | None) -> str:
    folded = (code or "").upper()
    if folded and folded not in COUNTRIES:
        fail(USAGE, f"--country：“{code}”{NO_COUNTRY_ZH}", f'--country: "{code}" {NO_COUNTRY}')
    return folded


_OPTIONS = (
    click.option("--basis", type=_choice(Basis), default="explicit", show_default=True, help="On what ground / 依据"),
    click.option("--source", type=_choice(Source), help="Where the address comes from / 地址来源"),
    click.option("--source-ref", default="", help="The form, page or document / 表单、网页或文件编号"),
    click.option("--method", default="", help="checkbox, signature, spoken ... / 方式"),
    click.option("--notice-version", default="", help="The privacy notice they were shown / 隐私政策版本"),
    click.option("--language", default="", help="Of the words agreed to / 同意文本的语言"),
    click.option("--controller", default="", help="Whom they agreed with / 告知的发件单位名称"),
    click.option("--statement", "statements", type=_choice(Statement), multiple=True, help="What you vouch for / 您担保的事实"),
    click.option("--age-band", type=_choice(AgeBand), help="How old they are / 年龄段"),
    click.option("--country", callback=_country, metavar="CODE", help="Where they are: KR, DE ... / 所在国家代码"),
    click.option("--relation-at", metavar="TIME", help="Of the purchase, end of contract or inquiry / 购买、合同终止或询价日期"),
    click.option("--expires-at", metavar="TIME", help="When the consent ends by itself / 同意的截止时间"),
    click.option("--ip", default="", help="Where it was given from; kept sealed / 给出同意的 IP，密封保存"),
    click.option("--user-agent", default="", help="With what; kept sealed / 浏览器，密封保存"),
    click.option("--signer", default="", help="Who signed; kept sealed / 签署人，密封保存"),
)


def consent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets `said`, a function of event, purpose, time, evidence and who records it."""

    @wraps(command)
    def with_said(
        *, basis: str, statements: Sequence[str], relation_at: str | None, expires_at: str | None, ip: str, user_agent: str,
        signer: str, source: str | None, source_ref: str, method: str, notice_version: str, language: str, controller: str,
        age_band: str | None, country: str, **others: Any,
    ) -> Any:  # fmt: skip
        details = Details(
            source or "", source_ref, method, notice_version, "", language, controller, tuple(sorted(set(statements))),
            age_band or "",
            moment_of(relation_at) if relation_at else None,
            moment_of(expires_at, ahead=True, is_end=True) if expires_at else None,
            country=country,
        )  # fmt: skip
        origin = {name: value for name, value in (("ip", ip), ("user_agent", user_agent), ("signer", signer)) if value}

        def said(event: str, purpose: str, at: float, evidence: str, by: str) -> Said:
            return Said(event, purpose, basis, at, evidence, by, details, origin)

        return command(said=said, **others)

    for one in reversed(_OPTIONS):
        with_said = one(with_said)
    return with_said


# Import --------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What became of the rows."""

    rows: int = 0
    new: int = 0
    rejected: int = 0
    refused: int = 0  # mailboxes that are suppressed because of the file
    events: dict[str, int] = field(default_factory=dict)

    def add(self, events: Sequence[ConsentEvent], new: int) -> None:
        self.rows += len(events)
        self.new += new
        for event in events:
            self.events[event.event] = self.events.get(event.event, 0) + 1


@click.command("import")
@click.argument("file", type=_path)
@click.option("--to", "purpose", default="", metavar="PURPOSE", help="Where the list does not say / 名单未写明用途时使用")
@click.option("--event", type=_choice(EventKind), default="granted", show_default=True, help="Where the list does not say")
@click.option("--evidence", default="", help="Where the list does not say / 名单未写明证据时使用")
@click.option("--at", metavar="TIME", help="Where the list does not say when / 名单未写明时间时使用")
@consent_options
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Write bad rows here / 将有误的行写入此文件")
@click.option("--dry-run", is_flag=True, help="Count only / 只计数，不写入")
@by_option
@json_option
def import_(
    file: Path,
    purpose: str,
    event: str,
    evidence: str,
    at: str | None,
    said: Callable[[str, str, float, str, str], Said],
    rejects: Path | None,
    dry_run: bool,
    by: str,
    as_json: bool,
) -> None:
    """Bring in a list of consents and withdrawals: our own export, or any table with such columns / 导入同意名单.

    The order does not matter: a withdrawal ends what was given before it, and what is given after it is a consent again.
    Who withdrew marketing and did not agree again later is suppressed / 与行的先后无关：撤回使此前的同意失效；
    撤回营销且其后本人没有再同意的，列入禁发名单。
    """
    is_end = EventKind(event) in ENDING
    told = said(event, purpose, moment_of(at, is_end=is_end) if at else 0.0, evidence, person(by))
    zone = ours(load_config(option("config"))).zone
    defaults = Defaults(zone, event, purpose, told.basis, told.at if at else None, evidence, told.details)
    tally = asyncio.run(_import(file, defaults, told, rejects, dry_run))
    if as_json:
        emit_json(vars(tally))
    else:
        _tell(file, tally, dry_run)
    raise click.exceptions.Exit(FINDINGS if tally.rejected or not tally.rows else OK)


async def _import(file: Path, defaults: Defaults, told: Said, rejects: Path | None, dry_run: bool) -> Tally:
    now, tally = time.time(), Tally()
    async with open_all(option("config")) as opened:
        opened.records.check()
        with (
            opened_source(file) as source, opened_faults(rejects) as faults,
            TemporaryFile(dir=opened.config.data_path) as ends,
        ):  # fmt: skip
            try:
                for batch in _batches(opened, source, defaults, told, now, faults):
                    known = await opened.store.consents([_generations(opened, event) for _, event in batch])
                    events, new = _sorted_out(batch, known, faults)
                    tally.add(events, len(new) if dry_run else await opened.store.record_consents(new))
                    _set_aside(opened, ends, events)
                if not dry_run:
                    tally.refused = await _suppress(opened, ends)
            finally:  # what an interrupted import has written is recorded too
                tally.rejected = faults.count
                if tally.rows and not dry_run:
                    counts = {"rows": tally.rows, "new": tally.new, "refused": tally.refused, "rejected": tally.rejected}
                    record = consents_record(event_id(now), now, file_sha256=source.sha256, by=told.by, **counts)
                    await opened.records.append(record)
        faults.show(file.name)
    return tally


def _generations(opened: Opened, event: ConsentEvent) -> Sequence[Digest]:
    """Under which digests the ledger may have the mailbox."""
    address = address_of(opened.keys, event)
    return opened.keys.addresses.digests(address) if address else (event.digest,)


def _sorted_out(
    batch: Sequence[tuple[int, ConsentEvent]], known: Sequence[Sequence[ConsentEvent]], faults: Faults
) -> tuple[list[ConsentEvent], list[ConsentEvent]]:
    """The events of the rows that can be believed, and those of them that are new."""
    told: list[ConsentEvent] = []
    new: dict[Digest, list[ConsentEvent]] = {}
    for (line, event), recorded in zip(batch, known, strict=True):
        events = [*recorded, *new.get(event.digest, ())]
        named = next((one for one in events if one.id == event.id), None)
        if named is not None and not says_the_same(named, event):
            faults.add(Fault(line, event.id, *_ID_TAKEN))
        elif named is None and not has_room(events, event):
            faults.add(Fault(line, event.id, *_FULL))
        else:
            told.append(event)
            if named is None:
                new.setdefault(event.digest, []).append(event)
    return told, [event for events in new.values() for event in events]


def _batches(
    opened: Opened, source: ListFile, defaults: Defaults, told: Said, now: float, faults: Faults
) -> Iterator[list[tuple[int, ConsentEvent]]]:
    batch: list[tuple[int, ConsentEvent]] = []
    for row in read_consents(source, defaults):
        event = row if isinstance(row, Fault) else _event(opened, row, told, now)
        if isinstance(event, Fault):
            faults.add(event)
            continue
        batch.append((row.line, event))
        if len(batch) == _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _event(opened: Opened, row: Told, told: Said, now: float) -> ConsentEvent | Fault:
    is_end = row.event in ENDING
    if row.at > now and not is_end:  # an end binds now, whatever the clock of whoever wrote it says
        return Fault(row.line, row.address, "时间还没有到", "its time has not come yet")
    if (row.details.relation_at or 0.0) > now:
        return Fault(
            row.line,
            row.address,
            "relation_at 还没有到，请填写已发生的日期",
            "relation_at has not come yet; name a day that is past",
        )
    said = Said(
        row.event,
        row.purpose,
        row.basis,
        min(row.at, now),
        row.evidence,
        row.by or told.by,
        row.details,
        {**told.origin, **row.origin},
    )
    recorded = row.recorded_at if row.id and row.recorded_at is not None else now
    try:
        return new_event(opened.keys, Mailbox.parse(row.address), said, recorded, row.id)
    except MailboxError as error:
        if row.digest and row.keys & opened.keys.addresses.fingerprints:
            return event_of(opened.keys, row.digest, b"", said, recorded, row.id)
        return Fault(row.line, row.address[:200], f"不是有效的邮箱地址（{error}）", str(error))


def _set_aside(opened: Opened, file: IO[bytes], events: Sequence[ConsentEvent]) -> None:
    """Who withdrew what, on the disk until the whole list is in the ledger."""
    for event in events:
        refusal = refusal_of(event, "import:consents")
        if refusal is not None:
            fields = [refusal.digest.hex(), refusal.scope, refusal.reason.value, refusal.at, refusal.sealed.hex(), refusal.note]
            generations = [digest.hex() for digest in _generations(opened, event)]
            file.write(orjson.dumps([*fields, event.purpose, generations]) + b"\n")


async def _suppress(opened: Opened, file: IO[bytes]) -> int:
    """Suppress those who did not agree again later; how many are new."""
    file.seek(0)
    new, together = 0, []
    for line in file:
        together.append(orjson.loads(line))
        if len(together) == _TOGETHER:
            new, together = new + await _suppress_some(opened, together), []
    return new + await _suppress_some(opened, together)


async def _suppress_some(opened: Opened, ends: Sequence[Sequence[Any]]) -> int:
    agreed = await opened.store.consents([[bytes.fromhex(digest) for digest in end[-1]] for end in ends])
    entries = []
    for (digest, scope, reason, at, sealed, note, purpose, _), events in zip(ends, agreed, strict=True):
        grants = (event for event in events if answers_refusals(event) and covers(event.purpose, purpose))
        if all(is_ended(grant, purpose, events) for grant in grants):
            entries.append(
                Suppression(bytes.fromhex(digest), scope, Reason(reason), "import:consents", at, bytes.fromhex(sealed), note)
            )
    return await opened.store.suppress_rows([row_of(entry) for entry in entries])


def _tell(file: Path, tally: Tally, dry_run: bool) -> None:
    if not tally.rows + tally.rejected:
        warn(f"{file}：没有找到任何行", f"{file}: no rows were found")
        return
    would_zh, would_en = ("将", "would be ") if dry_run else ("", "")
    known = tally.rows - tally.new
    say(
        f"{file}：{tally.rows:,} 行，{would_zh}新增 {tally.new:,}，已有 {known:,}，有误 {tally.rejected:,}",
        f"{file}: {tally.rows:,} rows, {tally.new:,} {would_en}new, {known:,} known, {tally.rejected:,} bad",
    )
    for name, number in sorted(tally.events.items()):
        click.echo(f"{number:10,}  {name}")
    if tally.refused:
        say(f"因撤回列入禁发名单：{tally.refused:,}", f"suppressed because they withdrew: {tally.refused:,}")


# Export --------------------------------------------------------------------------------------------------------------


@click.command("export")
@click.option("--out", type=_path, required=True, help="FILE, or - / 文件或 -")
@click.option("--addresses", is_flag=True, help="Whole addresses and origins, else masked / 写出完整地址与来源，默认隐去")
def export(out: Path, addresses: bool) -> None:
    """Write the ledger as CSV that spreadsheets can open safely; `relay consent import` reads it / 导出为 CSV."""
    number = asyncio.run(_export(out, whole=addresses))
    warn(f"已导出 {number:,} 条", f"{counted(number, 'event')} written")


async def _export(out: Path, *, whole: bool) -> int:
    number = 0
    async with open_all(option("config")) as opened:
        fingerprints = opened.keys.addresses.fingerprints
        with written(out) as file:
            file.write("\ufeff".encode())  # or Excel takes it for the local code page
            writer = csv.writer(Utf8(file))
            writer.writerow(OWN_COLUMNS)
            async for event in opened.store.export_consents():
                address = address_of(opened.keys, event)
                if whole:
                    row = own_row(event, fingerprints, {"address": address, **origin_of(opened.keys, event)})
                else:
                    row = own_row(event, fingerprints, {"masked": mask(address) if address else ""})
                writer.writerow(row)
                number += 1
    return number
