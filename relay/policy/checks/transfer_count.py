"""How many persons' data may leave the country in a year on the ground that is recorded for it."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import Field

from relay.policy.cases.case import Case, Phase
from relay.policy.cases.transfers import Category, in_year
from relay.policy.consents.consent import AgeBand, age_band
from relay.policy.rules.organisation import OrganisationFacts, TransferBasis
from relay.policy.rules.rule import Check, Counts, Finding, RuleTable, Setting
from relay.policy.rules.table import Countries

Grounds = Annotated[tuple[TransferBasis, ...], Field(strict=False)]
Bounds = dict[TransferBasis, Annotated[int, Field(ge=1, le=2_000_000_000)]]


@dataclass(frozen=True, slots=True)
class Allowance:
    """The ground that lets the data of most persons leave for a country: of fewer than `below`, None: of all."""

    basis: str = ""
    below: int | None = None


class TransferCountRule(RuleTable):
    """Parameters of transfer-count."""

    from_countries: Annotated[Countries, Field(min_length=1, description="Asked of organisations there / 仅对位于这些国家的单位")]
    free: Annotated[Countries, Field(description="Countries that need no ground / 无须另行依据的国家")] = ()
    bases: Annotated[Grounds, Field(min_length=1, description="Grounds that count / 可接受的依据")]
    below: Annotated[
        Bounds, Field(description="Fewer persons a year than this, by ground; none: any number / 各依据下每年人数须少于此数")
    ]
    below_sensitive: Annotated[
        Bounds, Field(description="The same of persons whose sensitive data leave / 敏感个人信息的人数须少于此数")
    ]
    uncounted: Annotated[Grounds, Field(description="Grounds on which nobody counts / 不计入人数的依据")] = ()

    def is_abroad(self, facts: OrganisationFacts, upstream_countries: frozenset[str]) -> bool:
        """Whether data leave by servers there."""
        return bool(self.places(facts, upstream_countries))

    def places(self, facts: OrganisationFacts, upstream_countries: frozenset[str]) -> list[str]:
        """Where data leave for by upstream servers in these countries, as far as this rule asks."""
        if facts.country not in self.from_countries:
            return []
        return sorted(upstream_countries - {facts.country, *self.free})

    def allows(self, facts: OrganisationFacts, country: str, category: Category, today: date) -> Allowance | None:
        """On what ground how many may be counted whose data leave for this country; None where nobody counts.

        Without any ground it is for `transfer` to object: whoever leaves all the same counts.
        """
        found = {one.basis for one in facts.transfers(today) if country in one.to}
        if not found.isdisjoint(self.uncounted):
            return None
        table = self.below_sensitive if category is Category.SENSITIVE else self.below
        grounds = [Allowance(basis, table.get(basis)) for basis in self.bases if basis in found]
        return max(grounds, key=lambda one: float("inf") if one.below is None else one.below, default=Allowance())


def ask(case: Case, setting: Setting, parameters: TransferCountRule) -> Counts | None:
    """Say that the recipient counts, and object where no more may."""
    facts, today = setting.facts, setting.today
    places = parameters.places(facts, case.upstream_countries)
    if not places:
        return None
    category = category_of(case, setting)
    allowed = [one for place in places if (one := parameters.allows(facts, place, category, today)) is not None]
    if not allowed:
        return None
    if case.transferred is None:
        raise ValueError("nobody looked up whose data left the country this year")
    known = in_year(case.transferred, today)
    if category in known.counted:
        return Counts(category)
    persons = known.beside(facts.transferred_elsewhere(today.year)).persons(category)
    full = (one for one in allowed if one.below is not None and persons + 1 >= one.below)
    return Counts(category, next((Finding(_told(one, persons, category)) for one in full), None))


def category_of(case: Case, setting: Setting) -> Category:
    """What the mail of the stream tells of this recipient."""
    is_child = bool(case.consents) and age_band(case.consents) is AgeBand.UNDER_14
    return Category.SENSITIVE if setting.sensitive or is_child else Category.ORDINARY


def _told(allowance: Allowance, persons: int, category: Category) -> str:
    what = "" if category is Category.ORDINARY else " with sensitive data"
    return f"{persons} persons{what} this year, {allowance.basis} is for fewer than {allowance.below}"


CHECK = Check(
    name="transfer-count",
    summary="The mail may leave for a country abroad (as in `transfer`), and the data of as many persons left this calendar year"
    " as the ground recorded for that country allows: fewer than `below` (`below_sensitive` in streams with `sensitive`, and of"
    " children under 14), by ground; of several the one that allows most. A ground in `uncounted` counts nobody; who was"
    " counted this year counts no more",
    summary_zh="邮件可能发往境外（同 `transfer`），而本自然年已出境的人数达到为该国登记的依据所允许的上限：须少于 `below`"
    "（写有 `sensitive` 的邮件流以及未满 14 周岁的儿童按 `below_sensitive`），按依据分别规定，有多个依据时取较大者。"
    "`uncounted` 中的依据不计人数；本年已计入的收件人不再计入",
    parameters=TransferCountRule,
    ask=ask,
    reads=(
        "upstream.countries", "organisation.country", "organisation.transfer", "organisation.transferred", "stream.sensitive",
        "recipient.transferred", "recipient.consents",
    ),
    phase=Phase.RCPT,
    scope="recipient",
    text="Too many persons' data left the country this year for the recorded ground",
    text_zh="本年度出境个人信息的人数已达所登记依据的上限",
    fix="Send by an upstream server at home, or have a ground for more persons recorded as [[transfer]] in organisation.toml",
    fix_zh="请改用境内上游服务器，或在 organisation.toml 中登记适用于更多人数的 [[transfer]]",
)  # fmt: skip
