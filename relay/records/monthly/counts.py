"""What the records of a month add up to. Pure: records go in one by one, and only counts stay.

A recipient counts once per try: a client that is told to try again comes with
a new submission, and whoever an earlier try has settled does not count again.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from relay.ids import is_id, time_of
from relay.policy.suppressions.suppression import Reason
from relay.records.kinds import Kind, Record
from relay.records.wording import own_rule_texts

MOST_NAMES = 500
"""Names counted apart (rules, limits, streams); what comes after them counts under OTHERS."""
OTHERS = "..."
NO_STREAM = ""

HOUR, DAY = 3600.0, 86400.0
AGES = (HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY)
"""Bounds of how old a mail was when it was refused; what is older counts under len(AGES)."""

_LIMIT = re.compile(r"\[limit\] (.{1,120}?) reached")


class Fate(StrEnum):
    """What became of a recipient; the names of the states in `relay.records.wording`."""

    DELIVERED = "delivered"
    RULE = "refused by rule"
    SERVER = "refused"
    DEFERRED = "transient by rule"
    TRANSIENT = "transient"
    UNKNOWN = "indeterminate"
    HELD = "held"


@dataclass(slots=True)
class RuleCount:
    """One rule: how many recipients it stopped or only warned about, and the words it used last."""

    refused: int = 0
    deferred: int = 0
    warned: int = 0
    text: Mapping[str, str] = field(default_factory=dict)
    cite: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened seldom enough to be listed: a policy, a key, a store, a pause."""

    kind: Kind
    at: float
    facts: Mapping[str, Any]


