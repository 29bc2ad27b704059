"""What the rules of a stream have against a message as it is written, before anybody sends it.

The rules and `decide` are the line's.  What is known of people alone, refusals
and consents, is no fault of the message, and neither are limits and hours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from relay.gathering import Known, cases_of
from relay.judging import judge, judge_octets
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message, MessageError
from relay.policy.cases.case import Objection, Spot
from relay.policy.cases.transfers import Transferred
from relay.policy.sets.model import HOURS
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.telling.inputs import facts_read

_NOBODY = "nobody@relay.invalid"
_EXCERPT = 40  # characters around what was seen
_OF_ANYBODY = frozenset({"recipient.countries"})
_OF_ADDRESS = frozenset({"recipient.address", "recipient.domain", "recipient.countries"})


@dataclass(frozen=True, slots=True)
class Position:
    """Where something was seen, counted from 1, 0 where that is not known.

    `line` is the file's, on which the field begins, or that of the decoded text `where` if it is `in_text`; `column`,
    `start` and `end` count the characters that people see.  `excerpt` is what stands there.
    """

    where: str
    line: int = 0
    column: int = 0
    start: int = 0
    end: int = 0
    excerpt: str = ""
    in_text: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One rule's objection to the message, for how many of its recipients, and where."""

    objection: Objection
    recipients: int
    positions: tuple[Position, ...] = ()


def lint(policy: PolicySet, stream: Stream, message: Message, countries: frozenset[str], now: datetime) -> list[Found]:
    """Everything that the rules have against the message, for the recipients in To and Cc, else for somebody unknown.

    `countries` are those of the upstreams that it may leave by.  Raises RuleFailed.
    """
    submission = _submission(policy, stream, message, now)
    known_of_all = Known(transferred=Transferred(now.year))  # how many they are is no fault of the message either
    cases = cases_of(submission, message, policy, [known_of_all] * len(submission.recipients), countries)
    counted: dict[tuple[str, str], Found] = {}
    known = _OF_ADDRESS if message.addressee_list else _OF_ANYBODY
    unjudged = {rule.name for rule in stream.rules if not _is_known(facts_read(rule), known)} | {HOURS}
    for ruling in judge(policy, stream, cases, now):
        for objection in ruling.objections:
            if objection.rule not in unjudged:
                key = objection.rule, objection.detail
                found = counted.get(key) or Found(objection, 0, tuple(_positions(message, objection.spots)))
                counted[key] = replace(found, recipients=found.recipients + 1)
    return sorted(counted.values(), key=lambda found: -found.objection.action)


def unreadable(stream: Stream, fault: MessageError) -> Found:
    """What is said of octets that cannot be taken as a message."""
    (ruling,) = judge_octets([Recipient(Mailbox.parse(_NOBODY))], stream, fault)
    return Found(ruling.objections[0], 1)


def _is_known(reads: Iterable[str], known: frozenset[str]) -> bool:
    """Whether all that a rule reads of the recipient is known without a store."""
    return all(fact in known for fact in reads if fact.startswith("recipient."))


def _submission(policy: PolicySet, stream: Stream, message: Message, now: datetime) -> Submission:
    nobody = Mailbox.parse(_NOBODY)
    author = message.authors[0] if message.authors else nobody
    recipients = {mailbox.key: Recipient(mailbox) for mailbox in message.addressee_list or (nobody,)}
    return Submission(
        id="",
        at=now.timestamp(),
        client=Client("", "127.0.0.1", "lint", None, "ESMTPSA"),
        identity=Identity(author.key, IdentityKind.USER, frozenset({author.key})),
        reverse_path=author,
        stream=stream.name,
        policy=policy.hash,
        recipients=tuple(recipients.values()),
    )


def _positions(message: Message, spots: tuple[Spot, ...]) -> Iterator[Position]:
    """With the names of attachments, which records do not have: what is shown here stays with who has the message."""
    for position in _placed(message, spots):
        place, _, rest = position.where.partition(", ")
        name = message.content.files.get(place, "")
        yield replace(position, where=f"{place} {name}{', ' if rest else ''}{rest}") if name else position


def _placed(message: Message, spots: tuple[Spot, ...]) -> Iterator[Position]:
    texts = {text.where: text.shown for text in message.content.every_text} if spots else {}
    for spot in spots:
        line, shown = _line_of_field(message, spot.where), texts.get(spot.where, "")
        if shown and not line:
            yield _in_text(spot, shown)
        elif spot.end and shown:
            yield Position(spot.where, line, spot.start + 1, spot.start, spot.end, _excerpt(shown, spot))
        elif line or spot.where.startswith("attachment "):
            yield Position(spot.where, line)


def _in_text(spot: Spot, shown: str) -> Position:
    if not spot.end:
        return Position(spot.where, in_text=True)
    line, begin = shown.count("\n", 0, spot.start) + 1, shown.rfind("\n", 0, spot.start) + 1
    return Position(spot.where, line, spot.start - begin + 1, spot.start, spot.end, _excerpt(shown, spot), in_text=True)


def _line_of_field(message: Message, name: str) -> int:
    """The line of the file on which the first field of that name begins, 0 when there is none."""
    line = 1
    for field in message.fields:
        if field.name == name.lower().encode():
            return line
        line += field.raw.count(b"\r\n")
    return 0


def _excerpt(shown: str, spot: Spot) -> str:
    start, end = max(0, spot.start - _EXCERPT), spot.end + _EXCERPT
    around = " ".join(shown[start:end].split())
    return ("…" if start else "") + around + ("…" if end < len(shown) else "")
