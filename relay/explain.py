"""What the line would do with a message, without doing it.

The same gathering, the same decision, the same rendering as the line's, so
that an explanation and a delivery cannot disagree; the ledger, the records
and the upstream are left alone.  What only the upstream, the limits or the
clock can tell is not foretold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relay.consignment import Consignment, grounds_of, residences_of
from relay.errors import RenderingImpossible
from relay.gathering import Known, asking_of, cases_of, known_of, submission_key
from relay.judging import case_at_rcpt, held_for, is_told_at_rcpt, judge, judge_at_rcpt, reply_to
from relay.mail import replies
from relay.mail.envelope import Submission
from relay.mail.message import Message
from relay.mail.parts.fields import Field, readable_fields
from relay.mail.parts.mime import walk
from relay.mail.reply import Reply
from relay.pipeline import Line
from relay.policy.cases.case import Action, Case, Objection, Ruling
from relay.policy.consents.residence import Residence
from relay.policy.sets.policy_set import Stream
from relay.render.copy import Copy
from relay.render.duties import Treatment
from relay.routing import Route


@dataclass(frozen=True, slots=True)
class Foretold:
    """One recipient: the ruling with every rule that was or was not asked, and what would become of it.

    `case` is all that the rules could see; without a message where the client
    hears of it at RCPT.  `reply` is what the client would be told of this
    recipient, without the address of a page: only what is on record has one.
    None when nothing stands in the way.  `impossible` says why no copy can be
    made.  `is_held` says that the relay would keep the mail instead of
    replying so, and tell the client 250.
    """

    ruling: Ruling
    case: Case
    reply: Reply | None
    impossible: str = ""
    is_held: bool = False

    @property
    def verdict(self) -> Action:
        """What becomes of the recipient: the ruling, or what comes after a ruling that does not object."""
        if self.reply is None or self.ruling.leading is not None:
            return self.ruling.action
        return Action.DEFER if self.reply.is_transient else Action.REJECT

    @property
    def rule(self) -> str:
        """The rule that decided, "" when nothing stands in the way."""
        return self.ruling.leading.rule if self.ruling.leading else self.reply.rule if self.reply else ""


@dataclass(frozen=True, slots=True)
class Explained(Foretold):
    """One recipient with the copy that would leave, and `upstream`, where it would go first."""

    copy: Copy | None = None
    upstream: str = ""

    @property
    def encodings(self) -> tuple[str, ...]:
        """The transfer encodings in the copy, as its leaves come."""
        return _encodings(readable_fields(self.copy.header), self.copy.body) if self.copy else ()

    @property
    def is_encoded(self) -> bool:
        """Whether the body leaves in another encoding than that in which it came."""
        message = self.case.message
        return self.copy is not None and message is not None and self.encodings != _encodings(message.fields, message.body)


def _encodings(fields: tuple[Field, ...], body: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.encoding for part in walk(fields, body).parts if part.is_leaf))


async def explain(line: Line, submission: Submission, message: Message, stream: Stream) -> list[Explained]:
    """Judge every recipient and render the copies of those whom nothing stands in the way.

    Raises StoreUnavailable, RecordsUnavailable and RuleFailed, for which the line answers 451.
    """
    judged, consignment = await _judged(line, submission, message, stream)
    return [_explained(line, consignment, case, ruling) for case, ruling in judged]


async def foretell(
    line: Line, submission: Submission, message: Message, stream: Stream, listed: Mapping[str, str] | None = None
) -> list[Foretold]:
    """Judge every recipient, and render one copy for each treatment of some of them: enough to know whether one can be made.

    `listed` are countries by mailbox key, as if the consent ledger had been told them now.  Copies that are treated
    alike differ in tokens and addresses at most.  Raises as `explain`.
    """
    judged, consignment = await _judged(line, submission, message, stream, listed)
    rendered: dict[Treatment, Explained] = {}
    foretold: list[Foretold] = []
    for case, ruling in judged:
        if ruling.leading is not None:
            foretold.append(_objected(line, consignment, case, ruling, ruling.leading))
            continue
        treatment = line.dispatcher.renderer.treatment(consignment, case.recipient)
        alike = rendered.get(treatment)
        if alike is None:
            alike = rendered[treatment] = _explained(line, consignment, case, ruling)
        foretold.append(Foretold(ruling, case, alike.reply, alike.impossible))
    return foretold


async def _judged(
    line: Line, submission: Submission, message: Message, stream: Stream, listed: Mapping[str, str] | None = None
) -> tuple[list[tuple[Case, Ruling]], Consignment]:
    routes = line.routing.routes(submission.identity, stream, submission.reverse_path, message)
    judged, submission = await _judge(line, submission, message, stream, routes, listed or {})
    key = submission_key(line.keys, submission.identity.name, submission.reverse_path, message.received_digest)
    first, rulings = line.first_try(submission, line.policy), [ruling for _, ruling in judged]
    grounds, residences = grounds_of(rulings), residences_of(rulings)
    return judged, Consignment(
        submission, message, line.policy, stream, key, first, routes, grounds=grounds, residences=residences
    )


async def _judge(
    line: Line, submission: Submission, message: Message, stream: Stream, routes: Sequence[Route], listed: Mapping[str, str]
) -> tuple[list[tuple[Case, Ruling]], Submission]:
    """Cases and rulings in the order of the recipients, and the submission with those whom the door would admit."""
    policy, now = line.policy, line.now(line.policy)
    countries = line.upstream_countries(submission, stream) | line.routing.countries(routes)
    asking = asking_of(stream, countries, now.date())
    mail = await line.domains.of(submission.id, stream, submission.recipients, countries)
    known = await known_of(submission.recipients, line.store, line.records, line.keys, asking, mail)
    pause = (await line.store.paused()).get(stream.name)
    found = {
        recipient.key: _as_listed(one, listed.get(recipient.key, ""), now.timestamp())
        for recipient, one in zip(submission.recipients, known, strict=True)
    }
    judged: dict[str, tuple[Case, Ruling]] = {}
    if stream.refusals == "rcpt":
        countries = line.upstream_countries(submission, stream)
        for recipient in submission.recipients:
            facts = (submission, recipient, found[recipient.key], countries)
            ruling = judge_at_rcpt(policy, stream, *facts, now)
            if is_told_at_rcpt(ruling):
                judged[recipient.key] = case_at_rcpt(policy, *facts), ruling
    admitted = tuple(recipient for recipient in submission.recipients if recipient.key not in judged)
    reduced = replace(submission, recipients=admitted)
    of_admitted = [found[recipient.key] for recipient in admitted]
    cases = cases_of(reduced, message, policy, of_admitted, line.routing.countries(routes), pause)
    judged |= {case.recipient.key: (case, one) for case, one in zip(cases, judge(policy, stream, cases, now), strict=True)}
    return [judged[recipient.key] for recipient in submission.recipients], reduced


def _as_listed(known: Known, country: str, now: float) -> Known:
    """What the ledger would say if it had been told that country."""
    countries = frozenset({country})
    if not country or (known.residence and known.residence.countries == countries):
        return known
    return replace(known, residence=Residence(countries, now, is_presumed=True))


def _objected(line: Line, consignment: Consignment, case: Case, ruling: Ruling, leading: Objection) -> Explained:
    why, _ = held_for(leading, 0.0)
    return Explained(ruling, case, reply_to(ruling), is_held=line.holder.may_hold(consignment, why))


def _explained(line: Line, consignment: Consignment, case: Case, ruling: Ruling) -> Explained:
    if ruling.leading is not None:
        return _objected(line, consignment, case, ruling, ruling.leading)
    if not consignment.routes:
        return Explained(ruling, case, replies.NO_ACCOUNT)
    faults = []
    for route in consignment.routes:
        try:
            copy = line.dispatcher.renderer.copy(consignment, route, (ruling.recipient,))
            return Explained(ruling, case, None, copy=copy, upstream=route.upstream)
        except RenderingImpossible as fault:
            faults.append(fault)
    first = faults[0]
    return Explained(ruling, case, replies.refused(first.rule, str(first)), impossible=f"{first.rule}: {first}")


def is_permitted(foretold: Sequence[Foretold]) -> bool:
    """Whether every recipient would get the message."""
    return all(one.reply is None for one in foretold)
