"""One ZIP that answers a regulator's or a recipient's letter: pages to read in Chinese and English, JSON to check.

It holds the records of one submission or one mailbox with their place in the
chain, the policy sets they were judged by (as files and in sentences, with
who applied them, when and why), the suppressions and consents, and a checksum
of every file.  The same material and time give the same octets.

Evidence on a mailbox shows that mailbox and our own senders; whoever else was
written to in the same mail stays masked.
"""

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, tzinfo
from typing import Any

import orjson

from relay.mail.mailbox import mask
from relay.policy.consents.consent import ConsentEvent, Details, EventKind
from relay.policy.consents.moment import bounded
from relay.policy.consents.residence import countries_of
from relay.policy.suppressions.suppression import Suppression
from relay.records.facts import domain_mail, residence_told
from relay.records.kinds import Kind, Person, Record
from relay.records.reading import Reader
from relay.records.returned import returned_texts
from relay.records.rulebook import KeptSet, Rulebook
from relay.records.search import Entry
from relay.records.wording import (
    KINDS,
    OBSERVED,
    ORIGINS,
    REASONS,
    STATES,
    WEIGHTS,
    Both,
    both,
    detail_words,
    objection_texts,
    word,
)
from relay.templates import templates_of

MOST_RECORDS = 10_000
"""More than this is not read by people and does not fit into memory; the caller narrows the time."""

POLICY_FOLDER = "policy-sets"


@dataclass(frozen=True, slots=True)
class History:
    """Everything the store ever knew of one mailbox."""

    mailbox: str
    suppressions: Sequence[Suppression]
    consents: Sequence[ConsentEvent]


@dataclass(frozen=True, slots=True)
class Material:
    """What evidence is made from. `mailbox` is set when the subject is one; `policy_sets` go by their hash."""

    subject: str
    mailbox: str
    made_at: float
    zone: tzinfo
    entries: Sequence[Entry]
    policy_sets: Mapping[str, KeptSet] = field(default_factory=dict)
    histories: Sequence[History] = ()
    legal_name: Mapping[str, str] = field(default_factory=dict)


def policy_hashes(entries: Sequence[Entry]) -> list[str]:
    """The policy sets that these records were judged by."""
    return sorted({entry.record.facts["policy"] for entry in entries if entry.record.facts.get("policy")})


