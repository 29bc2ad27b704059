"""Personal data, secrets, and lists of people's addresses, in what people read."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from relay.mail.words.content import Content
from relay.mail.words.folding import Folded, one_form, undisguised
from relay.mail.words.sight import Text
from relay.policy.cases.case import Case, Spot
from relay.policy.detectors import (
    MOST_ADDRESSES,
    MOST_NUMBERS,
    PERSONAL,
    SECRETS,
    Hit,
    Searched,
    addresses,
    personal_data,
    read_registers,
    secret_data,
)
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Domains, Strings, domain_fits

_SHOWN = 3  # kinds that a detail names
TOO_MANY = Finding("more numbers than are looked at")


def _personal(name: str) -> str:
    if name not in PERSONAL:
        raise ValueError(f'there is no type "{name}"; there are {", ".join(PERSONAL)} / 没有名为 "{name}" 的类型')
    return name


def _secret(name: str) -> str:
    if name not in SECRETS:
        raise ValueError(f'there is no type "{name}"; there are {", ".join(SECRETS)} / 没有名为 "{name}" 的类型')
    return name


class PersonalData(RuleTable):
    """Parameters of personal-data."""

    types: Annotated[tuple[Annotated[str, AfterValidator(_personal)], ...], Field(strict=False, min_length=1)]
    at_least: Annotated[int, Field(ge=1, le=1000, description="Different numbers / 不同号码的个数")] = 1
    confidence: Annotated[
        Literal["high", "low"], Field(description="low: a number that a word beside it does not explain counts too")
    ] = "high"
    allow: Annotated[Strings, Field(description="Numbers of your own / 本单位自己的号码")] = ()

    def prepare(self) -> None:
        read_registers()


class Secrets(RuleTable):
    """Parameters of secrets."""

    types: Annotated[tuple[Annotated[str, AfterValidator(_secret)], ...], Field(strict=False, min_length=1)] = tuple(SECRETS)


class AddressList(RuleTable):
    """Parameters of address-list."""

    more_than: Annotated[int, Field(ge=0, le=10_000, description="Addresses of others that are let through")] = 20
    own_domains: Annotated[Domains, Field(description="Whose addresses are not others' / 视为本单位的域名")] = ()


def ask_personal(case: Case, setting: Setting, parameters: PersonalData) -> Finding | None:
    """Object to enough different numbers of the types together; the organisation's own do not count."""
    if case.message is None:
        return None
    content = case.message.content
    searched = content.once(_search(setting.today))
    own = {_compact(value) for value in (*parameters.allow, setting.facts.contact) if value}
    found = [
        (hit, spot)
        for hit, spot in searched.hits
        if hit.kind in parameters.types and (hit.sure or parameters.confidence == "low") and not _is_own(hit.value, own)
    ]
    if len(found) >= parameters.at_least:
        return _finding(found)
    if not searched.is_complete:
        return TOO_MANY
    return None if content.is_complete else UNREAD_PARTS


@dataclass(frozen=True, slots=True)
class _Searched:
    """Each different number of a message once, and where it stands first."""

    hits: tuple[tuple[Hit, Spot], ...]
    is_complete: bool


@lru_cache(maxsize=4)
def _search(today: date) -> Callable[[Content], _Searched]:
    """The search of one day: who is not born yet has no number."""

    def search_in(text: Text) -> Searched:
        return personal_data(_searched_form(text), today)

    def search(content: Content) -> _Searched:
        found: dict[tuple[str, str], tuple[Hit, Spot]] = {}
        left = MOST_NUMBERS
        for text in content.every_text:
            is_short = len(_searched_form(text)) < 2 * left  # and has no more groups of digits than are left
            searched = text.once(search_in) if is_short else personal_data(_searched_form(text), today, left)
            left -= searched.numbers
            for hit in searched.hits:
                known = found.get((hit.kind, hit.value))
                if known is None or (hit.sure and not known[0].sure):
                    span = text.position(hit.start, hit.end) if text.is_disguised else (hit.start, hit.end)
                    found[hit.kind, hit.value] = (hit, Spot(text.where, *span))
        return _Searched(tuple(found.values()), left >= 0)

    return search


def _searched_form(text: Text) -> str:
    return text.normalised if text.is_disguised else text.shown


def _compact(value: str) -> str:
    """A number as numbers are compared: one width, capitals, no separators."""
    return "".join(c for c in one_form(value).upper() if c.isascii() and c.isalnum())


def _is_own(value: str, own: set[str]) -> bool:
    """Whether the organisation gave this number out, with or without the country before it."""
    return value in own or any(one.removeprefix("00").removeprefix("86") == value for one in own)


