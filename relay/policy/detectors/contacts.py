"""How people can be reached: mobile numbers of China, and e-mail addresses.

A mobile number has no check digit and an order number often looks like one, so
it is sure only beside a word that says so; many of them are a list whatever
stands beside them.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from relay.policy.detectors.digits import Candidate
from relay.policy.detectors.hit import Hit, Kind
from relay.policy.detectors.lists import registers

CN_MOBILE = Kind(
    "cn-mobile",
    "Chinese mobile number",
    "手机号码",
    ("手机", "电话", "联系方式", "热线", "致电", "tel:", "tel.", "tel ", "phone", "mobile", "call", "whatsapp", "微信"),
)

KINDS = (CN_MOBILE,)

MOST_ADDRESSES = 10_000
"""Distinct addresses that are counted of one text."""

_COUNTRY = re.compile(r"(?:00)?86(?=1)")
_MOST_LOCAL, _MOST_DOMAIN = 64, 253
_LOCAL_BACKWARDS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]++")
_DOMAIN = re.compile(r"[A-Za-z0-9-]++(?>(?:\.[A-Za-z0-9-]++)+)")  # possessive, it takes a stop behind it before Python 3.11.5
_TOP = re.compile("[A-Za-z]{2,24}")


def in_candidate(found: Candidate) -> Iterator[Hit]:
    """The mobile number that this number is, with or without the country."""
    prefix = _COUNTRY.match(found.digits)
    digits = found.digits[prefix.end() :] if prefix else found.digits
    if len(digits) == 11 and digits[0] == "1" and is_mobile_range(digits[:5]):
        yield Hit(CN_MOBILE.name, found.start, found.end, digits, found.scan.says(CN_MOBILE, found.start, found.end))


@lru_cache(maxsize=10_000)
def is_mobile_range(first_five: str) -> bool:
    """Whether China has mobile numbers that begin so; five digits decide it for all eleven."""
    return registers().has_cn_mobile(first_five)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where e-mail addresses start and end; ASCII ones, which is what lists of people have."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL_BACKWARDS.match(text[max(0, at - _MOST_LOCAL) : at][::-1])
        domain = _DOMAIN.match(text, at + 1, at + 1 + _MOST_DOMAIN)
        if local and domain and _TOP.fullmatch(domain[0].rpartition(".")[2]) and (kept := local[0].rstrip(".'/=&?")):
            yield at - len(kept), domain.end()
        at = text.find("@", at + 1)
