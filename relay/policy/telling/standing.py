"""Whether a policy set still stands: packs whose review ends, and facts that its rules need and nobody wrote down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import product

from relay.policy.cases.transfers import Category, Threshold, Transferred
from relay.policy.checks.offers import Offers, lacking
from relay.policy.checks.organisation import OrganisationNeeds, missing
from relay.policy.checks.personalisation import PREFERENCES, Personalisation, has_no_way_out
from relay.policy.checks.transfer_count import TransferCountRule
from relay.policy.consents.moment import end_of
from relay.policy.sets.crosscheck import ORGANISATION
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.sentences import Sentence

NOTICE = timedelta(days=30)
"""How long before a pack expires somebody is told."""


@dataclass(frozen=True, slots=True)
class Want:
    """What a rule needs and a policy file does not give, so that its mail waits (451)."""

    file: str
    key: str
    rule: str
    cite: str

    @property
    def sentence(self) -> Sentence:
        """It in both languages."""
        cite = f" [{self.cite}]" if self.cite else ""
        return Sentence(
            f"{self.file}: {self.key}: {self.rule} needs it{cite}; mail it applies to waits (451)",
            f"{self.file}：{self.key}：{self.rule} 需要此项{cite}；补全前所适用的邮件一律暂缓（451）",
        )


def wants(policy: PolicySet) -> tuple[Want, ...]:
    """Everything that is missing, each once for each rule."""
    found: dict[Want, None] = {}
    for stream in policy.streams:
        for rule in stream.rules:
            table = rule.table
            if rule.never:
                continue
            if isinstance(table, OrganisationNeeds):
                found |= {Want(ORGANISATION, key, rule.name, table.cite): None for key in missing(stream.facts, table)}
            elif isinstance(table, Personalisation):
                found |= {Want(ORGANISATION, key, rule.name, table.cite): None for key in _no_way_out(stream)}
            elif isinstance(table, Offers):
                file = f"streams/{stream.name}.toml"
                found |= {Want(file, _KEYS[offer], rule.name, table.cite): None for offer in lacking(stream.setting, table)}
        for duty, keys in stream.unmet:
            for key in keys:
                place = (f"streams/{stream.name}.toml", _KEYS[key]) if key in _KEYS else (ORGANISATION, key)
                found[Want(*place, duty.name, duty.table.cite)] = None
    return tuple(found)


def _no_way_out(stream: Stream) -> tuple[str, ...]:
    return (PREFERENCES,) if has_no_way_out(stream.setting) else ()


_KEYS = {
    "signature": "[signing] required",
    "one-click": "[unsubscribe] one_click",
    "mailto": "[unsubscribe] mailto",
    "unsubscribe": "[unsubscribe] one_click or mailto",
}


def used_packs(policy: PolicySet) -> dict[str, date]:
    """The last day of each pack that some stream uses and that has one."""
    used = {pack.name: pack.until for stream in policy.streams for pack in stream.packs}
    return {name: until for name, until in sorted(used.items()) if until is not None}


def ends_at(policy: PolicySet) -> dict[str, float]:
    """When each such pack expires, in seconds: as its last day ends where the organisation is."""
    return {name: end_of(day, policy.zone) for name, day in used_packs(policy).items()}


def expired(policy: PolicySet, today: date) -> Iterator[tuple[str, Sentence]]:
    """The packs nobody vouches for any more, by name."""
    for name, until in used_packs(policy).items():
        if today > until:
            yield (
                name,
                Sentence(
                    f"The pack {name} expired on {until}: mail it applies to waits (451) until it is reviewed"
                    " or [[extend]] of organisation.toml names it.",
                    f"规则包 {name} 已于 {until} 过期：所适用的邮件一律暂缓（451），直至复核，"
                    "或在 organisation.toml 的 [[extend]] 中写明延期。",
                ),
            )


def expiring(policy: PolicySet, today: date) -> Iterator[tuple[str, Sentence]]:
    """The packs that expire within 30 days, by name."""
    for name, until in used_packs(policy).items():
        if today <= until <= today + NOTICE:
            days = (until - today).days
            yield (
                name,
                Sentence(
                    f"The pack {name} expires on {until}, in {days} days: review it, or mail it applies to will wait (451).",
                    f"规则包 {name} 将于 {until} 到期（还有 {days} 天）：请复核，否则所适用的邮件届时一律暂缓（451）。",
                ),
            )


def transfer_thresholds(policy: PolicySet, today: date) -> tuple[Threshold, ...]:
    """How many persons' data may leave the country on the grounds in force, each number once, the lowest first.

    A ground on which nobody's may leave has no number to watch.
    """
    facts = policy.organisation
    countries = frozenset(country for one in facts.transfers(today) for country in one.to)
    tables = {rule.name: rule.table for stream in policy.streams for rule in stream.counting}
    found: dict[tuple[str, Category, int], Threshold] = {}
    for name, table in tables.items():
        if not isinstance(table, TransferCountRule):
            continue
        for country, category in product(table.places(facts, countries), Category):
            allowed = table.allows(facts, country, category, today)
            if allowed is not None and allowed.below is not None and allowed.below > 1:
                key = allowed.basis, category, allowed.below
                known = found.setdefault(key, Threshold(name, *key))
                found[key] = replace(known, to=tuple(sorted({*known.to, country})))
    return tuple(sorted(found.values(), key=lambda one: (one.below, one.category)))


def this_year(policy: PolicySet, years: Sequence[Transferred], today: date) -> Transferred:
    """How many persons' data left the country this year, by what a store counted and what was written down beside that."""
    counted = next((one for one in years if one.year == today.year), Transferred(today.year))
    return counted.beside(policy.organisation.transferred_elsewhere(today.year))


def nearly_used(policy: PolicySet, counted: Transferred, today: date) -> Iterator[tuple[Threshold, Sentence]]:
    """The thresholds of which four fifths are reached by those whose data left `this_year`."""
    for one in transfer_thresholds(policy, today):
        persons = counted.persons(one.category)
        if persons < one.warns_from:
            continue
        what, what_zh = _CATEGORIES[one.category]
        left = max(0, one.below - 1 - persons)
        yield (
            one,
            Sentence(
                f"{what} of {persons:,} persons left the country in {counted.year}: the ground {one.basis} is for fewer than"
                f" {one.below:,}, so {left:,} more may be written to by servers abroad; see to a ground for more persons.",
                f"{counted.year} 年已有 {persons:,} 人的{what_zh}出境：依据 {one.basis} 须少于 {one.below:,} 人，"
                f"经境外服务器还可发送给 {left:,} 人；请办理适用于更多人数的依据。",
            ),
        )


_CATEGORIES = {
    Category.ORDINARY: ("Data", "个人信息"),
    Category.SENSITIVE: ("Sensitive data", "敏感个人信息"),
}
