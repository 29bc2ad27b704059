"""Domains that look like others: letters of several scripts in one label, or of one that reads as Latin (UTS 39).

Also whether two domains belong together.  There is no list of public suffixes
here: two labels make a site, three where the second says what kind of owner it
is ("co.uk", "com.cn").
"""

import unicodedata
from functools import lru_cache

_LIKE_LATIN = frozenset("асԁеһіјӏорԛѕԝхуүѵьαονρυχɡɑı")
"""Small letters of other scripts that are read as Latin ones."""

_TOGETHER = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"})
"""Scripts that one label may mix: whole languages do (UTS 39 section 5.2, highly restrictive)."""

_OWNERS = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "net", "ne", "or", "org"})


def unicode_host(host: str) -> str:
    """The host as a reader is shown it: A-labels decoded, what cannot be decoded as it is."""
    return ".".join(_unicode_label(label) for label in host.lower().split("."))


@lru_cache(maxsize=1024)
def is_look_alike(host: str) -> bool:
    """Whether a label mixes scripts that no language mixes, or reads as Latin letters under a Latin top-level domain."""
    *labels, top = unicode_host(host).split(".")
    return any(_is_mixed(label) or (top.isascii() and _reads_as_latin(label)) for label in labels if not label.isascii())


def site_of(host: str) -> str:
    """The part of a host that one owner has, as far as its labels tell."""
    labels = host.lower().rstrip(".").split(".")
    count = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _OWNERS else 2
    return ".".join(labels[-count:])


def _unicode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return unicodedata.normalize("NFC", label[4:].encode("ascii").decode("punycode"))
    except UnicodeError:
        return label


def _is_mixed(label: str) -> bool:
    scripts = {_script(letter) for letter in label if letter.isalpha()}
    return len(scripts) > 1 and not scripts <= _TOGETHER


def _reads_as_latin(label: str) -> bool:
    return all(letter in _LIKE_LATIN or letter.isascii() for letter in label)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").replace("-", " ").partition(" ")[0]
