"""Keys, tokens and passwords: each begins with letters that nothing else begins with.

The texts are searched for those letters only, and what follows is matched in
place, so the work is a few searches of the whole text.  There is no guess by
randomness: links and pictures in mail look random too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation

from relay.policy.detectors.hit import Hit, Kind

_ALNUM = "[0-9A-Za-z]"
_BASE64URL = "[0-9A-Za-z_-]"
_END = f"(?!{_BASE64URL})"
_INSIDE = re.compile(_BASE64URL)


@dataclass(frozen=True, slots=True)
class _Shape:
    kind: Kind
    begins: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(name: str, title: str, title_zh: str, begins: tuple[str, ...], pattern: str) -> _Shape:
    return _Shape(Kind(name, title, title_zh), begins, re.compile(pattern))


_SHAPES = (
    _shape("private-key", "Private key", "私钥", ("-----BEGIN",), r"-----BEGIN[ A-Z0-9]{1,40}PRIVATE KEY"),
    _shape(
        "aws-key",
        "Access key of AWS",
        "AWS 访问密钥",
        ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"),
        rf"A[0-9A-Z]{{3}}[A-Z2-7]{{16}}{_END}",
    ),
    _shape(
        "alibaba-key", "Access key of Alibaba Cloud", "阿里云访问密钥", ("LTAI",), rf"LTAI(?:{_ALNUM}{{20}}|{_ALNUM}{{12}}){_END}"
    ),
    _shape("tencent-key", "Secret id of Tencent Cloud", "腾讯云密钥", ("AKID",), rf"AKID{_ALNUM}{{32}}{_END}"),
    _shape(
        "github-token",
        "Token of GitHub",
        "GitHub 令牌",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        rf"(?:gh[a-z]_{_ALNUM}{{36}}|github_pat_[0-9A-Za-z_]{{82}}){_END}",
    ),
    _shape("gitlab-token", "Token of GitLab", "GitLab 令牌", ("glpat-",), rf"glpat-{_BASE64URL}{{20}}{_END}"),
    _shape(
        "stripe-key", "Secret key of Stripe", "Stripe 密钥", ("sk_", "rk_"), rf"[sr]k_(?:test|live|prod)_{_ALNUM}{{10,99}}{_END}"
    ),
    _shape("slack-token", "Token of Slack", "Slack 令牌", ("xox",), rf"xox[abeoprs]-[0-9A-Za-z-]{{10,99}}+{_END}"),
    _shape("google-key", "API key of Google", "Google API 密钥", ("AIza",), rf"AIza{_BASE64URL}{{35}}{_END}"),
    _shape(
        "sendgrid-key", "API key of SendGrid", "SendGrid 密钥", ("SG.",), rf"SG\.{_BASE64URL}{{22}}\.{_BASE64URL}{{43}}{_END}"
    ),
    _shape(
        "jwt",
        "Signed token (JWT)",
        "签名令牌（JWT）",
        ("eyJ",),
        rf"(?<![=/&?])eyJ{_BASE64URL}{{10,2000}}+\.eyJ{_BASE64URL}{{10,4000}}+\.{_BASE64URL}{{20,1000}}+",
    ),
)
"""A JWT in an address is the way of mail to give one person one link, so it is none of these."""

PASSWORD = Kind("password", "Password", "密码")
URL_PASSWORD = Kind("url-password", "Password in an address", "网址中的密码")

KINDS = (*(shape.kind for shape in _SHAPES), PASSWORD, URL_PASSWORD)

_PASSWORD_WORDS = ("password", "passwd", "passcode", "pwd", "密码", "密碼", "口令")
_SOUGHT = AhoCorasick(
    {*_PASSWORD_WORDS, *(letters.lower() for shape in _SHAPES for letters in shape.begins)}, implementation=Implementation.DFA
)
_AT_ONCE, _LONGEST = 64 * 1024, 16  # characters; none of these has more
_ASSIGNED = re.compile(r"(?: is|为|是)?\s{0,3}[:=：＝]\s{0,3}([^\s<>\"'{}\[\],;。，；]{6,64})")
_USER_AND_PASSWORD = re.compile(r"[^\s/@:?#\"'<>]{1,64}:([^\s/@?#\"'<>]{3,64})@[A-Za-z0-9]")


def in_text(text: str) -> Iterator[Hit]:
    """Every key, token and password of the text, kind by kind."""
    present = _present(text)
    for shape in _SHAPES:
        for letters in shape.begins:
            if letters.lower() in present:
                yield from _beginning_with(letters, shape, text)
    if not present.isdisjoint(_PASSWORD_WORDS):
        yield from _passwords(text)
    yield from _in_addresses(text)


def _present(text: str) -> set[str]:
    """What of all that is looked for stands in the text, be it in capitals; one pass takes as long as two or three searches.

    Only ASCII is made small here, in no time: no letter beyond it becomes one of these words.
    """
    plain = text.encode("utf-8", "replace").lower().decode()
    pieces = (plain[start : start + _AT_ONCE + _LONGEST] for start in range(0, len(plain), _AT_ONCE))  # "xoxox..." has many
    return {word for piece in pieces for word in _SOUGHT.find_matches_as_strings(piece, overlapping=True)}


def _beginning_with(letters: str, shape: _Shape, text: str) -> Iterator[Hit]:
    place = text.find(letters)
    while place >= 0:
        end = place + len(letters)
        before = text[place - 1 : place] if place else ""
        if not _INSIDE.match(before) and (match := shape.pattern.match(text, place)):
            yield Hit(shape.kind.name, place, match.end(), match[0], shown=letters)
            end = match.end()
        place = text.find(letters, end)


def _passwords(text: str) -> Iterator[Hit]:
    """What is given behind the word: letters with digits, not a sentence and not stars."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters get longer: offsets would be wrong
        lower = text
    for word in _PASSWORD_WORDS:
        place = lower.find(word)
        while place >= 0:
            place += len(word)
            given = _ASSIGNED.match(text, place)
            if given and _is_password(given[1]):
                yield Hit(PASSWORD.name, given.start(1), given.end(1), given[1], shown="")
            place = lower.find(word, place)


def _is_password(word: str) -> bool:
    if "://" in word or not word.isascii():
        return False
    return any(c.isdigit() for c in word) and any(c.isalpha() for c in word)


def _in_addresses(text: str) -> Iterator[Hit]:
    place = text.find("://")
    while place >= 0:
        if match := _USER_AND_PASSWORD.match(text, place + 3):
            yield Hit(URL_PASSWORD.name, match.start(1), match.end(1), match[1], shown="")
        place = text.find("://", place + 3)
