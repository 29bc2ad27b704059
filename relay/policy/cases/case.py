"""All facts on one recipient of one message, and what is decided from them.

A case is gathered once and never changes; `decide` sees nothing else.  No
rule can say "permit": `Action.PERMIT` is what is left when nobody objects.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from relay.mail.envelope import Recipient, Submission
from relay.mail.message import Message
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.reputation import Pause
from relay.policy.cases.transfers import Category, Transferred
from relay.policy.consents.consent import ConsentEvent, Ground
from relay.policy.consents.residence import Residence, countries_of
from relay.policy.suppressions.suppression import Suppression


class Phase(StrEnum):
    """When a check can speak first: at RCPT (no message yet) or at the end of DATA."""

    RCPT = "rcpt"
    DATA = "data"


class Action(IntEnum):
    """What a rule asks for; the number is the rank, the gravest wins."""

    PERMIT = 0
    WARN = 1
    HOLD = 2
    DEFER = 3
    REJECT = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Case:
    """All facts on one recipient.

    `message` is None in phase RCPT.  `suppressions` are those in force, of
    any scope and reason.  `jurisdictions` (whose law may protect the recipient)
    and `upstream_countries` (where the upstream servers are that a copy may
    leave by, failover included) are ISO 3166-1 alpha-2 codes, "ZZ" where that
    is not known.  `pause` is what keeps the whole stream back.  `consents` are all
    events of the consent ledger, where a rule of the stream asks for them.  `transferred` is
    whose data left the country this year, where a rule counts them.  `domain_mail` is
    whether the recipient's domain takes mail, where a rule wants to know and config.toml says whom to ask.
    `residence` is where the recipient is by the consent ledger; `jurisdictions` have it in them.
    """

    submission: Submission
    recipient: Recipient
    message: Message | None
    suppressions: tuple[Suppression, ...] = ()
    jurisdictions: frozenset[str] = frozenset()
    upstream_countries: frozenset[str] = frozenset()
    pause: Pause | None = None
    consents: tuple[ConsentEvent, ...] = ()
    transferred: Transferred | None = None
    domain_mail: DomainMail | None = None
    residence: Residence | None = None

    @property
    def recorded_countries(self) -> frozenset[str]:
        """Where the recipient is by the record alone."""
        return countries_of(self.residence)


MAX_DETAIL = 300
"""Characters of what an objection says that it saw: it is recorded for every recipient, and shown in one line."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a message something was seen: a field ("From"), a text ("subject", "html part 2") or "attachment NAME".

    `start` and `end` count the characters of what people see of it; `end` 0: the whole of it.
    """

    where: str
    start: int = 0
    end: int = 0


MOST_SPOTS = 50
"""Of one finding: what has more is told from these."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One rule's answer. Texts are for people; `text` and `fix` are ASCII because they go on the wire.

    `observed` says why an objection does not count with its full weight:
    "" (it counts), "shadow", "override", "exempt".  `asked_for` is the action
    that the rule names in its file.
    """

    rule: str  # "base/suppression", "newsletter/no-big-mail-to-qq"
    action: Action
    text: str
    text_zh: str
    fix: str = ""
    fix_zh: str = ""
    cite: str = ""
    detail: str = ""  # what was seen, without addresses, MAX_DETAIL of it: "14.2 MB", "3 shown, 1 allowed"
    code: str = "7.1"  # the detail part of the enhanced status code
    observed: str = ""
    asked_for: Action = Action.REJECT
    retry_after: int = 0  # seconds, for defer and hold, where it is known
    reply_code: int = 550  # 554 for structure, 552 for size, 451 for defer and hold
    spots: tuple[Spot, ...] = field(default=(), compare=False)  # for `relay lint`; never recorded

    def __post_init__(self) -> None:
        if len(self.detail) > MAX_DETAIL:
            object.__setattr__(self, "detail", f"{self.detail[: MAX_DETAIL - 3]}...")


@dataclass(frozen=True, slots=True)
class Counted:
    """Data of the recipient leave the country if a copy does, and `rule` counts that.

    `action` is what it asks for where no more may be counted; WARN: nothing.
    """

    rule: str
    category: Category
    action: Action


@dataclass(frozen=True, slots=True)
class Asked:
    """One rule as `relay explain` shows it: asked or not and why, and its answer; `grounds` are the consents it rests on."""

    rule: str
    asked: bool
    why: str  # "asked", "phase", "purpose", "does not apply", "exempt until ..."
    objection: Objection | None = None
    why_zh: str = ""  # "" when it was asked and counts in full
    grounds: tuple[Ground, ...] = ()
    counted: Counted | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision on one recipient: the gravest action, every objection, gravest first, and the consents it rests on.

    `residence` is that of the case: what is done to the copy goes by it too.
    """

    recipient: Recipient
    action: Action
    objections: tuple[Objection, ...] = ()
    asked: tuple[Asked, ...] = field(default=(), compare=False)
    grounds: tuple[Ground, ...] = field(default=(), compare=False)
    counted: tuple[Counted, ...] = field(default=(), compare=False)  # what is counted if a copy leaves for a server abroad
    domain_mail: DomainMail | None = field(default=None, compare=False)  # what DNS said of the recipient's domain
    residence: Residence | None = field(default=None, compare=False)

    @property
    def leading(self) -> Objection | None:
        """The objection that decided, None when nothing stands in the way."""
        return self.objections[0] if self.action > Action.WARN else None
