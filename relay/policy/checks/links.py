"""Links that mislead, that give people away, or that readers and receivers distrust."""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal
from urllib.parse import SplitResult, unquote

from pydantic import Field

from relay.mail.targets import LONGEST, as_ascii, host_of, split_target
from relay.mail.visible import Link
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
    for link in content.links:
        for fault in parameters.faults:
            if detail := _FAULTS[fault](link, split_target(link.href), parameters):
                return Finding(f"{fault}: {detail}")
    return None if content.is_complete else UNREAD_PARTS


def _look_alike(link: Link, target: SplitResult, parameters: Links) -> str:
    host = host_of(link.href)
    return as_ascii(host) if is_look_alike(host) else ""


def _mismatch(link: Link, target: SplitResult, parameters: Links) -> str:
    """The text is an address of one owner, the link leads to another."""
    host = host_of(link.href)
    if not host or "." not in link.shown or not (shown := _SHOWN.fullmatch(link.shown.strip()[:LONGEST])):
        return ""
    name = shown[2].lower()
    if not shown[1] and not name.startswith("www.") and name.rpartition(".")[2] not in _TOPS:
        return ""
    if site_of(name) == site_of(host) or domain_fits(host, parameters.trusted):
        return ""
    return f"shows {as_ascii(site_of(name))}, leads to {as_ascii(host)}"


def _login(link: Link, target: SplitResult, parameters: Links) -> str:
    """What stands before an @ is read as the host by people, and by nobody else."""
    return as_ascii(host_of(link.href)) if host_of(link.href) and "@" in target.netloc else ""


def _number(link: Link, target: SplitResult, parameters: Links) -> str:
    host = host_of(link.href)
    return host if _NUMBER.fullmatch(host) else ""


def _script(link: Link, target: SplitResult, parameters: Links) -> str:
    return target.scheme if target.scheme in ("javascript", "data", "vbscript", "file") else ""


def _plain(link: Link, target: SplitResult, parameters: Links) -> str:
    return (
        as_ascii(host_of(link.href))
        if target.scheme == "http" and not domain_fits(host_of(link.href), parameters.trusted)
        else ""
    )


def _shortener(link: Link, target: SplitResult, parameters: Links) -> str:
    host = host_of(link.href).removeprefix("www.")
    return host if host in SHORTENERS and not domain_fits(host, parameters.trusted) else ""


def _personal(link: Link, target: SplitResult, parameters: Links) -> str:
    """An address, a telephone or an identity number in the query: it ends in logs of everybody on the way."""
    if not host_of(link.href) or not target.query:
        return ""
    query = unquote(target.query[:LONGEST])
    if next(addresses(query), None):
        return f"an e-mail address to {as_ascii(host_of(link.href))}"
    kinds = sorted({hit.kind for hit in personal_data(query, date.max).hits if hit.kind in _PERSONAL})
    return f"{kinds[0]} to {as_ascii(host_of(link.href))}" if kinds else ""


_PERSONAL = ("cn-id", "cn-mobile")
_FAULTS: dict[str, Callable[[Link, SplitResult, Links], str]] = {
    "look-alike": _look_alike,
    "mismatch": _mismatch,
    "login": _login,
    "number": _number,
    "script": _script,
    "http": _plain,
    "shortener": _shortener,
    "personal-data": _personal,
}

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
