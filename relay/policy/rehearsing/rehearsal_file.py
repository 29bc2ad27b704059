"""tests/NAME.toml: messages and what must become of them, written by people beside the rules.

A case stands for itself: what it does not write is invented and the same for
everybody, so that the facts of one organisation change no case of a pack.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.transfers import Category, Transferred
from relay.policy.consents.consent import PURPOSE, AgeBand, Basis, ConsentEvent, Details, EventKind, Evidence, Source, Statement
from relay.policy.consents.residence import Country
from relay.policy.rules.table import Countries, Strings, Table
from relay.policy.sets.faults import Faults
from relay.policy.sets.model import RULE_NAME
from relay.policy.suppressions.suppression import ORGANISATION, Reason

FOLDER = "tests/"
SHORT_FORM = frozenset({"from", "to", "cc", "subject", "text", "html", "fields", "attachments"})
MOST_KILOBYTES = 32 * 1024
_SLOT = "{}"


def _mailbox(text: Any) -> Any:
    try:
        return Mailbox.parse(text).wire if isinstance(text, str) else text
    except MailboxError:
        raise ValueError(f'"{text}" is not an e-mail address / 不是有效的邮箱地址') from None


def _moment(value: Any) -> date:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("expected a time zone, such as 2026-06-01T10:00:00+08:00 / 请写明时区，如 2026-06-01T10:00:00+08:00")
    if isinstance(value, date):
        return value
    raise ValueError("expected a day such as 2026-06-01 or a moment, without quotes / 应为日期，如 2026-06-01（不加引号）")


def _base64(text: str) -> str:
    try:
        b64decode(text, validate=True)
    except ValueError:
        raise ValueError("base64: this is no BASE64 / 不是有效的 BASE64") from None
    return text


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _named_or_written(value: Any) -> Any:
    if isinstance(value, str | dict):
        return value
    raise ValueError("expected the name of a stream of this set, or a table / 应为本策略的邮件流名称，或一个表")


Address = Annotated[str, BeforeValidator(_mailbox)]
Moment = Annotated[date, PlainValidator(_moment), WithJsonSchema({"type": "string"})]
OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_several), Field(strict=False)]
RuleNames = Annotated[tuple[Annotated[str, Field(pattern=RULE_NAME)], ...], Field(strict=False)]
StreamOf = Annotated[Any, BeforeValidator(_named_or_written)]


class SuppressionTable(Table):
    """One entry that is in force on the recipient."""

    reason: Literal["legal", "manual_all", "complaint", "objection", "unsubscribe", "hard_bounce", "manual"]
    scope: str = Field(default=ORGANISATION, description='"organisation", "stream" (this one) or "stream:NAME"')

    @property
    def why(self) -> Reason:
        return Reason(self.reason)


class ConsentTable(Table):
    """One event of the recipient's consent ledger; unless `lacks` says otherwise with every kind of evidence."""

    event: Annotated[EventKind, Field(strict=False)] = EventKind.GRANTED
    purpose: Annotated[str, Field(pattern=PURPOSE)] = "marketing"
    basis: Annotated[Basis, Field(strict=False)] = Basis.EXPLICIT
    days_ago: Annotated[int, Field(ge=0, le=40_000, description="Before the case")] = 30
    source: Annotated[Source, Field(strict=False)] = Source.FORM
    lacks: Annotated[tuple[Annotated[Evidence, Field(strict=False)], ...], Field(strict=False)] = ()
    statements: Annotated[tuple[Annotated[Statement, Field(strict=False)], ...], Field(strict=False)] = ()
    age_band: Annotated[AgeBand | None, Field(strict=False)] = None
    country: Annotated[Country | None, Field(description="Where the person is, by this event / 此事件写明的所在国家")] = None
    relation_days_ago: Annotated[int | None, Field(ge=0, le=40_000, description="The purchase, before the case")] = None
    ends_in_days: Annotated[int | None, Field(ge=-40_000, le=40_000, description="It ends by itself, after the case")] = None

    def event_at(self, number: int, now: float) -> ConsentEvent:
        """The event as the ledger has it at that moment."""
        at = now - 86400.0 * self.days_ago
        told: dict[str, Any] = {
            one.value: "" if one in self.lacks else "case" for one in Evidence if one is not Evidence.UNTICKED
        }
        unticked = () if Evidence.UNTICKED in self.lacks else (Statement.UNTICKED,)
        details = Details(
            source=self.source,
            statements=tuple(sorted({*self.statements, *unticked})),
            age_band=self.age_band or "",
            country=self.country or "",
            relation_at=None if self.relation_days_ago is None else now - 86400.0 * self.relation_days_ago,
            expires_at=None if self.ends_in_days is None else now + 86400.0 * self.ends_in_days,
            **told,
        )
        said = self.event.value, at, at, "", "case", self.purpose, self.basis.value, details.dump()
        return ConsentEvent(f"{number:026d}", bytes(16), b"", *said)