class Month:
    """The counts of one month, or of any other run of records."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.records: Counter[Kind] = Counter()
        self.first_seq = self.last_seq = 0
        self.messages: Counter[str] = Counter()  # by stream, a repeated try not counted
        self.fates: defaultdict[str, Counter[Fate]] = defaultdict(Counter)  # by stream
        self.days: defaultdict[date, Counter[Fate]] = defaultdict(Counter)
        self.warned: Counter[str] = Counter()  # recipients by stream
        self.senders_refused = 0  # at MAIL, or at a size announced there: nobody was judged
        self.rules: dict[str, RuleCount] = {}
        self.observed: Counter[tuple[str, str, str]] = Counter()  # stream, rule, why it did not count
        self.limits: Counter[str] = Counter()
        self.ages = [0] * (len(AGES) + 1)
        self.ages_unknown = 0
        self.refusals: Counter[tuple[str, str]] = Counter()  # way, reason
        self.entered: Counter[str] = Counter()  # suppressions that people or the relay entered, by reason
        self.imported = 0
        self.lifted: Counter[str] = Counter()  # by reason
        self.consents: Counter[str] = Counter()  # added to the ledger, by event; "" for the rows of lists
        self.bounces: Counter[str] = Counter()  # by stream
        self.absent: Counter[str] = Counter()  # no such mailbox, said at once
        self.gone: Counter[str] = Counter()  # no such mailbox, said by a mail that came back
        self.complaints: Counter[str] = Counter()
        self._returned: set[tuple[str, str, bytes]] = set()  # what came back twice counts once, as for the thresholds
        self.late: Counter[str] = Counter()  # by state
        self._held: dict[tuple[str, bytes], tuple[str, date, Fate]] = {}  # where who is held counts, until more is known
        self.untold = 0
        self.events: list[Event] = []
        self.pauses: list[Event] = []  # and their ends
        self.thresholds: list[Event] = []  # of persons whose data left the country
        self.adapted: Counter[tuple[str, str]] = Counter()  # upstream and kind
        self.open: set[str] = set()  # received, not finished yet

    def add(self, record: Record, seq: int = 0) -> None:
        """Count one record; they come in the order of time."""
        self.records[record.kind] += 1
        self.first_seq = min(self.first_seq or seq, seq)
        self.last_seq = max(self.last_seq, seq)
        match record.kind:
            case Kind.RECEIVED:
                self._received(record)
            case Kind.FINISHED:
                self._finished(record)
            case Kind.REFUSED:
                self._refused(record)
            case Kind.SUPPRESSED:
                self._suppressed(record)
            case Kind.COLLECTED:
                self._collected(record)
            case _:
                self._seldom(record)

    @property
    def total(self) -> Counter[Fate]:
        """Recipients of all streams."""
        return sum(self.fates.values(), Counter())

    @property
    def streams(self) -> list[str]:
        """Every stream that something happened in, by name; mail that no stream took comes last."""
        found = {*self.fates, *self.messages, *self.bounces, *self.complaints}
        return sorted(found, key=lambda name: (not name, name))

    # Kinds -----------------------------------------------------------------------------------------------------------

    def _received(self, record: Record) -> None:
        facts = record.facts
        self.open.add(record.id)
        for ruling in facts["rulings"]:
            self._texts(ruling)
        if facts["first_try"] != record.id:
            return
        stream = _kept(self.messages, facts["stream"])
        self.messages[stream] += 1
        for ruling in facts["rulings"]:
            self.warned[stream] += ruling["action"] == "warn"
            self._observed(stream, ruling)

    def _finished(self, record: Record) -> None:
        self.open.discard(record.id)
        stream, day = _kept(self.fates, record.facts["stream"]), self._day(record.at)
        for outcome in record.facts["outcomes"]:
            if outcome["earlier"]:
                continue
            fate = _fate(outcome["state"], outcome["rule"])
            self.fates[stream][fate] += 1
            self.days[day][fate] += 1
            if fate is Fate.HELD:
                self._held[record.id, record.people[outcome["person"]].digest] = stream, day, fate
            if outcome["rule"]:
                self._rule(outcome["rule"], outcome["reply"], is_final=fate is Fate.RULE)
        self.absent[stream] += len(record.marks)

    def _refused(self, record: Record) -> None:
        facts = record.facts
        for ruling in facts["rulings"]:
            self._texts(ruling)
        is_final = not facts["reply"].startswith("4")
        people = len(facts["rulings"]) if facts["recipient"] is None else 1
        if not people:
            self.senders_refused += 1
        else:
            fate = Fate.RULE if is_final else Fate.DEFERRED
            self.fates[_kept(self.fates, facts.get("stream", NO_STREAM))][fate] += people
            self.days[self._day(record.at)][fate] += people
        if facts["rule"]:
            self._rule(facts["rule"], facts["reply"], max(people, 1), is_final=is_final)

    def _suppressed(self, record: Record) -> None:
        facts = record.facts
        if "rows" in facts:
            self.imported += facts["new"]
            return
        if facts["by"] != "recipient":
            self.entered[facts["reason"]] += 1
            return
        self.refusals[facts["origin"], facts["reason"]] += 1
        answered = facts.get("submission", "")
        if not is_id(answered):
            self.ages_unknown += 1
            return
        self.ages[bisect_left(AGES, record.at - time_of(answered))] += 1

    def _collected(self, record: Record) -> None:
        facts = record.facts
        if facts["what"] == "bounce":
            self.bounces[_kept(self.bounces, facts["stream"])] += 1
        if facts["gone"] and self._is_first("gone", record):
            self.gone[_kept(self.gone, facts["stream"])] += 1
        if facts["effect"] == Reason.COMPLAINT and self._is_first("complaint", record):
            self.complaints[_kept(self.complaints, facts["stream"])] += 1

    def _is_first(self, what: str, record: Record) -> bool:
        facts = record.facts
        key = (what, facts["submission"] or record.id, record.people[facts["person"]].digest)
        if key in self._returned:
            return False
        self._returned.add(key)
        return True

    def dead_addresses(self, stream: str | None) -> float | None:
        """The share without a mailbox among those on whom a server decided; None of a month without mail."""
        delivered = (self.total if stream is None else self.fates[stream])[Fate.DELIVERED]
        absent, gone = (part.total() if stream is None else part[stream] for part in (self.absent, self.gone))
        return rate(absent + gone, delivered + absent)

    def _seldom(self, record: Record) -> None:
        facts = record.facts
        match record.kind:
            case Kind.LIFTED:
                self.lifted[facts["reason"]] += 1
            case Kind.CONSENT:
                self.consents[facts.get("event", "")] += facts.get("new", 1)
            case Kind.LATE:
                self._late(record)
            case Kind.UNREPORTED:
                self.untold += len(facts["about"])
            case Kind.REPORTED | Kind.JUDGED | Kind.HELD | Kind.HANDLED | Kind.PROBED | Kind.APPLIED:
                pass  # how a refusal was told, what was decided or done meanwhile, that the store has a refusal: others count
            case Kind.POLICY | Kind.KEYS | Kind.OPENED:
                self.events.append(Event(record.kind, record.at, facts))
            case Kind.ADAPTED:
                if not facts["ended"]:
                    self.adapted[facts["upstream"], facts["kind"]] += 1
            case Kind.PAUSED | Kind.RESUMED | Kind.THRESHOLD:
                into = self.thresholds if record.kind is Kind.THRESHOLD else self.pauses
                into.append(Event(record.kind, record.at, facts))
            case _:  # a report that leaves something out in silence would be believed
                raise ValueError(f"the monthly report does not know what to make of a record of kind {record.kind}")

    def _late(self, record: Record) -> None:
        """What became of held mail takes the place of "held"; mail of earlier months, and late answers, count apart."""
        for outcome in record.facts["outcomes"]:
            held = self._held.pop((record.id, record.people[outcome["person"]].digest), None)
            if held is None:
                self.late[outcome["state"]] += 1
                continue
            stream, day, before = held
            fate = _fate(outcome["state"], outcome["rule"])
            for counter in (self.fates[stream], self.days[day]):
                counter[before] -= 1
                counter[fate] += 1
            if fate is Fate.UNKNOWN:  # it is tried again
                self._held[record.id, record.people[outcome["person"]].digest] = stream, day, fate

    # Parts -----------------------------------------------------------------------------------------------------------

    def _rule(self, name: str, reply: str, people: int = 1, *, is_final: bool) -> None:
        rule = self._named(name)
        if is_final:
            rule.refused += people
        else:
            rule.deferred += people
        if not rule.text:
            rule.text = own_rule_texts(name, _words(reply))[0]
        if limit := _LIMIT.search(reply):
            self.limits[_kept(self.limits, limit[1])] += 1

    def _texts(self, ruling: Mapping[str, Any]) -> None:
        """Keep what each objection says: the outcome names the rule only."""
        for objection in ruling["objections"]:
            zh, en = objection["text_zh"], objection["text"]
            rule = self._named(objection["rule"])
            rule.text, rule.cite = {"zh": zh or en, "en": en or zh}, objection["cite"]

    def _observed(self, stream: str, ruling: Mapping[str, Any]) -> None:
        """Objections that stopped nobody: because the rule only warns, or because somebody relaxed it."""
        for objection in ruling["objections"]:
            if objection["observed"]:
                self.observed[stream, _kept(self.rules, objection["rule"]), objection["observed"]] += 1
            elif objection["action"] == "warn":
                self._named(objection["rule"]).warned += 1

    def _named(self, name: str) -> RuleCount:
        return self.rules.setdefault(_kept(self.rules, name), RuleCount())

    def _day(self, at: float) -> date:
        return datetime.fromtimestamp(at, self._zone).date()


def month_bounds(year: int, month: int, zone: tzinfo) -> tuple[float, float]:
    """When a month begins and ends, in epoch seconds."""
    first = date(year, month, 1)
    following = (first + timedelta(days=31)).replace(day=1)
    begins, ends = (datetime(day.year, day.month, 1, tzinfo=zone).timestamp() for day in (first, following))
    return begins, ends


def rate(part: int, whole: int) -> float | None:
    """The share of `part`, None when there is nothing to share."""
    return part / whole if whole else None


def _fate(state: str, rule: str) -> Fate:
    return Fate(f"{state} by rule" if rule and state in ("refused", "transient") else state)


def _kept(known: Mapping[str, object], name: str) -> str:
    """The name it counts under: its own, unless too many are counted already."""
    return name if name in known or len(known) < MOST_NAMES else OTHERS


def _words(reply: str) -> str:
    """A reply without codes and the address of its help page."""
    return re.sub(r"^\d{3}[ -](\d\.\d+\.\d+ )?(\[[a-z0-9/-]+\] )?", "", reply.partition(" / ")[0])
