"""Refusals in words: does this answer say "stop" and nothing else that matters?

A refusal is a line that is made of refusing and polite words only (退订，谢谢;
please unsubscribe me), standing first in what the writer added, with nothing
under it but thanks and a signature.  A word inside a sentence is none: 请问退订
流程是怎样的 asks a question, and "stop the line at 5" is about a factory; nor
is one that a sentence goes on from (拒收, and below it what the customer says
of the goods).  What is one letter or one word in everybody's mouth (T, no)
must be all that the writer added.
"""

import re
from collections.abc import Iterable, Sequence

from relay.mail.incoming.signatures import is_signature
from relay.mail.words.folding import one_form

_MAX_LINE = 80


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REFUSING = _words("""
    退订 退訂 拒收 取消订阅 取消訂閱 取消订閱 取消邮件订阅 停止订阅 终止订阅 不订阅 解除订阅 撤销订阅 不要再发 别再发
    不要再给我发 别再给我发 不要给我发 请勿再发 勿再发 不要再寄 别再寄 停止发送 停止发邮件 停止推送 不想再收到 不想收到
    不想再接收 不再接收 不愿再收到 不要再發 別再發 不想再收 不需要再发 拒绝接收 拒绝再接收 把我移除 将我移除 把我删除
    将我删除 移出名单 移出列表 移除我的邮箱 删除我的邮箱
    别发 不要发 请勿发 勿扰 勿打扰 别打扰 不要打扰 免打扰 别再打扰 不要再打扰 别骚扰 不要再骚扰 td退订 退订td 退订t t退订 退td
    回复td 回复t退订 回复td退订 回td
    unsubscribe unsubscribeme unsub unsubs unsuscribe unsubcribe optout optmeout removeme takemeoff stopsending stopemailing
    stopmailing stopcontacting stoptheemails stoptheseemails stopemails stopspamming nomoreemails nomoreemail nomoremails
    dontsend donotsend dontemail donotemail donotcontact dontcontact cancelsubscription cancelmysubscription
    cancelthesubscription removemyemail removemyaddress removemyname takemyname beremovedfrom
    abmelden abbestellen austragen keineweiterenmails désabonner medésabonner désinscrire désinscription désabonnement
    desinscription cancelarsuscripción darsedebaja darmedebaja dardebaja disiscrivere disiscrizione cancellami 配信停止
    登録解除 配信解除 購読解除 수신거부 구독취소 구독해지
""")
# Whole lines that refuse, and those that do so only when not even a name stands below.
_ALONE = _words("td tdtd stop pleasestop stopplease stopit stopnow stopthis remove baja")
_BARE = _words("t no 退 拒")
# Reasons that people give beside a refusal; alone they refuse an offer, not the mail.
_REASONS = _words("""
    不需要 不需要了 我不需要 我不需要了 我们不需要 我们不需要了 暂时不需要 不用了 不感兴趣 我不感兴趣 没兴趣 没有兴趣 我没有订阅
    我没有订阅过 我从未订阅 我从未订阅过 从未订阅 没订阅过 太多了 太频繁了 nothanks notinterested imnotinterested iamnotinterested
    wearenotinterested ineversubscribed ineversignedup ididnotsignup ididntsignup ididnotsubscribe ididntsubscribe
    ineversignedupforthis ididnotsignupforthis ididntsignupforthis
""")
_POLITE = _words("""
    送 来 过来
    您好 你好 大家好 请 請 麻烦 麻煩 烦请 敬请 拜托 帮我 帮忙 给我 替我 我要求 我要 我想 我们要 要求 申请 需要 立即 马上
    立刻 尽快 现在 以后 从今以后 今后 再次 我 本人 的 了 吧 啊 掉 一下 谢谢合作 谢谢您 谢谢 多谢 感谢 謝謝 感激 此致 敬礼
    祝好 邮件 邮箱 郵件 所有 全部 任何 这类 此类 类似 这种 这些 该 此 这 本 贵公司 贵司 你们 您们 广告邮件 广告 垃圾邮件 营销邮件
    推广邮件 推广 信息 消息 新闻邮件 电子报 通讯 从 至 到 给 请从 hi hello dear sirormadam sir madam team all
    there please pls plz kindly iwantto iwanttobe iwishto iwouldliketo idliketo wouldyou canyou couldyou me us my our
    email emails mail mails address addresses from off of this these the your yours any more anymore mailing mailinglist
    mailinglists newsletter newsletters messages message spam marketing further again at once now immediately asap thanks
    thankyou thx manythanks regards bestregards kindregards and to bitte mich vom von ihrem ihrer danke den diesen sie
    merci svp vousplaît sil de la votre vos mailings porfavor gracias lista correos grazie perfavore dalla お願いします
    してください をお願いします を 希望 します 부탁드립니다 해주세요 요청 합니다
""")
_LIST = r"(?:the|this|your|all|any)*(?:e?mail(?:ing)?|newsletter|distribution|marketing|contact)?lists?"
# The same where words stand between: 将我从邮件列表中删除, 取消我的订阅, I do not want these emails.
_REFUSING_PHRASES = (
    (
        "[把将將]我们?的?(?:邮箱|地址|邮件地址|邮箱地址)?从(?:你们|您们?|贵司|贵公司|这个|该|此)?的?"
        "(?:邮件|邮寄|发送|订阅|收件人?|推送|群发|通讯)?(?:列表|名单|清单|数据库)[中里内上]?"
        "(?:删除|移除|移出|删掉|去掉|去除|剔除|拿掉|除名)"
    ),
    "(?:取消|停止|终止|解除)(?:我们?|本人)?的?(?:对你们的|对贵司的)?(?:邮件|通讯|电子报|新闻)?的?(?:订阅|訂閱|推送)",
    (
        "(?:i|we)?(?:dont|donot|nolonger)(?:want|wish|need)(?:to(?:get|receive))?(?:any)?(?:more|further)?(?:of)?"
        "(?:these|this|your|such)?(?:e?mails?|newsletters?|messages?|mailings?|spam)"
    ),
    "take(?:me|us)off(?:of)?" + _LIST,
)
_POLITE_PHRASES = ("(?:from|off|of)" + _LIST,)
_GREETING = re.compile(
    r"(?i:dear|hello|hi|hey|good (?:morning|afternoon|evening|day))(?:\s+[A-ZÀ-Þ][\w.'’-]*){0,4}\s*[,!:，！]*"
    r"|(?:尊敬的)?\w{0,10}?[\s,，]*(?:您好|你好)[\s，,！!。:：]*|尊敬的\w{1,12}[:：，,！!]*"
)
_CLAUSES = re.compile(r"[，,。.!！;；、:：?？…~～]+")
_SPACES = re.compile(r"[\W_]+")
_REPLY = re.compile(
    r"\s*(?:re|aw|sv|antw|rif|res|fw|fwd|wg|tr|回复|回覆|答复|答覆|转发|轉寄|轉發)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)


def _longest_first(phrases: Sequence[str], words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join((*phrases, *map(re.escape, sorted(words, key=len, reverse=True)))))


_REFUSING_RE, _POLITE_RE = _longest_first(_REFUSING_PHRASES, _REFUSING), _longest_first(_POLITE_PHRASES, _POLITE)


def is_refusal(subject: str, own_lines: Sequence[str]) -> bool:
    """Whether an answer refuses further mail. `own_lines` are those that its writer added."""
    lines = [line for line in own_lines if not _is_polite(line)]
    if lines and _GREETING.fullmatch(lines[0]):
        lines = lines[1:]
    typed = "" if _REPLY.match(subject) else subject  # behind "Re:" stands what we wrote
    if _refuses(typed):
        return _adds_nothing(lines)
    if not lines:
        return _squeeze(typed) in _ALONE | _BARE
    first, *rest = lines
    if _squeeze(first) in _BARE:
        return not rest
    return (_refuses(first) or _squeeze(first) in _ALONE) and _adds_nothing(rest)


def _adds_nothing(lines: Sequence[str]) -> bool:
    """Whether nothing is said but the refusal once more and who refuses."""
    return is_signature([line for line in lines if not _refuses(line)])


def _squeeze(line: str) -> str:
    """The line's letters and digits, folded; of a line that is longer than a refusal only that it is."""
    if len(line) > 4 * _MAX_LINE:
        return "x" * _MAX_LINE
    return _SPACES.sub("", one_form(line).casefold())


def _refuses(line: str) -> bool:
    """Made of refusing and polite clauses, at least one of them refusing; a bare word with a question mark asks."""
    whole = _squeeze(line)
    if len(whole) >= _MAX_LINE or (line.rstrip().endswith(("?", "？")) and whole in _REFUSING):
        return False
    clauses = [*map(_squeeze, _CLAUSES.split(line))]
    refusing = [_is_made_of_refusing(clause) for clause in clauses]
    return any(refusing) and all(refuses or _is_beside(clause) for refuses, clause in zip(refusing, clauses, strict=True))


def _is_made_of_refusing(clause: str) -> bool:
    refuses, position = False, 0
    while position < len(clause):
        if match := _REFUSING_RE.match(clause, position):
            refuses = True
        elif not (match := _POLITE_RE.match(clause, position)):
            return False
        position = match.end()
    return refuses


def _is_polite(line: str) -> bool:
    """A greeting, thanks or a reason on a line of its own."""
    return len(line) <= 4 * _MAX_LINE and all(_is_beside(_squeeze(clause)) for clause in _CLAUSES.split(line))


def _is_beside(clause: str) -> bool:
    """Polite words only, or a reason."""
    position = 0
    while match := _POLITE_RE.match(clause, position):
        position = match.end()
    return position == len(clause) or clause in _REASONS
