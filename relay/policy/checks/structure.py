"""Structure: a header section that every receiver reads in the same way (RFC 5322 section 3.6)."""

from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting

_FROM = (Spot("From"),)


def ask_one_from(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object unless the message has exactly one author that can be read."""
    message = case.message
    fields = len(message.all("from")) if message else 0
    if message is None or fields != 1:
        return Finding(f"{fields} From fields", spots=_FROM)
    if message.authors is None:
        return Finding("From cannot be read", spots=_FROM)
    return None if len(message.authors) == 1 else Finding(f"{len(message.authors)} authors", spots=_FROM)


def ask_structure(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object to every defect that parsers resolve differently."""
    if case.message is None:
        return Finding("no message")
    return Finding(", ".join(case.message.defects)) if case.message.defects else None


ONE_FROM = Check(
    name="one-from",
    summary="There is exactly one author address in From",
    summary_zh="From 中必须恰好有一个发件人地址",
    parameters=RuleTable,
    ask=ask_one_from,
    reads=("message.from_fields", "message.from"),
    guards="structure",
    reply_code=554,
    code="6.0",
    text="From must name exactly one sender address",
    text_zh="发件人（From）必须恰好是一个邮箱地址",
    fix="Write one address into From",
    fix_zh="请在发件人（From）中只填写一个地址",
)

STRUCTURE = Check(
    name="header-structure",
    summary="The header section follows RFC 5322: no field twice that may stand once, no ambiguous line",
    summary_zh="邮件头符合 RFC 5322：单值字段不重复，没有含义不明的行",
    parameters=RuleTable,
    ask=ask_structure,
    reads=("message.defects",),
    guards="structure",
    reply_code=554,
    code="6.0",
    text="The message header is malformed",
    text_zh="邮件头格式不合规",
    fix="Send with a current mail program, or have the script that builds the message corrected",
    fix_zh="请使用较新的邮件客户端发送，或修正生成邮件的程序",
)
