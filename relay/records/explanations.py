"""Why a mail was refused and what to do, for the people who send: the facts of the help page /r/{id}.

A page is found by its random id only, shows masked addresses, and ends after
30 days.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.keys import Keys
from relay.mail.mailbox import mask
from relay.policy.cases.case import Phase
from relay.policy.cases.jurisdiction import tellers
from relay.policy.consents.residence import countries_of
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.sets.policy_set import PolicySet
from relay.policy.telling.whose_law import whose_law
from relay.records.answered import Answered, answers
from relay.records.facts import domain_mail, residence_told
from relay.records.kinds import Kind, Person, Record
from relay.records.reading import Reader
from relay.records.search import found_by_id
from relay.records.wording import (
    NOTHING_TO_DO,
    OBSERVED,
    STATES,
    WEIGHTS,
    Both,
    both,
    detail_words,
    objection_texts,
    own_rule_texts,
    word,
)

SHOWN_SECONDS = 30 * 86400.0
SHOWN_PEOPLE = 20  # per group; `count` says how many there are
_WEIGHTS_OF_STATES = {"transient": "defer", "held": "hold"}
_STATES_OF_ACTIONS = {"reject": "refused by rule", "defer": "transient by rule", "hold": "transient by rule"}


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule's objection: what it says, what to do, and the law or rule it comes from."""

    rule: str
    weight: Both
    text: Both
    fix: Both
    cite: str
    detail: str
    retry_after: int = 0

    @property
    def seen(self) -> Both:
        """The detail in words."""
        return detail_words(self.rule, self.detail)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the recipients who share it. `people` are masked; `upstream_text` is what the other server said.

    `cleared` are the least and greatest number of the steps that let their copies leave, (0, 0) when none did.
    `answers` are those of every rule, and `law` says whose law it was and who told that, where somebody asked for them and the
    policy set of the time can be read.
    """

    state: str
    sentence: Both
    people: tuple[str, ...]
    count: int
    reasons: tuple[Reason, ...]
    upstream_text: str
    cleared: tuple[int, int] = (0, 0)
    answers: tuple[Answered, ...] = ()
    law: Both | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A help page. `fates` begin with what needs doing; `at` is epoch seconds, `sender` whole (only the
    operator's terminal shows it) or "".

    `untold` says why the answers of every rule are not all there, None when they are or nobody asked for them.
    """

    id: str
    at: float
    stream: str
    sender: str
    fates: tuple[Fate, ...]
    untold: Both | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    person: int | None
    state: str
    reasons: tuple[Reason, ...]
    upstream_text: str
    cleared: int = 0
    answers: tuple[Answered, ...] = ()
    law: Both | None = None


Find = Callable[[str], PolicySet | None]
"""The policy set of a hash, None when it cannot be read (any more)."""

_NO_SET = both(
    "当时的策略已无法读取，无法列出每条规则。", "The policy set of the time cannot be read: what every rule said cannot be told."
)
_ERASED = both(
    "部分收件人的地址已删除，无法判断当时询问过哪些规则。",
    "The addresses of some recipients are erased: which rules they were asked about cannot be told.",
)
_UNASKED = both(
    "在询问任何规则之前就已拒绝。",
    "It was refused before any rule was asked.",
)


def explain_record(path: Path, keys: Keys, record_id: str, now: float, find: Find | None = None) -> Explanation | None:
    """Look an id up and explain it; None when there is nothing (any more) to show.

    With `find` every rule of the policy set of the time is told, and not only those that objected.
    Raises RecordsUnavailable.
    """
    with Reader(path, keys) as reader:
        return explanation(found_by_id(reader, record_id), reader.reveal, now, find)


def explanation(
    records: Sequence[Record], reveal: Callable[[Person], str], now: float, find: Find | None = None
) -> Explanation | None:
    """Explain the records of one id; None when they are unknown, older than 30 days, or not about sending."""
    opening = next((r for r in records if r.kind in (Kind.RECEIVED, Kind.REFUSED)), None)
    if opening is None or now - opening.at > SHOWN_SECONDS:
        return None
    outcomes, judged = _outcomes(records), _judged_again(records)
    telling = _Telling(find, reveal) if find else None
    cases = [_case(opening, ruling, outcomes, judged, telling) for ruling in opening.facts["rulings"]]
    if not cases:
        cases = [_session_case(opening)]
        if telling is not None:
            telling.untold = _UNASKED
    shown = [mask(reveal(person)) for person in opening.people]
    number = opening.facts["reverse_path"]
    sender = "" if number is None else reveal(opening.people[number])
    untold = telling.untold if telling else None
    return Explanation(opening.id, opening.at, opening.facts.get("stream", ""), sender, _grouped(cases, shown), untold)


