"""Which limits one recipient counts against, as charges that a store reserves."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from relay.mail.envelope import Recipient, Submission
from relay.policy.cases.reputation import SendingDays
from relay.policy.deciding.pacing import warm_up_limit
from relay.policy.rules.table import percent_of
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Digest, Purpose
from relay.policy.timing.limits import Charge, Limit, parse_limit

_OWN = re.compile(r": recipient [0-9]")
Digester = Callable[[str], Digest]
Scope = tuple[tuple[str, ...], str, Sequence[Limit]]
"""What is counted together, how people call it, and the limits on it."""


def charges_for(
    policy: PolicySet,
    stream: Stream,
    upstream: str,
    upstream_limits: Sequence[str],
    submission: Submission,
    recipient: Recipient,
    now: datetime,
    digest: Digester,
    sent: SendingDays,
) -> tuple[Charge, ...]:
    """Return one charge per limit that this recipient of this submission counts against.

    `now` is aware; `sent` are the days on which the stream sent before.  A
    limit's key leaves out its count, so that a raised limit remembers what was
    used, and marketing, which may use less of an upstream's limits, counts
    together with all other mail; names are for people and hold no address.
    """
    scopes = _scopes(stream, submission, recipient)
    if stream.limits.warm_up is not None:
        scopes += _warm_up(stream, upstream_limits, sent.number(now.astimezone(policy.zone).date()))
    charges = [_charge(policy, scope, name, limit, now, digest) for scope, name, limits in scopes for limit in limits]
    shared = upstream_charges(policy, upstream, upstream_limits, now, digest)
    if stream.purpose is Purpose.MARKETING:
        shared = tuple(_less_reserve(policy, charge) for charge in shared)
    return (*charges, *shared)


def upstream_charges(
    policy: PolicySet, upstream: str, upstream_limits: Sequence[str], now: datetime, digest: Digester
) -> tuple[Charge, ...]:
    """What any recipient counts against the limits of an upstream."""
    scope, name = ("upstream", upstream), f"upstream {upstream}"
    return tuple(_charge(policy, scope, name, parse_limit(limit), now, digest) for limit in upstream_limits)


def is_own_limit(name: str) -> bool:
    """Whether the limit that a text names is one recipient's own, so that it keeps nobody else back."""
    return _OWN.search(name) is not None


def _less_reserve(policy: PolicySet, charge: Charge) -> Charge:
    """The same limit without what is kept for other mail than marketing; of a limit of 1 nothing can be kept."""
    share = 1 - percent_of(policy.organisation.limits.reserve) / 100
    least = max(1, int(charge.window.count * share))
    if least == charge.window.count:
        return charge
    return replace(charge, window=replace(charge.window, count=least), name=f"{charge.name} (marketing: {least})")


def _warm_up(stream: Stream, upstream_limits: Sequence[str], number: int) -> Iterable[Scope]:
    limit = warm_up_limit(stream, upstream_limits, number)
    if limit is not None:
        yield ("warm-up", stream.name), f"{stream.name}: warm-up day {number}", (limit,)


def _scopes(stream: Stream, submission: Submission, recipient: Recipient) -> list[Scope]:
    limits, domain = stream.limits, recipient.mailbox.domain
    scopes: list[Scope] = []
    if limits.identity:
        scopes.append((("identity", stream.name, submission.identity.name), f"{stream.name}: identity", limits.identity))
    if by_domain := limits.of_domain(domain):
        scopes.append((("recipient_domain", stream.name, domain), f"{stream.name}: recipient domain {domain}", by_domain))
    if limits.recipient:
        scopes.append((("recipient", stream.name, recipient.key), f"{stream.name}: recipient", limits.recipient))
    return scopes


def _charge(policy: PolicySet, scope: tuple[str, ...], name: str, limit: Limit, now: datetime, digest: Digester) -> Charge:
    window = limit.window(now, policy.zone)
    # NUL cannot stand in an identity, a domain or a mailbox, so no two scopes share a text.
    key = digest("\0".join(("limit", *scope, limit.unit, window.day)))
    return Charge(key, window, 1, f"{name} {limit}")
