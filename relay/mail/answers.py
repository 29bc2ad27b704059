"""Refusals in words: does this answer say "stop" and nothing else that matters?

A refusal is a line that is made of refusing and polite words only (退订，谢谢;
please unsubscribe me), standing first in what the writer added.  A word
inside a sentence is none: 请问退订流程是怎样的 asks a question, and "stop the
line at 5" is about a factory.  What is one word in everybody's mouth (T, TD,
stop) must be all that the writer added.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_MAX_LINE = 80


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REFUSING = _words("""
    退订 退訂 拒收 取消订阅 取消訂閱 取消订閱 取消邮件订阅 停止订阅 终止订阅 不订阅 解除订阅 撤销订阅 不要再发 别再发
    不要再给我发 别再给我发 不要给我发 请勿再发 勿再发 不要再寄 别再寄 停止发送 停止发邮件 停止推送 不想再收到 不想收到
    不想再接收 不再接收 不愿再收到 不要再發 別再發 不想再收 不需要再发 拒绝接收 拒绝再接收 把我移除 将我移除 把我删除
    将我删除 移出名单 移出列表 移除我的邮箱 删除我的邮箱
    unsubscribe unsubscribeme unsuscribe unsubcribe optout optmeout removeme takemeoff stopsending stopemailing
    stopmailing stopcontacting stoptheemails stoptheseemails stopemails stopspamming nomoreemails nomoreemail nomoremails
    dontsend donotsend dontemail donotemail donotcontact dontcontact cancelsubscription cancelmysubscription
    cancelthesubscription removemyemail removemyaddress
    abmelden abbestellen austragen keineweiterenmails désabonner medésabonner désinscrire désinscription désabonnement
    desinscription cancelarsuscripción darsedebaja darmedebaja dardebaja disiscrivere disiscrizione cancellami 配信停止
    登録解除 配信解除 購読解除 수신거부 구독취소 구독해지
""")
_ALONE = _words("t td tdtd stop pleasestop stopplease stopit stopnow stopthis remove baja 退 拒")
_POLITE = _words("""
    送 来 过来
    您好 你好 大家好 请 請 麻烦 麻煩 烦请 敬请 拜托 帮我 帮忙 给我 替我 我要求 我要 我想 我们要 要求 申请 需要 立即 马上
    立刻 尽快 现在 以后 从今以后 今后 再次 我 本人 的 了 吧 啊 掉 一下 谢谢合作 谢谢您 谢谢 多谢 感谢 謝謝 感激 此致 敬礼
    祝好 邮件 邮箱 郵件 所有 全部 任何 这类 此类 类似 这种 该 此 这 贵公司 贵司 你们 您们 广告邮件 广告 垃圾邮件 营销邮件
    推广邮件 推广 信息 消息 新闻邮件 电子报 通讯 名单 列表 从 至 到 给 请从 hi hello dear sirormadam sir madam team all
    there please pls plz kindly iwantto iwanttobe iwishto iwouldliketo idliketo wouldyou canyou couldyou me us my our
    email emails mail mails address addresses from off of this these the your yours any more anymore mailing mailinglist
    list lists newsletter newsletters messages message spam marketing further again at once now immediately asap thanks
    thankyou thx manythanks regards bestregards kindregards and to bitte mich vom von ihrem ihrer danke den diesen sie
    merci svp vousplaît sil de la votre vos mailings porfavor gracias lista correos grazie perfavore dalla お願いします
    してください をお願いします を 希望 します 부탁드립니다 해주세요 요청 합니다
""")
_SPACES = re.compile(r"[\W_]+")
_REPLY = re.compile(
    r"\s*(?:re|aw|sv|antw|rif|res|fw|fwd|wg|tr|回复|回覆|答复|答覆|转发|轉寄|轉發)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)


def _longest_first(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


_REFUSING_RE, _POLITE_RE = _longest_first(_REFUSING), _longest_first(_POLITE)


def is_refusal(subject: str, own_lines: Sequence[str]) -> bool:
    """Whether an answer refuses further mail. `own_lines` are those that its writer added."""
    lines = [line for line in map(_squeeze, own_lines) if line and not _is_polite(line)]
    typed = "" if _REPLY.match(subject) else _squeeze(subject)  # behind "Re:" stands what we wrote
    if lines and _refuses(lines[0]):
        return True
    if len(lines) == 1 and lines[0] in _ALONE:
        return True
    return _refuses(typed) or (typed in _ALONE and not lines)


def _squeeze(line: str) -> str:
    """The line's letters and digits, folded; "" when it is longer than a refusal is."""
    if len(line) > 4 * _MAX_LINE:
        return "x" * _MAX_LINE
    return _SPACES.sub("", unicodedata.normalize("NFKC", line).casefold())


def _refuses(line: str) -> bool:
    """Made of refusing and polite words, at least one of them refusing."""
    refuses, position = False, 0
    if len(line) >= _MAX_LINE:
        return False
    while position < len(line):
        if match := _REFUSING_RE.match(line, position):
            refuses = True
        elif not (match := _POLITE_RE.match(line, position)):
            return False
        position = match.end()
    return refuses


def _is_polite(line: str) -> bool:
    """A greeting or thanks on a line of its own."""
    position = 0
    while match := _POLITE_RE.match(line, position):
        position = match.end()
    return position == len(line)
