"""What the line would do with a message, without doing it.

The same gathering, the same decision, the same rendering as the line's, so
that an explanation and a delivery cannot disagree; the ledger, the records
and the upstream are left alone.  What only the upstream, the limits or the
clock can tell is not foretold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.consignment import Consignment
from relay.errors import RenderingImpossible
from relay.gathering import cases_of, submission_key, suppressions_of
from relay.judging import judge, judge_at_rcpt, reply_to
from relay.mail import replies
from relay.mail.envelope import Submission
from relay.mail.message import Message
from relay.mail.reply import Reply
from relay.pipeline import Line
from relay.policy.case import Ruling
from relay.policy.sets import Stream
from relay.render.copy import Copy
from relay.routing import Route


@dataclass(frozen=True, slots=True)
class Explained:
    """One recipient: the ruling with every rule that was or was not asked, and the copy that would leave.

    `reply` is what the client would be told of this recipient; None when
    nothing stands in the way.  `impossible` says why no copy can be made.
    """

    ruling: Ruling
    reply: Reply | None
    copy: Copy | None
    impossible: str = ""


async def explain(line: Line, submission: Submission, message: Message, stream: Stream) -> list[Explained]:
    """Judge every recipient and render the copies of those whom nothing stands in the way.

    Raises StoreUnavailable, RecordsUnavailable and RuleFailed, for which the line answers 451.
    """
    routes = line.routing.routes(submission.identity, stream, submission.reverse_path, message)
    rulings, submission = await _rulings(line, submission, message, stream, routes)
    consignment = Consignment(
        submission,
        message,
        line.policy,
        stream,
        submission_key(line.keys, submission.identity.name, submission.reverse_path, message.received_digest),
        line.first_try(submission, line.policy),
        routes,
    )
    return [_explained(line, consignment, ruling) for ruling in rulings]


async def _rulings(
    line: Line, submission: Submission, message: Message, stream: Stream, routes: Sequence[Route]
) -> tuple[list[Ruling], Submission]:
    """The rulings in the order of the recipients, and the submission with those whom the door would admit."""
    policy, today = line.policy, line.today(line.policy)
    suppressions = await suppressions_of(submission.recipients, line.store, line.records, line.keys)
    pause = (await line.store.paused()).get(stream.name)
    found = {recipient.key: entries for recipient, entries in zip(submission.recipients, suppressions, strict=True)}
    rulings: dict[str, Ruling] = {}
    if stream.refusals == "rcpt":
        countries = line.upstream_countries(submission, stream)
        at_rcpt = [judge_at_rcpt(policy, stream, submission, r, found[r.key], countries, today) for r in submission.recipients]
        rulings = {ruling.recipient.key: ruling for ruling in at_rcpt if ruling.leading is not None}
    admitted = tuple(recipient for recipient in submission.recipients if recipient.key not in rulings)
    reduced = replace(submission, recipients=admitted)
    suppressed = [found[recipient.key] for recipient in admitted]
    cases = cases_of(reduced, message, policy, suppressed, line.routing.countries(routes), pause)
    rulings |= {ruling.recipient.key: ruling for ruling in judge(policy, stream, cases, today)}
    return [rulings[recipient.key] for recipient in submission.recipients], reduced


def _explained(line: Line, consignment: Consignment, ruling: Ruling) -> Explained:
    page = line.config.http.page(consignment.submission.id)
    if ruling.leading is not None:
        return Explained(ruling, reply_to(ruling, page), None)
    if not consignment.routes:
        return Explained(ruling, replies.explained(replies.NO_ACCOUNT, page), None)
    faults = []
    for route in consignment.routes:
        try:
            return Explained(ruling, None, line.dispatcher.renderer.copy(consignment, route, (ruling.recipient,)))
        except RenderingImpossible as fault:
            faults.append(fault)
    first = faults[0]
    return Explained(ruling, replies.refused(first.rule, str(first), page), None, f"{first.rule}: {first}")


def is_permitted(explained: Sequence[Explained]) -> bool:
    """Whether every recipient would get the message."""
    return all(one.copy is not None for one in explained)
