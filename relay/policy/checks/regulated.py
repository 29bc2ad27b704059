"""Goods whose advertising is regulated: what is never advertised, what nobody may promise, what needs a licence and a notice."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from relay.policy.cases.case import Case
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, Setting
from relay.policy.words.lexicon import hits_of, seen
from relay.policy.words.listed import ListedWords
from relay.policy.words.terms import TermHit, read_list

Kind = Literal["banned", "promises", "goods", "notices"]


class RegulatedTerms(ListedWords):
    """Parameters of regulated-terms."""

    kinds: Annotated[tuple[Kind, ...], Field(strict=False, min_length=1)]


def ask(case: Case, setting: Setting, parameters: RegulatedTerms) -> Finding | None:
    """Object to regulated words of the kinds."""
    if case.message is None:
        return None
    content = case.message.content
    hits = hits_of(content).get("regulated", ())
    found = seen(hit for kind in parameters.kinds for hit in _wrong(kind, hits, setting)) if hits else None
    return found or (None if content.is_complete else UNREAD_PARTS)


def _wrong(kind: Kind, hits: tuple[TermHit, ...], setting: Setting) -> Iterator[TermHit]:
    if kind in ("banned", "promises"):
        yield from (hit for hit in hits if hit.term.kind == kind)
        return
    goods = (hit for hit in hits if hit.term.kind == "goods")
    if kind == "goods":
        licensed = {licence.type for licence in setting.facts.licences(setting.today)}
        yield from (hit for hit in goods if hit.term.group not in licensed)
    else:
        missing = _noticed() - {hit.term.group for hit in hits if hit.term.kind == "notice"}
        yield from (hit for hit in goods if hit.term.group in missing)


@cache
def _noticed() -> frozenset[str]:
    """The categories whose goods want a notice."""
    return frozenset(category["name"] for category in read_list("regulated")["category"] if category.get("notice"))


CHECK = Check(
    name="regulated-terms",
    summary="Words of regulated advertising of the kinds `kinds`: banned (tobacco, prescription medicine, infant formula),"
    " promises (cures, returns, passed exams), goods without a [[licence]] of their type, notices that are missing beside goods",
    summary_zh="受监管广告用语，种类由 `kinds` 指定：banned（烟草、处方药、婴儿配方乳粉）、"
    "promises（疗效、收益、考试通过等承诺）、goods（未登记相应 [[licence]] 的商品）、notices（缺少必备提示语）",
    parameters=RegulatedTerms,
    ask=ask,
    reads=("message.content", "organisation.licence"),
    inspects=True,
    text="Regulated advertising without its licence or notice, or with a promise that the law forbids",
    text_zh="受监管品类：缺少批文或必备提示语，或含有法律禁止的承诺",
    fix="Take the words out, or register the licence as [[licence]] in organisation.toml",
    fix_zh="请删除相关内容，或在 organisation.toml 的 [[licence]] 中登记批文",
)
