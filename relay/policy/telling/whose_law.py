"""Where the countries of a recipient come from, in words."""

from collections.abc import Iterable

from relay.policy.cases.jurisdiction import Source, Told
from relay.policy.consents.moment import day_of

_WORDS = {
    Source.ADDRESS: ("the address", "邮箱域名"),
    Source.CONSENT: ("consent of {day}", "{day} 的同意记录"),
    Source.LIST: ("the list, not the consent ledger", "名单所写，同意台账中没有"),
    Source.DEFAULT: ("nobody said it: organisation default", "无人说明：取本单位默认值"),
}


def whose_law(told: Iterable[Told]) -> tuple[str, str]:
    """Each country with who told it, in English and in Chinese."""
    en, zh = zip(*map(_said, told), strict=True)
    return "; ".join(en), "；".join(zh)


def _said(told: Told) -> tuple[str, str]:
    countries = sorted(told.countries)
    day = "" if told.at is None else str(day_of(told.at))
    en, zh = (words.format(day=day) for words in _WORDS[told.by])
    return f"{', '.join(countries) or 'none'} ({en})", f"{'、'.join(countries) or '无'}（{zh}）"
