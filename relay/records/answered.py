"""What became of every rule of the policy set by which a recipient on record was judged: asked or why not, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.policy.cases.case import Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.deciding.asking import cites_of, each_rule
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.records.wording import Both, both

NO_OBJECTION = both("无异议", "no objection")


@dataclass(frozen=True, slots=True)
class Answered:
    """One rule. `answer` is its weight or that it has no objection; of a rule that was not asked, why not."""

    rule: str
    asked: bool
    answer: Both
    cite: str


def answers(
    policy: PolicySet,
    stream: Stream,
    domain: str,
    upstream_countries: frozenset[str],
    phase: Phase,
    objections: Sequence[Answered],
    *,
    mail: DomainMail | None = None,
    recorded: frozenset[str] = frozenset(),
) -> tuple[Answered, ...]:
    """First what is no rule of the stream and objected (an expired pack, a duty, a bound), then its rules in their order."""
    cites, said = cites_of(stream), {one.rule: one for one in objections}
    found = []
    for rule, left in each_rule(policy, stream, domain, upstream_countries, phase, mail=mail, recorded=recorded):
        cite = rule.table.cite
        if (objection := said.pop(rule.name, None)) is not None:
            found.append(objection)
        elif left is not None:
            found.append(Answered(rule.name, False, both(left.why_zh or left.why, left.why), cite))
        else:
            found.append(Answered(rule.name, True, NO_OBJECTION, cite))
    others = (Answered(one.rule, True, one.answer, one.cite or cites.get(one.rule, "")) for one in said.values())
    return (*others, *found)
