"""Figures and prices in advertising that name no source."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from relay.policy.cases.case import Case
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, Setting
from relay.policy.words.lexicon import hits_of, seen
from relay.policy.words.listed import ListedWords
from relay.policy.words.sourcing import Sources
from relay.policy.words.terms import TermHit

_NEAR = 14  # characters of its clause between a word and its figure; English words are longer
_NEAR_LATIN = 28
_FIGURES = (
    r"(?:\d[\d,.]*+\s*+(?:[%倍万亿千台辆件单套杯瓶份册]|个百分点|多?[名位家户]|MILLION|BILLION|TIMES|PERCENT|TEAMS|COMPANIES|USERS)"
    r"|百分之|[一二三四五六七八九十两几]倍|[一二三四五六七八九两]成|[十百千]亿|[百千]万|一半|过半|翻番|前[三五十])"
)
_FIGURE = re.compile(_FIGURES)
_CLAUSE, _NEXT = r"[^,。;!?\n]", r",(?:占比?|达|高达|比例)[^,。;!?\n]{0,6}"  # "..., 占比92%" goes on with the clause before
_BEHIND, _BEHIND_LATIN = (re.compile(rf"{_CLAUSE}{{0,{near}}}?(?:{_NEXT})?{_FIGURES}") for near in (_NEAR, _NEAR_LATIN))
_LONGEST = 60  # characters in which a figure behind a word ends


class UnsourcedFigures(ListedWords):
    """Parameters of unsourced-figures."""

    kinds: Annotated[tuple[Literal["figures", "prices"], ...], Field(strict=False, min_length=1)]


def ask(case: Case, setting: Setting, parameters: UnsourcedFigures) -> Finding | None:
    """Object to figures without a source of their own, and to prices that compare, registered claims aside."""
    if case.message is None:
        return None
    content, countries = case.message.content, case.jurisdictions
    found = None
    if hits := hits_of(content).get("figures"):
        claims = [claim.text for claim in setting.facts.claims_in(countries, setting.today)]
        wrong = (hit for kind in parameters.kinds for hit in (_figures(hits) if kind == "figures" else _prices(hits)))
        found = seen(hit for hit in wrong if not any(hit.is_within(claim) for claim in claims))
    return found or (None if content.is_complete else UNREAD_PARTS)


def _figures(hits: tuple[TermHit, ...]) -> Iterator[TermHit]:
    named: dict[int, list[TermHit]] = {}
    for hit in hits:
        if hit.term.group == "sources":
            named.setdefault(id(hit.text), []).append(hit)
    sources = {text: Sources(found[0].text, found) for text, found in named.items()}
    for hit in hits:
        if hit.term.group == "statistics" and _has_figure(hit):
            own = sources.get(id(hit.text))
            if own is None or not own.stand_for(hit):
                yield hit


def _has_figure(hit: TermHit) -> bool:
    near, behind = (_NEAR_LATIN, _BEHIND_LATIN) if hit.term.word.isascii() else (_NEAR, _BEHIND)
    return bool(_FIGURE.search(hit.before(near)) or behind.match(hit.around(_LONGEST)[1]))


def _prices(hits: tuple[TermHit, ...]) -> Iterator[TermHit]:
    return (hit for hit in hits if hit.term.group == "prices")


CHECK = Check(
    name="unsourced-figures",
    summary="Statistics with a figure and no source (`kinds` has figures) in their paragraph, at the beginning of the next,"
    " or in a note with the mark of the figure (*, [1]), or a price that compares with another (prices); a [[claim]] lets its own"
    " words through",
    summary_zh="数据宣传未注明来源（`kinds` 含 figures）：来源应在本段，或在下一段开头，或在与数据标记（*、¹、[1]）相同的注释中；"
    "或比较性价格（prices）；[[claim]] 登记的原话放行",
    parameters=UnsourcedFigures,
    ask=ask,
    reads=("message.content", "organisation.claim", "recipient.countries"),
    inspects=True,
    scope="recipient",
    text="Figures or prices in the advertisement name no source",
    text_zh="数据或价格宣传未注明来源",
    fix="Write the source beside the figure, or register the words with their proof as [[claim]] in organisation.toml",
    fix_zh="请在数据旁注明来源，或在 organisation.toml 的 [[claim]] 中登记原话和证明材料",
)
