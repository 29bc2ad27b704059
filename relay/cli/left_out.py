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
        "`relay check --dns` looks them up; they are the same for all mail of a domain, and no single mail is at fault.",
        "由 `relay check --dns` 核对；同一域名的全部邮件都一样，与某一封邮件无关。",
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
        "Persons whose data left the country by other systems (CAC Order 16 Art 5, 7, 8)",
        "经其他系统出境的个人信息人数（国家网信办令第 16 号第五、七、八条）",
        "`transfer-count` counts recipients of mail by servers abroad; what left otherwise people write into `[[transferred]]`.",
        "`transfer-count` 统计经境外服务器发送的收件人；其他途径出境的人数由人写入 `[[transferred]]`。",
    ),
    LeftOut(
        "Whether mail is necessary for a contract, tells sensitive data, or comes from critical infrastructure (CAC Order 16)",
        "邮件是否确为履行合同所需，是否涉及敏感个人信息，单位是否为关键信息基础设施运营者（国家网信办令第 16 号）",
        "People say it: by the ground they record (`exempt-necessary`, `security-assessment`), by `sensitive` in the stream.",
        "由人写明：所登记的依据（`exempt-necessary`、`security-assessment`），以及邮件流中的 `sensitive`。",
    ),
    LeftOut(
        "A separate consent of each person before their data goes abroad with service mail (PIPL Art 39)",
        "服务邮件的个人信息出境前逐人取得单独同意（个人信息保护法第三十九条）",
        "`cn-marketing/transfer-consent` asks for it of marketing. Service mail rests on the contract (Art 13(1)(2)); who sees it"
        ' otherwise writes a rule of their own with `check = "transfer-consent"`.',
        "`cn-marketing/transfer-consent` 只针对营销邮件。服务邮件以合同为依据（第十三条第一款第二项）；另有判断的，请自建规则："
        '`check = "transfer-consent"`。',
    ),
    LeftOut(
        "Whether a program chose the content of a message for its reader (PIPL Art 24, E-Commerce Law Art 18)",
        "邮件内容是否由程序按个人特征挑选（个人信息保护法第二十四条、电子商务法第十八条）",
        "Nothing in a message tells it. A stream says it of itself (`personalised = true`), and its footer shows the way out.",
        "邮件中看不出来；由邮件流写明（`personalised = true`），页脚随即显示关闭方式。",
    ),
    LeftOut(
        "What the files in an archive say, and whether a macro or a program does harm",
        "压缩包中文件的内容，以及宏与程序是否有害",
        "Of a ZIP the names are read, and nothing is unpacked; an archive of another kind counts as one that hides what it holds."
        " A scanner of viruses belongs before or behind the relay.",
        "只读取 ZIP 中的文件名，不解压；其他格式的压缩包视为看不到内容。病毒扫描请部署在本系统之前或之后。",
    ),
    LeftOut(
        "Footers in other languages than Chinese, English, Japanese, Korean, French, German, Portuguese and Spanish",
        "中、英、日、韩、法、德、葡、西文以外的页脚",
        "Recipients elsewhere get the English one. Where a law wants another language, the message itself has to say it.",
        "其他国家的收件人看到英文页脚；法律要求当地语言的，请写在邮件正文中。",
    ),
    LeftOut(
        "Gifts without number and period, patents without a number, comparisons with competitors (Advertising Law Art 8, 12, 13)",
        "赠品未写数量与期限、专利未写专利号、贬低其他经营者（广告法第八、十二、十三条）",
        "The same words stand in lawful offers; people read them before they are sent.",
        "合法的广告也会用到同样的词；请在发送前由人审阅。",
    ),
    LeftOut(
        "Where an address was found, said in the first message to it (GDPR Art 14(2)(f), (3)(b))",
        "首次联系时说明地址来源（GDPR 第 14 条第 2 款 f 项、第 3 款 b 项）",
        "The ledger keeps the source (`source_ref`), and no footer shows it; the message itself has to say it.",
        "台账记有来源（`source_ref`），页脚不显示；请写在邮件正文中。",
    ),
    LeftOut(
        "How often people who refused are asked again (Network Data Security Regulations Art 22)",
        "收件人拒绝后再次征求同意的频率（网络数据安全管理条例第二十二条）",
        "A refusal binds all marketing, and only a new consent lifts it; whoever asks by another way answers for it."
        ' `recipient = ["4/day"]` in `[limits]` bounds how often anybody is written to.',
        "拒收对所有营销邮件生效，只有重新同意才能解除；以其他方式再次询问由您负责。"
        '`[limits]` 的 `recipient = ["4/day"]` 限制发信频率。',
    ),
    LeftOut(
        "Whether somebody reads the mailbox for answers and refusals",
        "回复邮箱与拒收邮箱是否有人查看",
        "`reply-address` knows names such as noreply; `relay check` opens the mailboxes that have an `[[account]]` with `imap`.",
        "`reply-address` 只看 noreply 之类的名称；`relay check` 会试开写有 `imap` 的 `[[account]]` 邮箱。",
    ),
    LeftOut(
        "A consent to open tracking, and links that count clicks for each recipient (CNIL 2026-042)",
        "对打开跟踪的同意，以及按收件人统计点击的链接（CNIL 2026-042）",
        "`tracking-pixel` warns and `remove-pixels` removes whatever anybody agreed to; one copy does not tell whose clicks"
        " a link counts.",
        "`tracking-pixel` 与 `remove-pixels` 不看同意；单看一封邮件无法判断链接统计谁的点击。",
    ),
    LeftOut(
        "Complaint and bounce rates, working unsubscribe links, hours, frequency, signatures",
        "投诉率与退信率、退订链接是否可用、发送时段与频率、签名",
        "No rules of packs: the stream says them (`[thresholds]`, `[limits]`, `[unsubscribe]`, `[signing]`), and the relay"
        " watches them all the time ([policies.md](policies.md)).",
        "不是规则包的规则：由邮件流设置（`[thresholds]`、`[limits]`、`[unsubscribe]`、`[signing]`），系统持续监控"
        "（[policies.zh.md](policies.zh.md)）。",
    ),
    LeftOut(
        "Content made by AI (Chinese labelling measures of 2025)",
        "人工智能生成内容的标识（2025 年办法）",
        "Nothing in a message tells it, and whether senders of mail are bound is not settled.",
        "邮件中看不出来，对邮件发送者是否适用亦未明确。",
    ),
    LeftOut(
        "Whether mail is sexually explicit, and what it shows when it is opened (15 USC 7704(d)(1)(B), 16 CFR 316.4(a)(2))",
        "邮件是否为成人内容，以及打开时首先显示的内容（15 USC 7704(d)(1)(B)、16 CFR 316.4(a)(2)）",
        "No list of words tells such mail from health or art: a stream says it of itself (`adult = true`), and its subjects are"
        " judged. That nothing explicit is in sight before the reader asks for it, people answer for.",
        "任何词表都会误伤健康与艺术内容，因此由邮件流写明（`adult = true`），系统检查主题标识；"
        "收件人主动打开之前不显示露骨内容，由人负责。",
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
        "An address does not tell: everybody counts as a person, and as one in California. Only a consent that is recorded with"
        " the statement `corporate` counts as a company's.",
        "地址看不出来：一律视为个人、并视为在加州；只有登记同意时写明 `corporate` 声明的才视为企业。",
    ),
)
