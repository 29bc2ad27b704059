"""Mass disclosure: recipients who would all see each other's addresses in To and Cc."""

from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting


class Disclosure(RuleTable):
    """Parameters of mass-disclosure."""

    visible_at_most: Annotated[int, Field(ge=0, le=100_000)] = 1


def ask(case: Case, setting: Setting, parameters: Disclosure) -> Finding | None:
    """Object when To and Cc show more mailboxes than allowed."""
    visible = case.message.addressees if case.message else 0
    allowed = parameters.visible_at_most
    if visible <= allowed:
        return None
    return Finding(f"{visible} shown, {allowed} allowed", spots=(Spot("To"), Spot("Cc")))


CHECK = Check(
    name="mass-disclosure",
    summary="To and Cc show more than `visible_at_most` addresses (default 1) to everybody",
    summary_zh="收件人与抄送中公开的地址超过 `visible_at_most` 个（默认 1）",
    parameters=Disclosure,
    ask=ask,
    reads=("message.addressees",),
    inspects=True,
    text="The message shows its recipients to each other in To or Cc",
    text_zh="邮件在收件人或抄送栏中公开了多个收件人的地址",
    fix="Send one message per recipient, or put the recipients into Bcc",
    fix_zh="请逐个发送，或将收件人放入密送（Bcc）",
)
