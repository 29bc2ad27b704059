"""`relay policy test`: judge the cases of a policy folder by its rules; nothing is put in force."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from relay.cli.output import FINDINGS, OK, counted, emit_json, option, say, text
from relay.config import load_config
from relay.policy.rehearsing.rehearsal import Rehearsal, read_rehearsals
from relay.render.rehearsing import Failed, failures
from relay.service.policies import read_folder


@click.command("test")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def test(folder: Path | None, as_json: bool) -> None:
    """Judge the messages in tests/ of the FOLDER, else of the configured one / 用规则判定目录中 tests/ 的用例."""
    files = read_folder(folder or load_config(option("config")).policies_path)
    rehearsals = read_rehearsals(files)
    failed = failures(rehearsals)
    if as_json:
        emit_json({"cases": len(rehearsals), "failed": list(map(_as_json, failed)), "without_case": _without_case(rehearsals)})
    else:
        _show(rehearsals, failed)
    raise click.exceptions.Exit(FINDINGS if failed else OK)


def _show(rehearsals: Sequence[Rehearsal], failed: Sequence[Failed]) -> None:
    wrong = Counter(one.rehearsal.file for one in failed)
    for file, count in Counter(one.file for one in rehearsals).items():
        mark, holding = ("✗" if wrong[file] else "✓"), count - wrong[file]
        say(f"{mark} {file}：{count} 个用例，{holding} 个符合", f"{mark} {file}: {counted(count, 'case')}, {holding} hold")
    for one in failed:
        rehearsal = one.rehearsal
        click.secho(f"\n{rehearsal.file}:{rehearsal.line}  {rehearsal.name}", bold=True)
        for difference in one.differences:
            click.secho(f"  ✗ {text(difference.text_zh, difference.text)}", fg="red")
    if lacking := _without_case(rehearsals):
        say("\n没有用例触发的规则：", "\nRules that no case makes object:")
        for rule in lacking:
            click.echo(f"  {rule}")
    if not rehearsals:
        say(
            "没有用例：请在 tests/ 中编写，见 docs/policies.zh.md",
            "There are no cases: write some in tests/, see docs/policies.md",
        )


def _without_case(rehearsals: Sequence[Rehearsal]) -> list[str]:
    """Rules of the streams in the cases that no case makes object."""
    known = {rule.name: None for one in rehearsals for rule in one.stream.rules}
    objecting = {rule for one in rehearsals for rule in one.table.objects}
    return [rule for rule in known if rule not in objecting]


def _as_json(failed: Failed) -> dict[str, object]:
    rehearsal = failed.rehearsal
    return {
        "file": rehearsal.file,
        "line": rehearsal.line,
        "case": rehearsal.name,
        "differences": [{"en": one.text, "zh": one.text_zh} for one in failed.differences],
    }
