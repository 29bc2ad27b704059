"""Personal data that leaves the country by an upstream server abroad, and the ground on which it may."""

from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Phase
from relay.policy.cases.jurisdiction import UNKNOWN
from relay.policy.rules.organisation import TransferBasis
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Countries


class TransferRule(RuleTable):
    """Parameters of transfer."""

    from_countries: Annotated[Countries, Field(min_length=1, description="Asked of organisations there / 仅对位于这些国家的单位")]
    free: Annotated[Countries, Field(description="Countries that need no ground / 无须另行依据的国家")] = ()
    bases: Annotated[
        tuple[TransferBasis, ...], Field(strict=False, min_length=1, description="Grounds that count / 可接受的依据")
    ]


def ask(case: Case, setting: Setting, parameters: TransferRule) -> Finding | None:
    """Object when no [[transfer]] in force covers the country of a server by which the mail may leave, or nobody knows it."""
    facts = setting.facts
    if facts.country not in parameters.from_countries:
        return None
    places = case.upstream_countries
    covered = {country for one in facts.transfers(setting.today) if one.basis in parameters.bases for country in one.to}
    missing = sorted(places - covered - {facts.country, UNKNOWN, *parameters.free})
    if UNKNOWN in places:  # doubt refuses: it may be anywhere, and no ground covers that
        missing.append("country unknown")
    return Finding(", ".join(missing)) if missing else None


CHECK = Check(
    name="transfer",
    summary="The organisation is in `from_countries`, the mail may leave by an upstream server abroad (`free` countries left"
    " out) or in a country that nobody named, and no `[[transfer]]` in force covers that country on one of `bases`",
    summary_zh="单位位于 `from_countries`，邮件可能经境外（`free` 所列国家除外）或所在国家不明的上游服务器发出，而没有以 `bases`"
    " 之一为依据、仍有效的 `[[transfer]]`",
    parameters=TransferRule,
    ask=ask,
    reads=("upstream.countries", "organisation.country", "organisation.transfer"),
    phase=Phase.RCPT,
    scope="recipient",
    text="No valid ground for sending personal data to where this upstream server is",
    text_zh="缺少有效的数据跨境传输依据",
    fix="Send by an upstream server at home, name its country in [[upstream]] of config.toml, or have the ground recorded as"
    " [[transfer]] in organisation.toml",
    fix_zh="请改用境内上游服务器，在 config.toml 的 [[upstream]] 中写明 country，或在 organisation.toml 中登记 [[transfer]]",
)
