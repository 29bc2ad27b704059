"""Build the record of each kind from what the line and its operators know; `docs/records.md` lists every field.

Facts are plain JSON values.  People appear as numbers into the record's
`people`, so that nothing here holds an address; the client's IP address is
the one exception (it is a fact of the network log).  Subjects, bodies and
passwords are never recorded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from typing import Any, Protocol

from relay.mail.envelope import Client, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply, ascii_text
from relay.policy.cases.case import Objection, Ruling
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.consents.residence import Residence
from relay.records.kinds import Kind, Person, Record
from relay.stores.ledger import FirstTry

Facts = dict[str, Any]
LISTENER = "listener:"
"""How the identity of a trusted network begins; it names no person."""


class Outcome(Protocol):
    """What a record keeps of one recipient's outcome: `relay.answer.Result`, and whatever has the same attributes."""

    @property
    def recipient(self) -> Recipient: ...
    @property
    def standing(self) -> Enum: ...
    @property
    def reply(self) -> Reply: ...
    @property
    def rule(self) -> str: ...
    @property
    def upstream(self) -> str: ...
    @property
    def earlier(self) -> bool: ...
    @property
    def upstream_text(self) -> str: ...
    @property
    def cleared(self) -> int: ...


class Roll:
    """The people of one record, each once, in the order in which they are named."""

    def __init__(self, person: Callable[[str], Person]) -> None:
        self._person = person
        self._numbers: dict[str, int] = {}
        self._people: list[Person] = []

    def number(self, mailbox_key: str) -> int:
        """The number of this mailbox in the record."""
        if mailbox_key not in self._numbers:
            self._numbers[mailbox_key] = len(self._people)
            self._people.append(self._person(mailbox_key))
        return self._numbers[mailbox_key]

    @property
    def people(self) -> tuple[Person, ...]:
        return tuple(self._people)


def received_record(
    submission: Submission,
    message: Message,
    rulings: Sequence[Ruling],
    policy_hash: str,
    first: FirstTry,
    person: Callable[[str], Person],
    again: Sequence[Recipient] = (),
    marks: tuple[bytes, ...] = (),
    upstream_countries: Iterable[str] = (),
) -> Record:
    """A message was judged: who sent it, what was decided for each recipient and why.

    `again` are those whom an earlier try may have reached without anybody knowing;
    `marks` the digest of the message's own Message-ID, by which answers to it find it;
    `upstream_countries` a fact of every case, which neither policy nor people tell.
    """
    roll = Roll(person)
    facts = {
        "client": _client(submission.client),
        "identity": _identity(roll, submission.identity.name),
        "reverse_path": _path(roll, submission.reverse_path),
        "stream": submission.stream,
        "policy": policy_hash,
        "message": {"sha256": message.received_digest.hex(), "size": message.size},
        "first_try": first.submission_id,
        "upstream_countries": sorted(upstream_countries),
        "again": [roll.number(recipient.key) for recipient in again],
        "rulings": [ruling_facts(roll, ruling) for ruling in rulings],
    }
    return Record(Kind.RECEIVED, submission.id, submission.at, roll.people, facts, marks)


def unreported_record(
    submission_id: str, about: Iterable[Recipient], why: str, at: float, person: Callable[[str], Person]
) -> Record:
    """Nobody was told of these refused recipients, and nobody will be."""
    roll = Roll(person)
    facts = {"about": [roll.number(recipient.key) for recipient in about], "why": why}
    return Record(Kind.UNREPORTED, submission_id, at, roll.people, facts)