class AttachmentTable(Table):
    """A file in the message; `kilobytes` fills it up, `holds` makes it a ZIP of empty files with these names."""

    filename: str = Field(min_length=1)
    type: str = "application/octet-stream"
    text: str = ""
    kilobytes: Annotated[int, Field(ge=0, le=MOST_KILOBYTES)] = 0
    holds: Strings = ()
    password: Annotated[bool, Field(description="Whether one locks what it holds / 是否有密码")] = False
    base64: Annotated[str, AfterValidator(_base64)] = ""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if [bool(self.text or self.kilobytes), bool(self.holds), bool(self.base64)].count(True) > 1:
            raise ValueError("write one of text, holds, base64 / text、holds、base64 只能填写一个")
        return self


class Circumstances(Table):
    """Who writes what to whom, and when: all that a case may say, and [defaults] for all of them."""

    stream: StreamOf = None
    organisation: dict[str, Any] = Field(default_factory=dict)
    phase: Literal["data", "rcpt"] = "data"
    at: Moment | None = None
    identity: str = "news@example.com"
    owns: Strings = ("@example.com",)
    reverse_path: Annotated[str, BeforeValidator(lambda text: text and _mailbox(text))] = "news@example.com"
    recipient: Address = "ada@example.org"
    other_recipients: Annotated[tuple[Address, ...], Field(strict=False)] = ()
    jurisdictions: Countries | None = None
    upstream_countries: Countries = ()
    transferred: Annotated[
        tuple[int, int],
        Field(strict=False, description="Persons whose data left this year: ordinary, sensitive / 本年已出境人数：一般、敏感"),
    ] = (0, 0)
    counted: Annotated[
        tuple[Annotated[Category, Field(strict=False)], ...],
        Field(strict=False, description="As what the recipient is among them"),
    ] = ()
    domain_mail: Annotated[
        DomainMail | None, Field(strict=False, description="What DNS says of the recipient's domain / DNS 对收件域名的应答")
    ] = None
    suppressions: Annotated[tuple[SuppressionTable, ...], Field(strict=False)] = ()
    consents: Annotated[tuple[ConsentTable, ...], Field(strict=False)] = ()
    sender: Annotated[OneOrMore, Field(alias="from")] = ("Example <news@example.com>",)
    to: OneOrMore | None = None
    cc: OneOrMore = ()
    subject: str = "News"
    text: str = "Hello."
    html: str = ""
    fields: dict[str, str | list[str]] = Field(default_factory=dict)
    attachments: Annotated[tuple[AttachmentTable, ...], Field(strict=False)] = ()
    raw: str = ""

    def transferred_in(self, year: int) -> Transferred:
        """What is known of those whose data left."""
        return Transferred(year, *self.transferred, frozenset(self.counted))

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        written = {"from" if name == "sender" else name for name in self.model_fields_set}
        if self.raw and (short := sorted(written & SHORT_FORM)):
            raise ValueError(f"raw is the whole message: leave out {', '.join(short)} / 已写 raw，请删去 {'、'.join(short)}")
        return self


class CopyTable(Table):
    """What the recipient's copy is like; of what is left out nothing is expected."""

    subject: Annotated[str | None, Field(description="The whole subject / 整个主题")] = None
    footer: Annotated[
        bool | Annotated[str, Field(pattern=r"^[a-z]{2}(\+[a-z]{2})*$")] | None,
        Field(description="Whether there is a footer of ours, or its languages: zh, ko+en / 页脚或其语言"),
    ] = None
    says: Annotated[Strings, Field(description="Words that each text has from us / 由中继写入每个正文的文字")] = ()
    pixels_removed: Annotated[int | None, Field(ge=0)] = None
    adds: Annotated[Strings | None, Field(description="All header fields of ours / 由中继添加的全部邮件头")] = None
    removes: Annotated[Strings | None, Field(description="All header fields that do not leave / 被移除的全部邮件头")] = None
    done: Annotated[RuleNames | None, Field(description="All duties that are done / 已执行的全部处理")] = None
    left_out: Annotated[RuleNames, Field(description="All duties without which it leaves / 未能执行的全部处理")] = ()
    impossible: Annotated[
        str, Field(pattern=f"^$|{RULE_NAME}", description="The duty for which there is no copy / 因此处理而无法生成副本")
    ] = ""

    @model_validator(mode="after")
    def _a_copy_or_none(self) -> Self:
        if self.impossible and len(self.model_fields_set) > 1:
            raise ValueError("impossible says that there is no copy: leave out the other keys / 已写 impossible，请删去其他键")
        return self