def _finding(found: list[tuple[Hit, Spot]]) -> Finding:
    """Kind, count and one masked sample of each."""
    samples: dict[str, Hit] = {}
    counts: dict[str, int] = {}
    for hit, _ in found:
        samples.setdefault(hit.kind, hit)
        counts[hit.kind] = counts.get(hit.kind, 0) + 1
    named = [f"{kind} {counts[kind]} ({hit.sample})" for kind, hit in samples.items()][:_SHOWN]
    return Finding(f"{', '.join(named)} in {found[0][1].where}", spots=tuple(spot for _, spot in found))


def ask_secrets(case: Case, setting: Setting, parameters: Secrets) -> Finding | None:
    """Object to any of the types."""
    if case.message is None:
        return None
    content = case.message.content
    found = [(hit, spot) for hit, spot in content.once(_secrets) if hit.kind in parameters.types]
    if found:
        return _finding(found)
    return None if content.is_complete else UNREAD_PARTS


def _secrets(content: Content) -> list[tuple[Hit, Spot]]:
    return [one for text in content.every_text for one in text.once(_secrets_of)]


def _secrets_of(text: Text) -> list[tuple[Hit, Spot]]:
    """As it is shown, and as it reads without what disguises it: where a key ends, either may say."""
    found = [(hit, Spot(text.where, hit.start, hit.end)) for hit in secret_data(text.shown)]
    known = {(hit.kind, hit.start) for hit, _ in found}
    folded = undisguised(text.shown) if text.is_disguised else Folded("")
    for hit in secret_data(folded.text):
        start, end = folded.shown(hit.start, hit.end)
        if (hit.kind, start) not in known:
            found.append((hit, Spot(text.where, start, end)))
    return found


def ask_addresses(case: Case, setting: Setting, parameters: AddressList) -> Finding | None:
    """Object to too many addresses that are neither the organisation's nor this recipient's."""
    if case.message is None:
        return None
    content = case.message.content
    found = content.once(_addresses)
    own = parameters.own_domains + tuple(author.domain for author in case.message.authors or ())
    key, domain = case.recipient.key, case.recipient.mailbox.domain
    if len(found) > parameters.more_than:
        count = sum(not domain_fits(domain, own) for domain in found.values())
        foreign = count - (key in found and not domain_fits(domain, own))
        if foreign > parameters.more_than:
            return Finding(f"{foreign} addresses, {parameters.more_than} allowed")
    return None if content.is_complete else UNREAD_PARTS


def _addresses(content: Content) -> dict[str, str]:
    """The different addresses of a message in small letters, and their domains."""
    found: dict[str, str] = {}
    for text in content.every_text:
        for address, domain in text.once(_addresses_in).items():
            found[address] = domain
            if len(found) >= MOST_ADDRESSES:
                return found
    return found


def _addresses_in(text: Text) -> dict[str, str]:
    found: dict[str, str] = {}
    for start, end in addresses(text.shown):
        address = text.shown[start:end].lower()
        found[address] = address.rpartition("@")[2]
        if len(found) >= MOST_ADDRESSES:
            break
    return found


PERSONAL_DATA = Check(
    name="personal-data",
    summary="`at_least` different numbers of the `types` together (default 1); by `confidence` those that a word beside them"
    " explains (high), or every one whose format and check digits fit (low); `allow` lists your own numbers",
    summary_zh="含有 `types` 中类型的号码共 `at_least` 个以上（默认 1）；`confidence` 为 high 时只计旁边有说明文字的号码，"
    "为 low 时格式与校验码相符的都计入；`allow` 列出本单位自己的号码",
    parameters=PersonalData,
    ask=ask_personal,
    reads=("message.content",),
    inspects=True,
    text="The message has personal data that is not sent by mail",
    text_zh="邮件含有不应通过邮件发送的个人信息",
    fix="Remove the numbers, or mask all but their last digits",
    fix_zh="请删除这些号码，或只保留末几位",
)

SECRETS_CHECK = Check(
    name="secrets",
    summary="A private key, an access key, a token or a password; `types` names which (default: all)",
    summary_zh="含有私钥、访问密钥、令牌或密码；`types` 指明类型（默认全部）",
    parameters=Secrets,
    ask=ask_secrets,
    reads=("message.content",),
    inspects=True,
    text="The message has a key or a password",
    text_zh="邮件含有密钥或密码",
    fix="Take it out of the message and replace it where it is used: it is known to others now",
    fix_zh="请从邮件中删除，并立即更换该密钥或密码",
)

ADDRESS_LIST = Check(
    name="address-list",
    summary="More than `more_than` e-mail addresses of others (default 20): not the recipient's, not yours (`own_domains`)",
    summary_zh="含有超过 `more_than` 个他人的邮箱地址（默认 20）：不包括收件人本人的和本单位的（`own_domains`）",
    parameters=AddressList,
    ask=ask_addresses,
    reads=("message.content", "message.from", "recipient.address", "recipient.domain"),
    inspects=True,
    scope="recipient",
    text="The message has a list of other people's addresses",
    text_zh="邮件含有大量他人的邮箱地址",
    fix="Remove the list from text and attachments",
    fix_zh="请从正文和附件中删除这些地址",
)
