"""What the relay does about a reply: the reaction that a profile names, and what follows from it now. Pure.

A reaction comes with the entry of the reply dictionary that fits, else with
the class of the reply (`relay.upstream.profile`).  `react` turns it into
changes for this moment; who keeps and obeys them is `relay.adapting`.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from relay.stores.adaptations import NEVER, RECOVERY, RECOVERY_SECONDS, Kind, Scope

MOST_RECOVERY = 16
"""Without a configured limit a rate is back to normal when it has grown to so many times its start."""

CAP_SECONDS = 86400.0
"""For how long a learnt number of recipients a mail holds; then one mail tries the profile's number again."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What is to be done about a reply, beside telling the sender.

    `back_off` seconds, or until `tomorrow`, the `scope` is not asked again; `halve` lowers its rate; `pause` stops the
    marketing of the scope until a person resumes it; `split` learns how many recipients a mail may have.
    `confirmations`: a recipient who is gone is believed to be so after so many mails said it, 0: as `policy.bounces` has it.
    """

    scope: Scope = Scope.IDENTITY
    back_off: float = 0.0
    tomorrow: bool = False
    halve: bool = False
    pause: bool = False
    split: bool = False
    confirmations: int = 0

    @property
    def adapts(self) -> bool:
        """Whether later mail is affected."""
        return bool(self.back_off or self.tomorrow or self.halve or self.pause or self.split)


NOTHING = Reaction()


@dataclass(frozen=True, slots=True)
class Moment:
    """What `react` must know of the moment of the reply.

    `recipients` were offered in the transaction and `taken` of them accepted.  In the reaction's scope: `sent` recipients
    were offered in the last minute, `limit` is the configured limit a minute, `rate` the lowered rate in force.
    """

    now: float
    zone: tzinfo
    recipients: int = 1
    taken: int = 0
    sent: int = 0
    limit: int | None = None
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One adaptation to be made now."""

    kind: Kind
    scope: Scope
    until: float
    value: int = 0


def react(reaction: Reaction, moment: Moment) -> tuple[Change, ...]:
    """What is to be adapted because of a reply at this moment."""
    changes = []
    if reaction.tomorrow or reaction.back_off:
        until = tomorrow(moment.now, moment.zone) if reaction.tomorrow else moment.now + reaction.back_off
        changes.append(Change(Kind.REST, reaction.scope, until))
    if reaction.halve:
        start = _halved(moment)
        changes.append(Change(Kind.RATE, reaction.scope, moment.now + _recovery(start, moment.limit), start))
    if reaction.split and moment.recipients > 1:
        fewer = moment.taken or moment.recipients // 2
        changes.append(Change(Kind.RECIPIENTS, Scope.UPSTREAM, moment.now + CAP_SECONDS, min(fewer, moment.recipients - 1)))
    if reaction.pause:
        changes.append(Change(Kind.PAUSE, reaction.scope, NEVER))
    return tuple(changes)


def tomorrow(now: float, zone: tzinfo) -> float:
    """When the next calendar day of the zone begins."""
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()


def _halved(moment: Moment) -> int:
    """Half of the rate in force, else of what was sent in the last minute, else of the configured limit; at least 1."""
    before = moment.rate or min(filter(None, (moment.sent, moment.limit)), default=0)
    return max(1, before // 2)


def _recovery(start: int, limit: int | None) -> float:
    """Seconds until a rate that starts so low has passed the limit, or has grown to `MOST_RECOVERY` times its start."""
    goal = max(limit, start + 1) if limit else start * MOST_RECOVERY
    return RECOVERY_SECONDS * math.ceil(math.log(goal / start, RECOVERY))
