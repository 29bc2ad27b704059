"""What records say in Chinese and English: one sentence per kind, state and weight."""

from collections.abc import Mapping
from typing import Any

from relay.policy.suppressions.suppression import ORGANISATION
from relay.policy.telling.finding_words import finding_zh
from relay.records.kinds import Kind

Both = Mapping[str, str]
"""A text in both languages, by "zh" and "en"."""


def both(zh: str, en: str) -> Both:
    """Put the two texts of one meaning together."""
    return {"zh": zh, "en": en}


KINDS: Mapping[Kind, Both] = {
    Kind.RECEIVED: both("收到一封邮件并逐个收件人作出判定", "A message came in and was judged for each recipient"),
    Kind.JUDGED: both("再次发送前重新作出判定", "What is held was judged again before another try"),
    Kind.FINISHED: both("各收件人的结果", "The outcome for each recipient"),
    Kind.HELD: both("无法立即发出的邮件由中继保留，稍后发送", "What cannot leave now is kept, and sent later"),
    Kind.REFUSED: both(
        "拒绝了发件人、收件人，或过大、不合规的邮件", "A sender, a recipient, or a malformed or too large message was refused"
    ),
    Kind.REPORTED: both("已把未送达的收件人以报告告知发件人", "A report told the sender whom the message did not reach"),
    Kind.UNREPORTED: both("有未送达的收件人，但按规定没有报告任何人", "Nobody was told of these recipients, as asked"),
    Kind.LATE: both("答复客户端之后才得到的结果", "An outcome that came after the client was answered"),
    Kind.HANDLED: both("管理员处理了暂存的邮件", "A person dealt with mail that was held"),
    Kind.SUPPRESSED: both("邮箱被列入禁发名单", "A mailbox was put on the suppression list"),
    Kind.APPLIED: both("禁发记录已在存储中生效", "The store brought a suppression in force"),
    Kind.COLLECTED: both("从邮箱中读到退订、退信或投诉", "A refusal, a bounce or a complaint came back by mail"),
    Kind.LIFTED: both("禁发记录被解除", "A suppression was lifted"),
    Kind.CONSENT: both("同意台账增加了记录", "The consent ledger was added to"),
    Kind.PAUSED: both("邮件流被暂停", "A stream was paused"),
    Kind.RESUMED: both("邮件流恢复发送", "A stream was resumed"),
    Kind.PROBED: both("向上游服务器发出一封探测邮件", "A canary was sent to an upstream"),
    Kind.ADAPTED: both("因上游服务器的答复调整了发送，或调整结束", "Sending was adapted to an upstream's reply, or that ended"),
    Kind.THRESHOLD: both("出境人数接近或达到依据的上限", "The persons whose data left are near what a ground allows"),
    Kind.POLICY: both("一套策略生效", "A policy set came into force"),
    Kind.KEYS: both("启用了新的密钥", "A key ring got a new generation"),
    Kind.OPENED: both("存储被创建或恢复", "A store was created or restored"),
}

STATES: Mapping[str, Both] = {
    "delivered": both("已送达上游服务器", "Delivered: the upstream server took it"),
    "refused by rule": both("未发送：有规则不允许", "Not sent: a rule does not allow it"),
    "refused": both("未送达：上游服务器拒收", "Not delivered: the upstream server refused it"),
    "held": both(
        "由中继保留：上游服务器恢复后自动发送，无需重发",
        "Held: the relay sends it by itself as soon as the upstream server takes it; do not send it again",
    ),
    "held by rule": both(
        "由中继保留：规则允许时自动发送，或由管理员放行；无需重发",
        "Held: the relay sends it by itself when the rule allows it, or an administrator releases it; do not send it again",
    ),
    "transient by rule": both("暂未发送：邮件软件会自动重试", "Not sent yet: mail programs try again by themselves"),
    "transient": both(
        "暂未送达：稍后重试即可，邮件软件通常会自动重试",
        "Not delivered yet: try again later, most mail programs do by themselves",
    ),
    "indeterminate": both("结果未知：确认之前连接中断", "Not known: the connection broke before the confirmation came"),
    "judged": both("已准许，尚无结果", "Permitted; the outcome is not known yet"),
    "session": both("发送请求被拒绝", "The sender was refused"),
}

