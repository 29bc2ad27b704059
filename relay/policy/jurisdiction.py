"""Whose law may apply to a recipient, as far as the address tells."""

_NOT_COUNTRIES = {"co", "io", "me", "tv", "ai", "cc", "fm", "gg", "sh", "to", "ws", "ly", "la", "vc", "eu", "su", "ac"}
"""Country-code domains that are sold to everybody, or that are not a country: they tell nothing."""

_CODES = {"uk": "GB"}
"""Domains whose ISO 3166-1 code differs."""


def jurisdictions_of(domain: str, unknown: frozenset[str]) -> frozenset[str]:
    """Return ISO 3166-1 alpha-2 codes for a recipient's domain; `unknown` when the domain tells nothing."""
    top = domain.rpartition(".")[2]
    if len(top) != 2 or not top.isalpha() or top in _NOT_COUNTRIES:
        return unknown
    return frozenset({_CODES.get(top, top.upper())})