class _Telling:
    """Tells the answers of every rule, and in `untold` why of somebody it cannot."""

    def __init__(self, find: Find, reveal: Callable[[Person], str]) -> None:
        self._find = find
        self._reveal = reveal
        self.untold: Both | None = None

    def answers(
        self, record: Record, ruling: Mapping[str, Any], reasons: Sequence[Reason]
    ) -> tuple[tuple[Answered, ...], Both | None]:
        """Of the recipient of this ruling, which stands in this record, and whose law it was."""
        facts = record.facts
        if record.kind is Kind.REFUSED and facts["recipient"] is None:
            self.untold = _UNASKED  # the octets are no message
            return (), None
        policy = self._find(facts["policy"])
        stream = next((one for one in policy.streams if one.name == facts["stream"]), None) if policy else None
        domain = self._reveal(record.people[ruling["person"]]).rpartition("@")[2]
        if policy is None or stream is None or not domain:
            self.untold = _ERASED if stream else _NO_SET
            return (), None
        phase = Phase.RCPT if record.kind is Kind.REFUSED else Phase.DATA
        countries = frozenset(facts.get("upstream_countries", ()))  # refusals of an older relay have none
        said = [Answered(reason.rule, True, reason.weight, reason.cite) for reason in reasons]
        residence, mail = residence_told(ruling), domain_mail(ruling)
        en, zh = whose_law(tellers(domain, frozenset(policy.organisation.unknown_recipient), residence))
        recorded = countries_of(residence)
        return answers(policy, stream, domain, countries, phase, said, mail=mail, recorded=recorded), both(zh, en)


def _outcomes(records: Sequence[Record]) -> dict[bytes, Mapping[str, Any]]:
    """The last known outcome of each person, by digest: records number their people each on their own."""
    found: dict[bytes, Mapping[str, Any]] = {}
    for record in records:
        if record.kind in (Kind.FINISHED, Kind.LATE):
            found |= {record.people[outcome["person"]].digest: outcome for outcome in record.facts["outcomes"]}
    return found


def _judged_again(records: Sequence[Record]) -> dict[bytes, tuple[Record, Mapping[str, Any]]]:
    """The last ruling on each person whose held copy was judged again, and its record, by digest."""
    found: dict[bytes, tuple[Record, Mapping[str, Any]]] = {}
    for record in records:
        if record.kind is Kind.JUDGED:
            found |= {record.people[ruling["person"]].digest: (record, ruling) for ruling in record.facts["rulings"]}
    return found


def _case(
    opening: Record,
    ruling: Mapping[str, Any],
    outcomes: Mapping[bytes, Mapping[str, Any]],
    judged: Mapping[bytes, tuple[Record, Mapping[str, Any]]],
    telling: _Telling | None,
) -> _Case:
    number = ruling["person"]
    digest = opening.people[number].digest
    (record, ruling), outcome = judged.get(digest, (opening, ruling)), outcomes.get(digest)
    reasons = tuple(map(_reason, ruling["objections"]))
    told, law = telling.answers(record, ruling, reasons) if telling else ((), None)
    if outcome is None:
        state = _STATES_OF_ACTIONS.get(ruling["action"], "judged")
        return _Case(number, state, reasons, "", answers=told, law=law)
    state, rule = outcome["state"], outcome["rule"]
    if rule and rule not in {reason.rule for reason in reasons}:
        text, fix = own_rule_texts(rule, outcome["reply"])
        weight = WEIGHTS[_WEIGHTS_OF_STATES.get(state, "reject")]
        fix = NOTHING_TO_DO if state == "held" else fix
        reasons = (Reason(rule, weight, text, fix, "", outcome["reply"]), *reasons)
    said = outcome["upstream_text"] or ("" if rule or state == "delivered" else outcome["reply"])
    cleared = outcome.get("cleared", 0)  # records of an older relay have none
    return _Case(number, f"{state} by rule" if rule else state, reasons, said, cleared, told, law)


def _session_case(opening: Record) -> _Case:
    """Refused by the code itself at MAIL or RCPT: nobody was judged, the rule that its reply names says it all.

    A bound tells that it was not the sender but the size of what was announced.
    """
    recipient, reply, rule = opening.facts["recipient"], opening.facts["reply"], opening.facts["rule"]
    bound = opening.facts.get("bound", 0)  # records of an older relay have none
    text, fix = own_rule_texts(rule, reply, bound)
    weight = WEIGHTS["defer" if reply.startswith("4") else "reject"]
    state = "session" if recipient is None and not bound else "refused by rule"
    detail = reply if rule == PAUSED else ""  # who, since when and why is not in the words that fit every pause
    return _Case(recipient, state, (Reason(rule, weight, text, fix, "", detail),), "")


def _reason(objection: Mapping[str, Any]) -> Reason:
    text, fix = objection_texts(objection)
    weight = word(WEIGHTS, objection["action"])
    if objection["observed"]:
        noted = word(OBSERVED, objection["observed"])
        weight = both(f"{weight['zh']}（{noted['zh']}）", f"{weight['en']} ({noted['en']})")
    return Reason(objection["rule"], weight, text, fix, objection["cite"], objection["detail"], objection["retry_after"])


def _grouped(cases: Sequence[_Case], shown: Sequence[str]) -> tuple[Fate, ...]:
    groups: dict[str, list[_Case]] = defaultdict(list)
    for case in cases:
        groups[repr((case.state, case.reasons, case.upstream_text, case.answers, case.law))].append(case)
    fates = []
    for members in groups.values():
        first = members[0]
        people = tuple(shown[case.person] for case in members[:SHOWN_PEOPLE] if case.person is not None)
        numbers = [case.cleared for case in members if case.cleared] or [0]
        told = people, len(members), first.reasons, first.upstream_text, (min(numbers), max(numbers)), first.answers, first.law
        fates.append(Fate(first.state, word(STATES, first.state), *told))
    return tuple(sorted(fates, key=lambda fate: fate.state in ("delivered", "judged")))
