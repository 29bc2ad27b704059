"""Whose law may apply to a recipient, as far as the address tells, and which mail the packs of a country bind."""

from dataclasses import dataclass

from relay.policy.case import Asked, Case

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


@dataclass(frozen=True, slots=True)
class Reach:
    """Which mail a pack binds: to recipients in some countries, or leaving by an upstream server in some; either is enough.

    An upstream server whose country nobody named is in none of them; `relay check` asks for it.
    """

    recipients: frozenset[str] = frozenset()
    upstreams: frozenset[str] = frozenset()

    def __str__(self) -> str:
        kinds = (("recipients", self.recipients), ("upstream servers", self.upstreams))
        return " or ".join(f"{kind} in {', '.join(sorted(countries))}" for kind, countries in kinds if countries)

    @property
    def zh(self) -> str:
        """The same in Chinese."""
        kinds = (("的收件人", self.recipients), ("的上游服务器", self.upstreams))
        return "或 ".join(f"{'、'.join(sorted(countries))} {kind}" for kind, countries in kinds if countries)

    def leaves_out(self, rule: str) -> Asked:
        """What a ruling says of a rule that this reach keeps from being asked."""
        return Asked(rule, False, f"does not apply: only {self}", why_zh=f"不适用：仅限 {self.zh}")

    def covers(self, case: Case) -> bool:
        """Whether the pack binds this case."""
        return self.binds(case.jurisdictions, case.upstream_countries)

    def binds(self, jurisdictions: frozenset[str], upstream_countries: frozenset[str]) -> bool:
        """Whether the pack binds a recipient under these laws whose copy may leave by upstream servers in these countries."""
        return not (self.recipients.isdisjoint(jurisdictions) and self.upstreams.isdisjoint(upstream_countries))

    def may_cover(self, upstream_countries: frozenset[str]) -> bool:
        """Whether the pack binds some recipient of a message that may leave by upstream servers in these countries."""
        return bool(self.recipients) or not self.upstreams.isdisjoint(upstream_countries)
