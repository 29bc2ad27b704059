"""Domains that take no mail: what was written there would come back, or go nowhere."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from relay.mail.replies import DIRECTORY, NULL_MX
from relay.policy.cases.case import Case, Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting

Fault = Literal["none", "null-mx", "unknown"]
_FINDINGS = {
    DomainMail.NONE: Finding("no such domain, or no mail server", "1.2"),  # RFC 3463: bad destination system address
    DomainMail.NULL_MX: Finding("null MX", NULL_MX, reply_code=556),
    DomainMail.UNKNOWN: Finding("no answer from DNS", DIRECTORY),
}
_NULL_MX_AFTER_DATA = Finding("null MX", NULL_MX, reply_code=554)
"""RFC 7504 has 556 as an answer to RCPT; after the message RFC 5321 section 4.3.2 has 554."""


class RecipientDomain(RuleTable):
    """Parameters of recipient-domain."""

    faults: Annotated[
        tuple[Fault, ...],
        Field(
            strict=False,
            min_length=1,
            description="none: no such domain, or no server there; null-mx: it says that it takes no mail (RFC 7505);"
            " unknown: DNS does not answer / none：域名不存在或没有服务器；null-mx：域名声明不收信（RFC 7505）；"
            "unknown：DNS 没有应答",
        ),
    ] = ("none", "null-mx")

    @model_validator(mode="after")
    def _no_answer_refuses_nobody(self) -> Self:
        if "unknown" in self.faults and self.action == "reject":
            raise ValueError(
                'faults: "unknown" passes by itself, so its action is defer, hold or warn; write a rule of its own for it'
                ' / "unknown" 只是暂时的，action 应为 defer、hold 或 warn，请为它单独写一条规则'
            )
        return self


def ask(case: Case, setting: Setting, parameters: RecipientDomain) -> Finding | None:
    """Object to what DNS says of the domain."""
    found = case.domain_mail
    if found is None or found.value not in parameters.faults:
        return None
    return _NULL_MX_AFTER_DATA if found is DomainMail.NULL_MX and case.message is not None else _FINDINGS[found]


CHECK = Check(
    name="recipient-domain",
    summary="DNS says of the recipient's domain one of `faults` (default none, null-mx): `none` (no such domain, or neither MX"
    " nor address), `null-mx` (RFC 7505), `unknown` (no answer in time; never with reject). Asked only where [dns] servers of"
    " config.toml names resolvers, else it says nothing",
    summary_zh="DNS 对收件域名的应答属于 `faults`（默认 none、null-mx）：`none`（域名不存在，或既无 MX 也无地址）、"
    "`null-mx`（RFC 7505）、`unknown`（未及时应答，不可用于 reject）。仅在 config.toml 的 [dns] servers 写明解析服务器时查询，"
    "否则不提示",
    parameters=RecipientDomain,
    ask=ask,
    reads=("recipient.domain_mail",),
    phase=Phase.RCPT,
    scope="domain",
    code="1.2",
    text="Recipient domain cannot receive mail",
    text_zh="收件域名不存在或不收信",
    fix="Correct the address, or remove it from your list",
    fix_zh="请更正收件地址，或将其从名单中移除",
)
