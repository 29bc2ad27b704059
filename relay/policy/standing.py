"""Whether a policy set still stands: packs whose review ends, and facts that its rules need and nobody wrote down."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from relay.policy.checks.offers import Offers, lacking
from relay.policy.checks.organisation import OrganisationNeeds, missing
from relay.policy.crosscheck import ORGANISATION
from relay.policy.sentences import Sentence
from relay.policy.sets import PolicySet

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
            elif isinstance(table, Offers):
                file = f"streams/{stream.name}.toml"
                found |= {Want(file, _KEYS[offer], rule.name, table.cite): None for offer in lacking(stream.setting, table)}
        for duty, keys in stream.unmet:
            for key in keys:
                place = (f"streams/{stream.name}.toml", _KEYS[key]) if key in _KEYS else (ORGANISATION, key)
                found[Want(*place, duty.name, duty.table.cite)] = None
    return tuple(found)


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
    midnights = {name: datetime.combine(day, time.min, policy.zone) for name, day in used_packs(policy).items()}
    return {name: (midnight + timedelta(days=1)).timestamp() for name, midnight in midnights.items()}


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