NOTHING_TO_DO = both("无需任何操作，中继会自动发送", "There is nothing to do: the relay sends it by itself")

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

ORIGINS: Mapping[str, Both] = {
    "one_click": both("一键退订", "one-click"),
    "page": both("退订页面", "the page of the link"),
    "mailto": both("退订邮件", "mail to the unsubscribe address"),
    "reply": both("回复邮件", "an answer in words"),
    "feedback": both("投诉报告", "a complaint report"),
    "bounce": both("退信", "a bounce"),
    "cli": both("命令行", "the command line"),
}


MEASURES: Mapping[str, Both] = {
    "complaints": both("投诉率阈值", "the threshold for complaints"),
    "hard_bounces": both("硬退信率阈值", "the threshold for hard bounces"),
    "manual": both("人工", "none: by hand"),
}

CONSENTS: Mapping[str, Both] = {
    "requested": both("请求确认", "confirmation was asked for"),
    "granted": both("同意", "a consent"),
    "confirmed": both("经邮箱确认的同意", "a consent, confirmed from the mailbox"),
    "renewed": both("再次确认", "a consent was renewed"),
    "withdrawn": both("撤回", "a withdrawal"),
    "objected": both("反对", "an objection"),
    "notice_sent": both("已发告知", "a reminder was sent"),
}

ADAPTED: Mapping[str, Both] = {
    "rest": both("暂不发送", "not asked for a time"),
    "rate": both("降低速率", "a lower rate"),
    "recipients": both("每封邮件收件人上限", "fewer recipients a mail"),
    "pause": both("营销邮件暂停", "marketing paused"),
}

SCOPES: Mapping[str, Both] = {
    "identity": both("登录账号", "the login"),
    "upstream": both("整个上游", "the whole upstream"),
    "domain": both("收件人域名", "the recipient domain"),
}

REPLY_CLASSES: Mapping[str, Both] = {
    "recipient_gone": both("没有这个邮箱", "there is no such mailbox"),
    "throttle": both("发送过多或过快", "too much or too fast"),
    "content": both("内容被视为垃圾邮件或含有禁止的内容", "the content looks like spam or is forbidden"),
    "authentication": both("登录失败", "the login failed"),
    "sender_policy": both("发件人、SPF、DKIM 或 DMARC 不符合要求", "the sender address, SPF, DKIM or DMARC"),
    "reputation": both("发件方信誉不佳", "the reputation of the sender"),
    "outage": both("对方服务器暂不可用", "the server did not work"),
    "transient": both("暂时的原因", "a temporary reason"),
    "permanent": both("永久的原因", "a permanent reason"),
    "manual": both("人工", "by hand"),  # no reply: a person did what replies do
}

