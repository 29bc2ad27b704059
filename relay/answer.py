"""The one reply for all recipients of a message (design: the table of replies). Pure.

SMTP has a single reply after the dot, our recipients have an outcome each.
The table, in the order it is read:

    any transient or indeterminate       451 (or their common reply); the ledger keeps the rest
    all delivered or held                250
    all refused for good                 their common reply, else 554 5.7.1 and the first rule
    some refused, some delivered or held the report goes first: accepted or held 250, not yet 451, refused for good 554

What is transient or indeterminate and may be held is held before this table is
read (`relay.holding`): all that is open, or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.reply import Reply
from relay.stores.held import Why


class Standing(Enum):
    """Where one recipient stands when the client must be answered."""

    DELIVERED = "delivered"  # the upstream's 250 was seen, now or at an earlier try
    REFUSED = "refused"  # for good: by policy or by the upstream
    HELD = "held"  # kept back durably: the relay sends it later
    TRANSIENT = "transient"  # not now: a limit, the upstream, the deadline
    INDETERMINATE = "indeterminate"  # past the dot without an answer


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one recipient.

    `reply` is what the client would be told if this were the only recipient.
    `rule` names the rule that refused, "" when the upstream did.  `upstream`
    names where it went, "" when it never left.  `earlier` says that a
    previous try of the same submission settled it, `answered` that its
    client heard so, or its sender by report.  `gone` is the status, else
    the code, by which the upstream said for good that this recipient has no
    mailbox, "" when it did not; `confirmations` is how many mails must say so, 0
    as the status has it.  `splits`: it was one recipient too many, and may be
    offered again at once in a mail to fewer.  `why` says for what reason it is
    or could be held, None when it is nothing that the relay may wait for in the
    client's place; `due` when it may be tried again, epoch seconds, 0 for at once.
    """

    recipient: Recipient
    standing: Standing
    reply: Reply
    rule: str = ""
    upstream: str = ""
    earlier: bool = False
    answered: bool = False
    upstream_text: str = ""
    gone: str = ""
    confirmations: int = 0
    splits: bool = False
    handed_on: bool = False  # delivered to an upstream that sends no reports on success
    why_zh: str = ""  # the rule's text and remedy, for the report
    why_en: str = ""
    why: Why | None = None
    due: float = 0.0
    cleared: int = 0  # the number of the step that let its copy leave, 0 when none did at this try

    @property
    def is_open(self) -> bool:
        """Whether nobody answers for this recipient yet but the client."""
        return self.standing in (Standing.TRANSIENT, Standing.INDETERMINATE)


class ReportFate(Enum):
    """What became of the report on refused recipients."""

    NOT_NEEDED = "not needed"
    FORBIDDEN = "forbidden"  # null reverse-path, a report itself, or NOTIFY without FAILURE
    DELIVERED = "delivered"
    HELD = "held"  # the relay tells the sender later
    TRANSIENT = "transient"
    REFUSED = "refused"


def needs_report(results: Sequence[Result]) -> bool:
    """Whether some are delivered or held and the others refused for good, with nothing left for the client to try.

    Not where other tries were answered for all of them.
    """
    standings = {result.standing for result in results}
    is_open = any(result.is_open for result in results)
    is_owed = not all(result.answered for result in results)
    return is_owed and Standing.REFUSED in standings and standings != {Standing.REFUSED} and not is_open


def keeps_any(results: Sequence[Result], report: ReportFate) -> bool:
    """Whether the relay answers for anybody whom it has yet to deliver to, or to tell of."""
    return report is ReportFate.HELD or any(result.standing is Standing.HELD for result in results)


def final_reply(submission_id: str, results: Sequence[Result], report: ReportFate) -> Reply:
    """Return the reply for the whole message; `results` holds every accepted recipient."""
    waiting = [r for r in results if r.is_open]
    delivered = sum(r.standing is Standing.DELIVERED for r in results)
    held = sum(r.standing is Standing.HELD for r in results)
    refused = [r for r in results if r.standing is Standing.REFUSED]
    if waiting:
        return _common(waiting) or replies.unfinished(submission_id, delivered, held, len(waiting), waiting[0].reply.text[0])
    if refused and not delivered and not held:
        return _common(refused) or replies.refused_for_several_reasons(refused[0].reply)
    if refused and report is ReportFate.TRANSIENT:
        return replies.report_waiting(submission_id, delivered, held, len(refused))
    if refused and report is ReportFate.REFUSED:
        return replies.report_refused(submission_id, delivered, held, len(refused))
    return replies.delivered(submission_id, delivered, held, len(refused))


def _common(results: Sequence[Result]) -> Reply | None:
    """The reply that all of them share in code and text, or None."""
    first = results[0].reply
    return first if all(result.reply == first for result in results) else None
