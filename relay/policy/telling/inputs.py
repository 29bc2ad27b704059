"""What a rule looks at: the facts of a case by name and the rule's own parameters, for people who ask why it said so."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relay.policy.cases.case import Asked, Case
from relay.policy.cases.jurisdiction import tellers
from relay.policy.consents.consent import ConsentEvent
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.rules.expression import VARIABLES, Expression, message_fact, recipient_facts, sender_facts
from relay.policy.rules.rule import Rule, RuleTable, Setting
from relay.policy.sets.model import HOURS
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import BINDS, Suppression

_NARROWING = {"purposes", "recipient_domains"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that rules look at. Its value is None, a text, a number, a truth value, or a list or table of these."""

    name: str
    meaning: str
    meaning_zh: str
    of: Callable[[Case, Setting], Any]


@dataclass(frozen=True, slots=True)
class Input:
    """What one rule had before it: facts and parameters by name.

    Of a rule that was not asked the parameters that kept it from being asked, if it has any.
    """

    facts: Mapping[str, Any]
    parameters: Mapping[str, Any]


def _variable(name: str) -> Callable[[Case, Setting], Any]:
    table, _, member = name.partition(".")
    return {
        "message": lambda case, _: message_fact(member, case),
        "recipient": lambda case, _: recipient_facts(case)[member],
        "sender": lambda case, _: sender_facts(case)[member],
        "stream": lambda _, setting: {"name": setting.stream, "purpose": setting.purpose.value}[member],
    }[table]


def _suppression(entry: Suppression) -> dict[str, Any]:
    return {
        "reason": entry.reason.value,
        "scope": entry.scope,
        "origin": entry.origin,
        "at": entry.at,
        "again_at": entry.again_at,
        "expires_at": entry.expires_at,
        "note": entry.note,
    }


def _consent(event: ConsentEvent) -> dict[str, Any]:
    """Without what is sealed, and without the words for the person."""
    details = event.details
    return {
        "id": event.id,
        "event": event.event,
        "purpose": event.purpose,
        "basis": event.basis,
        "at": event.at,
        "source": details.source,
        "country": details.country,
        "lacks": sorted(details.lacking),
    }


def _countries_from(case: Case) -> list[dict[str, Any]]:
    told = tellers(case.recipient.mailbox.domain, case.jurisdictions, case.residence)
    return [{"by": one.by.value, "countries": sorted(one.countries), "at": one.at} for one in told]


def _transferred(case: Case) -> dict[str, Any] | None:
    known = case.transferred
    if known is None:
        return None
    return {"year": known.year, "ordinary": known.ordinary, "sensitive": known.sensitive, "counted": sorted(known.counted)}


def _pause(case: Case) -> dict[str, Any] | None:
    pause = case.pause
    return {"by": pause.by, "at": pause.at, "measure": pause.measure.value, "reason": pause.reason} if pause else None


def _authors(case: Case) -> list[str]:
    return [author.wire for author in case.message.authors or ()] if case.message else []


def _addressee(case: Case) -> str:
    addressees = case.message.addressee_list if case.message else ()
    return addressees[0].wire if len(addressees) == 1 else ""


def _from_fields(case: Case) -> int:
    return len(case.message.all("from")) if case.message else 0


def _sender(case: Case) -> str | None:
    return case.message.sender.wire if case.message and case.message.sender else None


def _reply_to(case: Case) -> list[str]:
    return [mailbox.wire for mailbox in case.message.reply_to or ()] if case.message else []


def _return_path(case: Case) -> str | None:
    return case.message.return_path.wire if case.message and case.message.return_path else None


_ORGANISATION = (
    ("country", "where the organisation is", "组织所在国家"),
    ("legal_name", "the legal name", "单位全称"),
    ("postal_address", "the postal address", "通信地址"),
    ("contact", "how to reach it", "联系方式"),
    ("refusal_mailbox", "the mailbox for refusals", "拒收邮箱"),
    ("privacy_url", "the privacy notice", "隐私政策网址"),
    ("preferences_url", "where readers switch off what programs choose", "关闭个性化推荐的网址"),
    ("retention", "how long records and network logs are kept, in days", "记录与网络日志的保存天数"),
    ("licence", "licences for regulated advertising", "受监管广告的批文"),
    ("claim", "words with registered proof", "已登记证明的用语"),
    ("mark", "trade marks", "注册商标"),
    ("transfer", "grounds for sending personal data abroad", "数据跨境传输依据"),
    ("transferred", "persons whose data left the country otherwise than by the relay", "未经本系统出境的个人信息人数"),
)


