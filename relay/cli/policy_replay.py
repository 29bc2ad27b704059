"""`relay policy replay`: recorded decisions judged by a policy set that is not in force yet. Reads alone."""

import time
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path
from typing import Any

import click

from relay.cli.explain_view import weight
from relay.cli.opening import reading
from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, option, say, text
from relay.config import load_config
from relay.policy.cases.case import Action
from relay.policy.consents.moment import end_of
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.rejudging import Rejudged, rejudge
from relay.service.policies import PolicyArchive, read_folder

_ACTIONS = {action.word: action for action in Action}


@click.command("replay")
@click.option("--since", required=True, metavar="DATE", help="From this day on / 起始日期，如 2026-06-01")
@click.option("--until", metavar="DATE", help="Up to this day, included; else up to now / 截止日期（含）")
@click.option(
    "--set",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder with the other set; else the configured one / 另一套策略的目录，默认为配置所指目录",
)
@click.option("--json", "as_json", is_flag=True)
def replay_command(since: str, until: str | None, folder: Path | None, as_json: bool) -> None:
    """Which recorded verdicts another set would change, and for how many; exit 1 when some / 用另一套策略重判已有记录."""
    config = load_config(option("config"))
    new = parse_policies(read_folder(folder or config.policies_path))
    start = datetime.combine(_day(since), clock(), new.zone).timestamp()
    end = end_of(_day(until), new.zone) if until else time.time()
    archive = PolicyArchive(config.data_path)
    with reading(config) as reader:
        rejudged = rejudge(reader, new, archive.find, start, end)
    if as_json:
        emit_json(_as_json(new, rejudged))
    else:
        _show(new, rejudged)
    raise click.exceptions.Exit(FINDINGS if rejudged.changes or rejudged.untaken else OK)


def _day(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError:
        fail(USAGE, f"“{day}”不是日期，如 2027-03-31", f'"{day}" is not a date such as 2027-03-31')


def _show(new: PolicySet, rejudged: Rejudged) -> None:
    changed = rejudged.changes.total()
    say(
        f"按策略 {new.hash} 重判 {rejudged.recipients:,} 个收件人：{changed:,} 个结论改变",
        f"Policy set {new.hash}, {counted(rejudged.recipients, 'recorded recipient')}: {changed:,} would get another verdict",
    )
    for (stream, then, now, rule), count in rejudged.changes.most_common():
        verdicts = f"{weight(_ACTIONS[then])} → {weight(_ACTIONS[now])}"
        click.echo(f"  {count:>7,}  {stream}: {verdicts}{f'  {rule}' if rule else ''}")
    if rejudged.untaken:
        say(f"  {rejudged.untaken:>7,}  没有邮件流接收", f"  {rejudged.untaken:>7,}  no stream takes them any more: 550 [stream]")
    if rejudged.unknown:
        say(
            f"\n邮件正文不保存，以下规则无法重判，{rejudged.undecided:,} 个结论因此不能确定：",
            f"\nBodies are not kept: {counted(rejudged.undecided, 'verdict')} could still change by rules that cannot be asked"
            " again:",
        )
        for (rule, why), count in rejudged.unknown.most_common():
            click.echo(f"  {count:>7,}  {rule}: {text(why.value[1], why.value[0])}")
    if rejudged.erased:
        say(
            f"\n{rejudged.erased:,} 个收件人的地址已删除，未重判",
            f"\n{counted(rejudged.erased, 'recipient')} left out: an address is not known any more",
        )


def _as_json(new: PolicySet, rejudged: Rejudged) -> dict[str, Any]:
    changes = [
        {"stream": stream, "then": then, "now": now, "rule": rule or None, "recipients": count}
        for (stream, then, now, rule), count in rejudged.changes.most_common()
    ]
    unknown = [
        {"rule": rule, "why": {"en": why.value[0], "zh": why.value[1]}, "recipients": count}
        for (rule, why), count in rejudged.unknown.most_common()
    ]
    return {
        "policy": new.hash,
        "recipients": rejudged.recipients,
        "changes": changes,
        "untaken": rejudged.untaken,
        "not_replayable": unknown,
        "undecided": rejudged.undecided,
        "erased": rejudged.erased,
    }
