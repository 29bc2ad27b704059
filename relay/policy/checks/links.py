"""Links that mislead, that give people away, or that readers and receivers distrust."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import Field

from relay.mail.content import Content
from relay.mail.targets import LONGEST, Target, as_ascii, target_of
from relay.policy.case import Case
from relay.policy.detectors import addresses, personal_data
from relay.policy.lookalike import is_look_alike, site_of
from relay.policy.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.table import Domains, domain_fits

Fault = Literal["look-alike", "mismatch", "login", "number", "script", "http", "shortener", "personal-data"]

SHORTENERS = frozenset(
    {
        "985.so", "bit.do", "bit.ly", "buff.ly", "cutt.ly", "dwz.cn", "dwz.win", "goo.gl", "is.gd", "mrw.so", "ow.ly", "rb.gy",
        "rebrand.ly", "reurl.cc", "s.id", "shorturl.at", "soo.gd", "suo.im", "suo.nz", "t.cn", "t.co", "t.ly", "tiny.cc",
        "tinyurl.com", "u.nu", "url.cn", "urlc.cn", "v.gd", "w.url.cn", "xurl.es",
    }
)  # fmt: skip
"""Hosts whose links lead nobody knows where; receivers distrust them all for the few that abuse them."""

_TOPS = frozenset(
    {"biz", "cc", "cn", "co", "com", "de", "edu", "eu", "fr", "gov", "hk", "info", "jp", "kr", "net", "org", "tw", "uk", "us"}
)
_NUMBER = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]|[0-9]{8,10}|0x[0-9a-fA-F]{8}")
_SHOWN = re.compile(r"(https?://)?((?:[\w-]{1,63}+\.){1,8}+[^\W_]{2,63})(?::[0-9]{1,5})?(?:[/?#]\S*+)?", re.IGNORECASE)


class Links(RuleTable):
    """Parameters of links."""

    faults: Annotated[tuple[Fault, ...], Field(strict=False, min_length=1)]
    trusted: Annotated[Domains, Field(description="Where a link may lead whatever it shows / 可信任的跳转域名")] = ()


def ask(case: Case, setting: Setting, parameters: Links) -> Finding | None:
    """Object to the first link that has one of the faults."""
    if case.message is None:
        return None
    content = case.message.content
    for fault, host, detail in content.once(_faults):
        if fault in parameters.faults and not (fault in _TRUSTED and domain_fits(host, parameters.trusted)):
            return Finding(f"{fault}: {detail}")
    return None if content.is_complete else UNREAD_PARTS


def _faults(content: Content) -> list[tuple[Fault, str, str]]:
    """Every fault of every link, where it leads and what is said of it."""
    targets = [(link, target_of(link.href)) for link in content.links]
    known: dict[tuple[str, str, str], list[tuple[Fault, str]]] = {}
    found: list[tuple[Fault, str, str]] = []
    for link, target in targets:
        place = (target.scheme, target.host, target.login)
        if place not in known:
            known[place] = list(_of_place(target))
        found += [(fault, target.host, detail) for fault, detail in known[place]]
        if target.host and "." in link.shown and (detail := _mismatch(link.shown, target.host)):
            found.append(("mismatch", target.host, detail))
        if target.query and (what := _personal(target.query)):
            found.append(("personal-data", target.host, f"{what} to {as_ascii(target.host)}"))
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
    """The text is an address of one owner, the link leads to another."""
    shown = _SHOWN.fullmatch(text.strip()[:LONGEST])
    if shown is None:
        return ""
    name = shown[2].lower()
    if not shown[1] and not name.startswith("www.") and name.rpartition(".")[2] not in _TOPS:
        return ""
    if site_of(name) == site_of(host):
        return ""
    return f"shows {as_ascii(site_of(name))}, leads to {as_ascii(host)}"


def _personal(query: str) -> str:
    """An address, a telephone or an identity number in a query: it ends in logs of everybody on the way."""
    if not _MAY_BE_PERSONAL.search(query):
        return ""
    plain = unquote(query)
    if next(addresses(plain), None):
        return "an e-mail address"
    kinds = sorted({hit.kind for hit in personal_data(plain, date.max).hits if hit.kind in _PERSONAL})
    return kinds[0] if kinds else ""


_PERSONAL = ("cn-id", "cn-mobile")
_TRUSTED = ("mismatch", "http", "shortener")
_MAY_BE_PERSONAL = re.compile(r"@|%40|[0-9]{11}")

CHECK = Check(
    name="links",
    summary="A link has one of `faults`: look-alike (letters of other scripts), mismatch (shows another domain than it leads to),"
    " login (user@host), number (a host without a name), script, http, shortener, personal-data (in the query)",
    summary_zh="链接存在 `faults` 中的问题：look-alike（形近域名）、mismatch（显示的域名与实际不符）、login（user@host）、"
    "number（以数字代替域名）、script（脚本）、http（未加密）、shortener（短链接）、personal-data（参数中含个人信息）",
    parameters=Links,
    ask=ask,
    reads=("message.content",),
    inspects=True,
    text="A link misleads its readers or gives personal data away",
    text_zh="链接具有误导性，或泄露个人信息",
    fix="Link to your own https address, show what it leads to, and put no personal data into it",
    fix_zh="请使用本单位的 https 链接，显示文字与实际地址一致，且不要在链接中放入个人信息",
)
