"""Suppression lists in and out, and recipient lists without those who must not be written to."""

import asyncio
import csv
import time
from functools import partial
from pathlib import Path

import click
from rich.progress import MofNCompleteColumn

from relay.cli.digesting import Defaults, Digester
from relay.cli.entries import (
    REASONS,
    address_of,
    by_option,
    event_id,
    is_in_force,
    json_option,
    moment_of,
    person,
    scope_of,
    stream_option,
)
from relay.cli.importing import Tally, count_new, import_rows
from relay.cli.lists import TOGETHER, Binding, Cleaned, Utf8, clean_rows, opened_faults, opened_source, shown_progress, written
from relay.cli.opening import open_all, ours
from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, option, say, warn
from relay.config import load_config
from relay.policy.suppressions.suppression import BINDS, ORGANISATION, Purpose, Reason
from relay.records.suppressed import imported_record
from relay.stores.formats import FORMATS, OWN_COLUMNS, own_row

_path = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
_file_path = click.Path(dir_okay=False, path_type=Path)
_file_argument = click.argument("file", type=_path)
_out_option = click.option("--out", type=_path, required=True, help="FILE, or - / 文件或 -")
_rejects_option = click.option("--rejects", type=_file_path, help="Write bad rows here / 将有误的行写入此文件")


@click.command("import")
@_file_argument
@click.option("--format", "name", type=click.Choice(["auto", *FORMATS]), default="auto", show_default=True)
@click.option("--reason", type=REASONS, help="Where the list does not say why / 名单未写明原因时使用")
@click.option("--at", metavar="TIME", help="Where the list does not say when; default: the file's time / 名单未写明时间时使用")
@stream_option
@_rejects_option
@click.option("--dry-run", is_flag=True, help="Count only / 只计数，不写入")
@by_option
@json_option
def import_(
    file: Path,
    name: str,
    reason: str | None,
    at: str | None,
    stream: str | None,
    rejects: Path | None,
    dry_run: bool,
    by: str,
    as_json: bool,
) -> None:
    """Bring in a list: our own, SES, SendGrid, Mailgun, Postmark, plain. Never lifts, never weakens / 导入名单."""
    known_at = moment_of(at, is_end=True) if at or not file.is_file() else file.stat().st_mtime
    zone = ours(load_config(option("config"))).zone
    defaults = Defaults(known_at, scope_of(stream), Reason(reason) if reason else None, zone, name)
    tally = asyncio.run(_import(file, defaults, rejects, dry_run, person(by)))
    if as_json:
        emit_json(tally.as_json())
    else:
        _tell_import(file, tally, dry_run)
    raise click.exceptions.Exit(FINDINGS if tally.rejected or not tally.rows + tally.left_out else OK)


async def _import(file: Path, defaults: Defaults, rejects: Path | None, dry_run: bool, by: str) -> Tally:
    now = time.time()
    tally = Tally()
    async with open_all(option("config")) as opened:
        opened.records.check()
        digester = Digester(opened.keys.addresses, opened.keys.records, defaults, now)
        write = partial(count_new, opened.store) if dry_run else opened.store.suppress_rows
        with opened_source(file, is_written=True) as source, opened_faults(rejects) as faults:
            try:
                await import_rows(digester, source, opened.config.data_path, tally, faults, write)
            finally:  # what an interrupted import has written is recorded too
                if tally.written and not dry_run:
                    origin = f"import:{','.join(sorted(tally.formats))}"
                    counts = {"rows": tally.written, "new": tally.new, "rejected": tally.rejected}
                    record = imported_record(event_id(now), now, origin=origin, file_sha256=source.sha256, by=by, **counts)
                    await opened.records.append(record)
        faults.show(file.name)
    return tally


