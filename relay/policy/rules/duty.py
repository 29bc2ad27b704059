"""[[duty]]: what rendering must do to the copies that leave, one table for each `do`.

A duty binds where its pack does: a recipient under another law gets a copy
without it.  Correspondence is between people: of all duties only
remove-fields is ever done to it.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from relay.policy.rules.table import Bases, Countries, Purposes, Table

FIELD_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]{0,60}\*?$"
KEPT_FIELDS = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version",
        "content-type", "content-transfer-encoding", "content-disposition", "list-unsubscribe", "list-unsubscribe-post",
        "dkim-signature", "auto-submitted",
    }
)  # fmt: skip
"""Fields that no duty removes: without them the message would say something else, or nothing that can be verified."""

Label = Literal["US", "CN", "SG", "KR"]
FooterPart = Literal[
    "advertisement", "reason", "unsubscribe", "preferences", "refusal-mailbox", "identity", "address", "contact", "privacy"
]
AddedField = Literal["List-Id", "Feedback-ID", "Auto-Submitted", "CFBL-Address"]

_FOOTER: tuple[FooterPart, ...] = ("reason", "unsubscribe", "refusal-mailbox", "identity", "address", "privacy")
_LABELS = {
    "US": ("SEXUALLY-EXPLICIT:", "SEXUALLY-EXPLICIT:"),
    "CN": ("【广告】 or [AD]", "【广告】或 [AD]"),
    "SG": ("<ADV>", "<ADV>"),
    "KR": ("(광고)", "(광고)"),
}
_PARTS = {
    "advertisement": ("that it is an advertisement", "广告声明"),
    "reason": ("why they get it", "收件原因"),
    "unsubscribe": ("their unsubscribe link", "退订链接"),
    "preferences": ("where they switch off content chosen by a program", "关闭个性化推荐的链接"),
    "refusal-mailbox": ("the mailbox for refusals", "拒收邮箱"),
    "identity": ("the legal name", "单位全称"),
    "address": ("the postal address", "通信地址"),
    "contact": ("how to reach the sender", "联系方式"),
    "privacy": ("the privacy notice", "隐私政策"),
}
_NEEDED: dict[FooterPart, str] = {
    "unsubscribe": "one-click",
    "refusal-mailbox": "refusal_mailbox",
    "identity": "legal_name",
    "address": "postal_address",
    "contact": "contact",
    "privacy": "privacy_url",
}
_LATER = (
    'a copy for which a duty cannot be done is refused ("reject") or leaves without it ("warn")'
    ' / 无法执行处理的邮件只能拒收（"reject"）或不作处理发出（"warn"）'
)


def _if_impossible(value: Any) -> Any:
    if value in ("defer", "hold"):
        raise ValueError(_LATER)
    return value


def _once(listed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(listed))


class DutyTable(Table, ABC):
    """The keys of every [[duty]]; `if_impossible` "warn" lets a copy leave without it, counted and logged."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique in its file / 在本文件中唯一")
    do: str
    purposes: Purposes = Field(default=(), description="Only for streams with these purposes / 仅对这些用途的邮件流")
    recipient_countries: Countries = Field(
        default=(), description="Only for recipients in these countries / 仅对这些国家的收件人"
    )
    cite: str = Field(default="", max_length=300)
    if_impossible: Annotated[Literal["reject", "warn"], BeforeValidator(_if_impossible)] = "reject"

    @property
    @abstractmethod
    def deed(self) -> tuple[str, str]:
        """What is done, in English and Chinese, for a sentence."""

    @property
    @abstractmethod
    def works(self) -> frozenset[str]:
        """The single things it does; with fewer of them it is laxer."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of organisation.toml without which it cannot be done; "one-click" is what the stream must offer."""
        return ()

    @property
    def is_for_people(self) -> bool:
        """Whether it changes what a reader sees, which is never done to correspondence."""
        return True

    @property
    def is_of_adult_mail(self) -> bool:
        """Whether only streams that say `adult` of themselves owe it."""
        return False

    @property
    def spared_by(self) -> frozenset[str]:
        """The grounds on which a recipient can consent to mail so that the duty is not owed."""
        return frozenset()

    def is_laxer_than(self, earlier: "DutyTable") -> bool:
        """Whether mail may leave that `earlier` would have changed more, or stopped."""
        lets_go = (earlier.if_impossible, self.if_impossible) == ("reject", "warn")
        before, now = set(earlier.recipient_countries), set(self.recipient_countries)
        reaches_fewer = bool(now and (not before or before - now))
        spares_more = not self.spared_by <= earlier.spared_by or (self.is_of_adult_mail and not earlier.is_of_adult_mail)
        loses_some = type(self) is not type(earlier) or not earlier.works <= self.works
        return lets_go or reaches_fewer or spares_more or loses_some


