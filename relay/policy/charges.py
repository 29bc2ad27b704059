"""Which limits one recipient counts against, as charges that a store reserves."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from relay.mail.envelope import Recipient, Submission
from relay.policy.limits import Charge, Limit, parse_limit
from relay.policy.sets import PolicySet, Stream
from relay.policy.suppression import Digest

_OWN = re.compile(r": recipient [0-9]")
Digester = Callable[[str], Digest]


def charges_for(
    policy: PolicySet,
    stream: Stream,
    upstream: str,
    upstream_limits: Sequence[str],
    submission: Submission,
    recipient: Recipient,
    now: datetime,
    digest: Digester,
) -> tuple[Charge, ...]:
    """Return one charge per limit that this recipient of this submission counts against.

    `now` is aware.  A limit's key leaves out its count, so that a raised limit
    remembers what was used; names are for people and hold no address.
    """
    scopes = _scopes(stream, upstream, upstream_limits, submission, recipient)
    return tuple(_charge(policy, scope, name, limit, now, digest) for scope, name, limits in scopes for limit in limits)


def upstream_charges(
    policy: PolicySet, upstream: str, upstream_limits: Sequence[str], now: datetime, digest: Digester
) -> tuple[Charge, ...]:
    """What any recipient counts against the limits of an upstream."""
    scope, name, limits = _upstream(upstream, upstream_limits)
    return tuple(_charge(policy, scope, name, limit, now, digest) for limit in limits)


def is_own_limit(name: str) -> bool:
    """Whether the limit that a text names is one recipient's own, so that it keeps nobody else back."""
    return _OWN.search(name) is not None


def _upstream(upstream: str, limits: Sequence[str]) -> tuple[tuple[str, ...], str, Sequence[Limit]]:
    return ("upstream", upstream), f"upstream {upstream}", tuple(map(parse_limit, limits))


def _scopes(
    stream: Stream, upstream: str, upstream_limits: Sequence[str], submission: Submission, recipient: Recipient
) -> Iterable[tuple[tuple[str, ...], str, Sequence[Limit]]]:
    """What is counted together, how people call it, and the limits on it."""
    limits, domain = stream.limits, recipient.mailbox.domain
    if limits.identity:
        yield ("identity", stream.name, submission.identity.name), f"{stream.name}: identity", limits.identity
    if by_domain := limits.of_domain(domain):
        yield ("recipient_domain", stream.name, domain), f"{stream.name}: recipient domain {domain}", by_domain
    if limits.recipient:
        yield ("recipient", stream.name, recipient.key), f"{stream.name}: recipient", limits.recipient
    if upstream_limits:
        yield _upstream(upstream, upstream_limits)


def _charge(policy: PolicySet, scope: tuple[str, ...], name: str, limit: Limit, now: datetime, digest: Digester) -> Charge:
    window = limit.window(now, policy.zone)
    # NUL cannot stand in an identity, a domain or a mailbox, so no two scopes share a text.
    key = digest("\0".join(("limit", *scope, limit.unit, window.day)))
    return Charge(key, window, 1, f"{name} {limit}")
