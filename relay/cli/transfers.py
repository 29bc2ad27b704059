"""`relay transfers`: how many persons' data left the country, and how many more the recorded grounds allow."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from relay.cli.entries import json_option
from relay.cli.findings import Findings
from relay.cli.opening import open_all, policy_in_force
from relay.cli.output import emit_json, option, say, text
from relay.policy.cases.transfers import Category, Transferred
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.standing import nearly_used, this_year, transfer_thresholds

_CATEGORIES = {Category.ORDINARY: ("一般个人信息", "ordinary data"), Category.SENSITIVE: ("敏感个人信息", "sensitive data")}


@click.command("transfers")
@json_option
def transfers(as_json: bool) -> None:
    """How many persons' data left the country this year, and what the recorded grounds allow / 本年度出境人数与依据上限."""
    policy, years = asyncio.run(_look())
    today = datetime.fromtimestamp(time.time(), policy.zone).date()
    said = _said(policy, years, this_year(policy, years, today))
    if as_json:
        emit_json(said)
    else:
        _show(said)


async def _look() -> tuple[PolicySet, Sequence[Transferred]]:
    async with open_all(option("config")) as opened:
        return policy_in_force(opened.config), await opened.store.transfer_years()


def _said(policy: PolicySet, years: Sequence[Transferred], counted: Transferred) -> dict[str, Any]:
    today = datetime.fromtimestamp(time.time(), policy.zone).date()
    elsewhere = policy.organisation.transferred_elsewhere(today.year)
    return {
        "year": counted.year,
        "persons": {one.value: counted.persons(one) for one in Category},
        "elsewhere": {one.value: elsewhere.persons(one) for one in Category},
        "grounds": [
            asdict(one) | {"left": max(0, one.below - 1 - counted.persons(one.category)), "warns_from": one.warns_from}
            for one in transfer_thresholds(policy, today)
        ],
        "years": [{"year": one.year, **{each.value: one.persons(each) for each in Category}} for one in years],
    }


def _show(said: dict[str, Any]) -> None:
    year, persons, elsewhere = said["year"], said["persons"], said["elsewhere"]
    for category, (zh, en) in _CATEGORIES.items():
        number, other = persons[category], elsewhere[category]
        say(
            f"{year} 年已出境的{zh}：{number:,} 人" + (f"（其中未经本系统 {other:,} 人）" if other else ""),
            f"{year}: {en} of {number:,} persons left the country" + (f" ({other:,} of them otherwise)" if other else ""),
        )
    for one in said["grounds"]:
        what, where = text(*_CATEGORIES[one["category"]]), ", ".join(one["to"])
        line = text(
            f"  {one['basis']}（{where}，{what}）：须少于 {one['below']:,} 人，还可 {one['left']:,} 人",
            f"  {one['basis']} ({where}, {what}): fewer than {one['below']:,}, {one['left']:,} left",
        )
        click.secho(line, fg="red" if persons[one["category"]] >= one["warns_from"] else None)
    if not said["grounds"]:
        say("  没有按人数限制的依据", "  no ground is bounded by a number of persons")
    for one in said["years"]:
        if one["year"] != year:
            say(
                f"{one['year']} 年：一般 {one['ordinary']:,} 人，敏感 {one['sensitive']:,} 人（经本系统）",
                f"{one['year']}: ordinary {one['ordinary']:,}, sensitive {one['sensitive']:,} (by this relay)",
            )


def look(policy: PolicySet, years: Sequence[Transferred], findings: Findings) -> None:
    """Note the grounds of which four fifths are used up; those that allow nobody more are wrong."""
    today = datetime.fromtimestamp(time.time(), policy.zone).date()
    counted = this_year(policy, years, today)
    for one, sentence in nearly_used(policy, counted, today):
        note = findings.wrong if counted.persons(one.category) + 1 >= one.below else findings.later
        note(f"organisation.toml [[transfer]]：{sentence.zh}", f"organisation.toml [[transfer]]: {sentence.en}")
