"""What the law and the big providers ask and no rule of a pack checks, and who answers for it: a chapter of docs/rules.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing, in English and Chinese, and why."""

    what: str
    what_zh: str
    why: str
    why_zh: str


LEFT_OUT = (
    LeftOut(
        "Whether what a message says is true",
        "内容是否真实",
        "A machine can ask for proof ([[claim]]); what is true, fair or misleading people judge.",
        "机器只能要求登记证明（[[claim]]），是否真实、公平、误导由人判断。",
    ),
    LeftOut(
        "SPF, DKIM and DMARC records while mail flows",
        "发信时的 SPF、DKIM、DMARC 记录",
        "`relay check --dns` looks them up; a rule asks no network, so that the same mail gets the same answer.",
        "由 `relay check --dns` 核对；规则不访问网络，同一封邮件的结果始终相同。",
    ),
    LeftOut(
        "Whether a recipient's domain exists or takes mail (RFC 7505)",
        "收件域名是否存在、是否收信（RFC 7505）",
        "The upstream server knows and its refusal suppresses the address; a rule asks no network.",
        "由上游服务器判断，其拒绝会列入禁发名单；规则不访问网络。",
    ),
    LeftOut(
        "A second factor at login, and who approved a campaign",
        "登录的二次验证与活动审批",
        'SMTP cannot ask a person; `action = "hold"` lets a person look before mail leaves.',
        'SMTP 无法询问操作者；`action = "hold"` 可让人先查看再放行。',
    ),
    LeftOut(
        "That Korean advertising at night has a consent of its own (Network Act Art 50(3))",
        "韩国夜间广告须另行同意（信息通信网法第 50 条第 3 款）",
        "The Enforcement Decree (Art 61(2)) excepts e-mail. Who wants quiet nights all the same writes `hours` into the stream.",
        "施行令第 61 条第 2 款把电子邮件除外。仍想避开夜间的，可在邮件流中写 `hours`。",
    ),
    LeftOut(
        "How many people's data left the country in a year (CAC Order 16 Art 5, 7, 8)",
        "当年出境个人信息的人数（国家网信办令第 16 号第五、七、八条）",
        "The rule `transfer` wants a recorded ground for each country; the thresholds of 100,000 and a million are not counted.",
        "规则 `transfer` 要求每个国家都登记依据；十万、一百万人的门槛不由系统统计。",
    ),
    LeftOut(
        "Content made by AI (Chinese labelling measures of 2025)",
        "人工智能生成内容的标识（2025 年办法）",
        "Nothing in a message tells it, and whether senders of mail are bound is not settled.",
        "邮件中看不出来，对邮件发送者是否适用亦未明确。",
    ),
    LeftOut(
        "The label of sexually explicit mail (16 CFR 316.4)",
        "成人内容标识（16 CFR 316.4）",
        "No list of words tells such mail from health or art; who sends it needs a stream and a rule of their own.",
        "任何词表都会误伤健康与艺术内容；此类发件人请自建邮件流与规则。",
    ),
    LeftOut(
        "Unsubscribing from service mail of Canadian recipients (CASL s 6(6))",
        "加拿大收件人对服务邮件的退订（CASL 第 6(6) 条）",
        "A click would stop receipts that other laws want sent; `[unsubscribe]` is for marketing.",
        "点击会停掉其他法律要求发送的回执；`[unsubscribe]` 仅用于营销。",
    ),
    LeftOut(
        "Requests of people on their data, and notices of a breach within their times",
        "个人权利请求与泄露通知的期限",
        "Procedures of the organisation; `relay evidence` collects what the relay knows of a person.",
        "属于单位的流程；`relay evidence` 汇总系统掌握的记录。",
    ),
    LeftOut(
        "The state of a recipient (California) and of a company or a person behind an address",
        "收件人所在的州（加利福尼亚），以及地址属于个人还是企业",
        "An address does not tell: the stricter case is assumed.",
        "地址看不出来，一律按较严的情形处理。",
    ),
)
