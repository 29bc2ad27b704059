"""Ownership: From and Sender belong to whoever logged in (RFC 6409 section 6.1)."""

from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import Check, Finding, RuleTable, Setting


def ask(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object when From cannot be read, or when From or Sender names a mailbox of somebody else."""
    message, identity = case.message, case.submission.identity
    if message is None or message.authors is None:
        return Finding("From cannot be read", spots=(Spot("From"),))
    if not all(map(identity.may_use, message.authors)):
        return Finding("From", spots=(Spot("From"),))
    if message.first("sender") is not None and (message.sender is None or not identity.may_use(message.sender)):
        return Finding("Sender", spots=(Spot("Sender"),))
    return None


CHECK = Check(
    name="ownership",
    summary="From and Sender belong to the identity that is logged in",
    summary_zh="发件人（From、Sender）必须属于登录的账号",
    parameters=RuleTable,
    ask=ask,
    reads=("sender.identity", "sender.owns", "message.from", "message.sender"),
    guards="ownership",
    text="The From or Sender address does not belong to the identity that is logged in",
    text_zh="发件人地址不属于当前登录的账号",
    fix="Log in with the account of the From address, or ask your administrator to add the address to your account",
    fix_zh="请使用该发件地址对应的账号登录，或请管理员将此地址加入您的账号",
)
