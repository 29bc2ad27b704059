"""Refusals: a recipient who must not be written to (law 6)."""

from relay.policy.cases.case import Case, Phase
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting
from relay.policy.suppressions.suppression import Reason, binding


def ask(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object when a suppression in force binds mail of this purpose in this stream."""
    found = binding(case.suppressions, setting.purpose, setting.stream)
    if found is None:
        return None
    # RFC 3463 section 3.2: 1.1 is "bad destination mailbox address"; the rest is policy.
    return Finding(found.reason.value, "1.1" if found.reason is Reason.HARD_BOUNCE else "7.1")


CHECK = Check(
    name="suppression",
    summary="The recipient refused, complained or is dead, or an authority forbids; the purpose decides what binds",
    summary_zh="收件人已拒收、投诉、地址失效，或主管部门禁止；哪些原因生效取决于邮件流用途",
    parameters=RuleTable,
    ask=ask,
    reads=("recipient.suppressions", "stream.name", "stream.purpose", "stream.bound_by"),
    phase=Phase.RCPT,
    guards="refusals",
    scope="recipient",
    text="This recipient has unsubscribed or must not be written to",
    text_zh="收件人已退订，或在禁发名单中",
    fix="Remove the address from your list; only a new consent of the recipient lifts a refusal",
    fix_zh="请将该地址从名单中删除；只有收件人重新同意后才能解除",
)
