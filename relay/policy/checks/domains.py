"""Domains: where a stream may send at all."""

from typing import Self

from pydantic import model_validator

from relay.policy.cases.case import Case, Phase
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Domains as DomainPatterns
from relay.policy.rules.table import domain_fits


class Domains(RuleTable):
    """Parameters of domains."""

    allow: DomainPatterns = ()
    deny: DomainPatterns = ()

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not self.allow and not self.deny:
            raise ValueError("write allow or deny: a list of domains / 请填写 allow 或 deny：域名列表")
        return self


def ask(case: Case, setting: Setting, parameters: Domains) -> Finding | None:
    """Object to a recipient domain that is denied, or that is not among those allowed."""
    domain = case.recipient.mailbox.domain
    denied = domain_fits(domain, parameters.deny)
    if denied or (parameters.allow and not domain_fits(domain, parameters.allow)):
        return Finding(domain)
    return None


CHECK = Check(
    name="domains",
    summary="The recipient's domain is in `deny`, or not in `allow`; `*.qq.com` is everything below qq.com",
    summary_zh="收件人域名在 `deny` 中，或不在 `allow` 中；`*.qq.com` 表示 qq.com 的所有子域名",
    parameters=Domains,
    ask=ask,
    reads=("recipient.domain",),
    phase=Phase.RCPT,
    scope="domain",
    text="Mail of this stream is not sent to this domain",
    text_zh="此类邮件不向该域名发送",
    fix="Remove the recipient, or ask your administrator",
    fix_zh="请移除该收件人，或联系管理员",
)