OWN_RULES: Mapping[str, tuple[Both, Both]] = {
    "stream": (
        both(
            "没有邮件流接收此账号从此入口、以此发件地址发出的邮件", "No mail stream takes mail of this login, listener and sender"
        ),
        both(
            "请管理员在 policies/streams 的某个文件里，用 match 写明这个账号、监听或域名",
            "Ask your administrator to name this login, listener or domain in the `match` of a file in policies/streams",
        ),
    ),
    "expired": (
        both(
            "中继保管了这封邮件，但在期限内未能送达，已停止尝试",
            "The relay held this mail, could not deliver it in time, and has given it up",
        ),
        both("如仍需要，请重新发送", "Send it again if it still matters"),
    ),
    "dropped": (
        both("中继的管理员决定不发送这封暂存的邮件", "An administrator of the relay decided not to send this held mail"),
        both(
            "这封邮件不会再发出；请向管理员询问原因",
            "It will not be sent any more; ask your administrator why",
        ),
    ),
    "account": (
        both("中继没有可用于此发件人的上游账号", "The relay has no account at the upstream server for this sender"),
        both(
            "请管理员在 config.toml 中为此发件人添加 [[account]]；之后重发即可",
            "Ask your administrator to add an [[account]] for this sender to config.toml, then send again",
        ),
    ),
    "paused": (
        both(
            "此邮件流已暂停：投诉或硬退信超过阈值，或由管理员暂停",
            "This mail stream is paused: too many complaints or hard bounces, or an administrator paused it",
        ),
        both(
            "邮件没有丢失，仍在您这边等待；请管理员查明原因后运行 relay streams resume",
            "Nothing is lost, the mail waits with you; ask your administrator to find out why and run `relay streams resume`",
        ),
    ),
    "upstream": (
        both(
            "上游服务器要求放慢或暂缓，中继在此时间之前不再向它发送",
            "The upstream server asked to slow down or wait, so the relay does not ask it before that time",
        ),
        both("请稍后再发；邮件软件通常会自动重试", "Send again later; most mail programs do by themselves"),
    ),
    "upstream-paused": (
        both(
            "经此上游服务器的营销邮件已暂停：它认为发件方信誉不佳，或由管理员暂停",
            "Marketing by this upstream server is paused: it holds us in bad standing, or an administrator paused it",
        ),
        both(
            "邮件没有丢失，仍在您这边等待；请管理员查明原因后运行 relay upstream resume",
            "Nothing is lost, the mail waits with you; ask your administrator to find out why and run `relay upstream resume`",
        ),
    ),
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
    "base/ownership": (
        both("发件地址不属于当前登录的账号", "The sender address does not belong to the login"),
        both(
            "请使用该地址对应的账号登录，或请管理员将此地址加入您的账号",
            "Log in with the account of that address, or ask your administrator to add the address to your account",
        ),
    ),
    "base/login-only": (
        both(
            "上游服务商只接受以登录账号本身为发件地址的邮件",
            "The provider takes mail only with its own login as the sender address",
        ),
        both(
            "请在邮件软件中把发件地址（From）改为登录账号，或用该地址自己的账号登录",
            "Write the login as sender address (From) in your mail program, or log in with the account of that address",
        ),
    ),
    "base/null-reverse-path": (
        both(
            "上游服务商不接受空的信封发件人（MAIL FROM:<>）", "The provider takes no mail with a null reverse-path (MAIL FROM:<>)"
        ),
        both("请让程序填写登录账号作为信封发件人", "Have the program give the login as reverse-path"),
    ),
    "base/smtputf8": (
        both(
            "上游服务器不支持含非 ASCII 字符的邮箱地址或邮件头",
            "The upstream server takes no non-ASCII mailboxes and no UTF-8 header",
        ),
        both(
            "请改用纯英文的邮箱地址；主题等邮件头请按 RFC 2047 编码（常见邮件软件会自动完成）",
            "Use an ASCII address, and encoded-words (RFC 2047) in the header, as usual mail programs do by themselves",
        ),
    ),
    "base/one-click": (
        both("这封邮件无法带上有效的一键退订", "This mail cannot carry a valid one-click unsubscription"),
        both(
            "请去掉邮件自带的 List-Unsubscribe 和 List-Unsubscribe-Post；如仍失败，请管理员检查 [unsubscribe] base_url 和 DKIM",
            "Leave List-Unsubscribe and List-Unsubscribe-Post out of the message; if that does not help, ask your administrator"
            " to check [unsubscribe] base_url and DKIM",
        ),
    ),
    "base/signature": (
        both(
            "这封邮件必须有本域名的有效 DKIM 签名，但无法生成",
            "This mail must have a valid DKIM signature of its domain, and none can be made",
        ),
        both(
            "请确认发件地址（From）的域名无误；请管理员用 relay dkim keygen 为该域名生成密钥",
            "Check the domain of your From address; ask your administrator to make a key for it with `relay dkim keygen`",
        ),
    ),
    "base/encoding": (
        both(
            "上游服务器需要改变邮件的编码，而已签名、加密或非文本的部分不能改动",
            "The upstream server needs another encoding, and signed, encrypted or binary parts must not be changed",
        ),
        both(
            "请在邮件软件中用 quoted-printable 或 base64 编码后再签名发送",
            "Send it as quoted-printable or base64, encoded before it is signed",
        ),
    ),
    "base/line-length": (
        both("邮件中有过长的行，途中会被截断", "A line of the message is so long that it would be broken on its way"),
        both(
            "请使用较新的邮件客户端，或让程序把行折到 998 字节以内",
            "Send with a current mail program, or have the script fold lines to 998 octets at most",
        ),
    ),
    "base/size": (
        both("邮件大于中继接收的上限", "The message is larger than the relay takes"),
        both(
            "请改为发送下载链接，或减小附件（附件在传输时比磁盘上约大三分之一）",
            "Send a link instead of the attachment, or a smaller attachment: it is a third larger in transfer than on disk",
        ),
    ),
    "base/line-ends": (
        both("邮件中有单独的回车或换行符", "The message has a CR or LF that is not part of CR LF"),
        both("请让程序以 CR LF 结束每一行", "Have the program end every line with CR LF"),
    ),
    "base/loop": (
        both("邮件经过的服务器太多，可能在循环转发", "The message has passed so many servers that it seems to go in a circle"),
        both("请管理员检查是否有两台服务器互相转发", "Ask your administrator to look for servers that forward to each other"),
    ),
    "base/header-structure": (
        both("邮件头格式不合规", "The message header is malformed"),
        both(
            "请使用较新的邮件客户端发送，或修正生成邮件的程序",
            "Send with a current mail program, or have the script that builds the message corrected",
        ),
    ),
}
"""What the code itself says, not a rule of a policy file: at MAIL, of octets that are no message, of a copy on its way."""


