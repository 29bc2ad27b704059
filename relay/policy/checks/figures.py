"""Figures and prices in advertising that name no source."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from relay.policy.case import Case
from relay.policy.lexicon import Hit, hits_of, seen
from relay.policy.listed import ListedWords
from relay.policy.rule import UNREAD_PARTS, Check, Finding, Setting

_NEAR = 14  # characters between a word and its figure
_FIGURE = re.compile(
    r"\d[\d,.]*+\s*+(?:[%倍万亿千]|个百分点|多?[名位家户]|MILLION|BILLION|TIMES|PERCENT)|百分之|[一二三四五六七八九十]倍|前[三五十]"
)


class UnsourcedFigures(ListedWords):
    """Parameters of unsourced-figures."""

    kinds: Annotated[tuple[Literal["figures", "prices"], ...], Field(strict=False, min_length=1)]


def ask(case: Case, setting: Setting, parameters: UnsourcedFigures) -> Finding | None:
    """Object to figures in a text that names no source, and to prices that compare, registered claims aside."""
    if case.message is None:
        return None
    content = case.message.content
    found = None
    if hits := hits_of(content).get("figures"):
        claims = [claim.text for claim in setting.facts.claims(setting.today)]
        wrong = (hit for kind in parameters.kinds for hit in (_figures(hits) if kind == "figures" else _prices(hits)))
        found = seen(hit for hit in wrong if not any(hit.is_within(claim) for claim in claims))
    return found or (None if content.is_complete else UNREAD_PARTS)


def _figures(hits: tuple[Hit, ...]) -> Iterator[Hit]:
    sourced = {id(hit.text) for hit in hits if hit.term.group == "sources"}
    for hit in hits:
        is_statistic = hit.term.group == "statistics" and id(hit.text) not in sourced
        if is_statistic and (_FIGURE.search(hit.before(_NEAR)) or _FIGURE.search(hit.behind(_NEAR))):
            yield hit


def _prices(hits: tuple[Hit, ...]) -> Iterator[Hit]:
    return (hit for hit in hits if hit.term.group == "prices")


CHECK = Check(
    name="unsourced-figures",
    summary="Statistics with a figure in a text that names no source (`kinds` has figures), or a price that compares with another"
    " (prices); a [[claim]] lets its own words through",
    summary_zh="数据宣传未注明来源（`kinds` 含 figures），或比较性价格（prices）；[[claim]] 登记的原话放行",
    parameters=UnsourcedFigures,
    ask=ask,
    reads=("message.content", "organisation.claim"),
    inspects=True,
    text="Figures or prices in the advertisement name no source",
    text_zh="数据或价格宣传未注明来源",
    fix="Write the source beside the figure, or register the words with their proof as [[claim]] in organisation.toml",
    fix_zh="请在数据旁注明来源，或在 organisation.toml 的 [[claim]] 中登记原话和证明材料",
)
