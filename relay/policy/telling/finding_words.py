"""What the checks saw, in Chinese: their details go over the wire in ASCII.

Each check words its detail itself; here is the other language, by the shape of
the detail, because a detail is all that records keep.
"""

import re
import unicodedata
from collections.abc import Callable

from relay.policy.consents.consent_words import detail_zh as consent_zh
from relay.policy.detectors import PERSONAL, SECRETS

_PLACE = r"(a link of )?(subject|(?:text|html) part \d+|attachment \d+(?: \(\.[a-z]+\))?)(, alt|, hidden|, name|, Outlook)?"
_KINDS = {name: kind.title_zh for name, kind in (*PERSONAL.items(), *SECRETS.items())}
_PLACES = {"subject": "主题", "text": "纯文本第 {} 部分", "html": "HTML 第 {} 部分", "attachment": "附件 {}"}
_BEHIND = {", alt": "的替代文字", ", hidden": "的隐藏文字", ", name": "的文件名", ", Outlook": "中仅 Outlook 显示的文字"}
_HOW = {
    "display": "display 样式", "visibility": "visibility 样式", "opacity": "透明度", "size": "尺寸", "position": "位置",
    "attribute": "hidden 属性", "font-size": "字号", "colour": "颜色",
}  # fmt: skip
_FAULTS = {
    "look-alike": "形近域名", "login": "网址中含登录名", "number": "以数字代替域名", "script": "脚本链接", "http": "未加密的链接",
    "shortener": "短链接",
}  # fmt: skip
_WHOLE = {
    "its parts cannot all be read": "邮件各部分无法全部读取",
    "more numbers than are looked at": "号码数量超出检查上限",
    "error": "规则执行出错",
    "empty": "主题为空",
    "no text": "没有正文",
    "no message": "没有邮件",
    "another address": "显示名称中有其他邮箱地址",
    "another domain": "显示名称中有其他域名",
    "a counter": "显示名称中有计数",
    "a reply prefix": "显示名称中有回复前缀",
    "a badge": "显示名称中有认证标志",
    "hidden characters": "显示名称中有看不见的字符",
    "letters of two scripts in one word": "显示名称的一个词混用两种文字的字母",
    "From cannot be read": "From 无法解析",
    "no such domain, or no mail server": "域名不存在，或没有邮件服务器",
    "null MX": "域名声明不收信（null MX）",
    "no answer from DNS": "DNS 没有应答",
}


def finding_zh(detail: str) -> str:
    """The same in Chinese, "" where it has no words of its own: a size, a name, a word of a list."""
    if known := _WHOLE.get(detail):
        return known
    for pattern, say in _SHAPES:
        if found := pattern.fullmatch(detail):
            return say(found)
    return consent_zh(detail) or _hidden_character(detail)


def _place(found: re.Match[str]) -> str:
    """The Chinese for _PLACE, the last three groups of a match."""
    link, place, behind = found.groups()[-3:]
    kind, _, rest = place.partition(" ")
    number, _, ending = rest.removeprefix("part ").partition(" ")
    words = _PLACES[kind].format(number)
    if ending:
        words += f"（{ending.strip('()')}）"
    return words + _BEHIND.get(behind, "") + ("的链接" if link else "")


def _hidden_text(found: re.Match[str]) -> str:
    return f"{_place(found)}隐藏 {found[1]} 个文字（{_HOW.get(found[2], found[2])}）"


def _way_out(found: re.Match[str]) -> str:
    hidden, size, contrast = found.groups()[:3]
    if hidden:
        return f"{_place(found)}：退订链接被隐藏（{_HOW.get(hidden, hidden)}）"
    if size:
        return f"{_place(found)}：退订链接字号为 {size} px"
    return f"{_place(found)}：退订链接对比度为 {contrast}"


def _data(found: re.Match[str]) -> str:
    """Kinds with count and sample: "cn-id 1 (110***********002X), cn-mobile 2 (138******78)"."""
    named = _SAMPLE.sub(lambda one: f"{_KINDS.get(one[1], one[1])} {one[2]} 个（{one[3]}）", found[1])
    return f"{_place(found)}：{named.replace('）, ', '）、')}"


def _given_away(found: re.Match[str]) -> str:
    what = "邮箱地址" if found[1] == "an e-mail address" else _KINDS.get(found[1], found[1])
    return f"链接含{what}，发往 {found[2]}"


def _hidden_character(detail: str) -> str:
    try:
        character = unicodedata.lookup(detail)
    except KeyError:
        return ""
    return f"含看不见的字符 U+{ord(character):04X}" if unicodedata.category(character) == "Cf" else ""


_SAMPLE = re.compile(r"([a-z0-9-]+) (\d+) \(([^()]*)\)")
_SHAPES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern.replace("PLACE", _PLACE)), say)
    for pattern, say in (
        (r"(\d+) shown, (\d+) allowed", lambda found: f"显示 {found[1]} 个，限 {found[2]} 个"),
        (r"(\d+) addresses, (\d+) allowed", lambda found: f"{found[1]} 个地址，限 {found[2]} 个"),
        (r"(\d+) letters, by ([a-z-]+), in PLACE", _hidden_text),
        (r"(\d+) letters in PLACE", lambda found: f"{_place(found)}只有 {found[1]} 个文字"),
        (r"(\d+), from (\S+)", lambda found: f"{found[1]} 个，来自 {found[2]}"),
        (r"(\d+) From fields", lambda found: f"{found[1]} 个 From 字段"),
        (r"(\d+) authors", lambda found: f"{found[1]} 个发件人"),
        (r"(\d+)% of (\d+)", lambda found: f"{found[2]} 个收件人中的 {found[1]}%"),
        (r"(\d+) points: campaign links", lambda found: f"{found[1]} 分：推广链接"),
        (r"(\d+) points: (.+)", lambda found: f"{found[1]} 分：{finding_zh(found[2]) or found[2]}"),
        (r"(.+), (\d+) more", lambda found: f"{found[1]}，另有 {found[2]} 个"),
        (r"label of ([A-Z, ]+)", lambda found: f"带有 {found[1]} 的广告标识"),
        (r"no label of ([A-Z, ]+)", lambda found: f"缺少 {found[1]} 的广告标识"),
        (r"mismatch: shows (\S+), leads to (\S+)", lambda found: f"显示为 {found[1]}，实际指向 {found[2]}"),
        (r"personal-data: ([a-z0-9 -]+) to (\S+)", _given_away),
        (rf"({'|'.join(_FAULTS)}): (\S+)", lambda found: f"{_FAULTS[found[1]]}：{found[2]}"),
        (r"a greeting without a name in PLACE", lambda found: f"{_place(found)}的称呼中缺少姓名"),
        (r"(\S{1,4}\.\.\.\S{1,4}) in PLACE", lambda found: f"{_place(found)}含 {found[1]}"),
        (r"no unsubscribe link in PLACE", lambda found: f"{_place(found)}没有退订链接"),
        (r"an unsubscribe link without visible text in PLACE", lambda found: f"{_place(found)}：退订链接没有可见文字"),
        (r"an unsubscribe link that leads nowhere in PLACE", lambda found: f"{_place(found)}：退订链接没有指向任何网页或邮箱"),
        (
            r"an unsubscribe link (?:hidden by ([a-z-]+)|of ([\d.]+) px|with a contrast of ([\d.]+)) in PLACE",
            _way_out,
        ),
        (rf"({_SAMPLE.pattern}(?:, {_SAMPLE.pattern})*) in PLACE", _data),
    )
)
