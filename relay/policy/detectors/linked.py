"""What the address of a link gives away: it ends in the logs of everybody on the way, and in the hands of who it is passed on to.

Addresses of links are full of tokens and order numbers, so a number counts
only when it is a whole segment of the path, a whole value or a whole fragment,
and what it is called says what it is: /u/13812345678, ?card=6222...
"""

import re
from collections.abc import Iterator
from datetime import date
from urllib.parse import unquote

from relay.policy.detectors import personal_data
from relay.policy.detectors.accounts import BANK_CARD, CN_COMPANY
from relay.policy.detectors.contacts import addresses
from relay.policy.detectors.hit import Hit


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BETWEEN = re.compile("[/?&;#]")
_NUMBER = re.compile(r"[A-Z]{0,2}[0-9][0-9A-Zx.() -]{6,40}")
_ALONE = re.compile(rf"[/?&;#=][+ ]?{_NUMBER.pattern}[+ ]?(?=[/?&;#\n]|\Z)")
_WORDS = re.compile(r"[a-z]++|[\u4e00-\u9fff]++")
_CALLED = {
    "phone": _names(
        "u uid uname user userid username member memberid customer account login m mob msisdn sms cell tel telephone"
        " contact whatsapp sj sjh sjhm shouji 手机 手机号 电话"
    ),
    "身份证": _names("idno idcard idcardno cardid identity sfz sfzh zjh zjhm cert certno 身份证 证件号"),
    "bank card": _names("card cardno bankcard account accountno kahao yhk 卡号 银行卡"),
}
"""What parameters and segments are called, by words that the detectors know."""

_ENDINGS = {"phone": ("phone", "mobile"), "身份证": ("idcard",), "bank card": ("bankcard",)}
_MOST_WORDS = 3
_FILES = _names("avif css gif htm html ico jpeg jpg js json map mjs pdf php png svg webp woff xml")


def may_be_linked(rests: str) -> bool:
    """Whether one of these lines may give something away; each is what follows the host of a link."""
    plain = unquote(rests) if "%" in rests else rests
    return "@" in plain or _ALONE.search(plain) is not None


def linked_addresses(rest: str) -> frozenset[str]:
    """The e-mail addresses in it, in small letters; names of files and of accounts elsewhere are none."""
    found = set()
    for _, value in _pieces(rest):
        for start, end in addresses(value) if not value.startswith("@") else ():
            one = value[start:end].lower()
            if one.rpartition(".")[2] not in _FILES:
                found.add(one)
    return frozenset(found)


def linked_numbers(rest: str, until: date) -> Iterator[Hit]:
    """The sure hits among the numbers that stand alone in it; a bank card only where the name says so."""
    for name, value in _pieces(rest):
        number = value.removeprefix("+").strip(" ")
        if _NUMBER.fullmatch(number):
            called = _called(name)
            for hit in personal_data(f"{called}: {number}", until).hits:
                is_whole = hit.start == len(called) + 2 and hit.end == len(called) + 2 + len(number)
                is_meant = hit.kind != CN_COMPANY.name and (hit.kind != BANK_CARD.name or "card" in called)
                if hit.sure and is_whole and is_meant:
                    yield hit


def _pieces(rest: str) -> Iterator[tuple[str, str]]:
    """Name and value of each parameter, and each segment with the one before it; percent-encoding is taken off once."""
    before = ""
    for piece in _BETWEEN.split(unquote(rest)):
        name, equals, value = piece.partition("=")
        yield (name, value) if equals else (before, piece)
        before = name


def _called(name: str) -> str:
    """The last words of a name, and what they mean."""
    words = _WORDS.findall(name[-64:].casefold())
    meant = [
        meaning
        for meaning, names in _CALLED.items()
        if not names.isdisjoint((*words, "".join(words))) or any(word.endswith(_ENDINGS[meaning]) for word in words)
    ]
    return " ".join([*words[-_MOST_WORDS:], *meant])
