"""When and how fast a stream sends: its hours, and its warm-up. Pure.

Neither binds service mail or notices: people wait for them.
"""

import math
from collections.abc import Iterable
from datetime import datetime

from relay.policy.cases.case import Action, Objection
from relay.policy.cases.jurisdiction import countries_of_domain
from relay.policy.sets.model import HOURS
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.timing.hours import do_meet, opening
from relay.policy.timing.limits import Limit, parse_limit
from relay.policy.timing.zones import WIDE, zones_of

WARM = 1_000_000
"""Recipients a day at which a warm-up is over where no limit says what the usual is."""


def outside_hours(
    policy: PolicySet, stream: Stream, domain: str, now: datetime, recorded: frozenset[str] = frozenset()
) -> Objection | None:
    """What is said of a recipient at this domain, recorded in these countries, outside the hours of the stream; None inside.

    `now` is aware.
    """
    limits = stream.limits
    if not limits.hours:
        return None
    moment = now.timestamp()
    zones = _zones(policy, stream, domain, recorded)
    begins = opening(limits.hours, zones, moment)
    if begins == moment:
        return None
    action = Action.HOLD if limits.over == "hold" else Action.DEFER
    hours, local = ", ".join(map(str, limits.hours)), datetime.fromtimestamp(begins, now.tzinfo).isoformat(" ", "minutes")
    fix, fix_zh = _FIXES[action]
    return Objection(
        HOURS,
        action,
        f"The stream {stream.name} sends {hours} ({zones[0]}), not now",
        f"邮件流 {stream.name} 只在 {hours}（{zones[0]}）发送，现在不在此时段",
        fix,
        fix_zh,
        detail=local,
        reply_code=451,
        asked_for=action,
        retry_after=math.ceil(begins - moment),
    )


def warm_up_limit(stream: Stream, upstream_limits: Iterable[str], number: int) -> Limit | None:
    """What the warm-up lets the whole stream send on its n-th day of sending, None when it has none or is over.

    It is over when it would allow as much as the usual limits on a day, of the upstream and of an identity, do.
    """
    if stream.limits.warm_up is None:
        return None
    usual = [limit.count for limit in (*map(parse_limit, upstream_limits), *stream.limits.identity) if limit.unit == "day"]
    return stream.limits.warm_up.on_day(number, max(usual, default=WARM))


def too_wide(stream: Stream, year: int) -> tuple[tuple[str, str], ...]:
    """Countries with so many time zones that hours never overlap in all of them, and the zone that counts there alone."""
    hours = stream.limits.hours
    if not hours or stream.limits.hours_zone == "organisation":
        return ()
    wide = ((country, zones_of(country)) for country in WIDE)
    return tuple((country, zones[0]) for country, zones in wide if len(zones) > 1 and not do_meet(hours, zones, year))


def _zones(policy: PolicySet, stream: Stream, domain: str, recorded: frozenset[str]) -> tuple[str, ...]:
    """The clocks that count, that of the recorded country first: it counts alone where the hours of all never meet."""
    own = (policy.organisation.time_zone,)
    if stream.limits.hours_zone == "organisation":
        return own
    countries = [*sorted(recorded), *sorted(countries_of_domain(domain) - recorded)]
    return tuple(zone for country in countries for zone in zones_of(country)) or own


_FIXES = {
    Action.HOLD: ("Nothing: the relay sends it when the hours begin", "无需处理：到时由系统自动发送"),
    Action.DEFER: ("Send it again when the hours begin", "请在发送时段开始后重试"),
}