def refused_record(
    record_id: str,
    at: float,
    client: Client,
    identity: str,
    reverse_path: Mailbox | None,
    recipient: Recipient | None,
    reply: Reply,
    rulings: Sequence[Ruling],
    policy_hash: str,
    person: Callable[[str], Person],
    *,
    stream: str = "",
    bound: int = 0,
    upstream_countries: Iterable[str] = (),
) -> Record:
    """A client was refused at MAIL (nobody was judged yet), at RCPT, or because its message cannot be taken as one.

    `stream` is "" when none takes the sender; `bound` the octets that the message, or its announcement, goes beyond;
    `upstream_countries` as in a received one, empty where no rule was asked.
    """
    roll = Roll(person)
    facts = {
        "client": _client(client),
        "identity": _identity(roll, identity),
        "reverse_path": _path(roll, reverse_path),
        "recipient": roll.number(recipient.key) if recipient else None,
        "stream": stream,
        "policy": policy_hash,
        "bound": bound,
        "upstream_countries": sorted(upstream_countries),
        "reply": str(reply),
        "rule": reply.rule,
        "rulings": [ruling_facts(roll, ruling) for ruling in rulings],
    }
    return Record(Kind.REFUSED, record_id, at, roll.people, facts)


def finished_record(
    submission: Submission,
    outcomes: Sequence[Outcome],
    report: Enum,
    reply: Reply,
    at: float,
    person: Callable[[str], Person],
    marks: tuple[bytes, ...] = (),
) -> list[Record]:
    """Every outcome is known, and beside it who was told of refusals by a report, and of whom nobody was told.

    `report` is `relay.answer.ReportFate`: "not needed", "forbidden", "delivered", "held", "transient" or "refused".
    `marks` say of whom the upstream said that there is no such mailbox (`relay.records.collected.gone_digests`).
    """
    roll = Roll(person)
    facts = {
        "stream": submission.stream,
        "reply": str(reply),
        "report": report.value,
        "outcomes": [_outcome(roll, outcome) for outcome in outcomes],
    }
    finished = Record(Kind.FINISHED, submission.id, at, roll.people, facts, marks)
    return [finished, *report_records(submission, outcomes, report.value, at, person)]


def reported_record(
    submission_id: str, to: Mailbox, about: Iterable[Recipient], at: float, person: Callable[[str], Person]
) -> Record:
    """A report was delivered to `to`."""
    roll = Roll(person)
    facts = {"to": roll.number(to.key), "about": [roll.number(recipient.key) for recipient in about]}
    return Record(Kind.REPORTED, submission_id, at, roll.people, facts)


def late_record(
    submission_id: str,
    outcomes: Sequence[Outcome],
    at: float,
    person: Callable[[str], Person],
    marks: tuple[bytes, ...] = (),
) -> Record:
    """Outcomes that came after the client had been answered without them; `marks` as in a finished one."""
    roll = Roll(person)
    facts = {"outcomes": [_outcome(roll, outcome) for outcome in outcomes]}
    return Record(Kind.LATE, submission_id, at, roll.people, facts, marks)


def collected_record(
    record_id: str,
    at: float,
    *,
    what: str,
    mailbox: str,
    person: Person,
    submission_id: str,
    stream: str,
    why: str,
    gone: bool,
    effect: str,
    mark: bytes,
) -> Record:
    """A mail in a watched mailbox was read and understood; `mark` is the keyed digest of its octets.

    `mailbox` is the watched mailbox's name, not its address; `why` the status and class of a bounce, or how a refusal came.
    """
    facts = {
        "what": what,
        "mailbox": mailbox,
        "person": 0,
        "submission": submission_id,
        "stream": stream,
        "why": why,
        "gone": gone,
        "effect": effect,
    }
    return Record(Kind.COLLECTED, record_id, at, (person,), facts, (mark,))


def policy_record(
    record_id: str, at: float, *, policy_hash: str, previous: str, reason: str, by: str, laxer: int, shadow: Iterable[str]
) -> Record:
    """A policy set came into force; `laxer` counts the lines of the difference that relax something.

    The archive of policy sets has the files under this hash.
    """
    facts = {"policy": policy_hash, "previous": previous, "reason": reason, "by": by, "laxer": laxer, "shadow": sorted(shadow)}
    return Record(Kind.POLICY, record_id, at, (), facts)


def keys_record(record_id: str, at: float, *, ring: str, fingerprints: Iterable[str], by: str) -> Record:
    """A ring got a new generation."""
    return Record(Kind.KEYS, record_id, at, (), {"ring": ring, "fingerprints": sorted(fingerprints), "by": by})


