"""Streams and packs as people write them; organisation.toml is in organisation.py.

Keys are the file format that users rely on (design 5).  `parse.py` compiles
these tables into the values that decide; `schema.py` turns them into JSON
Schema for editors.  [[rule]] tables stay plain here: their keys depend on
their check and are validated by `rule_table`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from relay.policy.cases.reputation import KEPT_DAYS
from relay.policy.checks import CHECKS
from relay.policy.rules.duty import AnyDuty
from relay.policy.rules.expression import MAX_LENGTH, ExpressionError, compile_expression
from relay.policy.rules.organisation import Texts
from relay.policy.rules.rule import RuleTable
from relay.policy.rules.table import (
    Country,
    Date,
    Days,
    Domains,
    Growth,
    HoursOfWeek,
    Identities,
    Limits,
    Percent,
    PurposeName,
    Purposes,
    Strings,
    Table,
    fold_domain,
    percent_of,
)
from relay.policy.suppressions.suppression import Purpose

RULE_NAME = r"^[a-z0-9][a-z0-9-]{0,30}/[a-z0-9][a-z0-9-]{0,40}$"


def _kept(days: int) -> int:
    if days > KEPT_DAYS:
        raise ValueError(f"counts are kept for {KEPT_DAYS} days: expected {KEPT_DAYS}d or less / 计数只保留 {KEPT_DAYS} 天")
    return days


class Match(Table):
    """Which mail a stream takes: any within a list, all lists that are not empty."""

    identities: Identities = ()
    listeners: Strings = ()
    sender_domains: Domains = ()

    @property
    def lists(self) -> tuple[tuple[str, ...], ...]:
        return (self.identities, self.listeners, self.sender_domains)


class Signing(Table):
    """Whether mail leaves without our signature."""

    required: bool = False


class Unsubscribe(Table):
    """How recipients refuse."""

    one_click: bool = False
    mailto: bool = False
    scope: Literal["organisation", "stream"] = "organisation"
    existing: Literal["replace", "reject"] = "replace"

    @property
    def is_offered(self) -> bool:
        """Whether copies carry a List-Unsubscribe of ours."""
        return self.one_click or self.mailto


HOURS = "base/hours"
"""The name under which the hours of a stream object."""

UNPACED = frozenset({Purpose.SERVICE, Purpose.NOTICE})
"""Mail that no hours and no warm-up bind: people wait for it."""


class StreamLimits(Table):
    """How many recipients in how much time, when, and what becomes of those who are too many or too early."""

    identity: Limits = ()
    recipient_domain: dict[str, Limits] = Field(default_factory=dict, description='A domain, or "*" for every other domain')
    recipient: Limits = ()
    hours: Annotated[HoursOfWeek, Field(description="When the stream sends; none: always")] = ()
    hours_zone: Annotated[
        Literal["recipient", "organisation"],
        Field(description="Whose clock; the organisation's where neither domain nor consent ledger names a country"),
    ] = "recipient"
    warm_up: Annotated[Growth | None, Field(description="Recipients on the first day of sending, and the growth")] = None
    over: Literal["hold", "defer"] = "hold"

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, table: Any) -> Any:
        if isinstance(table, dict) and "reserve" in table:
            raise ValueError("reserve stands in [limits] of organisation.toml / reserve 应写在 organisation.toml 的 [limits]")
        domains = table.get("recipient_domain") if isinstance(table, dict) else None
        if not isinstance(domains, dict):
            return table
        return table | {"recipient_domain": {_limited_domain(domain): limits for domain, limits in domains.items()}}

    def of_domain(self, domain: str) -> Limits:
        """What binds a recipient domain: its own limits, be they none, else those of every other domain."""
        return self.recipient_domain.get(domain, self.recipient_domain.get("*", ()))


class Rates(Table):
    """From when on a rate warns, from when on it pauses the stream. Percent, as "0.3%"."""

    warn: Percent
    pause: Percent

    @model_validator(mode="after")
    def _warns_first(self) -> Self:
        if percent_of(self.warn) > percent_of(self.pause):
            raise ValueError(f"warn = {self.warn} is over pause = {self.pause} / warn 不能大于 pause")
        return self


class Thresholds(Table):
    """When complaints and hard bounces warn, and when they pause the stream.

    Seven days: a weekly newsletter is judged by its own last issue, and a list
    that was mended is not held to its past for long.  500: from there on a
    single complaint can warn, and never pauses.
    """

    window: Annotated[Days, AfterValidator(_kept)] = 7
    minimum: int = Field(default=500, ge=1, description="Recipients in the window from which on a rate is judged")
    complaints: Rates = Rates(warn="0.1%", pause="0.3%")
    hard_bounces: Rates = Rates(warn="2%", pause="5%")


class Override(Table):
    """Turns one pack rule down, openly and for a time."""

    rule: str = Field(pattern=RULE_NAME)
    action: Literal["warn", "hold", "defer"]
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)
    until: Date


class StreamFile(Table):
    """streams/NAME.toml: which mail, which packs, how this company carries them out."""

    purpose: PurposeName
    title: Annotated[Texts, Field(description="What its recipients know it by; default: the file's name")] = Texts()
    match: Match
    packs: Strings
    mode: Literal["enforce", "shadow"] = "enforce"
    refusals: Literal["report", "rcpt"] = "rcpt"
    upstream: Strings = ()
    sensitive: Annotated[
        bool,
        Field(
            description="Its mail tells sensitive data of its recipients (PIPL Art 28): health, finance, faith, places"
            " / 邮件涉及收件人的敏感个人信息（个人信息保护法第二十八条），如医疗健康、金融账户、宗教信仰、行踪轨迹"
        ),
    ] = False
    signing: Signing = Signing()
    unsubscribe: Unsubscribe = Unsubscribe()
    personalised: Annotated[
        bool, Field(description="A program chooses what each recipient is shown, by what is known of them / 按个人特征挑选内容")
    ] = False
    adult: Annotated[
        bool, Field(description="Its mail shows sexually explicit conduct (15 USC 7704(d)(4)) / 邮件含有露骨的性内容")
    ] = False
    limits: StreamLimits = StreamLimits()
    thresholds: Thresholds = Thresholds()
    rule: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    override: Annotated[tuple[Override, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _unsubscribing_is_for_marketing(self) -> Self:
        if self.unsubscribe.is_offered and self.purpose != "marketing":
            key, what, what_zh = (
                ("one_click", "a click", "点击") if self.unsubscribe.one_click else ("mailto", "a mail", "退订邮件")
            )
            raise ValueError(
                f'unsubscribe.{key}: only for purpose = "marketing"; {what} would not stop {self.purpose} mail'
                f" / 仅用于营销邮件：{self.purpose} 类邮件不会因{what_zh}而停止"
            )
        return self


class PackFacts(Table):
    """[pack]: where the rules come from, and until when somebody vouches for them."""

    version: str = Field(min_length=1)
    title: Texts = Texts()
    sources: Strings = ()
    reviewed_on: Date | None = None
    expires_on: Date | None = None
    penalty: Texts = Texts()


class Condition(Table):
    """One of `any`: the country of the organisation, of the recipient, or of an upstream server that the mail may leave by."""

    organisation: Country | None = Field(default=None, description="country in organisation.toml / organisation.toml 中的国家")
    recipient: Country | None = Field(default=None, description="A country of the recipient / 收件人所在国家")
    upstream: Country | None = Field(
        default=None,
        description="The country of an upstream server that the mail may leave by: of its provider, or as config.toml says"
        " / 邮件可能经过的上游服务器所在国家：由服务商决定，或在 config.toml 中写明",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.organisation, self.recipient, self.upstream].count(None) != 2:
            raise ValueError(
                'expected one condition such as { organisation = "CN" }, { recipient = "CN" } or { upstream = "CN" }'
                " / 每个条件只能写一项"
            )
        return self


class Applies(Table):
    """[applies]: when the pack binds at all; nothing given: always."""

    purpose: Annotated[Purposes, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)] = ()
    any: Annotated[tuple[Condition, ...], Field(strict=False)] = ()


class PackFile(Table):
    """packs/NAME.toml: what must hold, by a law or a provider."""

    pack: PackFacts
    applies: Applies = Applies()
    rule: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    duty: Annotated[tuple[AnyDuty, ...], Field(strict=False)] = ()


def _expression(text: str) -> str:
    try:
        compile_expression(text)
    except ExpressionError as error:
        raise ValueError(str(error)) from None
    return text


class WhenTable(RuleTable):
    """A rule with a CEL expression, the last resort."""

    when: Annotated[str, Field(max_length=MAX_LENGTH, description="CEL; true objects"), AfterValidator(_expression)]

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if not self.text:
            raise ValueError("a rule with `when` needs text and text_zh / 使用 when 的规则必须填写 text 与 text_zh")
        return self


def rule_model(table: dict[str, Any]) -> type[RuleTable]:
    """The model that a [[rule]] is validated with.

    Raises ValueError when it names no check that exists.
    """
    check, when = table.get("check"), table.get("when")
    if (check is None) == (when is None):
        raise ValueError(f"expected check or when, one of them; checks: {', '.join(CHECKS)} / check 与 when 必须且只能填写一个")
    if when is not None:
        return WhenTable
    if not isinstance(check, str) or check not in CHECKS:
        raise ValueError(f'there is no check "{check}"; there are {", ".join(CHECKS)} / 没有名为 "{check}" 的检查')
    return CHECKS[check].parameters


def name_fits(name: str) -> bool:
    """Whether a file name may name a stream or a pack."""
    return all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in name) and 0 < len(name) <= 31 and name[0] != "-"


def _limited_domain(domain: str) -> str:
    if domain == "*":
        return domain
    folded = fold_domain(domain)
    if folded.startswith("*."):
        raise ValueError(f'recipient_domain: write a whole domain or "*" instead of "{domain}" / 请填写完整域名或 "*"')
    return folded
