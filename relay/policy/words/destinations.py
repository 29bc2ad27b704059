"""Where the text of a link says that it leads: a text that is an address, or an address among its words.

Many words of a text only look like a domain, and many domains are only spoken
of: "Node.js", "rooms at Booking.com".  Among words counts what begins the text,
stands behind a colon or the like, or behind words that tell people to go there;
without http:// and www. only the last.
"""

import re

LONGEST = 4096
_LONGEST_AMONG = 500  # characters of a text with several words
_MOST = 5

_TOPS = frozenset(
    {"biz", "cc", "cn", "co", "com", "de", "edu", "eu", "fr", "gov", "hk", "info", "jp", "kr", "net", "org", "tw", "uk", "us"}
)
_WHOLE = re.compile(r"(https?://)?((?>(?:[\w-]{1,63}+\.){1,8})[^\W_]{2,63})(?::[0-9]{1,5})?(?:[/?#]\S*+)?", re.IGNORECASE)
_DOTTED = re.compile(r"[A-Za-z0-9]\.[A-Za-z]")
_AMONG = re.compile(
    r"(?<![\w@./-])(https?://)?((?>(?:[a-z0-9-]{1,63}+\.(?=[a-z0-9])){1,8})[a-z]{2,24})(?![a-z0-9@_-]|\.[a-z0-9])",
    re.IGNORECASE | re.ASCII,
)
_GO = re.compile(
    r"(?:\b(?:visit|go to|log ?[io]n(?: at| to| on)?|sign ?in(?: at| to| on)?|shop at|order at|pay at)"
    r"|登录|登陆|登入|访问|打开|前往|进入|点击|浏览)[\s“”\"'「『]{0,3}\Z"
)
_AT = re.compile(r"(?:[:：>→»(（【\[]|\bat)[\s“”\"'「『]{0,3}\Z")
_BEFORE = 24  # characters
_PRODUCTS = frozenset({"ado.net", "asp.net", "vb.net"})
_WARNINGS = (
    "fake", "phish", "scam", "beware", "fraud", "spoof", "impersonat", "仿冒", "假冒", "钓鱼", "谨防", "诈骗", "假网站", "并非",
)  # fmt: skip
"""Who warns of an address does not lead there."""


def may_name_any(texts: str) -> bool:
    """Whether one of these texts, which stand on lines of their own, may name an address at all."""
    return _DOTTED.search(texts) is not None or not texts.isascii()


def destinations(text: str) -> list[str]:
    """The hosts that the text of a link says it leads to, in small letters."""
    text = text.strip()
    if "." not in text:
        return []
    whole = _WHOLE.fullmatch(text[:LONGEST])
    if whole:
        name = whole[2].lower()
        if whole[1] or name.startswith("www.") or name.rpartition(".")[2] in _TOPS:
            return [name]
    return [] if len(text) > _LONGEST_AMONG else _among(text.casefold())


def _among(text: str) -> list[str]:
    if any(map(text.__contains__, _WARNINGS)):
        return []
    names = []
    for found in _AMONG.finditer(text):
        name, before = found[2], text[max(0, found.start() - _BEFORE) : found.start()]
        is_address = bool(found[1]) or name.startswith("www.")
        may_be_one = is_address or (name.rpartition(".")[2] in _TOPS and name not in _PRODUCTS)
        if (may_be_one and _GO.search(before)) or (is_address and (not found.start() or _AT.search(before))):
            names.append(name)
    return names[:_MOST]
