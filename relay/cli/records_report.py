"""`relay records report`: a month on one page, and as a table for spreadsheets."""

import os
import re
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

import click
from rich.progress import Progress

from relay.cli.opening import Ours, ours, reading
from relay.cli.output import FINDINGS, counted, emit_json, fail, language, named, option, require_folder, say, text
from relay.config import Config, load_config
from relay.errors import ConfigurationError
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.difference import difference
from relay.records.kinds import Kind
from relay.records.monthly.counts import Event, Month, month_bounds
from relay.records.monthly.relaxations import reigns, relaxations
from relay.records.monthly.report import page, spreadsheet
from relay.records.monthly.view import Applied, Material, View
from relay.records.reading import Reader
from relay.records.search import Query, found_by_id, search, verify
from relay.records.timeliness import effects_between
from relay.service.policies import PolicyArchive

Kept = Callable[[str], PolicySet | None]
_FIRST_YEAR = 2000


@click.command("report")
@click.option("--month", required=True, metavar="YYYY-MM", help="In the organisation's time zone / 按单位所在时区")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=".",
    metavar="DIR|FILE",
    help="A folder, or FILE.html; the CSV goes beside it / 目录或 FILE.html，CSV 放在旁边",
)
@click.option("--json", "as_json", is_flag=True)
def report(month: str, out: Path, as_json: bool) -> None:
    """Add up a month: outcomes, refusals, bounces, policy changes, relaxed rules; HTML and CSV / 月度报告."""
    config = load_config(option("config"))
    we, now = ours(config), time.time()
    since, until = _bounds(month, we.zone, now)
    html, csv = _targets(out, month)
    with reading(config) as reader, Progress(disable=as_json or not os.isatty(2), transient=True) as progress:
        material = _material(config, reader, progress, (month, we, since, until, now))
    view = View(material, language())
    for path, octets in ((html, page(view)), (csv, spreadsheet(view))):
        _put(path, octets)
    number = material.counts.records.total()
    if as_json:
        emit_json({"html": str(html), "csv": str(csv), "records": number, "intact": view.is_sound})
    else:
        say(f"已写入 {html} 和 {csv}：{number:,} 条记录。", f"Wrote {html} and {csv}: {counted(number, 'record')}.")
    if broken := material.verdict.broken:
        fail(
            FINDINGS,
            f"第 {broken.seq} 条记录有问题：{broken.why}；报告中已注明",
            f"Record {broken.seq} is broken: {broken.why}; the report says so",
        )


def _put(path: Path, octets: bytes) -> None:
    """Write a file whole or not at all, in place of the one of an earlier run."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with named(path):
            partial.write_bytes(octets)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _bounds(month: str, zone: tzinfo, now: float) -> tuple[float, float]:
    """When the month begins and ends. Raises click.BadParameter."""
    current = datetime.fromtimestamp(now, zone)
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", month, re.ASCII)
    if not found or int(found[1]) < _FIRST_YEAR:
        raise click.BadParameter(
            text(f"--month：请写年和月，如 {current:%Y-%m}", f"--month: write year and month, as {current:%Y-%m}")
        )
    wanted = int(found[1]), int(found[2])
    if wanted > (current.year, current.month):
        raise click.BadParameter(
            text(
                f"--month：{month} 还没有开始，最近的是 {current:%Y-%m}",
                f"--month: {month} has not begun; the latest is {current:%Y-%m}",
            )
        )
    return month_bounds(*wanted, zone)


def _targets(out: Path, month: str) -> tuple[Path, Path]:
    """The files to write. Raises click.BadParameter."""
    if out.suffix.lower() in (".html", ".csv") and not out.is_dir():
        require_folder(out)
        return out.with_suffix(".html"), out.with_suffix(".csv")
    if not out.is_dir() and (out.exists() or out.suffix):
        raise click.BadParameter(
            text(
                f"--out：{out} 不是目录；请写已有的目录，或以 .html 结尾的文件名",
                f"--out: {out} is no folder; name one, or a file that ends in .html",
            )
        )
    out.mkdir(parents=True, exist_ok=True)
    name = f"relay-report-{month}.{language()}"
    return out / f"{name}.html", out / f"{name}.csv"


def _material(config: Config, reader: Reader, progress: Progress, period: tuple[str, Ours, float, float, float]) -> Material:
    month, (zone, legal_name), since, until, now = period
    task = progress.add_task(text("核验", "Verifying"), total=None)
    verdict = verify(reader, lambda done, total: progress.update(task, completed=done, total=total))
    progress.update(task, description=text("统计", "Counting"), completed=0)
    counts = Month(zone)
    for entry in search(reader, Query(since=since, until=until)):
        counts.add(entry.record, entry.seq)
        if not counts.records.total() % 1000:
            progress.update(task, completed=counts.records.total())
    archive = PolicyArchive(config.data_path)
    kept = _kept(archive)
    held = reigns(archive.history(), since, min(until, now), kept)
    return Material(
        month=month, zone=zone, since=since, until=until, made_at=now, hostname=config.hostname,
        chain=reader.chain, verdict=verdict, counts=counts, unfinished=_unfinished(reader, counts),
        effects=effects_between(reader, since, until),
        applied=[_applied(event, kept) for event in counts.events if event.kind is Kind.POLICY],
        held=held, relaxed=relaxations(held, zone), legal_name=legal_name,
    )  # fmt: skip


def _unfinished(reader: Reader, counts: Month) -> int:
    """Messages whose outcome is on record nowhere; one that was finished in the next month belongs there."""
    return sum(all(record.kind is not Kind.FINISHED for record in found_by_id(reader, one)) for one in counts.open)


def _kept(archive: PolicyArchive) -> Kept:
    """Policy sets by hash, None for one that was lost or altered."""

    def load(name: str) -> PolicySet | None:
        try:
            return archive.load(name)
        except ConfigurationError:
            return None

    return load


def _applied(event: Event, kept: Kept) -> Applied:
    facts = event.facts
    new, old = kept(facts["policy"]), kept(facts["previous"]) if facts["previous"] else None
    is_known = new is not None and (old is not None or not facts["previous"])
    changes = difference(old, new) if new is not None and is_known else None
    return Applied(event.at, facts["by"], facts["reason"], facts["policy"], facts["laxer"], changes)
