"""Where a link or picture leads: its address as browsers read it."""

import re
from typing import NamedTuple

LONGEST = 4096
"""Characters of an address that are looked at."""

_PLAIN = re.compile(r"(https?)://([A-Za-z0-9.-]++)((?:[/?#][^\\\s]*+)?)")
_ANY = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]{0,30}+):)?(?://([^/?#]*+))?(.*+)", re.DOTALL)
_SCRIPTS = frozenset({"javascript", "data", "vbscript", "file"})


class Target(NamedTuple):
    """`host` is "" for what leads to none; `login` stands before an @ in front of it; `rest`: path, query and fragment."""

    scheme: str
    host: str
    rest: str = ""
    login: str = ""

    @property
    def is_script(self) -> bool:
        return self.scheme in _SCRIPTS


def target_of(address: str) -> Target:
    """White space inside does not count, a backslash is a slash, and two slashes at the beginning are those of https."""
    if plain := _PLAIN.fullmatch(address[:LONGEST]):
        return Target(plain[1], plain[2].lower().rstrip("."), plain[3])
    said = _ANY.match("".join(address[:LONGEST].split()).replace("\\", "/"))
    if said is None:
        return Target("", "")
    scheme = (said[1] or ("https" if said[2] is not None else "")).lower()
    login, _, place = (said[2] or "").rpartition("@")
    host = place if place.startswith("[") else place.partition(":")[0]
    return Target(scheme, host.lower().rstrip(".") if scheme in ("http", "https") else "", said[3], login)


def as_ascii(host: str) -> str:
    """A host that may hold anything, for a reply."""
    return host.encode("ascii", "backslashreplace").decode()[:100]
