"""Judge what is on record by another policy set: which verdicts would change, and which rules cannot be asked again.

Bodies and subjects are not recorded.  A rule that stands in both sets says
what it said then; one that looks at nothing but the envelope is asked again;
of any other it cannot be told what it would say, and it is named.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from relay.errors import RuleFailed
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.cases.case import Action, Case, Phase
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.jurisdiction import jurisdictions_of
from relay.policy.cases.reputation import Measure, Pause
from relay.policy.checks import CHECKS
from relay.policy.consents.residence import countries_of
from relay.policy.deciding.asking import rules_asked
from relay.policy.deciding.decide import decide
from relay.policy.deciding.thresholds import RULE as PAUSED
from relay.policy.rules.rule import Finding, Rule
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.inputs import facts_read
from relay.records.facts import domain_mail, residence_told
from relay.records.kinds import Kind, Record
from relay.records.reading import Reader
from relay.records.search import Query, search

_WORDS = frozenset({"text", "text_zh", "fix", "fix_zh", "cite", "action", "recipient_domains", "purposes"})
"""What of a rule does not decide what its check finds."""

_ON_RECORD = frozenset(
    {
        "recipient.address", "recipient.domain", "recipient.countries", "recipient.domain_mail", "sender.identity",
        "sender.listener",
        "sender.reverse_path", "stream.name", "stream.purpose", "upstream.countries",
    }
)  # fmt: skip
"""Facts that a record keeps; those on the organisation are in the set."""
_SAID = frozenset({"stream.sensitive", "stream.personalised", "stream.adult"})
"""What a stream says of itself: it is in the set, and may have been otherwise when the record was written."""


class Unknown(Enum):
    """Why it cannot be told what a rule would say of a recorded mail, in English and Chinese."""

    NEW = ("it is new, and reads what is not recorded", "规则是新增的，且要读取未记录的内容")
    CHANGED = ("what it looks for changed, and it reads what is not recorded", "规则的条件已改变，且要读取未记录的内容")
    NOT_ASKED = ("it was not asked then, and reads what is not recorded", "当时未询问该规则，且要读取未记录的内容")
    NO_SET = ("the set of the time cannot be read", "当时的策略已无法读取")


@dataclass(slots=True)
class Rejudged:
    """What came out.

    `changes` counts recipients by stream, the verdict of then, the verdict now and the rule that decides now.
    `unknown` counts those whom a rule could refuse that cannot be asked again, `undecided` those of whom some rule is
    such.  `untaken` are those whose sender no stream takes any more, `erased` recipients or senders whose
    address is not known any more.
    """

    recipients: int = 0
    changes: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    unknown: Counter[tuple[str, Unknown]] = field(default_factory=Counter)
    undecided: int = 0
    erased: int = 0
    untaken: int = 0


def rejudge(reader: Reader, new: PolicySet, load: Callable[[str], PolicySet | None], since: float, until: float) -> Rejudged:
    """Judge every recorded decision of this time by `new`. `load` gives the set of a hash, None when it cannot be read.

    Raises RecordsUnavailable.
    """
    rejudged, rejudging = Rejudged(), _Rejudging(reader, new, load)
    kinds = frozenset({Kind.RECEIVED, Kind.REFUSED})
    for entry in search(reader, Query(kinds=kinds, since=since, until=until)):
        rejudging.add(entry.record, rejudged)
    return rejudged


class _Rejudging:
    def __init__(self, reader: Reader, new: PolicySet, load: Callable[[str], PolicySet | None]) -> None:
        self._reader = reader
        self._new = new
        self._load = load
        self._pairs: dict[tuple[str, str, str], _Pair] = {}

    def add(self, record: Record, rejudged: Rejudged) -> None:
        """Judge the recipients of one record."""
        facts = record.facts
        if not facts.get("rulings"):
            return  # refused at MAIL: nobody was judged
        people = [self._reader.reveal(person) for person in record.people]
        submission = _submission(record, people)
        if submission is None:
            rejudged.recipients += len(facts["rulings"])
            rejudged.erased += len(facts["rulings"])
            return
        stream = self._new.stream_for(submission.identity, submission.client.listener, submission.reverse_path)
        for told in facts["rulings"]:
            rejudged.recipients += 1
            mailbox = _mailbox(people[told["person"]])
            if mailbox is None:
                rejudged.erased += 1
            elif stream is None:
                rejudged.untaken += 1
            else:
                self._judge(record, self._case(record, submission, mailbox, told), stream, told, rejudged)

    def _case(self, record: Record, submission: Submission, mailbox: Mailbox, told: Mapping[str, Any]) -> Case:
        """Where the ledger had the recipient then; where it did not, what the new set assumes. What DNS said then."""
        countries, unknown = frozenset(record.facts.get("upstream_countries", ())), self._new.organisation.unknown_recipient
        residence = residence_told(told)
        laws = jurisdictions_of(mailbox.domain, frozenset(unknown), countries_of(residence))
        mail = domain_mail(told)
        return Case(submission, Recipient(mailbox), None, (), laws, countries, domain_mail=mail, residence=residence)

    def _judge(self, record: Record, case: Case, stream: Stream, told: Mapping[str, Any], rejudged: Rejudged) -> None:
        objections = {one["rule"]: one for one in told["objections"]}
        case = replace(case, pause=_pause(stream.name, objections.get(PAUSED)))
        pair = self._pair(record.facts["policy"], record.facts["stream"], stream)
        judging, silent = pair.judging(case, objections, at_rcpt=record.kind is Kind.REFUSED)
        action, decided_by = self._decide(judging, case, datetime.fromtimestamp(record.at, self._new.zone))
        graver = [(rule.name, why) for rule, why in silent if rule.action > action]  # the others would decide nothing
        rejudged.unknown.update(graver)
        rejudged.undecided += bool(graver)
        if action.word != told["action"]:
            rejudged.changes[stream.name, told["action"], action.word, decided_by] += 1

    def _decide(self, stream: Stream, case: Case, at: datetime) -> tuple[Action, str]:
        try:
            ruling = decide(self._new, stream, case, Phase.DATA, at)
        except RuleFailed as fault:
            return Action.DEFER, fault.rule
        return ruling.action, ruling.leading.rule if ruling.leading else ""

    def _pair(self, policy: str, name: str, stream: Stream) -> "_Pair":
        key = policy, name, stream.name
        if key not in self._pairs:
            old = self._load(policy)
            then = next((one for one in old.streams if one.name == name), None) if old else None
            self._pairs[key] = _Pair(old, then, self._new, stream)
        return self._pairs[key]


class _Pair:
    """The stream that judged then beside the one that judges now: which rules ask the same."""

    def __init__(self, old: PolicySet | None, then: Stream | None, new: PolicySet, now: Stream) -> None:
        self._old, self._then, self._new, self._now = old, then, new, now
        self._before = {rule.name: rule for rule in then.rules} if then else {}
        self._same = {rule.name for rule in now.rules if self._asks_the_same(rule)}
        self._silent = {rule.name: _recorded(rule, None) for rule in now.rules if rule.name in self._same}

    def judging(
        self, case: Case, objections: Mapping[str, Mapping[str, Any]], at_rcpt: bool
    ) -> tuple[Stream, list[tuple[Rule, Unknown]]]:
        """The stream with recorded findings in the place of the checks, and the rules of which nothing is known."""
        place = case.recipient.mailbox.domain, case.upstream_countries
        mail, recorded = case.domain_mail, case.recorded_countries
        now = rules_asked(self._new, self._now, *place, mail=mail or DomainMail.UNKNOWN, recorded=recorded)
        asked_now = {rule.name for rule in now}
        asked_then: set[str] = set()
        if self._old and self._then:
            then = rules_asked(self._old, self._then, *place, mail=mail, recorded=recorded)
            asked_then = {rule.name for rule in then if not at_rcpt or rule.phase is Phase.RCPT} | set(objections)
        rules, silent = [], []
        for rule in self._now.rules:
            if rule.name not in asked_now or self._can_ask(rule, case):
                rules.append(rule)
            elif rule.name in self._same and rule.name in asked_then:
                objection = objections.get(rule.name)
                rules.append(_recorded(rule, objection) if objection else self._silent[rule.name])
            else:
                silent.append((rule, self._why(rule)))
        return replace(self._now, rules=tuple(rules)), silent

    def _can_ask(self, rule: Rule, case: Case) -> bool:
        """Whether `decide` knows as much as it did then; a rule on what DNS says was not asked where DNS was not."""
        if rule.asks_domain and case.domain_mail is None:
            return rule.name in self._same
        return _is_on_record(rule)

    def _why(self, rule: Rule) -> Unknown:
        if self._then is None:
            return Unknown.NO_SET
        if rule.name not in self._before:
            return Unknown.NEW
        return Unknown.NOT_ASKED if rule.name in self._same else Unknown.CHANGED

    def _asks_the_same(self, rule: Rule) -> bool:
        """Whether the rule looks for the same, and at the same facts beside the mail."""
        before = self._before.get(rule.name)
        if before is None or self._then is None or self._old is None:
            return False
        if type(before.table) is not type(rule.table) or _looks_for(before) != _looks_for(rule):
            return False
        reads = set(facts_read(rule))
        is_other = (self._then.name, self._then.purpose) != (self._now.name, self._now.purpose)
        if is_other and any(name.startswith("stream.") for name in reads):
            return False
        if any(_says(self._then, name) != _says(self._now, name) for name in reads & _SAID):
            return False
        keys = {name.partition(".")[2] for name in reads if name.startswith("organisation.")}
        return all(getattr(self._old.organisation, key, None) == getattr(self._new.organisation, key, None) for key in keys)


def _says(stream: Stream, fact: str) -> bool:
    return bool(getattr(stream.setting, fact.partition(".")[2]))


def _looks_for(rule: Rule) -> dict[str, Any]:
    return rule.table.model_dump(exclude=set(_WORDS))


def _is_on_record(rule: Rule) -> bool:
    """Whether all that the rule looks at is on record, so that it can be asked again."""
    return all(name in _ON_RECORD or name.startswith("organisation.") for name in facts_read(rule))


def _recorded(rule: Rule, objection: Mapping[str, Any] | None) -> Rule:
    """The rule with what it said then in the place of its check."""
    finding = None if objection is None else Finding(objection["detail"])
    check = rule.check or CHECKS["size"]

    def said(*_: object) -> Finding | None:
        return finding

    return replace(rule, expression=None, check=replace(check, ask=said, scope="recipient"))


def _submission(record: Record, people: list[str]) -> Submission | None:
    """Who sent what from where, None where an address is not known any more."""
    facts = record.facts
    client, identity, path = facts["client"], facts["identity"], facts["reverse_path"]
    name = identity if isinstance(identity, str) else people[identity]
    reverse_path = None if path is None else _mailbox(people[path])
    if not name or (path is not None and reverse_path is None):
        return None
    return Submission(
        id=record.id,
        at=record.at,
        client=Client(client["listener"], client["address"], client["helo"], client["tls"], client["protocol"]),
        identity=Identity(name, IdentityKind.USER, frozenset()),
        reverse_path=reverse_path,
        stream=facts["stream"],
        policy=facts["policy"],
    )


def _mailbox(key: str) -> Mailbox | None:
    try:
        return Mailbox.parse(key) if key else None
    except MailboxError:
        return None


def _pause(stream: str, objection: Mapping[str, Any] | None) -> Pause | None:
    """What kept the stream back then: no set changes it."""
    if objection is None:
        return None
    return Pause(stream, 0.0, "", Measure.MANUAL, objection["text"], objection["text_zh"])
