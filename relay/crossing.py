"""Copies that leave for a server abroad: what the store counts of them, and what is said when no more may.

The rules decided on counts that were gathered a moment before; the store counts
in the step that clears a copy, so that no two of them take the same last place.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from relay import telemetry
from relay.answer import Result
from relay.consignment import Consignment
from relay.errors import RecordsUnavailable
from relay.ids import ENTROPY_OCTETS, new_id
from relay.judging import result_of
from relay.mail.envelope import Recipient
from relay.policy.cases.case import Action, Counted
from relay.policy.cases.transfers import Crossing, year_of
from relay.policy.checks.transfer_count import TransferCountRule
from relay.policy.deciding.decide import objection_of
from relay.policy.rules.rule import Finding, Rule
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.standing import transfer_thresholds
from relay.records.append import Records
from relay.records.threshold import threshold_record
from relay.stores.transfers import Exhausted

_log = logging.getLogger("relay.crossing")


class Crossings:
    """One per worker."""

    def __init__(self, records: Records, *, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._records, self._clock, self._entropy = records, clock, entropy

    def of(self, consignment: Consignment, country: str, recipient: Recipient) -> Crossing | None:
        """What the store is to count when this recipient's copy leaves for this country; None: nothing."""
        counted = consignment.counted.get(recipient.key, ())
        if not counted:
            return None
        now = datetime.fromtimestamp(self._clock(), consignment.policy.zone)
        found = [one for each in counted if (one := _crossing(consignment.stream, each, country, now))]
        return min(found, key=lambda one: float("inf") if one.most is None else one.most, default=None)

    def refused(self, consignment: Consignment, recipient: Recipient, exhausted: Exhausted, page: str) -> Result:
        """Others took the last places between the ruling and the leaving."""
        rule = _rule(consignment.stream, exhausted.crossing.rule)
        action = next(one.action for one in consignment.counted[recipient.key] if one.rule == rule.name)
        objection = objection_of(rule, Finding(f"{exhausted.persons} persons this year"))
        reply_code = objection.reply_code if action is Action.REJECT else 451
        return result_of(recipient, replace(objection, action=action, reply_code=reply_code), page, self._clock())

    async def note(self, policy: PolicySet, crossing: Crossing, persons: int) -> None:
        """Write down, once, that the count has reached four fifths of what a ground allows, or all of it."""
        now = self._clock()
        today = datetime.fromtimestamp(now, policy.zone).date()
        reached = policy.organisation.transferred_elsewhere(crossing.year).persons(crossing.category) + persons
        for one in transfer_thresholds(policy, today):
            share = one.marks.get(reached) if one.category is crossing.category else None
            if share is None:
                continue
            said = {"category": one.category.value, "basis": one.basis, "persons": reached, "below": one.below}
            telemetry.event("transfers near threshold", level=logging.WARNING, share=share, year=crossing.year, **said)
            record = threshold_record(new_id(now, self._entropy(ENTROPY_OCTETS)), now, crossing.year, one, reached, share)
            try:
                await self._records.append(record)
            except RecordsUnavailable as fault:  # the copy has leave already; metric and `relay check` say it too
                _log.error("a threshold that was reached cannot be recorded: %s", fault)


def _rule(stream: Stream, name: str) -> Rule:
    return next(rule for rule in stream.counting if rule.name == name)


def _crossing(stream: Stream, counted: Counted, country: str, now: datetime) -> Crossing | None:
    table, today = _rule(stream, counted.rule).table, now.date()
    if not isinstance(table, TransferCountRule) or not table.places(stream.facts, frozenset({country})):
        return None
    allowed = table.allows(stream.facts, country, counted.category, today)
    if allowed is None:
        return None
    year, ends = year_of(now)
    if allowed.below is None or counted.action <= Action.WARN:
        return Crossing(year, counted.category, ends)
    elsewhere = stream.facts.transferred_elsewhere(year).persons(counted.category)
    return Crossing(year, counted.category, ends, max(0, allowed.below - 1 - elsewhere), counted.rule)