class CaseTable(Circumstances):
    """[[case]]: one message, and what must become of it."""

    name: str = Field(min_length=1, max_length=200)
    each: Strings = ()
    expect: Literal["permit", "warn", "hold", "defer", "reject"]
    objects: RuleNames = ()
    passes: RuleNames = ()
    unasked: RuleNames = ()
    copied: Annotated[CopyTable | None, Field(alias="copy")] = None

    @model_validator(mode="after")
    def _only_what_leaves_has_a_copy(self) -> Self:
        if self.copied and (self.expect not in ("permit", "warn") or self.phase == "rcpt"):
            raise ValueError(
                "copy: only mail that the rules let leave has one: expect permit or warn, phase data"
                " / 只有规则放行的邮件才有副本：expect 须为 permit 或 warn，phase 须为 data"
            )
        return self


class CaseFile(Table):
    """tests/NAME.toml."""

    stream: StreamOf = None
    organisation: dict[str, Any] = Field(default_factory=dict)
    defaults: Circumstances = Circumstances()
    case: Annotated[tuple[dict[str, Any], ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, slots=True)
class Written:
    """One case of a file, its head and defaults filled in; `place` is where it stands, `value` which of its `each` it is."""

    file: str
    place: tuple[str | int, ...]
    value: str
    table: CaseTable


def read_case_files(files: Mapping[str, bytes], faults: Faults) -> Iterator[Written]:
    """Every case of every file below tests/, in their order; what is wrong goes to `faults`."""
    for file in sorted(name for name in files if name.startswith(FOLDER)):
        document = faults.read(file, files[file])
        head = None if document is None else faults.validate(CaseFile, document, file)
        if document is not None and head is not None:
            yield from _cases(file, document, head, faults)


def _cases(file: str, document: dict[str, Any], head: CaseFile, faults: Faults) -> Iterator[Written]:
    names: set[Any] = set()
    for index, table in enumerate(head.case):
        place = ("case", index)
        if (name := table.get("name")) in names:
            faults.add(file, (*place, "name"), f'"{name}" stands twice; names are unique', f"{name} 重复")
        names.add(name)
        merged = _merged(document, table)
        values = table.get("each")
        if isinstance(values, list) and values and not _has_slot(table):
            faults.add(file, (*place, "each"), f'no text of this case has "{_SLOT}"', f"此用例中没有 {_SLOT}")
            continue
        for value in values if isinstance(values, list) and values else [""]:
            case = faults.validate(CaseTable, _with(merged, str(value)) if values else merged, file, place)
            if case is None:
                break  # the others would have the same fault
            yield Written(file, place, str(value), case)


def _merged(document: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """The case with what the file says of all of them; facts of the organisation key by key, all else whole."""
    defaults = document.get("defaults", {})
    facts = (document.get("organisation", {}), defaults.get("organisation", {}), table.get("organisation", {}))
    head = {key: document[key] for key in ("stream",) if key in document}
    merged = {**head, **defaults, **table}
    if all(isinstance(one, dict) for one in facts):
        merged["organisation"] = {key: value for one in facts for key, value in one.items()}
    return merged


def _has_slot(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_slot(one) for key, one in value.items() if key != "each")
    return any(map(_has_slot, value)) if isinstance(value, list) else isinstance(value, str) and _SLOT in value


def _with(case: dict[str, Any], one: str) -> dict[str, Any]:
    return {key: value if key == "each" else filled(value, one) for key, value in case.items()}


def filled(value: Any, one: str) -> Any:
    """What a case says, with one of its `each` in every slot."""
    if isinstance(value, dict):
        return {key: filled(inner, one) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, one) for inner in value]
    return value.replace(_SLOT, one) if isinstance(value, str) else value
