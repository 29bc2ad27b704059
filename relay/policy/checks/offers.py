"""What a stream must be set up to offer its recipients: a signature, ways to unsubscribe."""

from typing import Annotated, Literal

from pydantic import Field

from relay.mail.replies import MISCONFIGURED
from relay.policy.cases.case import Case, Phase
from relay.policy.rules.rule import Check, Finding, Guarded, RuleTable, Setting
from relay.policy.rules.table import ActionName

Offer = Literal["signature", "one-click", "mailto", "unsubscribe"]


class Offers(RuleTable):
    """Parameters of stream-offers."""

    action: ActionName = Field(default="defer", description="warn | hold | defer | reject")
    offers: Annotated[tuple[Offer, ...], Field(strict=False, min_length=1)]

    @property
    def needs(self) -> tuple[str, ...]:
        return self.offers

    @property
    def guards(self) -> Guarded | None:
        """The signature is nobody's to relax; the ways to unsubscribe that a provider wants are."""
        return "signature" if "signature" in self.offers else None


def lacking(setting: Setting, parameters: Offers) -> tuple[str, ...]:
    """What the rule wants and the stream does not offer."""
    return tuple(offer for offer in parameters.offers if offer not in setting.offers)


def ask(case: Case, setting: Setting, parameters: Offers) -> Finding | None:
    """Object when the stream is not set up to offer what the rule wants."""
    found = lacking(setting, parameters)
    return Finding(", ".join(found)) if found else None


CHECK = Check(
    name="stream-offers",
    summary="The stream does not offer one of `offers`: `signature` ([signing] required), `one-click` and `mailto`"
    " ([unsubscribe]), `unsubscribe` (either of the two)",
    summary_zh="邮件流缺少 `offers` 之一：`signature`（[signing] required）、`one-click` 与 `mailto`（[unsubscribe]）、"
    "`unsubscribe`（二者之一）",
    parameters=Offers,
    ask=ask,
    reads=("stream.offers",),
    phase=Phase.RCPT,
    code=MISCONFIGURED,
    text="The stream is not set up as this rule wants it",
    text_zh="邮件流的设置不符合此规则",
    fix="Tell your administrator: the stream must sign, or offer unsubscribing",
    fix_zh="请通知管理员：邮件流须签名或提供退订",
)
