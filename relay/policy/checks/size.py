"""Size: messages that are larger than a stream or a provider wants."""

from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting

MEGABYTE = 1024 * 1024


class Size(RuleTable):
    """Parameters of size."""

    above_mb: Annotated[float, Field(gt=0, le=10_000)]


def ask(case: Case, setting: Setting, parameters: Size) -> Finding | None:
    """Object when the whole message as it is transferred is larger."""
    octets = case.message.size if case.message else 0
    return Finding(f"{octets / MEGABYTE:.1f} MB") if octets > parameters.above_mb * MEGABYTE else None


CHECK = Check(
    name="size",
    summary="The whole message is larger than `above_mb` megabytes; attachments are a third larger in transfer",
    summary_zh="整封邮件大于 `above_mb` 兆字节；附件在传输时比磁盘上约大三分之一",
    parameters=Size,
    ask=ask,
    reads=("message.size",),
    reply_code=552,
    code="3.4",
    text="The message is too large",
    text_zh="邮件过大",
    fix="Send a link instead of the attachment, or a smaller attachment",
    fix_zh="请改为发送下载链接，或减小附件",
)