def build_evidence(material: Material, reader: Reader) -> bytes:
    """Put the ZIP together."""
    view = _View(material, reader)
    members = {
        "evidence.json": orjson.dumps(view.document(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS),
        "index.en.html": _page("en", view),
        "index.zh.html": _page("zh", view),
    }
    for name, policy_files in view.policy_files.items():
        members |= {f"{POLICY_FOLDER}/{name}/{path}": octets for path, octets in policy_files.items()}
    sums = "".join(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in sorted(members))
    return _zipped(members | {"SHA256SUMS": sums.encode()}, datetime.fromtimestamp(material.made_at, material.zone))


class _View:
    """The material as templates and JSON show it."""

    def __init__(self, material: Material, reader: Reader) -> None:
        self.material = material
        self._reader = reader
        self._subject_digests = frozenset(reader.digests(material.mailbox)) if material.mailbox else frozenset()
        self.chain = reader.chain
        self._books = {
            name: Rulebook(name, material.policy_sets.get(name, KeptSet())) for name in policy_hashes(material.entries)
        }
        self._policy_of = {e.record.id: e.record.facts["policy"] for e in material.entries if e.record.facts.get("policy")}
        self.records = [self._record(entry) for entry in material.entries]
        self.policy_files = {name: {**book.kept.files, **book.sentences(self._days(name))} for name, book in self._books.items()}
        self.policy_sets = [self._policy_set(book) for book in self._books.values()]
        self.histories = [self._history(history) for history in material.histories]

    def time(self, at: float) -> str:
        """A moment with its offset from UTC, in the organisation's zone."""
        return datetime.fromtimestamp(bounded(at), self.material.zone).isoformat(sep=" ", timespec="seconds")

    def day(self, at: float) -> date:
        """The day of a moment, in the organisation's zone."""
        return datetime.fromtimestamp(bounded(at), self.material.zone).date()

    def document(self) -> dict[str, Any]:
        """The JSON file: everything the pages show, and the hashed text of each record."""
        return {
            "subject": self.material.subject,
            "made_at": self.time(self.material.made_at),
            "legal_name": dict(self.material.legal_name),
            "chain": self.chain,
            "records": [{key: value for key, value in record.items() if key not in _PAGE_ONLY} for record in self.records],
            "policy_sets": self.policy_sets,
            "histories": self.histories,
        }

    def _record(self, entry: Entry) -> dict[str, Any]:
        record = entry.record
        people = self._people(record)
        return {
            "seq": entry.seq,
            "previous_hash": entry.previous.hex(),
            "hash": entry.hash.hex(),
            "text": entry.body,
            "id": record.id,
            "kind": record.kind.value,
            "at": self.time(record.at),
            "people": people,
            "facts": record.facts,
            "sentence": KINDS[record.kind],
            "decisions": [self._decision(ruling, people) for ruling in self._concerned(record, "rulings")],
            "outcomes": [self._outcome(outcome, people) for outcome in self._concerned(record, "outcomes")],
            "others": self._others(record),
            "stream": self._stream(record),
            "asked": self._asked(record),
            "returned": returned_texts(record.facts) if record.kind is Kind.COLLECTED else None,
            "reason": word(REASONS, record.facts["reason"]) if "reason" in record.facts else None,
            "origin": word(ORIGINS, record.facts["origin"]) if "origin" in record.facts else None,
        }

    def _days(self, name: str) -> set[date]:
        """When the set was asked."""
        return {self.day(e.record.at) for e in self.material.entries if e.record.facts.get("policy") == name}

    def _policy_set(self, book: Rulebook) -> dict[str, Any]:
        applied = [
            {"at": self.time(one.at), "until": None if one.until is None else self.time(one.until), "by": one.by}
            | {"reason": one.reason}
            for one in book.kept.applied
        ]
        files = sorted(self.policy_files[book.name])
        return {"hash": book.name, "files": files, "applied": applied, "rules": book.rules(), "readable": book.is_readable}

    def _book(self, record: Record) -> Rulebook | None:
        """The set by which the mail was judged; records of what became of it find it by the mail's id."""
        facts = record.facts
        return self._books.get(facts.get("policy") or self._policy_of.get(facts.get("submission") or record.id, ""))

    def _stream(self, record: Record) -> dict[str, Any] | None:
        name = record.facts.get("stream")
        if not name:
            return None
        book = self._book(record)
        title, purpose = (book.stream(name) if book else None) or (None, None)
        return {"name": name, "title": title, "purpose": purpose}

    def _asked(self, record: Record) -> list[dict[str, Any]]:
        """Every rule that was asked, and about how many of the recipients who are shown here."""
        book, facts = self._book(record), record.facts
        if record.kind not in (Kind.RECEIVED, Kind.JUDGED) or book is None or "upstream_countries" not in facts:
            return []
        counts: Counter[str] = Counter()
        for ruling in self._concerned(record, "rulings"):
            domain = self._reader.reveal(record.people[ruling["person"]]).rpartition("@")[2]
            recorded = countries_of(residence_told(ruling))
            place = facts["stream"], domain, facts["upstream_countries"]
            counts.update(book.asked(*place, mail=domain_mail(ruling), recorded=recorded) if domain else ())
        return [{"rule": rule, "recipients": number} for rule, number in counts.items()]

    def _people(self, record: Record) -> list[str]:
        ours = {record.facts.get(key) for key in ("identity", "reverse_path", "to")}
        return [self._shown(person, ours=number in ours) for number, person in enumerate(record.people)]

    def _shown(self, person: Person, *, ours: bool) -> str:
        if person.digest in self._subject_digests:
            return self.material.mailbox
        mailbox = self._reader.reveal(person)
        if not mailbox:
            return f"({person.digest.hex()})"
        return mailbox if ours or not self.material.mailbox else mask(mailbox)

    def _concerned(self, record: Record, key: str) -> list[Mapping[str, Any]]:
        """Of a mail to many, what concerns the subject; all of it when the subject is the message or its sender."""
        rows: list[Mapping[str, Any]] = record.facts.get(key, [])
        own = [row for row in rows if record.people[row["person"]].digest in self._subject_digests]
        return own or rows

    def _others(self, record: Record) -> int:
        """How many rows `_concerned` left out."""
        key = "rulings" if "rulings" in record.facts else "outcomes"
        return len(record.facts.get(key, ())) - len(self._concerned(record, key))

    def _decision(self, ruling: Mapping[str, Any], people: Sequence[str]) -> dict[str, Any]:
        objections = []
        for objection in ruling["objections"]:
            text, fix = objection_texts(objection)
            words = {"weight": word(WEIGHTS, objection["action"]), "noted": word(OBSERVED, objection["observed"])}
            objections.append(
                {**words, "rule": objection["rule"], "text": text, "fix": fix, "cite": objection["cite"]}
                | {"detail": detail_words(objection["rule"], objection["detail"])}
            )
        consents = [{**one, "at": self.time(one["at"])} for one in ruling.get("consents", ())]
        said = {"person": people[ruling["person"]], "action": word(WEIGHTS, ruling["action"])}
        residence = residence_told(ruling)
        where = {"countries": sorted(residence.countries), "at": self.time(residence.at)} if residence else None
        return said | {"objections": objections, "consents": consents, "residence": where}

    def _outcome(self, outcome: Mapping[str, Any], people: Sequence[str]) -> dict[str, Any]:
        state = f"{outcome['state']} by rule" if outcome["rule"] else outcome["state"]
        shown = {key: outcome[key] for key in ("reply", "rule", "upstream", "upstream_text", "earlier")}
        shown["cleared"] = outcome.get("cleared", 0)  # records of an older relay have none
        return {"person": people[outcome["person"]], "state": word(STATES, state), **shown}

    def _history(self, history: History) -> dict[str, Any]:
        return {
            "mailbox": history.mailbox,
            "suppressions": [self._suppression(entry) for entry in history.suppressions],
            "consents": [self._consent(event) for event in history.consents],
        }

    def _details(self, details: Details) -> dict[str, Any]:
        """What is known, without the origin, which is sealed."""
        known = {one.name: getattr(details, one.name) for one in fields(details) if one.name != "origin"}
        times = {name: self.time(known[name]) for name in ("relation_at", "expires_at", "asked_at") if known[name] is not None}
        return {name: value for name, value in (known | times).items() if value not in ("", None, ())}

    def _consent(self, consent: ConsentEvent) -> dict[str, Any]:
        return {
            "id": consent.id,
            "event": consent.event,
            "event_text": word(_CONSENTS, consent.event),
            "at": self.time(consent.at),
            "recorded_at": self.time(consent.recorded_at),
            "evidence": consent.evidence,
            "by": consent.by,
            "purpose": consent.purpose,
            "basis": consent.basis,
            "details": self._details(consent.details),
        }

    def _suppression(self, entry: Suppression) -> dict[str, Any]:
        return {
            "reason": entry.reason.value,
            "reason_text": word(REASONS, entry.reason.value),
            "scope": entry.scope,
            "origin": entry.origin,
            "at": self.time(entry.at),
            "again_at": None if entry.again_at is None else self.time(entry.again_at),
            "expires_at": None if entry.expires_at is None else self.time(entry.expires_at),
            "lifted_at": None if entry.lifted_at is None else self.time(entry.lifted_at),
            "lifted_by": entry.lifted_by,
            "note": entry.note,
            "number": entry.number,
            "in_flight": list(entry.in_flight),
        }


_PAGE_ONLY = frozenset({"decisions", "outcomes", "others", "sentence", "reason", "origin"})
_CONSENTS: dict[str, Both] = {
    EventKind.REQUESTED: both("请求确认", "asked to confirm"),
    EventKind.GRANTED: both("同意接收", "agreed to be written to"),
    EventKind.CONFIRMED: both("同意并经邮箱确认", "agreed, and confirmed it from the mailbox"),
    EventKind.RENEWED: both("再次确认", "renewed"),
    EventKind.WITHDRAWN: both("撤回", "withdrawn"),
    EventKind.OBJECTED: both("提出反对", "objected"),
    EventKind.NOTICE_SENT: both("已发送提醒", "reminded"),
}

_templates = templates_of("relay.records")


def _page(language: str, view: _View) -> bytes:
    def t(zh: str, en: str) -> str:
        return zh if language == "zh" else en

    return _templates.get_template("evidence.html").render(language=language, t=t, view=view, folder=POLICY_FOLDER).encode()


def _zipped(members: Mapping[str, bytes], made_at: datetime) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, made_at.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(entry, members[name])
    return stream.getvalue()
