"""Which rules were relaxed while policy sets were in force, by whom, why, until when. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from typing import Protocol

from relay.policy.consents.moment import end_of
from relay.policy.sets.policy_set import PolicySet

ALL_RULES = "*"


@dataclass(frozen=True, slots=True)
class Reign:
    """A policy set in force from `since` to `until`, who applied it and why; `policy` None when it is no longer kept."""

    hash: str
    policy: PolicySet | None
    since: float
    until: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One relaxation: `what` is override, exempt or shadow, as objections name it.

    `stream` is "" for an exemption, `action` what an override turns the rule
    into, `mailboxes` how many an exemption names.  It held from `since` to
    `ended`; `until` is the last day that its file gives it, None for none.
    """

    what: str
    stream: str
    rules: str
    by: str
    reason: str
    until: date | None
    since: float
    ended: float
    action: str = "warn"
    mailboxes: int = 0


class Switch(Protocol):
    """A policy set came into force (`relay.service.policies.Switch`)."""

    @property
    def hash(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def by(self) -> str: ...
    @property
    def reason(self) -> str: ...


def reigns(switches: Sequence[Switch], since: float, until: float, kept: Callable[[str], PolicySet | None]) -> list[Reign]:
    """Which sets were in force between two moments; switches are in the order of time, `kept` finds a set by its hash."""
    found = []
    ends = [switch.at for switch in switches[1:]] + [until]
    for switch, end in zip(switches, ends, strict=False):
        if switch.at < until and end > since:
            policy = kept(switch.hash)
            found.append(Reign(switch.hash, policy, max(switch.at, since), min(end, until), switch.by, switch.reason))
    return found


def relaxations(held: Sequence[Reign], zone: tzinfo) -> list[Relaxation]:
    """Everything that was relaxed, each once: what stands unchanged in the next set goes on."""
    found: list[Relaxation] = []
    latest: dict[Relaxation, int] = {}
    for reign in held:
        for one in _of(reign, zone):
            same = replace(one, since=0.0, ended=0.0)
            if one.what == "shadow":  # whoever applies the next set did not switch it to that
                same = replace(same, by="", reason="")
            place = latest.get(same)
            if place is not None and found[place].ended >= one.since:
                found[place] = replace(found[place], ended=one.ended)
            else:
                latest[same] = len(found)
                found.append(one)
    return sorted(found, key=lambda one: (one.since, one.stream, one.rules))


def _of(reign: Reign, zone: tzinfo) -> Iterator[Relaxation]:
    if reign.policy is None:
        return
    for stream in reign.policy.streams:
        if stream.mode == "shadow":
            yield Relaxation("shadow", stream.name, ALL_RULES, reign.by, reign.reason, None, reign.since, reign.until)
        for override in stream.overrides.values():
            if (ended := _end(override.until, reign, zone)) > reign.since:
                yield Relaxation(
                    "override", stream.name, override.rule, override.by, override.reason, override.until, reign.since, ended,
                    override.action,
                )  # fmt: skip
    for exempt in reign.policy.organisation.exempt:
        if (ended := _end(exempt.until, reign, zone)) > reign.since:
            yield Relaxation(
                "exempt", "", ", ".join(exempt.rules), exempt.by, exempt.reason, exempt.until, reign.since, ended,
                mailboxes=len(exempt.recipients),
            )  # fmt: skip


def _end(last_day: date, reign: Reign, zone: tzinfo) -> float:
    """The end of the day that a relaxation names, or of the set."""
    return min(end_of(last_day, zone), reign.until)
