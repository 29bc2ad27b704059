"""Links that mislead, that give people away, or that readers and receivers distrust."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from relay.mail.message import Message
from relay.mail.page.targets import Target, as_ascii, target_of
from relay.mail.page.visible import Link
from relay.mail.words.content import Content
from relay.mail.words.sight import Sight
from relay.policy.cases.case import MOST_SPOTS, Case, Spot
from relay.policy.detectors import read_registers
from relay.policy.detectors.linked import linked_addresses, linked_numbers, may_be_linked
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Domains, domain_fits
from relay.policy.words.destinations import destinations, may_name_any
from relay.policy.words.lookalike import is_look_alike, site_of

Fault = Literal["look-alike", "mismatch", "login", "number", "script", "http", "shortener", "personal-data"]

SHORTENERS = frozenset(
    {
        "985.so", "bit.do", "bit.ly", "buff.ly", "cutt.ly", "dwz.cn", "dwz.win", "goo.gl", "is.gd", "mrw.so", "ow.ly", "rb.gy",
        "rebrand.ly", "reurl.cc", "s.id", "shorturl.at", "soo.gd", "suo.im", "suo.nz", "t.cn", "t.co", "t.ly", "tiny.cc",
        "tinyurl.com", "u.nu", "url.cn", "urlc.cn", "v.gd", "w.url.cn", "xurl.es",
    }
)  # fmt: skip
"""Hosts whose links lead nobody knows where; receivers distrust them all for the few that abuse them."""

_NUMBER = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]|[0-9]{8,10}|0x[0-9a-fA-F]{8}")


class Links(RuleTable):
    """Parameters of links."""

    faults: Annotated[tuple[Fault, ...], Field(strict=False, min_length=1)]
    trusted: Annotated[Domains, Field(description="Where a link may lead whatever it shows / 可信任的跳转域名")] = ()

    def prepare(self) -> None:
        if "personal-data" in self.faults:
            read_registers()


class _Found(NamedTuple):
    """A fault of a link; `addresses` are those that it carries."""

    fault: Fault
    host: str
    detail: str
    link: Link
    addresses: frozenset[str] = frozenset()


def ask(case: Case, setting: Setting, parameters: Links) -> Finding | None:
    """Object to the first link that has one of the faults."""
    if case.message is None:
        return None
    content, own = case.message.content, _own(case.message)
    found = [
        one
        for sight in content.sights
        for one in sight.once(_faults)
        if one.fault in parameters.faults
        and not (one.fault in _TRUSTED and domain_fits(one.host, parameters.trusted))
        and not (one.addresses and all(own(address) for address in one.addresses))
    ]
    if found:
        return Finding(f"{found[0].fault}: {found[0].detail}", spots=_spots(content, [one.link for one in found]))
    return None if content.is_complete else UNREAD_PARTS


def _own(message: Message) -> Callable[[str], bool]:
    """Whether an address gives nobody away: that of the one whom the message is for, in their own link, and the sender's."""
    addressees = [mailbox.key for mailbox in message.addressee_list]
    domains = {author.domain for author in message.authors or ()}
    return lambda address: [address] == addressees or address.rpartition("@")[2] in domains


def _spots(content: Content, links: Sequence[Link]) -> tuple[Spot, ...]:
    """Where the text of each link stands; the whole part of one that shows none."""
    texts = {text.where: text.shown for text in content.texts}
    spots = []
    for link in links[:MOST_SPOTS]:
        start = texts.get(link.where, "").find(link.shown) if link.shown else -1
        spots.append(Spot(link.where, start, start + len(link.shown)) if start >= 0 else Spot(link.where))
    return tuple(dict.fromkeys(spots))


def _faults(sight: Sight) -> list[_Found]:
    """Every fault of every link of one part."""
    targets = [(link, target_of(link.href)) for link in sight.links]
    may_mislead = may_name_any("\n".join([link.shown for link in sight.links]))
    may_be_personal = may_be_linked("\n".join([target.rest for _, target in targets if target.host]))
    known: dict[tuple[str, str, str], list[tuple[Fault, str]]] = {}
    found: list[_Found] = []
    for link, target in targets:
        place = (target.scheme, target.host, target.login)
        if place not in known:
            known[place] = list(_of_place(target))
        found += [_Found(fault, target.host, detail, link) for fault, detail in known[place]]
        if may_mislead and target.host and "." in link.shown and (detail := _mismatch(link.shown, target.host)):
            found.append(_Found("mismatch", target.host, detail, link))
        if may_be_personal and target.host and may_be_linked(target.rest):
            found += _personal(link, target)
    return found


def _of_place(target: Target) -> Iterator[tuple[Fault, str]]:
    """What is wrong with where a link leads, whatever it shows."""
    host = target.host
    if target.is_script:
        yield "script", target.scheme
    if not host:
        return
    if is_look_alike(host):
        yield "look-alike", as_ascii(host)
    if target.login:  # people read it as the host, and nobody else
        yield "login", as_ascii(host)
    if _NUMBER.fullmatch(host):
        yield "number", host
    if target.scheme == "http":
        yield "http", as_ascii(host)
    if host.removeprefix("www.") in SHORTENERS:
        yield "shortener", host.removeprefix("www.")


def _mismatch(text: str, host: str) -> str:
    """The text names addresses to go to, and the link leads to none of their owners."""
    sites = [site_of(name) for name in destinations(text)]
    if not sites or site_of(host) in sites:
        return ""
    return f"shows {as_ascii(sites[0])}, leads to {as_ascii(host)}"


def _personal(link: Link, target: Target) -> Iterator[_Found]:
    """An address, a telephone, an identity number or a card: it ends in logs of everybody on the way."""
    host = target.host
    if addresses := linked_addresses(target.rest):
        yield _Found("personal-data", host, f"an e-mail address to {as_ascii(host)}", link, addresses)
    for hit in linked_numbers(target.rest, date.max):
        yield _Found("personal-data", host, f"{hit.kind} to {as_ascii(host)}", link)


_TRUSTED = ("mismatch", "http", "shortener")

CHECK = Check(
    name="links",
    summary="A link has one of `faults`: look-alike (letters of other scripts), mismatch (names another domain than it leads to),"
    " login (user@host), number (a host without a name), script, http, shortener, personal-data (in path, query or fragment: a"
    " telephone, identity or card number, an e-mail address that is neither yours nor the one addressee's)",
    summary_zh="链接存在 `faults` 中的问题：look-alike（形近域名）、mismatch（显示的域名与实际不符）、login（user@host）、"
    "number（以数字代替域名）、script（脚本）、http（未加密）、shortener（短链接）、personal-data（路径、参数或片段中"
    "含电话、证件号、卡号，或既非本单位、也非唯一收件人的邮箱地址）",
    parameters=Links,
    ask=ask,
    reads=("message.content", "message.from", "message.addressee"),
    inspects=True,
    text="A link misleads its readers or gives personal data away",
    text_zh="链接具有误导性，或泄露个人信息",
    fix="Link to your own https address, show what it leads to, and put no personal data into it",
    fix_zh="请使用本单位的 https 链接，显示文字与实际地址一致，且不要在链接中放入个人信息",
)