def _of_organisation(key: str, meaning: str, meaning_zh: str) -> Fact:
    def of(case: Case, setting: Setting) -> Any:
        return setting.facts.model_dump(mode="json", by_alias=True, include={key})[key]

    return Fact(f"organisation.{key}", meaning, meaning_zh, of)


def _content(case: Case) -> dict[str, Any] | None:
    """How much there is, never what it says."""
    if case.message is None:
        return None
    content = case.message.content
    return {
        "texts": {text.where: len(text.shown) for text in (*content.texts, *content.names)},
        "links": len(content.links),
        "pictures": len(content.images),
        "hidden": len(content.hidden),
        "complete": content.is_complete,
    }


def _archives(case: Case) -> list[dict[str, Any]]:
    """What is in them, never how anything is called."""
    found = case.message.archives if case.message else ()
    return [
        {
            "files": len(one.archive.names),
            "locked": one.archive.is_locked,
            "macros": one.archive.has_macros,
            "readable": one.archive.is_readable,
        }
        for one in found
    ]


_BESIDE = (
    Fact("sender.owns", "what it may use as sender", "可以使用的发件地址", lambda case, _: sorted(case.submission.identity.owns)),
    Fact(
        "stream.bound_by",
        "refusals that bind it",
        "对它生效的禁发原因",
        lambda _, stream: sorted(BINDS[stream.purpose]),
    ),
    Fact("stream.offers", "what its copies carry", "副本所带的签名与退订方式", lambda _, stream: sorted(stream.offers)),
    Fact(
        "stream.sensitive",
        "whether its mail tells sensitive data of its recipients",
        "邮件是否涉及收件人的敏感个人信息",
        lambda _, stream: stream.sensitive,
    ),
    Fact(
        "stream.personalised",
        "whether a program chooses what each reader is shown",
        "是否按个人特征挑选内容",
        lambda _, stream: stream.personalised,
    ),
    Fact("stream.adult", "whether its mail is sexually explicit", "是否为成人内容", lambda _, stream: stream.adult),
    Fact("stream.pause", "what keeps it back", "暂停情况", lambda case, _: _pause(case)),
    Fact(
        "recipient.suppressions",
        "suppressions in force, whatever they bind",
        "有效的禁发记录（不论对此邮件流是否生效）",
        lambda case, _: [_suppression(entry) for entry in case.suppressions],
    ),
    *(_of_organisation(*row) for row in _ORGANISATION),
    Fact(
        "recipient.countries_from",
        "who told these countries: the address, the consent ledger, or nobody, so that unknown_recipient is assumed",
        "这些国家的来源：邮箱域名、同意台账；都没有时取 unknown_recipient",
        lambda case, _: _countries_from(case),
    ),
    Fact(
        "recipient.consents",
        "what the consent ledger has of the mailbox",
        "同意台账中关于该邮箱的记录",
        lambda case, _: [_consent(event) for event in case.consents],
    ),
    Fact(
        "recipient.transferred",
        "persons whose data left the country this year, and as what the recipient is one of them",
        "本年度出境个人信息的人数，以及该收件人是否已计入",
        lambda case, _: _transferred(case),
    ),
    Fact(
        "recipient.domain_mail",
        "what DNS says of the domain: takes, none, null-mx, unknown; nothing where it was not asked",
        "DNS 对收件域名的应答：takes、none、null-mx、unknown；未查询时为空",
        lambda case, _: case.domain_mail.value if case.domain_mail else None,
    ),
    Fact(
        "upstream.countries",
        "where the upstream servers are that it may leave by",
        "可能经过的上游服务器所在国家",
        lambda case, _: sorted(case.upstream_countries),
    ),
    Fact("message.from", "authors in From that can be read", "From 中可读的发件人", lambda case, _: _authors(case)),
    Fact(
        "message.addressee",
        "the mailbox in To and Cc, where it is only one",
        "收件人与抄送中的地址（仅有一个时）",
        lambda case, _: _addressee(case),
    ),
    Fact(
        "message.from_fields",
        "From fields",
        "From 字段个数",
        lambda case, _: _from_fields(case),
    ),
    Fact(
        "message.from_name",
        "the name beside From",
        "发件人名称",
        lambda case, _: case.message.author_name if case.message else "",
    ),
    Fact("message.reply_to", "mailboxes in Reply-To", "Reply-To 中的地址", lambda case, _: _reply_to(case)),
    Fact(
        "message.refers",
        "whether it says what it answers",
        "是否写明所回复的邮件",
        lambda case, _: bool(case.message and case.message.refers),
    ),
    Fact(
        "message.received_by",
        "servers in its Received fields",
        "Received 字段中的服务器",
        lambda case, _: list(case.message.received_by) if case.message else [],
    ),
    Fact("message.return_path", "the mailbox in Return-Path", "Return-Path 中的地址", lambda case, _: _return_path(case)),
    Fact("message.sender", "the mailbox in Sender", "Sender 中的地址", lambda case, _: _sender(case)),
    Fact(
        "message.defects",
        "what is wrong with its header",
        "邮件头的缺陷",
        lambda case, _: list(case.message.defects) if case.message else [],
    ),
    Fact(
        "message.content",
        "how much people see of it: the length of each text, links, pictures, hidden texts, whether all of it could be read",
        "收件人能看到的内容：各段文字的长度、链接数、图片数、隐藏文字数、是否全部可读",
        lambda case, _: _content(case),
    ),
    Fact(
        "message.archives",
        "attachments that hold other files: how many, whether a password locks them, macros, whether the names could be read",
        "含有其他文件的附件：文件数、是否有密码、是否含宏、能否读取文件名",
        lambda case, _: _archives(case),
    ),
    Fact(
        "message.parts_complete",
        "whether all its parts can be read",
        "各部分是否都能读取",
        lambda case, _: bool(case.message and case.message.structure.is_complete),
    ),
)

