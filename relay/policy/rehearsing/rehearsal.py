"""Judge the messages of tests/NAME.toml by a policy set before it comes into force, and say where the answers differ.

The rules and `decide` are those of the line; what a case says of its copy
`relay.render.rehearsing` looks at.  Pure: the same files give the same answers
on every machine and every day.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from relay.errors import RuleFailed
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message, MessageError
from relay.policy.cases.case import Case, Phase, Ruling
from relay.policy.cases.jurisdiction import jurisdictions_of
from relay.policy.consents.residence import countries_of, residence_of
from relay.policy.deciding.decide import decide
from relay.policy.rehearsing.compose import Attached, compose, zip_of
from relay.policy.rehearsing.rehearsal_file import AttachmentTable, CaseTable, Written, read_case_files
from relay.policy.rules.organisation import Organisation
from relay.policy.sets.crosscheck import Draft, cross_check
from relay.policy.sets.faults import Faults, Place, line_of
from relay.policy.sets.model import HOURS, StreamFile
from relay.policy.sets.parse import compile_set, read_draft, read_rules
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Suppression, stream_scope

MADE = "cases"
"""What a stream that a case writes itself is called."""

INVENTED: dict[str, Any] = {
    "country": "ZZ",  # ISO 3166-1 leaves it to users: no pack binds it
    "time_zone": "UTC",
    "legal_name": {"zh": "示例公司", "en": "Example Company Ltd."},
    "postal_address": {"zh": "示例路 1 号", "en": "1 Example Road"},
    "refusal_mailbox": "unsubscribe@example.com",
    "privacy_url": "https://www.example.com/privacy",
}
_MATCH = {"identities": ["news@example.com"]}
_UNREVIEWED = date(2026, 1, 1)
_RFC5322 = "%a, %d %b %Y %H:%M:%S %z"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One case, ready to be judged."""

    written: Written
    octets: bytes  # the whole file
    policy: PolicySet
    stream: Stream
    case: Case
    at: datetime

    @property
    def line(self) -> int:
        """Where its name stands in the file; 0 when that cannot be found."""
        return line_of(self.octets.decode("utf-8-sig", "replace"), (*self.written.place, "name"))

    @property
    def file(self) -> str:
        return self.written.file

    @property
    def table(self) -> CaseTable:
        return self.written.table

    @property
    def name(self) -> str:
        """What the case is called, with the one of its `each`."""
        return f"{self.table.name} [{self.written.value}]" if self.written.value else self.table.name

    @property
    def phase(self) -> Phase:
        return Phase(self.table.phase)

    def judge(self) -> Ruling:
        """What the rules say. Raises RuleFailed."""
        return decide(self.policy, self.stream, self.case, self.phase, self.at)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a case expects and that did not come out."""

    text: str
    text_zh: str


def read_rehearsals(files: Mapping[str, bytes]) -> tuple[Rehearsal, ...]:
    """Every case of a set of files.

    Raises ConfigurationError that lists every fault of the set, else every fault of its cases.
    """
    faults = Faults(files)
    draft = read_draft(files, faults)
    cross_check(draft, faults)
    faults.refuse()
    stage = Stage(draft, faults)
    rehearsals = [one for written in read_case_files(files, faults) for one in stage.prepare(written)]
    faults.refuse()
    return tuple(rehearsals)


def verdict_differences(rehearsal: Rehearsal) -> tuple[Difference, ...]:
    """What the case expects and the rules do not answer; nothing when they do."""
    try:
        ruling = rehearsal.judge()
    except RuleFailed as fault:
        why = f"{type(fault.__cause__).__name__}: {fault.__cause__}"
        return (Difference(f"{fault}: {why}", f"规则 {fault.rule} 无法求值：{why}"),)
    return tuple(_differences(rehearsal.table, ruling))


def _differences(expected: CaseTable, ruling: Ruling) -> Iterator[Difference]:
    objecting = [f"{one.rule} ({one.action.word}{f': {one.detail}' if one.detail else ''})" for one in ruling.objections]
    if ruling.action.word != expected.expect:
        by = ", ".join(objecting)
        yield Difference(
            f"expected {expected.expect}, found {ruling.action.word}{f' by {by}' if by else ''}",
            f"应为 {expected.expect}，实为 {ruling.action.word}{f'：{by}' if by else ''}",
        )
    asked = {one.rule: one for one in ruling.asked}
    for rule in expected.objects:
        if (one := asked.get(rule)) is None or not one.asked:
            yield _not_asked(rule, one.why if one else "", (one.why_zh or one.why) if one else "")
        elif one.objection is None:
            yield Difference(f"{rule} has nothing against it", f"{rule} 没有异议")
    yield from _too_light(expected, ruling)
    for rule in expected.passes:
        if (one := asked.get(rule)) is None or not one.asked:
            yield _not_asked(rule, one.why if one else "", (one.why_zh or one.why) if one else "")
        elif one.objection is not None:
            said = f" ({one.objection.detail})" if one.objection.detail else ""
            yield Difference(f"{rule} objects{said}", f"{rule} 有异议{said}")
    for rule in expected.unasked:
        if (one := asked.get(rule)) is not None and one.asked:
            yield Difference(f"{rule} is asked", f"{rule} 会被询问")


def _too_light(expected: CaseTable, ruling: Ruling) -> Iterator[Difference]:
    """The verdict is that of a rule which the case does not name."""
    named = [one for one in ruling.objections if one.rule in expected.objects]
    if ruling.action.word == expected.expect and named and max(one.action for one in named) < ruling.action:
        rules, by = ", ".join(one.rule for one in named), ruling.objections[0].rule
        word = max(one.action for one in named).word
        yield Difference(
            f"{rules}: {word} only; {ruling.action.word} is by {by}", f"{rules} 只是 {word}；{ruling.action.word} 出自 {by}"
        )


def _not_asked(rule: str, why: str, why_zh: str) -> Difference:
    return Difference(f"{rule} is not asked{f' ({why})' if why else ''}", f"{rule} 不会被询问{f'（{why_zh}）' if why_zh else ''}")


class _Inside(Faults):
    """Faults of a stream or organisation that a file of cases writes, told as faults of that file."""

    def __init__(self, faults: Faults, written: Written) -> None:
        self._faults = faults
        self._written = written
        self.count = 0

    def add(self, file: str, place: Place, text: str, text_zh: str = "") -> None:
        own = {f"streams/{MADE}.toml": "stream", "organisation.toml": "organisation"}
        self.count += 1
        self._faults.add(self._written.file, (own[file], *place) if file in own else self._written.place, text, text_zh)

    def __bool__(self) -> bool:
        return self.count > 0


class Stage:
    """Compiles what the cases of a set are judged by, each combination of stream and organisation once."""

    def __init__(self, draft: Draft, faults: Faults) -> None:
        """`draft` has no fault; those of the cases go to `faults`."""
        self._draft = draft
        self._faults = faults
        self._policy = compile_set(draft)
        self._made: dict[str, tuple[PolicySet, Stream] | None] = {}

    def prepare(self, written: Written) -> Iterator[Rehearsal]:
        """The case as it is judged, nothing where it has a fault."""
        table, made = written.table, self.scene(written)
        if made is None or not self._names_rules(written, made[1]):
            return
        policy, stream = made
        now = _now(table, policy, stream)
        try:
            case = _case(table, policy, stream, now)
        except MessageError as fault:
            self._faults.add(written.file, (*written.place, "raw"), f"no message: {fault.text}", "无法作为邮件读取")
            return
        yield Rehearsal(written, self._draft.files[written.file], policy, stream, case, now)

    def scene(self, written: Written) -> tuple[PolicySet, Stream] | None:
        """The set and the stream that the case is judged by; None where they have a fault."""
        key = repr((written.table.stream, sorted(written.table.organisation.items())))
        if key not in self._made:
            self._made[key] = self._make(written)
        return self._made[key]

    def _make(self, written: Written) -> tuple[PolicySet, Stream] | None:
        named, facts = written.table.stream, written.table.organisation
        inside = _Inside(self._faults, written)
        if isinstance(named, str):
            return self._named(named, facts, inside, written)
        stream = {"match": _MATCH, "purpose": "marketing", "packs": ["base"]} | (named or {})
        file = f"streams/{MADE}.toml"
        rules = read_rules(file, MADE, stream, inside)
        valid = inside.validate(StreamFile, stream, file)
        organisation = inside.validate(Organisation, INVENTED | facts | {"streams": [MADE]}, "organisation.toml")
        if valid is None or organisation is None:
            return None
        files = {name: octets for name, octets in self._draft.files.items() if name.startswith("packs/")}
        draft = replace(
            self._draft,
            files=files | {"organisation.toml": b"", file: b""},
            organisation=organisation,
            streams={MADE: valid},
            rules={**self._draft.rules, file: rules},
        )
        return _compiled(draft, MADE, inside)

    def _named(self, name: str, facts: Mapping[str, Any], inside: _Inside, written: Written) -> tuple[PolicySet, Stream] | None:
        if all(stream.name != name for stream in self._policy.streams):
            text = f'there is no stream "{name}" in organisation.toml'
            self._faults.add(written.file, ("stream",), text, f"organisation.toml 中没有邮件流 {name}")
            return None
        if not facts:
            return self._policy, self._policy.stream(name)
        own = self._faults.read("organisation.toml", self._draft.files["organisation.toml"]) or {}
        organisation = inside.validate(Organisation, own | dict(facts), "organisation.toml")
        return _compiled(replace(self._draft, organisation=organisation), name, inside) if organisation else None

    def _names_rules(self, written: Written, stream: Stream) -> bool:
        """Whether every rule that the case names is one of its stream."""
        known = {rule.name for rule in stream.rules} | {f"{pack.name}/expired" for pack in stream.packs} | {HOURS}
        table, count = written.table, 0
        known |= {duty.name for duty, _ in stream.unmet}
        for key in ("objects", "passes", "unasked"):
            for rule in getattr(table, key):
                if rule not in known:
                    count += 1
                    text = f'this stream has no rule "{rule}"; its packs: {", ".join(stream.file.packs)}'
                    self._faults.add(written.file, (*written.place, key), text, f"此邮件流没有规则 {rule}")
        return not count


def _compiled(draft: Draft, name: str, inside: _Inside) -> tuple[PolicySet, Stream] | None:
    cross_check(draft, inside)
    if inside:
        return None
    policy = compile_set(draft)
    return policy, policy.stream(name)


def _now(table: CaseTable, policy: PolicySet, stream: Stream) -> datetime:
    """The moment of the case; else the last review of its packs, so that they have not expired."""
    reviewed = [pack.file.pack.reviewed_on for pack in stream.packs]
    at = table.at or max(filter(None, reviewed), default=_UNREVIEWED)
    return at if isinstance(at, datetime) else datetime.combine(at, time(12), policy.zone)


def _case(table: CaseTable, policy: PolicySet, stream: Stream, now: datetime) -> Case:
    recipient, unknown = Mailbox.parse(table.recipient), frozenset(policy.organisation.unknown_recipient)
    message = Message.parse(_octets(table, now)) if table.phase == "data" else None
    consents = tuple(one.event_at(number, now.timestamp()) for number, one in enumerate(table.consents))
    residence = residence_of(consents)
    told = jurisdictions_of(recipient.domain, unknown, countries_of(residence))
    return Case(
        _submission(table, policy, stream, now),
        Recipient(recipient),
        message,
        tuple(Suppression(bytes(16), _scope(one.scope, stream), one.why, "test", 0.0) for one in table.suppressions),
        told if table.jurisdictions is None else frozenset(table.jurisdictions),
        frozenset(table.upstream_countries),
        consents=consents,
        transferred=table.transferred_in(now.astimezone(policy.zone).year),
        domain_mail=table.domain_mail,
        residence=residence,
    )


def _scope(scope: str, stream: Stream) -> str:
    return stream_scope(stream.name) if scope == "stream" else scope


def _submission(table: CaseTable, policy: PolicySet, stream: Stream, now: datetime) -> Submission:
    addresses = dict.fromkeys((table.recipient, *table.other_recipients))
    return Submission(
        id="01H" + "Z" * 23,
        at=now.timestamp(),
        client=Client("submission", "192.0.2.1", "client.example", None, "ESMTPSA"),
        identity=Identity(table.identity, IdentityKind.USER, frozenset(one.casefold() for one in table.owns)),
        reverse_path=Mailbox.parse(table.reverse_path) if table.reverse_path else None,
        stream=stream.name,
        policy=policy.hash,
        recipients=tuple(Recipient(Mailbox.parse(address)) for address in addresses),
    )


def _octets(table: CaseTable, now: datetime) -> bytes:
    if table.raw:
        return table.raw.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    fields = {
        "From": [", ".join(table.sender)],
        "To": [", ".join((table.recipient,) if table.to is None else table.to)],
        "Cc": [", ".join(table.cc)],
        "Subject": [table.subject],
        "Date": [now.strftime(_RFC5322)],
        "Message-ID": ["<case@example.com>"],
    }
    for name, value in table.fields.items():
        same = next((one for one in fields if one.lower() == name.lower()), name)
        fields[same] = [value] if isinstance(value, str) else value
    written = [(name, value) for name, values in fields.items() for value in values if value]
    attached = [Attached(one.filename, one.type, _file_octets(one)) for one in table.attachments]
    return compose(written, table.text, table.html, attached)


def _file_octets(one: AttachmentTable) -> bytes:
    if one.holds:
        return zip_of(one.holds, is_locked=one.password)
    return b64decode(one.base64) or one.text.encode() + bytes(1024 * one.kilobytes)
