"""How often the detectors take a random number for what they look for: a chapter of docs/rules.md."""

import tomllib
from typing import Any

from relay.data_files import data_file
from relay.policy.detectors import PERSONAL, SECRETS

_HEADING = ("## How often a number is taken for another", "## 号码误报的比率")
_ENGLISH = """\
Measured on random candidates of a shape that other numbers have too. *Sure*: what a rule objects to, as a word beside the
number, its grouping or its check digits explain it. *Unsure*: what only `confidence = "low"` counts. Written by
`python -m tests.support.false_positives`; a test compares it with a smaller run."""
_CHINESE = """\
用与其他号码形状相同的随机候选测得。“确定”：旁边的说明文字、分组写法或校验码足以说明的，规则会有异议；“不确定”：只有
`confidence = "low"` 才计入。由 `python -m tests.support.false_positives` 写出，并有测试用较小的样本核对。"""
_HEAD = ("| type | candidates | sure | unsure |\n|---|---|---|---|", "| 类型 | 候选 | 确定 | 不确定 |\n|---|---|---|---|")


def chapter(language: int) -> list[str]:
    """0: English, 1: Chinese."""
    table = tomllib.loads(data_file("relay.policy.detectors", "false_positives.toml"))
    rows = [_row(one, language) for one in table["measured"]]
    return [_HEADING[language], (_ENGLISH, _CHINESE)[language], "\n".join([_HEAD[language], *rows])]


def _row(one: dict[str, Any], language: int) -> str:
    kind = {**PERSONAL, **SECRETS}[one["kind"]]
    of = f"{one['candidates']:,} × {(one['of'], one['of_zh'])[language]}"
    counts = (f"{one[key]:,} ({_percent(one[key], one['candidates'])})" for key in ("sure", "unsure"))
    return f"| {(kind.title, kind.title_zh)[language]} (`{kind.name}`) | {of} | {' | '.join(counts)} |"


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.2g} %" if count else "0 %"
