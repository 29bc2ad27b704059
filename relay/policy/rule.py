"""What a rule is: a check with its parameters (or a CEL expression), and how it objects.

A check is code that looks at a case and says what it found, or None.  A rule
is a line of a policy file that runs a check.  Four checks are *protected*:
refusals, ownership and structure of the header are not the admin's to relax,
so their rules stand in packs/base.toml alone and are never overridden,
exempted or only observed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

from pydantic import Field, model_validator

from relay.policy.case import Action, Asked, Case, Phase, Spot
from relay.policy.consent import Ground
from relay.policy.expression import Expression
from relay.policy.jurisdiction import Reach
from relay.policy.organisation import OrganisationFacts
from relay.policy.suppression import Purpose
from relay.policy.table import ActionName, Ascii, Domains, Purposes, Table


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check knows of the stream it is asked in, of the organisation that sends, and of the day.

    `today` is the organisation's calendar day; where nobody says which, the
    last of all, on which every licence and claim has ended.  `offers` is what
    the stream's copies carry: "signature", "one-click", "mailto", "unsubscribe".
    """

    stream: str
    purpose: Purpose
    facts: OrganisationFacts
    today: date = date.max
    offers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, without addresses: "14.2 MB", and where in the message. `code` replaces the check's own enhanced code."""

    detail: str = ""
    code: str = ""
    spots: tuple[Spot, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Rests:
    """A check that does not object because of consents says which; the rule's name is filled in where they are kept."""

    grounds: tuple[Ground, ...]


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

    `phase` is when it can speak first.  `inspects` says that it reads what
    people wrote: it is never asked about correspondence.  `scope` is how far
    one answer reaches within a message: to every recipient ("message"), to
    those of one "domain", or to one "recipient".
    """

    name: str
    summary: str
    summary_zh: str
    parameters: type[RuleTable]
    ask: Callable[[Case, Setting, Any], Finding | Rests | None]
    text: str
    text_zh: str
    fix: str
    fix_zh: str
    reads: tuple[str, ...]  # names in inputs.FACTS: what it looks at beside its parameters
    phase: Phase = Phase.DATA
    protected: bool = False
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", self.check.phase if self.check else _phase(self.expression))
        object.__setattr__(self, "scope", self.check.scope if self.check else self.expression.scope if self.expression else "")
        object.__setattr__(self, "silent", Asked(self.name, not self.never, self.never or "asked", why_zh=self.never_zh))
        object.__setattr__(self, "outside", (self.reach or Reach()).leaves_out(self.name))

    @property
    def protected(self) -> bool:
        return self.check is not None and self.check.protected

    @property
    def asks_consent(self) -> bool:
        """Whether it may look at the consent ledger."""
        return self.check is not None and not self.never and "recipient.consents" in self.check.reads

    @property
    def inspects(self) -> bool:
        return self.check.inspects if self.check else _mentions(self.expression, "message")


def _mentions(expression: Expression | None, variable: str) -> bool:
    return expression is not None and variable in expression.variables


def _phase(expression: Expression | None) -> Phase:
    return Phase.DATA if _mentions(expression, "message") else Phase.RCPT
