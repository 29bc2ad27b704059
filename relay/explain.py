"""What the line would do with a message, without doing it.

The same gathering, the same decision, the same rendering as the line's, so
that an explanation and a delivery cannot disagree; the ledger, the records
and the upstream are left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.consignment import Consignment
from relay.errors import RenderingImpossible
from relay.gathering import cases_of, submission_key, suppressions_of
from relay.mail.envelope import Submission
from relay.mail.message import Message
from relay.mail.reply import Reply
from relay.pipeline import Line, judge
from relay.policy.case import Ruling
from relay.policy.sets import Stream
from relay.render.copy import Copy


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

    Raises StoreUnavailable, RecordsUnavailable, and whatever a rule raises.
    """
    policy = line.policy
    found = await suppressions_of(submission.recipients, line.store, line.records, line.keys)
    rulings = judge(policy, stream, cases_of(submission, message, policy, found), line.today(policy))
    consignment = Consignment(
        submission,
        message,
        policy,
        stream,
        submission_key(line.keys, submission.identity.name, submission.reverse_path, message.received_digest),
        line.first_try(submission, policy),
        0.0,
        line.dispatcher.routes(submission.identity, stream, submission.reverse_path),
    )
    return [_explained(line, consignment, ruling) for ruling in rulings]


def _explained(line: Line, consignment: Consignment, ruling: Ruling) -> Explained:
    if ruling.leading is not None:
        return Explained(ruling, line.reply_to(ruling, consignment.submission.id), None)
    upstream = consignment.routes[0].upstream if consignment.routes else line.config.upstream[0].name
    try:
        return Explained(ruling, None, line.dispatcher.renderer.copy(consignment, upstream, (ruling.recipient,)))
    except RenderingImpossible as fault:
        return Explained(ruling, None, None, f"{fault.rule}: {fault}")


def is_permitted(explained: Sequence[Explained]) -> bool:
    """Whether every recipient would get the message."""
    return all(one.copy is not None for one in explained)