def _tell_import(file: Path, tally: Tally, dry_run: bool) -> None:
    if not tally.rows + tally.left_out + tally.rejected:
        warn(f"{file}：没有找到任何行", f"{file}: no rows were found")
        return
    would_zh, would_en = ("将", "would be ") if dry_run else ("", "")
    formats = ", ".join(sorted(tally.formats))
    known = tally.rows - tally.new
    say(
        f"{file}（{formats}）：{tally.rows:,} 行，{would_zh}新增 {tally.new:,}，已有 {known:,}，"
        f"略过 {tally.left_out:,}，有误 {tally.rejected:,}",
        f"{file} ({formats}): {tally.rows:,} rows, {tally.new:,} {would_en}new, {known:,} known, "
        f"{tally.left_out:,} left out, {tally.rejected:,} bad",
    )
    for reason, number in tally.reasons.most_common():
        click.echo(f"{number:10,}  {reason}")


@click.command("export")
@_out_option
@click.option("--in-force", is_flag=True, help="Without lifted and expired ones / 不含已解除和已过期的")
def export(out: Path, in_force: bool) -> None:
    """Write the list as CSV that spreadsheets can open safely / 导出为 CSV."""
    number, nameless = asyncio.run(_export(out, in_force))
    warn(
        f"已导出 {number:,} 项，其中 {nameless:,} 项没有地址（仅有摘要）",
        f"{counted(number, 'entry', 'entries')} written, {nameless:,} of them without an address (a digest stands for it)",
    )


async def _export(out: Path, in_force: bool) -> tuple[int, int]:
    number = nameless = 0
    async with open_all(option("config")) as opened:
        fingerprints = opened.keys.addresses.fingerprints
        total = sum((await opened.store.count()).values()) if in_force else None
        with shown_progress(out.name, total, out, MofNCompleteColumn()) as advance, written(out) as file:
            file.write("\ufeff".encode())  # or Excel takes it for the local code page
            writer = csv.writer(Utf8(file))
            writer.writerow(OWN_COLUMNS)
            async for entry in opened.store.export():
                if not in_force or is_in_force(entry):
                    address = address_of(opened, entry)
                    writer.writerow(own_row(entry, address, fingerprints))
                    number, nameless = number + 1, nameless + (not address)
                    if number % TOGETHER == 0:
                        advance(TOGETHER)
            advance(number % TOGETHER)
    return number, nameless


@click.command("clean")
@_file_argument
@_out_option
@click.option("--purpose", type=click.Choice([p.value for p in Purpose]), default="marketing", show_default=True)
@click.option("--stream", metavar="NAME", help="Entries of this stream count too / 同时应用此邮件流的名单")
@click.option("--column", default="", help="The column with the addresses / 邮箱所在的列名")
@_rejects_option
@json_option
def clean(file: Path, out: Path, purpose: str, stream: str | None, column: str, rejects: Path | None, as_json: bool) -> None:
    """Copy a recipient list without suppressed and bad rows / 从收件人名单中去除禁发地址."""
    if out.exists() and file.exists() and out.samefile(file):
        fail(USAGE, "输出文件不能是输入文件", "the output must be another file than the input")
    scopes = (ORGANISATION, scope_of(stream)) if stream else (ORGANISATION,)
    tally = asyncio.run(_clean(file, out, Binding(scopes, BINDS[Purpose(purpose)]), column, rejects))
    kept = tally.rows - tally.suppressed
    if as_json and str(out) != "-":
        emit_json({"rows": tally.rows, "kept": kept, **{n: getattr(tally, n) for n in ("suppressed", "rejected", "guarded")}})
    else:
        warn(
            f"{tally.rows:,} 行，去除禁发 {tally.suppressed:,}，有误 {tally.rejected:,}，保留 {kept:,}",
            f"{tally.rows:,} rows: {kept:,} kept; left out: {tally.suppressed:,} suppressed, {tally.rejected:,} bad",
        )
    raise click.exceptions.Exit(FINDINGS if tally.rejected else OK)


async def _clean(file: Path, out: Path, binding: Binding, column: str, rejects: Path | None) -> Cleaned:
    async with open_all(option("config")) as opened:
        with opened_source(file, out) as source, opened_faults(rejects) as faults, written(out) as target:
            tally = await clean_rows(opened, source, binding, column, target, faults)
        faults.show(file.name)
    return tally
