"""Facts of organisation.toml that a law wants said, so that mail waits until somebody writes them down."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from relay.mail.replies import MISCONFIGURED
from relay.policy.cases.case import Case, Phase
from relay.policy.rules.organisation import OrganisationFacts
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import ActionName, Days

Needed = Literal[
    "legal_name", "legal_name.zh", "legal_name.en", "postal_address", "postal_address.zh", "postal_address.en",
    "contact", "refusal_mailbox", "privacy_url",
]  # fmt: skip


class OrganisationNeeds(RuleTable):
    """Parameters of organisation-facts."""

    action: ActionName = Field(default="defer", description="warn | hold | defer | reject")
    facts: Annotated[tuple[Needed, ...], Field(strict=False)] = ()
    network_log: Annotated[Days, Field(description="[retention] network_log is at least this / 至少这么久")] = 0
    records: Annotated[Days, Field(description="[retention] records is at least this / 至少这么久")] = 0

    @property
    def needs(self) -> tuple[str, ...]:
        return self.facts

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not self.facts and not self.network_log and not self.records:
            raise ValueError("write facts, network_log or records / 请填写 facts、network_log 或 records")
        return self


def missing(facts: OrganisationFacts, parameters: OrganisationNeeds) -> tuple[str, ...]:
    """The keys of organisation.toml that are empty or too small."""
    found: list[str] = [key for key in parameters.facts if not facts.says(key)]
    if facts.retention.network_log < parameters.network_log:
        found.append("retention.network_log")
    if facts.retention.records < parameters.records:
        found.append("retention.records")
    return tuple(found)


def ask(case: Case, setting: Setting, parameters: OrganisationNeeds) -> Finding | None:
    """Object when a fact that the rule needs is not in organisation.toml."""
    found = missing(setting.facts, parameters)
    return Finding(", ".join(found)) if found else None


CHECK = Check(
    name="organisation-facts",
    summary="organisation.toml lacks one of `facts`, or its [retention] promises less than `network_log` or `records`",
    summary_zh="organisation.toml 缺少 `facts` 中的内容，或 [retention] 短于 `network_log`、`records`",
    parameters=OrganisationNeeds,
    ask=ask,
    reads=(
        "organisation.legal_name",
        "organisation.postal_address",
        "organisation.contact",
        "organisation.refusal_mailbox",
        "organisation.privacy_url",
        "organisation.retention",
    ),
    phase=Phase.RCPT,
    code=MISCONFIGURED,
    text="The relay does not know enough about its organisation to send this",
    text_zh="组织信息不完整，暂不发送",
    fix="Tell your administrator: organisation.toml lacks what the law wants said",
    fix_zh="请通知管理员：补全 organisation.toml 中法律要求的内容",
)
