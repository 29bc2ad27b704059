"""What a rule on consents saw, in Chinese: the details of `relay.policy.consents.needs` go over the wire in ASCII."""

import re

_DAY = r"(\d{4}-\d\d-\d\d)"
_WORDS = (
    (re.compile("none is recorded"), "没有任何登记"),
    (re.compile("given for no named purpose, not (.+)"), "所登记的同意未写明用途，而非 {0}"),
    (re.compile("given for (.+), not (.+)"), "同意的用途是 {0}，而非 {1}"),
    (re.compile(f"withdrawn on {_DAY}"), "已于 {0} 撤回"),
    (re.compile(f"objected on {_DAY}"), "已于 {0} 提出反对"),
    (re.compile(f"given on {_DAY} only"), "{0} 才生效"),
    (re.compile("the address was (.+)"), "地址来源：{0}"),
    (re.compile("basis (.+) without corporate"), "依据为 {0}，缺少 corporate 声明"),
    (re.compile("basis (.+)"), "依据为 {0}"),
    (re.compile("soft opt-in without (.+)"), "“既有客户”例外缺少 {0}"),
    (re.compile("(implied_[a-z]+) without relation_at"), "依据 {0} 缺少 relation_at"),
    (re.compile(f"expired on {_DAY}"), "已于 {0} 到期"),
    (re.compile("not confirmed"), "未经邮箱确认"),
    (re.compile("evidence lacks (.+)"), "证据缺少 {0}"),
    (re.compile(f"given or renewed last on {_DAY}"), "最近一次同意或确认于 {0}"),
)


def detail_zh(detail: str) -> str:
    """The same in Chinese, "" where it is none of these."""
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(detail):
            return words.format(*found.groups())
    return ""