class RemoveFields(DutyTable):
    """do = "remove-fields": header fields that do not leave."""

    do: Literal["remove-fields"]
    fields: Annotated[tuple[Annotated[str, Field(pattern=FIELD_PATTERN)], ...], Field(strict=False, min_length=1)]

    @property
    def deed(self) -> tuple[str, str]:
        names = ", ".join(map(str.lower, self.fields))
        return f"the fields {names} are removed", f"移除邮件头 {names}"

    @property
    def works(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.fields))

    @property
    def is_for_people(self) -> bool:
        return False

    @model_validator(mode="after")
    def _not_the_message_itself(self) -> Self:
        for pattern in self.fields:
            name, star = pattern.lower().rstrip("*"), pattern.endswith("*")
            hit = next((kept for kept in sorted(KEPT_FIELDS) if kept == name or (star and kept.startswith(name))), None)
            if hit:
                raise ValueError(f'fields: "{pattern}" would remove {hit}, which a message needs / 会删除邮件必需的 {hit}')
        return self


class AddFields(DutyTable):
    """do = "add-fields": header fields for receivers, where the message has none of its own."""

    do: Literal["add-fields"]
    fields: Annotated[tuple[AddedField, ...], Field(strict=False, min_length=1), AfterValidator(_once)]
    sender_id: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9-]{5,15})?$",
        description="Feedback-ID ends with it; default: from the domain in From / Feedback-ID 的最后一段；默认取自发件域名",
    )

    @property
    def deed(self) -> tuple[str, str]:
        names = ", ".join(self.fields)
        return f"the fields {names} are added where they are missing", f"缺少邮件头 {names} 时补上"

    @property
    def works(self) -> frozenset[str]:
        return frozenset(self.fields)

    @property
    def is_for_people(self) -> bool:
        return True  # people do not write them, and readers sort by them


class LabelSubject(DutyTable):
    """do = "label": the label with which a law wants the subject of advertising to begin."""

    do: Literal["label"]
    label: Label = Field(description="CN 【广告】 / [AD]; SG <ADV>; KR (광고); US SEXUALLY-EXPLICIT:")
    unless_consent: Annotated[
        Bases,
        Field(description="Not where a consent rule found a consent to the stream on one of these grounds / 有此类同意的不加"),
    ] = ()
    adult: bool = Field(default=False, description="Only in streams that say `adult` / 仅用于写明 `adult` 的邮件流")

    @property
    def deed(self) -> tuple[str, str]:
        label, label_zh = _LABELS[self.label]
        grounds, adult = ", ".join(self.unless_consent), self.adult
        where, where_zh = (" of a stream that says `adult`", "写明 `adult` 的邮件流，") if adult else ("", "")
        unless = f", unless the recipient consented ({grounds})" if grounds else ""
        unless_zh = f"，已同意（{grounds}）的收件人除外" if grounds else ""
        return f"the subject{where} begins with {label}{unless}", f"{where_zh}主题以 {label_zh} 开头{unless_zh}"

    @property
    def is_of_adult_mail(self) -> bool:
        return self.adult

    @property
    def spared_by(self) -> frozenset[str]:
        return frozenset(self.unless_consent)

    @property
    def works(self) -> frozenset[str]:
        return frozenset({self.label})


class Footer(DutyTable):
    """do = "footer": a visible footer under the text, in the recipient's language."""

    do: Literal["footer"]
    show: Annotated[tuple[FooterPart, ...], Field(strict=False, min_length=1), AfterValidator(_once)] = _FOOTER
    reason: str = Field(default="", max_length=300, description="Why recipients get it, in place of our words / 收件原因（英文）")
    reason_zh: str = Field(default="", max_length=300, description="收件原因（中文），代替默认文字 / the same in Chinese")

    @property
    def deed(self) -> tuple[str, str]:
        shown, shown_zh = ", ".join(_PARTS[part][0] for part in self.show), "、".join(_PARTS[part][1] for part in self.show)
        return f"readers see under the text {shown}", f"正文下方显示{shown_zh}"

    @property
    def works(self) -> frozenset[str]:
        return frozenset(self.show)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(_NEEDED[part] for part in self.show if part in _NEEDED)

    @model_validator(mode="after")
    def _both_languages(self) -> Self:
        if bool(self.reason) != bool(self.reason_zh):
            raise ValueError("reason and reason_zh go together: write both / reason 与 reason_zh 必须同时填写")
        return self


class RemovePixels(DutyTable):
    """do = "remove-pixels": what is fetched from elsewhere and shows nothing."""

    do: Literal["remove-pixels"]

    @property
    def deed(self) -> tuple[str, str]:
        return "what is fetched from elsewhere and shows nothing is removed", "移除从外部加载而读者看不见的内容（跟踪像素）"

    @property
    def works(self) -> frozenset[str]:
        return frozenset({"pixels"})


DUTIES: dict[str, type[DutyTable]] = {
    "remove-fields": RemoveFields,
    "add-fields": AddFields,
    "label": LabelSubject,
    "footer": Footer,
    "remove-pixels": RemovePixels,
}
"""The table of each `do`."""

AnyDuty = Annotated[RemoveFields | AddFields | LabelSubject | Footer | RemovePixels, Field(discriminator="do")]
