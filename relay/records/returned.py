"""What came back by mail, in Chinese and English: what it was, why it was taken for that, what followed."""

from collections.abc import Mapping
from typing import Any

from relay.records.wording import ORIGINS, REASONS, REPLY_CLASSES, Both, both, word

_KINDS: Mapping[str, Both] = {
    "refusal_by_token": both("带退订令牌的退订邮件", "a mail to the unsubscribe address, with the token of one of our mails"),
    "refusal_by_words": both("用文字表示拒绝的回复", "an answer that refuses in words"),
    "bounce": both("退信", "a bounce: another server returned the mail"),
    "complaint": both("投诉报告", "a complaint report of a mailbox provider"),
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
    said = _joined(both(code, code), word(REPLY_CLASSES, meaning))
    return both(f"{said['zh']}（{_FOR_GOOD['zh']}）", f"{said['en']} ({_FOR_GOOD['en']})") if gone else said


def _joined(first: Both, second: Both) -> Both:
    return both(f"{first['zh']}：{second['zh']}", f"{first['en']}: {second['en']}")