def word(words: Mapping[str, Both], key: str) -> Both:
    """The texts of a word; a word that has none stands for itself."""
    return words.get(key) or both(key, key)


def detail_words(rule: str, detail: str) -> Both:
    """What a rule saw, which goes over the wire in ASCII; what has no Chinese words stands for itself."""
    if rule == "base/suppression":
        return both(word(REASONS, detail)["zh"], detail)
    if detail.endswith("country unknown"):
        return both(detail.replace("country unknown", "所在国家不明"), detail)
    return both(finding_zh(detail) or detail, detail)


def scope_words(scope: str) -> Both:
    """How far a suppression reaches among the streams."""
    name = scope.removeprefix("stream:")
    return both("所有邮件流", "all streams") if scope == ORGANISATION else both(f"邮件流 {name}", f"stream {name}")


def objection_texts(objection: Mapping[str, Any]) -> tuple[Both, Both]:
    """What an objection says and what to do about it; a text that its rule lacks in one language is shown in the other."""
    text = both(objection["text_zh"] or objection["text"], objection["text"] or objection["text_zh"])
    fix = both(objection["fix_zh"] or objection["fix"], objection["fix"] or objection["fix_zh"])
    return text, fix


def own_rule_texts(rule: str, reply: str, bound: int = 0) -> tuple[Both, Both]:
    """The same for what the code says by itself, from its reply; `bound` is the octets that are allowed, 0 where none count."""
    if rule in OWN_RULES:
        text, fix = OWN_RULES[rule]
        return text, _with_bound(fix, bound) if bound else fix
    remedy = both("请把本页编号告诉管理员", "Give the number of this page to your administrator")
    return both(f"规则 {rule} 不允许发送：{reply}", reply), remedy


def _with_bound(fix: Both, octets: int) -> Both:
    """Say how much is allowed; megabytes are cut, not rounded, so that who keeps to them is within the bound."""
    megabytes = octets * 10 // 1024**2 / 10
    zh, en = (f"（{megabytes} MB）", f" ({megabytes} MB)") if megabytes >= 1 else ("", "")
    return both(f"上限为 {octets} 字节{zh}。{fix['zh']}", f"The limit is {octets} octets{en}. {fix['en']}")


def sentence(text: Both, fix: Both) -> Both:
    """Both in one line of a report."""
    zh, en = (stop.join(filter(None, (text[language], fix[language]))) for language, stop in (("zh", "。"), ("en", ". ")))
    return both(zh, en)
