"""organisation.toml: who sends, what it may claim and sell, and the order of its streams.

`OrganisationFacts` is what checks and duties see of it, `Organisation` the
whole file.  What has ended proves nothing: `licences` and `claims` leave it
out.
"""

from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from relay.policy.cases.transfers import Transferred
from relay.policy.rules.table import (
    Countries,
    Country,
    Date,
    Days,
    Mailboxes,
    Reserve,
    Strings,
    Table,
    fold_mailbox,
)

PACK_NAME = r"^[a-z0-9][a-z0-9-]{0,30}$"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name}" is not a time zone such as "Asia/Shanghai" / 不是有效的时区，如 "Asia/Shanghai"') from None
    return name


def _https(url: str) -> str:
    if url and not url.startswith("https://"):
        raise ValueError('expected an address that starts with "https://" / 应为以 "https://" 开头的网址')
    return url


class Texts(Table):
    """The same in Chinese and English."""

    zh: str = ""
    en: str = ""


class Retention(Table):
    """How long things are kept."""

    records: Days = 3 * 366
    network_log: Days = 400


class SharedLimits(Table):
    """[limits] of the organisation: what its streams share."""

    reserve: Annotated[Reserve, Field(description="Of each limit of an upstream, what marketing leaves to other mail")] = "10%"


class Exempt(Table):
    """Mailboxes that named rules only observe, until a day."""

    recipients: Annotated[Mailboxes, Field(min_length=1)]
    rules: Annotated[Strings, Field(min_length=1, description='"base/size", "*/size", "base/*"')]
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)
    until: Date


Regulated = Literal[
    "alcohol",
    "education",
    "finance",
    "health-food",
    "medical-device",
    "medical-formula-food",
    "medical-service",
    "medicine",
    "pesticide",
    "real-estate",
    "veterinary-medicine",
]
"""What is advertised only with an approval or a licence: the types of a [[licence]]."""


class Licence(Table):
    """[[licence]]: an approval that allows a kind of regulated advertising, until a day."""

    type: Regulated
    number: str = Field(min_length=1, max_length=100)
    until: Date


class Claim(Table):
    """[[claim]]: words that mail may use because somebody keeps the proof of them, until a day."""

    text: str = Field(min_length=1, max_length=200, description="The words as they stand in mail / 邮件中的原话")
    evidence: str = Field(min_length=1, max_length=300, description="Where the proof is kept / 证明材料的存放处")
    countries: Annotated[Countries, Field(description="Only for recipients there; none: everywhere / 仅对这些国家的收件人")] = ()
    until: Date


class Mark(Table):
    """[[mark]]: a registered trade mark; its words are a name, not a claim."""

    text: str = Field(min_length=1, max_length=100)
    number: str = Field(min_length=1, max_length=100, description="Of the registration / 注册号")
    class_: Annotated[int, Field(alias="class", ge=1, le=45, description="Of the Nice Classification / 尼斯分类")]


TransferBasis = Literal[
    "adequacy",
    "binding-corporate-rules",
    "certification",
    "derogation",
    "exempt",
    "exempt-necessary",
    "security-assessment",
    "standard-contract",
]
"""On what ground personal data may leave the country (PIPL Art 38, CAC Order 16, GDPR Art 45-49).

"exempt" is for few persons a year (CAC Order 16 Art 5(4)), "exempt-necessary" for what a contract with the person, staff matters
or an emergency make necessary (Art 5(1) to (3)), and what Art 4 and 6 free: of these nobody is counted.
"""


class Transfer(Table):
    """[[transfer]]: the ground on which personal data may go to some countries, until a day."""

    to: Annotated[Countries, Field(min_length=1, description="Where the upstream servers are / 上游服务器所在国家")]
    basis: TransferBasis
    reference: str = Field(
        min_length=1, max_length=200, description="Number of the filing, the contract, the decision / 备案号或合同号"
    )
    until: Date


class TransferredElsewhere(Table):
    """[[transferred]]: persons whose data left the country in a year otherwise than by this relay."""

    year: Annotated[int, Field(ge=2000, le=9999)]
    ordinary: Annotated[int, Field(ge=0, le=2_000_000_000)] = 0
    sensitive: Annotated[
        int, Field(ge=0, le=2_000_000_000, description="Persons whose sensitive data did / 敏感个人信息人数")
    ] = 0


class Extend(Table):
    """[[extend]]: a pack that counts as reviewed past its expires_on, because somebody says so by name."""

    pack: str = Field(pattern=PACK_NAME)
    until: Date
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)


class OrganisationFacts(Table):
    """Who sends: what checks and duties see of organisation.toml."""

    country: Country
    legal_name: Texts = Texts()
    postal_address: Texts = Texts()
    contact: Annotated[str, Field(max_length=200, description="A telephone number or a web address / 联系电话或网址")] = ""
    refusal_mailbox: Annotated[str, AfterValidator(lambda text: text and fold_mailbox(text))] = ""
    privacy_url: Annotated[str, AfterValidator(_https)] = ""
    preferences_url: Annotated[
        str,
        AfterValidator(_https),
        Field(description="Where recipients switch off content chosen by a program / 关闭个性化推荐的网址"),
    ] = ""
    retention: Retention = Retention()
    licence: Annotated[tuple[Licence, ...], Field(strict=False)] = ()
    claim: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    mark: Annotated[tuple[Mark, ...], Field(strict=False)] = ()

    transfer: Annotated[tuple[Transfer, ...], Field(strict=False)] = ()
    transferred: Annotated[tuple[TransferredElsewhere, ...], Field(strict=False)] = ()

    def says(self, key: str) -> bool:
        """Whether a text is there: "contact", "legal_name.zh"; without a language, one is enough."""
        name, _, language = key.partition(".")
        value = getattr(self, name)
        if isinstance(value, str):
            return bool(value.strip())
        return any(getattr(value, one).strip() for one in ([language] if language else ["zh", "en"]))

    def transfers(self, today: date) -> tuple[Transfer, ...]:
        """Those that have not ended."""
        return tuple(transfer for transfer in self.transfer if today <= transfer.until)

    def transferred_elsewhere(self, year: int) -> Transferred:
        """How many persons' data left in that year otherwise."""
        told = [one for one in self.transferred if one.year == year]
        return Transferred(year, sum(one.ordinary for one in told), sum(one.sensitive for one in told))

    def licences(self, today: date) -> tuple[Licence, ...]:
        """Those that have not ended."""
        return tuple(licence for licence in self.licence if today <= licence.until)

    def claims(self, today: date) -> tuple[Claim, ...]:
        """Those that have not ended."""
        return tuple(claim for claim in self.claim if today <= claim.until)

    def claims_in(self, countries: frozenset[str], today: date) -> tuple[Claim, ...]:
        """Those that have not ended and are proved wherever a recipient may be who is in one of these countries."""
        return tuple(one for one in self.claims(today) if not one.countries or (countries and countries <= set(one.countries)))


class Organisation(OrganisationFacts):
    """organisation.toml: facts, and the order of streams."""

    time_zone: Annotated[str, AfterValidator(_zone)]
    streams: Annotated[Strings, Field(min_length=1, description="The first whose match fits takes the message")]
    unknown_recipient: Countries = ()
    limits: SharedLimits = SharedLimits()
    exempt: Annotated[tuple[Exempt, ...], Field(strict=False)] = ()
    extend: Annotated[tuple[Extend, ...], Field(strict=False)] = ()
