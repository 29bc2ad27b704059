"""All facts on one recipient of one message, and what is decided from them.

A case is gathered once and never changes; `decide` sees nothing else.  No
rule can say "permit": `Action.PERMIT` is what is left when nobody objects.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from relay.mail.envelope import Recipient, Submission
from relay.mail.message import Message
from relay.policy.consent import ConsentEvent, Ground
from relay.policy.reputation import Pause
from relay.policy.suppression import Suppression


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
    leave by, failover included, as far as that is known) are ISO 3166-1
    alpha-2 codes.  `pause` is what keeps the whole stream back.  `consents` are all
    events of the consent ledger, where a rule of the stream asks for them.
    """

    submission: Submission
    recipient: Recipient
    message: Message | None
    suppressions: tuple[Suppression, ...] = ()
    jurisdictions: frozenset[str] = frozenset()
    upstream_countries: frozenset[str] = frozenset()
    pause: Pause | None = None
    consents: tuple[ConsentEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a message something was seen: a field ("From"), a text ("subject", "html part 2") or "attachment NAME".

    `start` and `end` count the characters of what people see of it; `end` 0: the whole of it.
    """

    where: str
    start: int = 0
    end: int = 0


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
    detail: str = ""  # what was seen, without addresses: "14.2 MB", "3 shown, 1 allowed"
    code: str = "7.1"  # the detail part of the enhanced status code
    observed: str = ""
    asked_for: Action = Action.REJECT
    retry_after: int = 0  # seconds, for defer and hold, where it is known
    reply_code: int = 550  # 554 for structure, 552 for size, 451 for defer and hold
    spots: tuple[Spot, ...] = field(default=(), compare=False)  # for `relay lint`; never recorded


@dataclass(frozen=True, slots=True)
class Asked:
    """One rule as `relay explain` shows it: asked or not and why, and its answer; `grounds` are the consents it rests on."""

    rule: str
    asked: bool
    why: str  # "asked", "phase", "purpose", "does not apply", "exempt until ..."
    objection: Objection | None = None
    why_zh: str = ""  # "" when it was asked and counts in full
    grounds: tuple[Ground, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision on one recipient: the gravest action, every objection, gravest first, and the consents it rests on."""

    recipient: Recipient
    action: Action
    objections: tuple[Objection, ...] = ()
    asked: tuple[Asked, ...] = field(default=(), compare=False)
    grounds: tuple[Ground, ...] = field(default=(), compare=False)

    @property
    def leading(self) -> Objection | None:
        """The objection that decided, None when nothing stands in the way."""
        return self.objections[0] if self.action > Action.WARN else None
