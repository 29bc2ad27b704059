"""Which rules `decide` asks about a recipient at the end of DATA, told from what records keep: no message is needed.

What became of each rule only the ruling itself says.
"""

from relay.policy.jurisdiction import jurisdictions_of
from relay.policy.rule import Rule
from relay.policy.sets import PolicySet, Stream
from relay.policy.table import domain_fits


def rules_asked(policy: PolicySet, stream: Stream, domain: str, upstream_countries: frozenset[str]) -> tuple[Rule, ...]:
    """The rules of the stream, in their order, that were asked about a recipient at this domain."""
    countries = jurisdictions_of(domain, frozenset(policy.organisation.unknown_recipient))
    return tuple(rule for rule in stream.rules if _is_asked(rule, domain, countries, upstream_countries))


def _is_asked(rule: Rule, domain: str, jurisdictions: frozenset[str], upstream_countries: frozenset[str]) -> bool:
    if rule.never or (rule.reach is not None and not rule.reach.binds(jurisdictions, upstream_countries)):
        return False
    return not rule.table.recipient_domains or domain_fits(domain, rule.table.recipient_domains)