def opened_record(record_id: str, at: float, *, store: str, store_id: str, why: str) -> Record:
    """A store was created or restored; `why` is "created" or "restored"."""
    return Record(Kind.OPENED, record_id, at, (), {"store": store, "store_id": store_id, "why": why})


def _client(client: Client) -> Facts:
    return {
        "address": client.address,
        "helo": ascii_text(client.helo),
        "listener": client.listener,
        "protocol": client.protocol,
        "tls": client.tls,
    }


def _identity(roll: Roll, name: str) -> int | str:
    """A login is a person; a trusted listener is not."""
    return name if name.startswith(LISTENER) else roll.number(name)


def _path(roll: Roll, reverse_path: Mailbox | None) -> int | None:
    return roll.number(reverse_path.key) if reverse_path else None


def ruling_facts(roll: Roll, ruling: Ruling) -> Facts:
    """What a record keeps of a ruling.

    Where it rests on consents, on which; where DNS was asked, what it said; where the recipient is, where that is recorded.
    """
    said = {
        "person": roll.number(ruling.recipient.key),
        "action": ruling.action.word,
        "objections": [_objection(objection) for objection in ruling.objections],
    }
    if ruling.grounds:
        said["consents"] = list(map(asdict, ruling.grounds))
    if ruling.domain_mail is not None:
        said["domain_mail"] = ruling.domain_mail.value
    if ruling.residence:
        said["residence"] = {"countries": sorted(ruling.residence.countries), "at": ruling.residence.at}
    return said


def residence_told(ruling: Mapping[str, Any]) -> Residence | None:
    """Where the ledger had the recipient of a recorded ruling then."""
    told = ruling.get("residence")
    return Residence(frozenset(told["countries"]), told["at"]) if told else None


def domain_mail(told: Mapping[str, Any]) -> DomainMail | None:
    """What DNS said, as a ruling on record has it."""
    return DomainMail(told["domain_mail"]) if "domain_mail" in told else None


def _objection(objection: Objection) -> Facts:
    return {
        "rule": objection.rule,
        "action": objection.action.word,
        "asked_for": objection.asked_for.word,
        "observed": objection.observed,
        "text": objection.text,
        "text_zh": objection.text_zh,
        "fix": objection.fix,
        "fix_zh": objection.fix_zh,
        "cite": objection.cite,
        "detail": objection.detail,
        "retry_after": objection.retry_after,
    }


def _outcome(roll: Roll, outcome: Outcome) -> Facts:
    return {
        "person": roll.number(outcome.recipient.key),
        "state": outcome.standing.value,
        "reply": str(outcome.reply),
        "rule": outcome.rule,
        "upstream": outcome.upstream,
        "upstream_text": outcome.upstream_text,
        "earlier": outcome.earlier,
        "cleared": outcome.cleared,
    }


def report_records(
    submission: Submission, outcomes: Iterable[Outcome], report: str, at: float, person: Callable[[str], Person]
) -> list[Record]:
    """Who was told of refusals by a report, and of whom nobody was told; none while neither is certain."""
    if report not in ("delivered", "forbidden"):
        return []
    refused = [outcome.recipient for outcome in outcomes if outcome.standing.value == "refused"]
    told = [r for r in refused if report == "delivered" and r.wants_failure_report]
    untold = [r for r in refused if report != "delivered" or not r.wants_failure_report]
    records = []
    if told and submission.reverse_path:
        records.append(reported_record(submission.id, submission.reverse_path, told, at, person))
    if untold:
        records.append(unreported_record(submission.id, untold, why_untold(submission, untold), at, person))
    return records


def why_untold(submission: Submission, untold: Sequence[Recipient]) -> str:
    """Why the envelope or the kind of mail forbids a report on them."""
    if submission.reverse_path is None:
        return "null reverse-path"
    return "notify" if not any(r.wants_failure_report for r in untold) else "a report"
