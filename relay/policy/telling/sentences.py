"""Sentences in both languages on what an organisation vouches for: its packs, licences, claims and marks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from relay.policy.sets.policy_set import PolicySet


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence in both languages."""

    en: str
    zh: str


def until(day: date, today: date) -> tuple[str, str]:
    """How long something lasts, in English and Chinese."""
    if today > day:
        return f"ended on {day}, no longer in effect", f"已于 {day} 失效"
    return f"until {day}", f"至 {day}"


def packs(policy: PolicySet) -> Iterator[Sentence]:
    """What each pack that some stream uses rests on, who vouches for it until when, and what a breach costs."""
    for name in sorted({pack.name for stream in policy.streams for pack in stream.packs}):
        facts = policy.packs[name].pack
        title, title_zh = facts.title.en or facts.title.zh, facts.title.zh or facts.title.en
        called = f" ({title})" if title else "", f"（{title_zh}）" if title_zh else ""
        said = [(f"The pack {name}{called[0]}: version {facts.version}", f"规则包 {name}{called[1]}：版本 {facts.version}")]
        if facts.sources:
            said.append((f"rests on {', '.join(facts.sources)}", f"依据 {'、'.join(facts.sources)}"))
        if facts.reviewed_on:
            said.append((f"reviewed on {facts.reviewed_on}", f"{facts.reviewed_on} 复核"))
        if facts.expires_on:
            said.append((f"expires on {facts.expires_on}", f"有效期至 {facts.expires_on}"))
        penalty = facts.penalty
        if penalty.en or penalty.zh:
            said.append((f"penalty: {penalty.en or penalty.zh}", f"违反的后果：{penalty.zh or penalty.en}"))
        yield Sentence("; ".join(en for en, _ in said) + ".", "；".join(zh for _, zh in said) + "。")


def vouched_for(policy: PolicySet, today: date) -> Iterator[Sentence]:
    """What mail may say or offer because the organisation keeps an approval or a proof."""
    organisation = policy.organisation
    for licence in organisation.licence:
        en, zh = until(licence.until, today)
        yield Sentence(
            f"Advertising for {licence.type}: licence {licence.number}, {en}.",
            f"{licence.type} 类广告：批文 {licence.number}，{zh}。",
        )
    for claim in organisation.claim:
        en, zh = until(claim.until, today)
        where = ", ".join(claim.countries)
        yield Sentence(
            f'The words "{claim.text}"{where and f" for recipients in {where}"}: proof in {claim.evidence}, {en}.',
            f"用语“{claim.text}”{where and f'（{where} 的收件人）'}：证明材料 {claim.evidence}，{zh}。",
        )
    for transfer in organisation.transfer:
        en, zh = until(transfer.until, today)
        where = ", ".join(transfer.to)
        yield Sentence(
            f"Personal data may leave for {where}: {transfer.basis}, {transfer.reference}, {en}.",
            f"个人信息可传输至 {where}：{transfer.basis}，{transfer.reference}，{zh}。",
        )
    for mark in organisation.mark:
        yield Sentence(
            f'"{mark.text}" is a trade mark: {mark.number}, class {mark.class_}.',
            f"“{mark.text}”为注册商标：{mark.number}，第 {mark.class_} 类。",
        )
