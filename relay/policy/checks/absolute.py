"""Absolute terms of advertising, in tiers, with the claims and trade marks that the organisation registered."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from relay.policy.cases.case import Case
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, Setting
from relay.policy.words.absolute import absolute_hits
from relay.policy.words.lexicon import seen
from relay.policy.words.listed import ListedWords
from relay.policy.words.terms import TermHit


class AbsoluteTerms(ListedWords):
    """Parameters of absolute-terms."""

    tiers: Annotated[tuple[Literal["block", "evidence", "notice"], ...], Field(strict=False, min_length=1)]


def ask(case: Case, setting: Setting, parameters: AbsoluteTerms) -> Finding | None:
    """Object to the terms of the tiers that neither their wording nor a registered claim or mark explains."""
    if case.message is None:
        return None
    content, countries = case.message.content, case.jurisdictions
    hits = [hit for hit, tier in absolute_hits(content) if tier in parameters.tiers]
    phrases = tuple(_registered(countries, setting)) if hits else ()
    found = seen(hit for hit in hits if not _is_registered(hit, phrases))
    return found or (None if content.is_complete else UNREAD_PARTS)


def _registered(countries: frozenset[str], setting: Setting) -> Iterator[str]:
    """The words that stand proved, wherever this recipient may be, and the names."""
    for claim in setting.facts.claims_in(countries, setting.today):
        yield claim.text
    for mark in setting.facts.mark:
        yield mark.text


def _is_registered(hit: TermHit, phrases: tuple[str, ...]) -> bool:
    return any(hit.is_within(phrase) for phrase in phrases)


CHECK = Check(
    name="absolute-terms",
    summary="Absolute terms of the tiers `tiers` (block, evidence, notice) outside the usual exempt wordings;"
    " [[claim]] and [[mark]] in organisation.toml let their own words through",
    summary_zh="含有 `tiers` 所列级别（block、evidence、notice）的绝对化用语，豁免用法除外；"
    "organisation.toml 中 [[claim]]、[[mark]] 登记的原话放行",
    parameters=AbsoluteTerms,
    ask=ask,
    reads=("message.content", "organisation.claim", "organisation.mark", "recipient.countries"),
    inspects=True,
    scope="recipient",
    text="Absolute advertising terms without registered proof",
    text_zh="可能构成绝对化用语，且未登记证明材料",
    fix="Rewrite the words, or register them with their proof as [[claim]] in organisation.toml",
    fix_zh="请改写，或在 organisation.toml 的 [[claim]] 中登记原话和证明材料",
)
