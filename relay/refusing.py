"""Refuse a sender, a recipient or a whole message: write it down, then say it, with the page that explains it.

What is refused for good is on disk before the client hears of it, else its
page would be empty.  Everything here raises RecordsUnavailable, and the line
makes it a 451.

What a refusal costs the disk does not depend on how it came about: one record,
of a size that the recipients bound, whether a client announces too much in one
command, or sends it.  `[records] min_free` ends them all.
"""

from collections.abc import Callable, Iterable, Sequence

from relay import telemetry
from relay.ids import new_id
from relay.judging import judge_octets
from relay.mail import replies
from relay.mail.envelope import Client, Identity, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import MessageError
from relay.mail.reply import Reply
from relay.policy.cases.case import Ruling
from relay.policy.sets.policy_set import Stream
from relay.records.append import Records
from relay.records.facts import refused_record


class Refuser:
    """Writes refusals and makes their replies; `page` is the address of an id's help page."""

    def __init__(
        self, records: Records, page: Callable[[str], str], *, clock: Callable[[], float], entropy: Callable[[int], bytes]
    ) -> None:
        self._records = records
        self._page = page
        self._clock = clock
        self._entropy = entropy

    async def sender(
        self, submission_id: str, client: Client, identity: Identity, reverse_path: Mailbox | None, why: Reply, policy_hash: str
    ) -> Reply:
        """MAIL is refused: there is no submission."""
        reply = replies.explained(why, self._page(submission_id))
        await self._records.append(
            refused_record(
                submission_id, self._clock(), client, identity.name, reverse_path, None, reply, (), policy_hash,
                self._records.person,
            )
        )  # fmt: skip
        telemetry.event("sender refused", id=submission_id, listener=client.listener, reply=reply.code)
        return reply

    async def recipient(
        self,
        submission: Submission,
        recipient: Recipient,
        why: Reply,
        policy_hash: str,
        rulings: Sequence[Ruling] = (),
        upstream_countries: Iterable[str] = (),
    ) -> Reply:
        """RCPT is refused: the refusal has an id of its own, for the submission goes on.

        `upstream_countries` are what the rulings are based on beside policy and people.
        """
        refusal_id = new_id(self._clock(), self._entropy(10))
        reply = replies.explained(why, self._page(refusal_id))
        await self._write(refusal_id, submission, recipient, reply, rulings, policy_hash, upstream_countries=upstream_countries)
        telemetry.event("recipient refused", id=refusal_id, submission=submission.id, rule=reply.rule)
        return reply

    async def message(self, submission: Submission, fault: MessageError, stream: Stream, policy_hash: str) -> Reply:
        """The octets cannot be taken as a message, whoever the recipients are; before RCPT there are none."""
        rulings = judge_octets(submission.recipients, stream, fault)
        count_objections(rulings)
        if fault.limit:
            telemetry.count_refusal(fault.limit)
        reply = replies.refused(fault.rule, fault.text, self._page(submission.id), detail=fault.detail)
        await self._write(submission.id, submission, None, reply, rulings, policy_hash, fault.bound)
        return reply

    async def _write(
        self,
        record_id: str,
        submission: Submission,
        recipient: Recipient | None,
        reply: Reply,
        rulings: Sequence[Ruling],
        policy_hash: str,
        bound: int = 0,
        upstream_countries: Iterable[str] = (),
    ) -> None:
        identity, path = submission.identity.name, submission.reverse_path
        await self._records.append(
            refused_record(
                record_id, self._clock(), submission.client, identity, path, recipient, reply, rulings, policy_hash,
                self._records.person, stream=submission.stream, bound=bound, upstream_countries=upstream_countries,
            )
        )  # fmt: skip


def count_objections(rulings: Iterable[Ruling]) -> None:
    """Count every objection of these rulings."""
    for ruling in rulings:
        for objection in ruling.objections:
            telemetry.rule_objections_total.labels(objection.rule, objection.action.word).inc()
