"""Whose law may apply to a recipient, who told it, and which mail the packs of a country bind.

Two sources tell: the address by its last label, and the consent ledger (in a
dry run, the list).  Where they differ, as of a Korean whose mailbox is that of
a German company, either law may protect the recipient, and nobody here can
tell which one a court would take: so both hold, and the strictest wins.  Only
where neither tells anything the organisation's `unknown_recipient` is assumed.
"""

from dataclasses import dataclass
from enum import StrEnum

from relay.policy.cases.case import Asked, Case
from relay.policy.consents.residence import Residence

_NOT_COUNTRIES = {"co", "io", "me", "tv", "ai", "cc", "fm", "gg", "sh", "to", "ws", "ly", "la", "vc", "su", "ac"}
"""Country-code domains that are sold to everybody, or that are not a country: they tell nothing."""

UNION = "EU"
"""Somewhere in the European Union or the EEA: who has a domain below .eu lives or is established there, or is its citizen
(Regulation (EU) 2019/517 Art 3).  ISO 3166-1 reserves the code for it."""

EEA = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI", "LT", "LU",
        "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
"""The members of the European Union, with Iceland, Liechtenstein and Norway."""

_UNION = frozenset({UNION})

UNKNOWN = "ZZ"
"""Where an upstream server is of which nobody said it: the code for a region that is not known (Unicode CLDR)."""

_SCRIPTS = """
    fiqs8s:CN fiqz9s:CN j6w193g:HK kprw13d:TW kpry57d:TW mix891f:MO 3e0b707e:KR yfro4i67o:SG clchc0ea0b2g2a9gcd:SG p1ai:RU
    90ais:BY j1amh:UA node:GE wgbh1c:EG mgberp4a5d4ar:SA mgbaam7a8h:AE h2brj9c:IN fpcrj9c3d:IN gecrj9c:IN s9brj9c:IN
    xkc2dl3a5ee0h:IN 45brj9c:IN mgbbh1a71e:IN o3cw4h:TH xkc2al3hye2a:LK qxam:GR 90ae:BG d1alf:MK 90a3ac:RS l1acc:MN
    80ao21a:KZ y9a3aq:AM mgba3a4f16a:IR mgbayh7gpa:JO mgbc0a9azcg:MA pgbs0dh:TN lgbbat1ad8j:DZ ygbi2ammx:PS wgbl6a:QA
    mgb2ddes:YE ogbpf8fl:SY mgbtx2b:IQ mgb9awbf:OM mgbx4cd0ab:MY mgbpl2fh:SD 54b7fta0cc:BD q7ce6a:LA mgbai9azgqp6j:PK
    mgbah1a3hjkrd:MR qxa6a:EU e1a4c:EU
"""
"""Country-code domains in other scripts (IANA root zone): what follows "xn--", and the country."""

_COUNTRIES = (
    {"uk": frozenset({"GB"})}
    | {f"xn--{label}": frozenset({country}) for label, _, country in (one.partition(":") for one in _SCRIPTS.split())}
    | {
        domain: frozenset({domain.upper(), "FR"})
        for domain in ("re", "gp", "mq", "gf", "yt")  # its departments overseas
    }
    | {"ax": frozenset({"AX", "FI"})}
)
"""What two letters do not tell: ISO 3166-1 codes of the place, and of the state whose law holds there."""


_NOBODY: frozenset[str] = frozenset()


def countries_of_domain(domain: str) -> frozenset[str]:
    """Return the ISO 3166-1 alpha-2 codes that a domain tells; most tell none."""
    top = domain.rpartition(".")[2]
    if top in _COUNTRIES:
        return _COUNTRIES[top]
    if len(top) != 2 or not top.isalpha() or top in _NOT_COUNTRIES:
        return _NOBODY
    return frozenset({top.upper()})


def countries_told(domain: str, recorded: frozenset[str]) -> frozenset[str]:
    """Where a recipient with this domain may be: what the domain tells, and what is recorded of the recipient."""
    told = countries_of_domain(domain)
    if UNION in told and not recorded.isdisjoint(EEA):
        return recorded  # which of its countries it is
    return told | recorded if recorded else told


def jurisdictions_of(domain: str, unknown: frozenset[str], recorded: frozenset[str] = _NOBODY) -> frozenset[str]:
    """Return whose law may protect the recipient; `unknown` too when neither the domain nor a record tells a country."""
    told = countries_told(domain, recorded)
    return told if told - _UNION else told | unknown


class Source(StrEnum):
    """Who told the country of a recipient."""

    ADDRESS = "address"
    CONSENT = "consent"  # the consent ledger
    LIST = "list"  # of a dry run
    DEFAULT = "default"  # nobody: the organisation assumes it


@dataclass(frozen=True, slots=True)
class Told:
    """What one source tells; `at` is when it was said, where that is known."""

    by: Source
    countries: frozenset[str]
    at: float | None = None


def tellers(domain: str, unknown: frozenset[str], residence: Residence | None) -> tuple[Told, ...]:
    """Who told what of a recipient: `jurisdictions_of`, piece by piece."""
    told = []
    if by_address := countries_of_domain(domain):
        told.append(Told(Source.ADDRESS, by_address))
    if residence is not None:
        told.append(Told(Source.LIST if residence.is_presumed else Source.CONSENT, residence.countries, residence.at))
    tells_country = any(one.countries - _UNION for one in told)
    return tuple(told) if tells_country else (*told, Told(Source.DEFAULT, unknown))


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
        return "，或 ".join(f"{'、'.join(sorted(countries))} {kind}" for kind, countries in kinds if countries)

    def leaves_out(self, rule: str) -> Asked:
        """What a ruling says of a rule that this reach keeps from being asked."""
        return Asked(rule, False, f"does not apply: only {self}", why_zh=f"不适用：仅限 {self.zh}")

    def covers(self, case: Case) -> bool:
        """Whether the pack binds this case."""
        return self.binds(case.jurisdictions, case.upstream_countries)

    def binds(self, jurisdictions: frozenset[str], upstream_countries: frozenset[str]) -> bool:
        """Whether the pack binds a recipient under these laws whose copy may leave by upstream servers in these countries."""
        return not (self.recipients.isdisjoint(jurisdictions) and self.upstreams.isdisjoint(upstream_countries))

    def includes(self, other: "Reach | None") -> bool:
        """Whether it binds all that the other binds; None binds everything."""
        return other is not None and other.recipients <= self.recipients and other.upstreams <= self.upstreams

    def may_cover(self, upstream_countries: frozenset[str]) -> bool:
        """Whether the pack binds some recipient of a message that may leave by upstream servers in these countries."""
        return bool(self.recipients) or not self.upstreams.isdisjoint(upstream_countries)
