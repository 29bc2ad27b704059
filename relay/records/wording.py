"""What records say in Chinese and English: one sentence per kind, state and weight."""

from collections.abc import Mapping
from typing import Any

from relay.records.kinds import Kind

Both = Mapping[str, str]
"""A text in both languages, by "zh" and "en"."""


def both(zh: str, en: str) -> Both:
    """Put the two texts of one meaning together."""
    return {"zh": zh, "en": en}


KINDS: Mapping[Kind, Both] = {
    Kind.RECEIVED: both("收到一封邮件并逐个收件人作出判定", "A message came in and was judged for each recipient"),
    Kind.FINISHED: both("各收件人的结果", "The outcome for each recipient"),
    Kind.REFUSED: both("拒绝了发件人、收件人或不合规的邮件", "A sender, a recipient or a malformed message was refused"),
    Kind.REPORTED: both("已把未送达的收件人以报告告知发件人", "A report told the sender whom the message did not reach"),
    Kind.UNREPORTED: both("有未送达的收件人，但按规定没有报告任何人", "Nobody was told of these recipients, as asked"),
    Kind.LATE: both("上游服务器迟到的答复", "The upstream's answer came late"),
    Kind.SUPPRESSED: both("邮箱被列入禁发名单", "A mailbox was put on the suppression list"),
    Kind.COLLECTED: both("从邮箱中读到退订、退信或投诉", "A refusal, a bounce or a complaint came back by mail"),
    Kind.LIFTED: both("禁发记录被解除", "A suppression was lifted"),
    Kind.POLICY: both("一套策略生效", "A policy set came into force"),
    Kind.KEYS: both("启用了新的密钥", "A key ring got a new generation"),
    Kind.OPENED: both("存储被创建或恢复", "A store was created or restored"),
}

STATES: Mapping[str, Both] = {
    "delivered": both("已送达上游服务器", "Delivered: the upstream server took it"),
    "refused by rule": both("未发送：有规则不允许", "Not sent: a rule does not allow it"),
    "refused": both("未送达：上游服务器拒收", "Not delivered: the upstream server refused it"),
    "transient by rule": both("暂未发送：邮件软件会自动重试", "Not sent yet: mail programs try again by themselves"),
    "transient": both(
        "暂未送达：稍后重试即可，邮件软件通常会自动重试",
        "Not delivered yet: try again later, most mail programs do by themselves",
    ),
    "indeterminate": both("结果未知：确认之前连接中断", "Not known: the connection broke before the confirmation came"),
    "judged": both("已准许，尚无结果", "Permitted; the outcome is not known yet"),
    "session": both("发送请求被拒绝", "The sender was refused"),
}

WEIGHTS: Mapping[str, Both] = {
    "reject": both("拒绝", "reject"),
    "defer": both("暂缓", "defer"),
    "hold": both("等待", "hold"),
    "warn": both("提醒", "warn"),
    "permit": both("准许", "permit"),
}

OBSERVED: Mapping[str, Both] = {
    "shadow": both("仅观察，不生效", "only observed"),
    "override": both("已被管理员临时放宽", "relaxed by the administrator for a time"),
    "exempt": both("收件人已被豁免", "the recipient is exempt"),
}

REASONS: Mapping[str, Both] = {
    "legal": both("主管机关或法院要求", "an authority or a court said so"),
    "manual_all": both("管理员：不发送任何邮件", "an administrator: no mail at all"),
    "complaint": both("收件人投诉", "the recipient complained"),
    "objection": both("收件人反对", "the recipient objected"),
    "unsubscribe": both("收件人退订", "the recipient unsubscribed"),
    "hard_bounce": both("地址无效", "the address is invalid"),
    "manual": both("管理员：不发送营销邮件", "an administrator: no marketing"),
}

_OWN_RULES: Mapping[str, tuple[Both, Both]] = {
    "limit": (
        both("已达到发送限额", "A sending limit is reached"),
        both("请稍后再发；邮件软件通常会自动重试", "Send again later; most mail programs do by themselves"),
    ),
    "base/suppression": (
        both("收件人已退订，或在禁发名单中", "This recipient has unsubscribed or must not be written to"),
        both(
            "请将该地址从名单中删除；只有收件人重新同意后才能解除",
            "Remove the address from your list; only a new consent lifts a refusal",
        ),
    ),
}
"""Rules that speak when a copy leaves, after the ruling was recorded."""


def word(words: Mapping[str, Both], key: str) -> Both:
    """The texts of a word; a word that has none stands for itself."""
    return words.get(key) or both(key, key)


def objection_texts(objection: Mapping[str, Any]) -> tuple[Both, Both]:
    """What an objection says and what to do about it; a text that its rule lacks in one language is shown in the other."""
    text = both(objection["text_zh"] or objection["text"], objection["text"] or objection["text_zh"])
    fix = both(objection["fix_zh"] or objection["fix"], objection["fix"] or objection["fix_zh"])
    return text, fix


def own_rule_texts(rule: str, reply: str) -> tuple[Both, Both]:
    """The same for a rule that spoke after the ruling, from its reply."""
    if rule in _OWN_RULES:
        return _OWN_RULES[rule]
    remedy = both("请把本页编号告诉管理员", "Give the number of this page to your administrator")
    return both(f"规则 {rule} 不允许发送：{reply}", reply), remedy
