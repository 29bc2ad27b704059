"""`relay policy diff`: what changes from one policy set to another, before or after it came into force."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from relay.cli.output import FINDINGS, OK, USAGE, emit_json, fail, option, say, text
from relay.config import load_config
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.difference import Change, difference
from relay.service.policies import PolicyArchive, read_folder

IN_FORCE = "in-force"


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True)
def diff(old: str, new: str, as_json: bool) -> None:
    """What changes from OLD to NEW: folders, hashes, or in-force; exit 1 where something is laxer / 比较两套策略."""
    changes = difference(named_set(old), named_set(new))
    if as_json:
        emit_json([asdict(change) for change in changes])
    else:
        show_changes(changes)
        say(*_sum(changes))
    raise click.exceptions.Exit(FINDINGS if any(change.laxer for change in changes) else OK)


def named_set(name: str) -> PolicySet:
    """The set in a folder, the kept one whose hash begins so, or the one in force. Raises ConfigurationError."""
    if Path(name).is_dir():
        return parse_policies(read_folder(Path(name)))
    archive = PolicyArchive(load_config(option("config")).data_path)
    current = archive.in_force()
    if name == IN_FORCE:
        known = [current] if current else []
    else:
        known = sorted({switch.hash for switch in archive.history() if switch.hash.startswith(name)})
    if len(known) != 1:
        fail(
            USAGE,
            f"{name} 既不是目录，也不是唯一的策略哈希（或 {IN_FORCE}）",
            f"{name} is no folder, and no hash of one policy set that was in force (or {IN_FORCE})",
        )
    return archive.load(known[0])


def show_changes(changes: Sequence[Change]) -> None:
    """One line for each change, those that are laxer marked."""
    for change in changes:
        mark = text("[放宽] ", "[laxer] ") if change.laxer else "        "
        click.secho(f"  {mark}{text(change.text_zh, change.text_en)}", fg="yellow" if change.laxer else None)


def _sum(changes: Sequence[Change]) -> tuple[str, str]:
    laxer = sum(change.laxer for change in changes)
    return f"{len(changes)} 处变化，其中 {laxer} 处放宽。", f"Changes: {len(changes)}, laxer: {laxer}."
