"""Personal data that leaves the country by an upstream server abroad, and the ground on which it may."""

from typing import Annotated

from pydantic import Field

from relay.policy.case import Case, Phase
from relay.policy.organisation import TransferBasis
from relay.policy.rule import Check, Finding, RuleTable, Setting
from relay.policy.table import Countries


class TransferRule(RuleTable):
    """Parameters of transfer."""

    from_countries: Annotated[Countries, Field(min_length=1, description="Asked of organisations there / 仅对位于这些国家的单位")]
    free: Annotated[Countries, Field(description="Countries that need no ground / 无须另行依据的国家")] = ()
    bases: Annotated[
        tuple[TransferBasis, ...], Field(strict=False, min_length=1, description="Grounds that count / 可接受的依据")
    ]


def ask(case: Case, setting: Setting, parameters: TransferRule) -> Finding | None:
    """Object when the mail may leave by a server abroad and no [[transfer]] in force covers its country."""
    facts = setting.facts
    if facts.country not in parameters.from_countries:
        return None
    covered = {country for one in facts.transfers(setting.today) if one.basis in parameters.bases for country in one.to}
    missing = case.upstream_countries - covered - {facts.country, *parameters.free}
    return Finding(", ".join(sorted(missing))) if missing else None


CHECK = Check(
    name="transfer",
    summary="The organisation is in `from_countries`, the mail may leave by an upstream server abroad (`free` countries left"
    " out), and no `[[transfer]]` in force covers that country on one of `bases`",
    summary_zh="单位位于 `from_countries`，邮件可能经境外上游服务器发出（`free` 所列国家除外），而没有以 `bases`"
    " 之一为依据、仍有效的 `[[transfer]]`",
    parameters=TransferRule,
    ask=ask,
    reads=("upstream.countries", "organisation.country", "organisation.transfer"),
    phase=Phase.RCPT,
    scope="recipient",
    text="No valid ground for sending personal data to where this upstream server is",
    text_zh="缺少有效的数据跨境传输依据",
    fix="Send by an upstream server at home, or have the ground recorded as [[transfer]] in organisation.toml",
    fix_zh="请改用境内上游服务器，或在 organisation.toml 中登记 [[transfer]]",
)
