"""Which rules `decide` asks about a recipient and why not the others, told without a message: what records keep is enough.

What became of a rule that was asked only the ruling itself says.
"""

from collections.abc import Iterator

from relay.policy.cases.case import Asked, Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.jurisdiction import countries_of_domain, jurisdictions_of
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.rules.rule import Rule
from relay.policy.rules.table import domain_fits
from relay.policy.sets.model import HOURS
from relay.policy.sets.policy_set import MOST_PLANS, Plan, PolicySet, Stream


def left_out(
    rule: Rule,
    domain: str,
    jurisdictions: frozenset[str],
    upstream_countries: frozenset[str],
    phase: Phase,
    mail: DomainMail | None = None,
) -> Asked | None:
    """What a ruling says of a rule of the stream that is not asked about a recipient at this domain, None when it is asked.

    `mail` is what DNS said of the domain, None where it was not asked.
    """
    return _left_out_under(rule, jurisdictions, upstream_countries, phase) or left_out_at(rule, domain, mail)


def _left_out_under(rule: Rule, jurisdictions: frozenset[str], upstream_countries: frozenset[str], phase: Phase) -> Asked | None:
    """As far as that is the same for all recipients under the same laws."""
    if rule.never:
        return rule.silent
    if rule.reach is not None and not rule.reach.binds(jurisdictions, upstream_countries):
        return rule.outside
    if phase is Phase.RCPT and rule.phase is Phase.DATA:
        return Asked(rule.name, False, "phase", why_zh="尚无邮件内容")
    return None


def left_out_at(rule: Rule, domain: str, mail: DomainMail | None) -> Asked | None:
    """As far as the recipient's domain decides."""
    domains = rule.table.recipient_domains
    if domains and not domain_fits(domain, domains):
        return Asked(rule.name, False, "does not apply", why_zh="不适用于该收件域名")
    return rule.unlooked if rule.asks_domain and mail is None else None


def _looks_at_domain(rule: Rule) -> bool:
    return bool(rule.table.recipient_domains) or rule.asks_domain


def plan_of(stream: Stream, jurisdictions: frozenset[str], upstream_countries: frozenset[str], phase: Phase) -> Plan:
    """Each rule of the stream, in their order, with why it is not asked about a recipient under these laws.

    Where that is None the domain may still decide, as the last member says: `left_out_at`.  Worked out once for the stream,
    and not for each message.
    """
    place = jurisdictions, upstream_countries, phase
    plan = stream.plans.get(place)
    if plan is None:
        told = [(rule, _left_out_under(rule, *place)) for rule in stream.rules]
        plan = tuple((rule, why, why is None and _looks_at_domain(rule)) for rule, why in told)
        if len(stream.plans) < MOST_PLANS:
            stream.plans[place] = plan
    return plan


def each_rule(
    policy: PolicySet,
    stream: Stream,
    domain: str,
    upstream_countries: frozenset[str],
    phase: Phase = Phase.DATA,
    *,
    mail: DomainMail | None = None,
    recorded: frozenset[str] = frozenset(),
) -> Iterator[tuple[Rule, Asked | None]]:
    """The rules of the stream, in their order, each with why it was not asked about a recipient at this domain.

    `recorded` is where the ledger had the recipient then.
    """
    countries = jurisdictions_of(domain, frozenset(policy.organisation.unknown_recipient), recorded)
    for rule in stream.rules:
        yield rule, left_out(rule, domain, countries, upstream_countries, phase, mail)


def rules_asked(
    policy: PolicySet,
    stream: Stream,
    domain: str,
    upstream_countries: frozenset[str],
    *,
    mail: DomainMail | None = None,
    recorded: frozenset[str] = frozenset(),
) -> tuple[Rule, ...]:
    """The rules of the stream, in their order, that were asked about a recipient at this domain."""
    told = each_rule(policy, stream, domain, upstream_countries, mail=mail, recorded=recorded)
    return tuple(rule for rule, left in told if left is None)


def asks_dns(stream: Stream, domain: str, upstream_countries: frozenset[str]) -> bool:
    """Whether a rule may want to hear from DNS of a recipient's domain; an address literal has no name that could be asked.

    Where the recipient is recorded nobody knows yet: a rule that binds recipients somewhere may bind this one.
    """
    if not stream.asking_dns or domain[0] == "[":
        return False
    told, answer = countries_of_domain(domain), DomainMail.UNKNOWN
    for rule in stream.asking_dns:
        countries = told | rule.reach.recipients if rule.reach else told
        if left_out(rule, domain, countries, upstream_countries, rule.phase, answer) is None:
            return True
    return False


def cites_of(stream: Stream) -> dict[str, str]:
    """What everything rests on that a ruling may name: a law or standard, else the place in the policy files that asks for it."""
    file = f"streams/{stream.name}.toml"
    bounds = {HOURS: f"{file}, [limits] hours", PAUSED: f"{file}, [thresholds]; relay streams"}
    expired = {f"{pack.name}/expired": f"packs/{pack.name}.toml, [pack] expires_on" for pack in stream.packs}
    duties = {duty.name: duty.table.cite for duty in stream.duties}
    return bounds | expired | duties | {rule.name: rule.table.cite for rule in stream.rules}
