"""`relay policy` and `relay schema`: put a policy set in force, say what it means, help editors."""

import asyncio
import os
import time
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import click
import orjson

from relay.cli.entries import by_option, person
from relay.cli.findings import Findings
from relay.cli.inspection import unknown_country
from relay.cli.opening import refuse_foreign_root
from relay.cli.output import FINDINGS, USAGE, emit_json, fail, language, option, say, warn
from relay.cli.policy_diff import diff, show_changes
from relay.cli.policy_replay import replay_command
from relay.cli.policy_test import test
from relay.cli.standing import look_at_packs
from relay.config import Config, load_config
from relay.policy.consents.moment import day_of, parse_moment
from relay.policy.telling.schema import KINDS
from relay.policy.telling.schema import schema as schema_of
from relay.policy.telling.show import examples_left, show
from relay.records.append import Records
from relay.records.kinds import Record
from relay.service.applying import Applied, Applying
from relay.service.policies import PolicyArchive, read_folder, unknown_countries
from relay.stores.opening import load_or_create_keys
from relay.upstream.profile import load_profiles


@click.group("policy")
def policy() -> None:
    """Policy sets: apply, show, test, compare, replay / 策略：应用、查看、测试、比较、重判."""


policy.add_command(test)
policy.add_command(diff)
policy.add_command(replay_command)


@policy.command("apply")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; kept in the records / 修改原因（写入记录）")
@by_option
@click.option("--json", "as_json", is_flag=True)
def apply(folder: Path, reason: str, by: str, as_json: bool) -> None:
    """Validate the FOLDER, run its tests, say what changes, put it in force whole, record it / 校验、测试、整体生效并记录."""
    if not reason.strip():
        fail(USAGE, "请用 --reason 写明原因", "say why with --reason")
    config = load_config(option("config"))
    refuse_foreign_root(config.data_path)
    archive, profiles = PolicyArchive(config.data_path), load_profiles()
    applying = Applying(config, profiles, archive, partial(_record, config), clock=time.time, entropy=os.urandom)
    applied = asyncio.run(applying.apply(read_folder(folder), by=person(by), reason=reason.strip()))
    if fault := applied.uncompared:
        warn(f"无法与原策略比较：{fault}", f"The set in force cannot be compared with: {fault}")
    if as_json:
        changes = [asdict(change) for change in applied.changes]
        emit_json({"hash": applied.policy.hash, "before": applied.before, "cases": applied.cases, "changes": changes})
    else:
        _tell(folder, config, applied)


@policy.command("show")
@click.option("--at", "at", metavar="DATE", help="What was in force on a day (its end) or at a moment / 某日或某时刻生效的策略")
@click.option("--json", "as_json", is_flag=True)
def show_policy(at: str | None, as_json: bool) -> None:
    """Say the policy in sentences: enforced, relaxed, not checked / 用文字说明策略."""
    archive = PolicyArchive(load_config(option("config")).data_path)
    now = time.time()
    asked = now if at is None else _moment(at, archive)
    switch = archive.in_force_at(min(now, asked))
    if switch is None:
        fail(FINDINGS, "当时没有生效的策略", "no policy set was in force then")
    shown = archive.load(switch.hash)
    sections = show(shown, day_of(asked, shown.zone))
    if as_json:
        emit_json({"switch": asdict(switch), "sections": [asdict(section) for section in sections]})
        return
    since = datetime.fromtimestamp(switch.at, shown.zone).isoformat(" ", "seconds")
    say(
        f"策略 {switch.hash}，自 {since} 起生效，由 {switch.by} 应用：{switch.reason}",
        f"Policy set {switch.hash}, in force since {since}, by {switch.by}: {switch.reason}",
    )
    for section in sections:
        click.secho(f"\n{getattr(section.head, language())}", bold=True)
        for sentence in section.sentences:
            click.echo(f"  - {getattr(sentence, language())}")
        if not section.sentences:
            say("  （无）", "  (nothing)")


@click.command("schema")
@click.argument("kind", type=click.Choice(sorted(KINDS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of policy file, for editors / 输出策略文件的 JSON Schema，供编辑器使用."""
    click.echo(orjson.dumps(schema_of(kind), option=orjson.OPT_INDENT_2).decode())


async def _record(config: Config, record: Record) -> None:
    keys = load_or_create_keys(config, date.today())  # noqa: DTZ011 - a date for people
    records = Records.open(config.data_path / "records.db", keys, config.records.min_free, time.time)
    try:
        await records.append(record)
    finally:
        await records.aclose()


def _tell(folder: Path, config: Config, applied: Applied) -> None:
    new, changes = applied.policy, applied.changes
    if applied.before == new.hash:
        say(f"策略 {new.hash} 已经生效，没有变化。", f"Policy set {new.hash} is in force already; nothing changed.")
        return
    show_changes(changes)
    laxer = sum(change.laxer for change in changes)
    say(
        f"策略 {new.hash} 已生效：{len(changes)} 处变化，其中 {laxer} 处放宽；{applied.cases} 个用例全部符合。",
        f"Policy set {new.hash} is in force. Changes: {len(changes)}, laxer: {laxer}. Cases that hold: {applied.cases}.",
    )
    if folder.resolve() != config.policies_path.resolve():
        warn(
            f"注意：服务启动或收到 SIGHUP 时会应用 {config.policies_path}；请把修改也放到那里。",
            f"Note: at its start and on SIGHUP the relay applies {config.policies_path}; put your changes there too.",
        )
    for name, packs in unknown_countries(new, config, load_profiles()).items():
        warn(*unknown_country(name, packs))
    findings = Findings()
    look_at_packs(new, findings)
    for both in (*findings.faults, *findings.to_do):
        warn(*both)
    for place in examples_left(new):
        warn(f"尚待填写：{place}", f"Still to fill in: {place}")


def _moment(at: str, archive: PolicyArchive) -> float:
    """A day means its end, in the time zone of the set in force now."""
    current = archive.in_force()
    moment = parse_moment(at, archive.load(current).zone if current else UTC, is_end=True)
    if moment is None:
        fail(USAGE, f"“{at}”不是日期，如 2027-03-31", f'"{at}" is not a date such as 2027-03-31')
    return moment
