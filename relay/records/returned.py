"""What came back by mail, in Chinese and English: what it was, why it was taken for that, what followed."""

from collections.abc import Mapping
from typing import Any

from relay.records.wording import ORIGINS, REASONS, Both, both, word

_KINDS: Mapping[str, Both] = {
    "refusal_by_token": both("带退订令牌的退订邮件", "a mail to the unsubscribe address, with the token of one of our mails"),
    "refusal_by_words": both("用文字表示拒绝的回复", "an answer that refuses in words"),
    "bounce": both("退信", "a bounce: another server returned the mail"),
    "complaint": both("投诉报告", "a complaint report of a mailbox provider"),
}

_REPLY_CLASSES: Mapping[str, Both] = {
    "recipient_gone": both("没有这个邮箱", "there is no such mailbox"),
    "throttle": both("发送过多或过快", "too much or too fast"),
    "content": both("内容被视为垃圾邮件或含有禁止的内容", "the content looks like spam or is forbidden"),
    "authentication": both("登录有问题", "the login"),
    "sender_policy": both("发件人、SPF、DKIM 或 DMARC 不符合要求", "the sender address, SPF, DKIM or DMARC"),
    "reputation": both("发件方信誉不佳", "the reputation of the sender"),
    "outage": both("对方服务器暂不可用", "the server did not work"),
    "transient": both("暂时的原因", "a temporary reason"),
    "permanent": both("永久的原因", "a permanent reason"),
}

_FOR_GOOD = both("地址确已无效", "the address is invalid for good")
_NOTHING = both("没有影响：未列入禁发名单", "none: nobody was put on the suppression list")
_SUPPRESSED = both("邮箱被列入禁发名单", "the mailbox was put on the suppression list")


def returned_texts(facts: Mapping[str, Any]) -> dict[str, Both]:
    """`what`, `why` and `effect` of a `collected` record; a word that has no text stands for itself."""
    effect = _joined(_SUPPRESSED, word(REASONS, facts["effect"])) if facts["effect"] else _NOTHING
    return {"what": word(_KINDS, facts["what"]), "why": _why(facts["why"], gone=facts["gone"]), "effect": effect}


def _why(why: str, *, gone: bool) -> Both:
    """A refusal says by which way it came; a bounce its status code and what that means."""
    code, _, meaning = why.partition(" ")
    if not meaning:
        return word(ORIGINS, why)
    said = _joined(both(code, code), word(_REPLY_CLASSES, meaning))
    return both(f"{said['zh']}（{_FOR_GOOD['zh']}）", f"{said['en']} ({_FOR_GOOD['en']})") if gone else said


def _joined(first: Both, second: Both) -> Both:
    return both(f"{first['zh']}：{second['zh']}", f"{first['en']}: {second['en']}")
