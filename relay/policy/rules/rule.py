"""What a rule is: a check with its parameters (or a CEL expression), and how it objects.

A check is code that looks at a case and says what it found, or None.  A rule
is a line of a policy file that runs a check.  Some rules are *protected*:
refusals, ownership, structure of the header and the signature are not the
admin's to relax, so a rule that guards one of them is never overridden,
exempted or only observed.  Where a check does nothing else than guard, its
rule stands in packs/base.toml alone; a rule on the signature stands where a
law or a provider asks for one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from relay.policy.cases.case import Action, Asked, Case, Phase, Spot
from relay.policy.cases.jurisdiction import Reach
from relay.policy.cases.transfers import Category
from relay.policy.consents.consent import Ground
from relay.policy.rules.expression import Expression
from relay.policy.rules.organisation import OrganisationFacts
from relay.policy.rules.table import ActionName, Ascii, Domains, Purposes, Table
from relay.policy.suppressions.suppression import Purpose

Guarded = Literal["refusals", "ownership", "structure", "signature"]
"""What no override, exemption or shadow mode relaxes."""

GUARDED: dict[Guarded, tuple[str, str]] = {
    "refusals": ("refusals", "拒收"),
    "ownership": ("the ownership of sender addresses", "发件人归属"),
    "structure": ("the structure of the header", "邮件头结构"),
    "signature": ("the signature", "签名"),
}
"""It in words, in English and Chinese."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check knows of the stream it is asked in, of the organisation that sends, and of the day.

    `today` is the organisation's calendar day, in its `zone`; where nobody says
    which, the last of all, on which every licence and claim has ended.  `offers` is what
    the stream's copies carry: "signature", "one-click", "mailto", "unsubscribe".
    `sensitive` says that its mail tells sensitive data of its recipients,
    `personalised` that a program chooses what each reader is shown, `adult` that it shows sexually explicit conduct.
    """

    stream: str
    purpose: Purpose
    facts: OrganisationFacts
    today: date = date.max
    offers: frozenset[str] = frozenset()
    sensitive: bool = False
    personalised: bool = False
    adult: bool = False
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, without addresses: "14.2 MB", and where in the message.

    `code` replaces the check's own enhanced code, `reply_code` the code of its reply where the rule refuses.
    """

    detail: str = ""
    code: str = ""
    reply_code: int = 0
    spots: tuple[Spot, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Rests:
    """A check that does not object because of consents says which; the rule's name is filled in where they are kept."""

    grounds: tuple[Ground, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """A check says that data of the recipient would leave the country, and objects where no more may."""

    category: Category
    finding: Finding | None = None


Answer = Finding | Rests | Counts | None
"""What a check says of a case."""

UNREAD_PARTS = Finding("its parts cannot all be read")
"""Asked about the parts of a message whose structure is beyond the bounds, a rule objects: not seen is not absent."""


class RuleTable(Table):
    """The keys that every [[rule]] has; each check adds its parameters."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique in its file / 在本文件中唯一")
    check: str = ""
    action: ActionName = Field(default="reject", description="warn | hold | defer | reject")
    recipient_domains: Domains = Field(default=(), description="Only for recipients in these domains / 仅对这些域名的收件人")
    purposes: Purposes = Field(default=(), description="Only for streams with these purposes / 仅对这些用途的邮件流")
    text: Ascii = ""
    text_zh: str = Field(default="", max_length=300)
    fix: Ascii = ""
    fix_zh: str = Field(default="", max_length=600)
    cite: str = Field(default="", max_length=300)

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks of organisation.toml ("contact") or of the stream ("one-click"), and objects without."""
        return ()

    def is_abroad(self, facts: OrganisationFacts, upstream_countries: frozenset[str]) -> bool:
        """Whether it counts those whose data leave by upstream servers in these countries."""
        return False

    @property
    def guards(self) -> Guarded | None:
        """What nobody may relax that the rule protects because of its parameters; None when it protects nothing such."""
        return None

    def prepare(self) -> None:
        """Read what the check needs beside a message: once, when a stream is made that asks the rule."""

    @model_validator(mode="after")
    def _both_languages(self) -> Self:
        for key in ("text", "fix"):
            if bool(getattr(self, key)) != bool(getattr(self, f"{key}_zh")):
                raise ValueError(f"{key} and {key}_zh go together: write both / {key} 与 {key}_zh 必须同时填写")
        return self


@dataclass(frozen=True, slots=True)
class Check:
    """Code that a rule runs.

    `phase` is when it can speak first.  `guards` is what each rule that runs it
    protects from being relaxed, whatever its parameters.  `inspects` says that it reads what
    people wrote: it is never asked about correspondence.  `scope` is how far
    one answer reaches within a message: to every recipient ("message"), to
    those of one "domain", or to one "recipient".
    """

    name: str
    summary: str
    summary_zh: str
    parameters: type[RuleTable]
    ask: Callable[[Case, Setting, Any], Answer]
    text: str
    text_zh: str
    fix: str
    fix_zh: str
    reads: tuple[str, ...]  # names in inputs.FACTS: what it looks at beside its parameters
    phase: Phase = Phase.DATA
    guards: Guarded | None = None
    inspects: bool = False
    scope: str = "message"
    reply_code: int = 550
    code: str = "7.1"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as one stream asks it.

    `reach` None asks about all mail, else about what it covers.
    `never` says why this stream never asks it ("" when it does), `never_zh` the same in Chinese.
    """

    name: str  # "base/size"
    check: Check | None  # None: `expression` decides
    expression: Expression | None
    table: RuleTable
    action: Action
    text: str
    text_zh: str
    fix: str
    fix_zh: str
    reach: Reach | None = None
    never: str = ""
    never_zh: str = ""
    phase: Phase = field(init=False)
    scope: str = field(init=False)  # how far one answer reaches: "message", "domain", "recipient"
    silent: Asked = field(init=False, compare=False, repr=False)  # what a ruling says when it does not object
    outside: Asked = field(init=False, compare=False, repr=False)  # what it says where `reach` ends
    asks_domain: bool = field(init=False)  # whether it looks at what DNS says of the recipient's domain
    unlooked: Asked = field(init=False, compare=False, repr=False)  # what a ruling says where DNS was not asked

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", self.check.phase if self.check else _phase(self.expression))
        object.__setattr__(self, "scope", self.check.scope if self.check else self.expression.scope if self.expression else "")
        object.__setattr__(self, "silent", Asked(self.name, not self.never, self.never or "asked", why_zh=self.never_zh))
        object.__setattr__(self, "outside", (self.reach or Reach()).leaves_out(self.name))
        object.__setattr__(self, "asks_domain", self._reads("recipient.domain_mail"))
        object.__setattr__(self, "unlooked", Asked(self.name, False, "DNS was not asked", why_zh="未查询 DNS"))

    @property
    def guards(self) -> Guarded | None:
        """What it protects that nobody may relax."""
        return (self.check.guards if self.check else None) or self.table.guards

    @property
    def protected(self) -> bool:
        """Whether it counts in full whatever an override, an exemption or the stream's mode says."""
        return self.guards is not None

    @property
    def asks_consent(self) -> bool:
        """Whether it may look at the consent ledger, wherever the mail may leave by."""
        return self._reads("recipient.consents") and not self.counts_transfers

    @property
    def counts_transfers(self) -> bool:
        """Whether it may count whose data leave the country."""
        return self._reads("recipient.transferred")

    def _reads(self, fact: str) -> bool:
        return self.check is not None and not self.never and fact in self.check.reads

    @property
    def inspects(self) -> bool:
        return self.check.inspects if self.check else _mentions(self.expression, "message")


def _mentions(expression: Expression | None, variable: str) -> bool:
    return expression is not None and variable in expression.variables


def _phase(expression: Expression | None) -> Phase:
    return Phase.DATA if _mentions(expression, "message") else Phase.RCPT
