"""Where a link or picture leads: its address as browsers read it."""

from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

LONGEST = 4096
"""Characters of an address that are looked at."""


@lru_cache(maxsize=4096)
def split_target(address: str) -> SplitResult:
    """White space inside does not count, a backslash is a slash, and two slashes at the beginning are those of https."""
    plain = "".join(address[:LONGEST].split()).replace("\\", "/")
    try:
        target = urlsplit(f"https:{plain}" if plain.startswith("//") else plain)
        _ = target.hostname  # raises too
    except ValueError:  # brackets that hold no address
        return SplitResult("", "", "", "", "")
    return target


def host_of(address: str) -> str:
    """The host in lower case, "" where the address leads to none."""
    target = split_target(address)
    return (target.hostname or "").rstrip(".") if target.scheme in ("http", "https") else ""


def as_ascii(host: str) -> str:
    """A host that may hold anything, for a reply."""
    return host.encode("ascii", "backslashreplace").decode()[:100]