FACTS: dict[str, Fact] = {
    fact.name: fact
    for fact in (*(Fact(one.name, one.meaning, one.meaning_zh, _variable(one.name)) for one in VARIABLES), *_BESIDE)
}
"""Every fact by its name: the variables of expressions, and what only checks look at."""


def facts_of(names: Iterable[str], case: Case, setting: Setting) -> dict[str, Any]:
    """The facts of these names; while there is no message those on the message are left out."""
    return {name: FACTS[name].of(case, setting) for name in names if case.message or not name.startswith("message.")}


def inputs_of(asked: Iterable[Asked], stream: Stream, case: Case) -> Iterator[Input]:
    """What each rule of a ruling had before it, in their order."""
    rules = {rule.name: rule for rule in stream.rules}
    expiring = {f"{pack.name}/expired": pack.until for pack in stream.packs}
    for one in asked:
        rule = rules.get(one.rule)
        if rule is not None:
            yield Input(facts_of(facts_read(rule), case, stream.setting) if one.asked else {}, _parameters(rule.table, one.asked))
        elif one.rule == PAUSED:
            yield Input(facts_of(["stream.pause"], case, stream.setting), {})
        elif one.rule == HOURS:
            yield Input(facts_of(["recipient.domain", "recipient.countries_from"], case, stream.setting), _hours(stream))
        elif one.rule in expiring:
            yield Input({}, {"expires_on": str(expiring[one.rule])})
        else:  # a duty that cannot be done
            yield Input({}, {})


def _hours(stream: Stream) -> dict[str, Any]:
    return {"hours": [str(span) for span in stream.limits.hours], "hours_zone": stream.limits.hours_zone}


def facts_read(rule: Rule) -> Iterable[str]:
    """The names of the facts that the rule looks at."""
    if rule.check is not None:
        return rule.check.reads
    return _mentioned(rule.expression) if rule.expression else ()


def _mentioned(expression: Expression) -> Iterator[str]:
    for variable in VARIABLES:
        table, _, member = variable.name.partition(".")
        if table in expression.variables and (table != "message" or member in expression.reads):
            yield variable.name
    if expression.is_on_parts:
        yield "message.parts_complete"


def _parameters(table: RuleTable, asked: bool) -> dict[str, Any]:
    """The rule's own, or those that narrow whom it is asked about; none that nobody set."""
    names = set(type(table).model_fields.keys() - RuleTable.model_fields.keys()) if asked else _NARROWING
    return {name: value for name, value in table.model_dump(mode="json", include=names).items() if value != []}
