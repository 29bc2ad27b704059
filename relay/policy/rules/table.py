"""The building blocks of policy files: strict tables, and the kinds of value that people write in them.

Every message is in English and Chinese, because it is read by whoever edited
the file.  Values leave here folded as the rest of the relay compares them:
mailboxes as keys, domains as A-labels, identities as logins.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from relay.mail.mailbox import Mailbox, MailboxError, a_label
from relay.policy.cases.case import Action
from relay.policy.cases.jurisdiction import UNION, UNKNOWN
from relay.policy.consents.consent import Basis
from relay.policy.consents.residence import require_country
from relay.policy.suppressions.suppression import Purpose
from relay.policy.timing.hours import PATTERN as HOURS_PATTERN
from relay.policy.timing.hours import Hours, parse_span
from relay.policy.timing.limits import WARM_UP_PATTERN, Limit, WarmUp, parse_limit, parse_warm_up

MOST_RESERVED = 90
PERCENT = r"^[0-9]{1,3}(\.[0-9]{1,3})?%$"
MAX_TEXT = 300
"""Characters of a text that goes on the wire: with rule name and codes it must fit one reply line."""


class Table(BaseModel):
    """A table in a policy file: unknown keys are refused, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def fold_mailbox(text: str) -> str:
    """Return the mailbox key. Raises ValueError."""
    try:
        return Mailbox.parse(text).key
    except MailboxError:
        raise ValueError(f'"{text}" is not an e-mail address / 不是有效的邮箱地址') from None


def fold_identity(text: str) -> str:
    """Return an identity as AUTH yields it: the mailbox key, "listener:NAME", or the login case-folded."""
    try:
        return Mailbox.parse(text).key
    except MailboxError:
        return text.casefold()


def fold_domain(text: str) -> str:
    """Return a domain, or "*." and a domain for everything below it, as A-label. Raises ValueError."""
    wildcard = "*." if text.startswith("*.") else ""
    try:
        return wildcard + a_label(text.removeprefix("*."))
    except MailboxError:
        raise ValueError(f'"{text}" is not a domain such as "qq.com" or "*.qq.com" / 不是有效的域名') from None


def domain_fits(domain: str, patterns: Iterable[str]) -> bool:
    """Whether the A-label `domain` is one of the patterns; "*.qq.com" fits what is below qq.com, not qq.com itself."""
    return any(domain == pattern or (pattern[:2] == "*." and domain.endswith(pattern[1:])) for pattern in patterns)


def _ascii(text: str) -> str:
    if not all(" " <= character <= "~" for character in text):
        raise ValueError(
            "expected ASCII: it is sent in an SMTP reply; put the Chinese text into the key that ends in _zh"
            " / 此处只能用英文（会写入 SMTP 应答），中文请写在以 _zh 结尾的键中"
        )
    return text


def _limit(value: Any) -> Limit:
    try:
        return parse_limit(value) if isinstance(value, str) else parse_limit(repr(value))
    except ValueError as error:
        raise ValueError(f'{error} / 应为 "20/minute" 这样的写法（second、minute、hour、day）') from None


def _limits(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    units = [limit.unit for limit in limits]
    for unit in units:
        if units.count(unit) > 1:
            raise ValueError(f"two limits for one {unit}; keep the smaller one / 同一时间单位写了两个上限，请只保留较小的")
    return limits


def _hours(value: Any) -> Hours:
    try:
        return tuple(parse_span(span if isinstance(span, str) else repr(span)) for span in _listed(value))
    except ValueError as error:
        raise ValueError(f'{error} / 应为 "09:00-21:00" 或 "Mon-Fri 09:00-18:00" 这样的时段') from None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _warm_up(value: Any) -> WarmUp:
    try:
        return parse_warm_up(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise ValueError(f'{error} / 应为 "200/day x1.5" 这样的写法：第一天 200，之后每个发送日乘以 1.5') from None


def _year(value: Any) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,4})(d|y)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a number of days or years such as "400d" or "3y" / 应为天数或年数，如 "400d"、"3y"')
    return int(match[1]) * (366 if match[2] == "y" else 1)


def percent_of(text: str) -> Decimal:
    """The number of a `Percent`."""
    return Decimal(text.removesuffix("%"))


def _percent(text: str) -> str:
    if not re.fullmatch(PERCENT, text) or not 0 < percent_of(text) <= 100:
        raise ValueError(f'"{text}" is not a percentage such as "0.3%" / 应为百分比，如 "0.3%"')
    return text


def _reserve(text: str) -> str:
    if not re.fullmatch(PERCENT, text) or percent_of(text) > MOST_RESERVED:
        least, most = '"0%"', f'"{MOST_RESERVED}%"'
        raise ValueError(f'"{text}" is not a percentage from {least} to {most} / 应为 {least} 到 {most} 的百分比')
    return text


def read_country(code: str) -> str:
    """The code of a country, of the European Union, or of a place that nobody knows. Raises ValueError."""
    return code if code in (UNION, UNKNOWN) else require_country(code)


Strings = Annotated[tuple[str, ...], Field(strict=False)]
Bases = Annotated[tuple[Annotated[Basis, Field(strict=False)], ...], Field(strict=False)]
Ascii = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_ascii)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$"), AfterValidator(read_country)]
Countries = Annotated[tuple[Country, ...], Field(strict=False)]
Domains = Annotated[tuple[Annotated[str, AfterValidator(fold_domain)], ...], Field(strict=False)]
Mailboxes = Annotated[tuple[Annotated[str, AfterValidator(fold_mailbox)], ...], Field(strict=False)]
Identities = Annotated[tuple[Annotated[str, AfterValidator(fold_identity)], ...], Field(strict=False)]
PurposeName = Literal["marketing", "service", "correspondence", "notice"]
Purposes = Annotated[tuple[PurposeName, ...], Field(strict=False)]
ActionName = Literal["warn", "hold", "defer", "reject"]
Days = Annotated[int, BeforeValidator(_year), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*[dy]$"})]
Limits = Annotated[
    tuple[
        Annotated[
            Limit,
            BeforeValidator(_limit),
            WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}/(second|minute|hour|day)$"}),
        ],
        ...,
    ],
    Field(strict=False),
    AfterValidator(_limits),
]
_HOURS_TEXT = {"type": "string", "pattern": HOURS_PATTERN}
HoursOfWeek = Annotated[
    Hours,
    BeforeValidator(_hours),
    WithJsonSchema({"anyOf": [_HOURS_TEXT, {"type": "array", "items": _HOURS_TEXT}]}),
]
Growth = Annotated[WarmUp, BeforeValidator(_warm_up), WithJsonSchema({"type": "string", "pattern": f"^{WARM_UP_PATTERN}$"})]
Date = Annotated[date, Field(examples=["2027-03-31"])]
Percent = Annotated[str, AfterValidator(_percent), WithJsonSchema({"type": "string", "pattern": PERCENT})]
Reserve = Annotated[str, AfterValidator(_reserve), WithJsonSchema({"type": "string", "pattern": PERCENT})]

ACTIONS = {"warn": Action.WARN, "hold": Action.HOLD, "defer": Action.DEFER, "reject": Action.REJECT}
PURPOSES = {purpose.value: purpose for purpose in Purpose}
