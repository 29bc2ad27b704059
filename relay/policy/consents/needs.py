"""What a rule asks of a consent, and the grant that has all of it; or what the best one lacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo

from relay.policy.consents.consent import (
    CLOCKS,
    REFUSED_SOURCES,
    Basis,
    ConsentEvent,
    EventKind,
    Evidence,
    Statement,
    covers,
    expires_on,
    is_ended,
)
from relay.policy.consents.moment import day_of


@dataclass(frozen=True, slots=True)
class Needs:
    """What a rule asks of one grant, all of it of the same one."""

    purpose: str
    bases: frozenset[str] = frozenset()  # empty: any
    evidence: frozenset[Evidence] = frozenset()
    confirmed: bool = False
    max_age: int | None = None  # days since it was given or renewed last
    notices: bool = False  # whether a notice of it, to which the person said nothing, renews it
    interest: bool = False  # whether a legitimate interest is enough, of a company
    zone: tzinfo = UTC  # in which `today` is a day, and moments on record fall on one


def grant_for(events: Sequence[ConsentEvent], needs: Needs, today: date) -> ConsentEvent | str:
    """The latest grant that meets all needs, else what the best of them lacks, without addresses."""
    grants = [event for event in events if event.is_granting]
    if not grants:
        return "none is recorded"
    met, lacks = -1, ""
    for grant in sorted(grants, key=lambda e: (e.at, e.id), reverse=True):
        passed, fault = _first_fault(grant, events, needs, today)
        if not fault:
            return grant
        if passed > met:
            met, lacks = passed, fault
    return lacks


def _first_fault(grant: ConsentEvent, events: Sequence[ConsentEvent], needs: Needs, today: date) -> tuple[int, str]:
    for passed, find in enumerate(_FAULTS):
        if fault := find(grant, events, needs, today):
            return passed, fault
    return len(_FAULTS), ""


def _not_for_this(grant: ConsentEvent, _: Sequence[ConsentEvent], needs: Needs, __: date) -> str:
    return "" if covers(grant.purpose, needs.purpose) else f"given for {grant.purpose or 'no named purpose'}, not {needs.purpose}"


def _not_yet(grant: ConsentEvent, _: Sequence[ConsentEvent], __: Needs, today: date) -> str:
    day = day_of(grant.at)
    return f"given on {day} only" if day - timedelta(days=1) > today else ""  # days of UTC and of the organisation differ


def _ended(grant: ConsentEvent, events: Sequence[ConsentEvent], needs: Needs, _: date) -> str:
    ended = is_ended(grant, needs.purpose, events)
    return f"{ended.event} on {day_of(ended.at)}" if ended else ""


def _from_nowhere(grant: ConsentEvent, _: Sequence[ConsentEvent], __: Needs, ___: date) -> str:
    source = grant.details.source
    return f"the address was {source}" if source in REFUSED_SOURCES else ""


def _other_basis(grant: ConsentEvent, _: Sequence[ConsentEvent], needs: Needs, __: date) -> str:
    if not needs.bases or grant.basis in needs.bases:
        return ""
    if not needs.interest or grant.basis != Basis.LEGITIMATE_INTEREST:
        return f"basis {grant.basis}"
    return "" if Statement.CORPORATE in grant.details.statements else f"basis {grant.basis} without corporate"


def _conditions(grant: ConsentEvent, _: Sequence[ConsentEvent], __: Needs, ___: date) -> str:
    """Soft opt-in: a sale or negotiation, own similar products, a way out offered at collection and in each message.

    Implied: the day of the purchase or inquiry, from which the law counts (CASL s10(10)).
    """
    details = grant.details
    if grant.basis in CLOCKS and details.relation_at is None:  # without its beginning nobody knows when the clock runs out
        return f"{grant.basis} without relation_at"
    if grant.basis != Basis.SOFT_OPT_IN:
        return ""
    said = {"relation_at": details.relation_at is not None}
    said |= {one.value: one in details.statements for one in (Statement.SIMILAR, Statement.OPT_OUT_OFFERED)}
    lacking = [name for name, is_there in said.items() if not is_there]
    return f"soft opt-in without {', '.join(lacking)}" if lacking else ""


def _expired(grant: ConsentEvent, _: Sequence[ConsentEvent], needs: Needs, today: date) -> str:
    end = expires_on(grant, needs.zone)
    return f"expired on {end}" if end is not None and today > end else ""


def _unconfirmed(grant: ConsentEvent, _: Sequence[ConsentEvent], needs: Needs, __: date) -> str:
    return "not confirmed" if needs.confirmed and grant.event != EventKind.CONFIRMED else ""


def _unproven(grant: ConsentEvent, _: Sequence[ConsentEvent], needs: Needs, __: date) -> str:
    lacking = sorted(needs.evidence & grant.details.lacking) if needs.evidence else []
    return f"evidence lacks {', '.join(lacking)}" if lacking else ""


def _too_old(grant: ConsentEvent, events: Sequence[ConsentEvent], needs: Needs, today: date) -> str:
    if needs.max_age is None:
        return ""
    renewing = {EventKind.RENEWED, EventKind.NOTICE_SENT} if needs.notices else {EventKind.RENEWED}
    renewals = (e.at for e in events if e.event in renewing and e.at > grant.at and covers(e.purpose, needs.purpose))
    last = day_of(max((grant.at, *renewals)), needs.zone)
    return f"given or renewed last on {last}" if (today - last).days > needs.max_age else ""


_Fault = Callable[[ConsentEvent, Sequence[ConsentEvent], Needs, date], str]
_FAULTS: tuple[_Fault, ...] = (
    _not_for_this, _ended, _not_yet, _from_nowhere, _other_basis, _conditions, _expired, _unconfirmed, _unproven, _too_old,
)  # fmt: skip
