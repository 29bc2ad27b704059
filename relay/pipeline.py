"""The line: how a message travels.

    MAIL   begin    does the identity own the reverse-path, which stream takes it?
    RCPT   admit    where the stream says so, judge the recipient at once
    dot    submit   parse -> gather -> decide -> record -> render -> clear -> deliver -> hold -> record -> reply
    or     refuse   the door could not take the message in: record -> reply
    next   concluded  the client has its reply: the ledger may forget the submission

Nothing leaves before its ruling is on disk (law 5).  What cannot leave now is
held where that is allowed (`relay.holding`); whatever else the line does not
know becomes a 4yz: the client keeps the message and tries again (law 1).
`submit` and `refuse` never raise.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from email.utils import format_datetime
from functools import lru_cache

from relay import telemetry
from relay.answer import ReportFate, Result, Standing, final_reply, keeps_any
from relay.bounced import Outcomes
from relay.config import Config
from relay.consignment import Consignment, counted_of, grounds_of, residences_of
from relay.dispatch import Dispatcher
from relay.domains import Domains
from relay.errors import RecordsFull, RecordsUnavailable, StoreUnavailable
from relay.failing import answered, tell_unavailable
from relay.gathering import Gathered, asking_of, gather, known_of
from relay.holding.codec import expiry
from relay.ids import new_id
from relay.judging import is_told_at_rcpt, judge_at_rcpt, judge_in_steps, objected, paused, reply_to, stream_of
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Client, Identity, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import MessageError
from relay.mail.reply import Reply
from relay.overtaken import Sender
from relay.policy.cases.case import Ruling
from relay.policy.cases.reputation import Pause
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Digest
from relay.reading import MessageReader
from relay.records.append import Records
from relay.records.collected import message_id_digests
from relay.records.facts import received_record
from relay.records.kinds import Record
from relay.refusing import Refuser, count_objections
from relay.reporting import Reporter
from relay.routing import Routing
from relay.stores.contracts import Store
from relay.stores.held import Why
from relay.stores.ledger import Closing, FirstTry
from relay.tasks import beside, sheltered, spawn
from relay.tries import Answered, age_of, await_others, earlier_result, remembered_for, settled_rows, unknown_digests
from relay.upstream.delivery import Upstreams

_log = logging.getLogger("relay.pipeline")


@lru_cache(maxsize=64)  # many mails come in one second, and writing a date takes longer than most of what they need
def _date_of(second: int, zone: tzinfo) -> str:
    """A Date field's value (RFC 5322 section 3.3)."""
    return format_datetime(datetime.fromtimestamp(second, zone))


class Line:
    """One line per worker process.

    `policy` is swapped whole by a reload.  Each step reads it once and judges
    by that one set; a set that came in force since MAIL goes on with a
    submission only if it has the same stream take it, and judges whom it
    overtakes before they leave (`relay.overtaken`).
    """

    def __init__(
        self,
        config: Config,
        policy: PolicySet,
        *,
        keys: Keys,
        store: Store,
        records: Records,
        upstreams: Upstreams,
        dispatcher: Dispatcher,
        outcomes: Outcomes,
        routing: Routing,
        domains: Domains,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.config = config
        self.keys = keys
        self.store = store
        self.records = records
        self.upstreams = upstreams
        self.dispatcher = dispatcher
        self.holder = dispatcher.holder
        self.routing = routing
        self.domains = domains
        self.policy = policy
        self._sender = Sender(config, keys=keys, records=records, routing=routing, domains=domains, dispatcher=dispatcher)
        self.reader = MessageReader(config.smtp)
        self._outcomes = outcomes
        self._reporter = Reporter(keys=keys, records=records, dispatcher=dispatcher, clock=clock)
        self._refuser = Refuser(records, config.http.page, clock=clock, entropy=entropy)
        self._clock = clock
        self._monotonic = monotonic
        self._entropy = entropy
        self._answered = Answered()
        self.paused: Mapping[str, Pause] = {}  # as it was a second ago, for MAIL and RCPT; at the dot the store is asked

    @property
    def policy(self) -> PolicySet:
        """The set in force in this process."""
        return self.dispatcher.clearing.policy

    @policy.setter
    def policy(self, policy: PolicySet) -> None:
        self.dispatcher.clearing.policy = policy

    # MAIL ------------------------------------------------------------------------------------------------------------

    async def begin(
        self,
        client: Client,
        identity: Identity,
        reverse_path: Mailbox | None,
        *,
        body: str = "7BIT",
        smtputf8: bool = False,
        ret: str | None = None,
        envid: str | None = None,
    ) -> Submission | Reply:
        """Open a submission, or say why not."""
        now = self._clock()
        submission_id = new_id(now, self._entropy(10))
        try:
            self.records.check()
        except RecordsFull:
            return replies.NO_SPACE
        except RecordsUnavailable:
            return replies.RECORDS_UNAVAILABLE
        stream = self.take_sender(identity, client.listener, reverse_path)
        if isinstance(stream, Stream) and (pause := self.paused.get(stream.name)):
            stream = paused(pause)
        if isinstance(stream, Reply):
            try:
                return await self._refuser.sender(submission_id, client, identity, reverse_path, stream, self.policy.hash)
            except RecordsUnavailable:
                return replies.RECORDS_UNAVAILABLE
        return Submission(
            submission_id, now, client, identity, reverse_path, stream.name, self.policy.hash,
            body=body, smtputf8=smtputf8, ret=ret, envid=envid,
        )  # fmt: skip

    def take_sender(self, identity: Identity, listener: str, reverse_path: Mailbox | None) -> Stream | Reply:
        """The stream that takes this sender's mail, or why none does. Writes nothing."""
        if reverse_path is not None and not identity.may_use(reverse_path):
            return replies.SENDER_NOT_OWNED
        stream = self.policy.stream_for(identity, listener, reverse_path)
        if stream is None:
            return replies.NO_STREAM
        return self.routing.refusal(identity, stream, reverse_path) or stream

    def has_room(self, submission: Submission, size: int) -> bool:
        """Whether a message of this announced size can be held, should it have to be."""
        stream = stream_of(self.policy, submission)
        return stream is None or self.holder.has_room(submission.identity, stream, size)

    # RCPT ------------------------------------------------------------------------------------------------------------

    async def admit(self, submission: Submission, recipient: Recipient) -> Reply:
        """Answer one RCPT. Under `refusals = "report"` policy speaks after the dot, in one round trip for all."""
        return await answered(self._admit(submission, recipient), f"RCPT of {submission.id}", self.store)

    async def _admit(self, submission: Submission, recipient: Recipient) -> Reply:
        policy = self.policy
        stream = stream_of(policy, submission)
        if stream is None:
            return replies.POLICY_UNUSABLE
        why = self.routing.refusal_of_recipient(submission.identity, stream, recipient.mailbox)
        if why is None and (pause := self.paused.get(stream.name)):
            why = paused(pause)
        if why is None and stream.refusals != "rcpt":
            return replies.RECIPIENT_OK
        try:
            if why is not None:
                return await self._refuser.recipient(submission, recipient, why, policy.hash)
            return await self._judge_at_rcpt(submission, recipient, policy, stream)
        except RecordsUnavailable:
            return replies.RECORDS_UNAVAILABLE

    async def _judge_at_rcpt(self, submission: Submission, recipient: Recipient, policy: PolicySet, stream: Stream) -> Reply:
        countries, now = self.upstream_countries(submission, stream), self.now(policy)
        asking = asking_of(stream, countries, now.date())
        mail = await self.domains.of(submission.id, stream, [recipient], countries)
        (known,) = await known_of([recipient], self.store, self.records, self.keys, asking, mail)
        ruling = judge_at_rcpt(policy, stream, submission, recipient, known, countries, now)
        if not is_told_at_rcpt(ruling):
            return replies.RECIPIENT_OK
        count_objections([ruling])
        return await self._refuser.recipient(submission, recipient, reply_to(ruling), policy.hash, [ruling], countries)

    # The dot ---------------------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission, data: bytes | bytearray, began: float | None = None) -> Reply:
        """Take a message through the line and return its one reply. Never raises.

        `began` is when its client was told to send it, by the monotonic clock: it may have given this try up since and been
        answered at another.  None is a message that nobody sends again.
        """
        return await self._answer(submission, self._submit(submission, data, began))

    async def refuse(self, submission: Submission, fault: MessageError) -> Reply:
        """Refuse a message that the door could not take in: too large, or with too long a line. Never raises.

        Its octets are gone.  Where the size was announced at MAIL there are no recipients yet: what is known is written down.
        """
        return await self._answer(submission, self._refuse(submission, fault))

    async def _answer(self, submission: Submission, work: Awaitable[Reply]) -> Reply:
        reply = await answered(work, f"submission {submission.id}", self.store)
        result = "accepted" if reply.is_positive else "deferred" if reply.is_transient else "refused"
        telemetry.submissions_total.labels(submission.stream, result).inc()
        telemetry.event(
            "answered", id=submission.id, stream=submission.stream, recipients=len(submission.recipients),
            reply=f"{reply.code} {reply.status}".rstrip(), rule=reply.rule,
        )  # fmt: skip
        return reply

    async def _submit(self, submission: Submission, data: bytes | bytearray, began: float | None) -> Reply:
        begun, delivery = asyncio.get_running_loop().time(), self.config.delivery
        policy = self.policy
        stream = stream_of(policy, submission)
        if stream is None:
            return replies.POLICY_UNUSABLE
        try:
            with telemetry.stage("parse"):
                message = await self.reader.read(data)
        except MessageError as fault:
            return await self._refuser.message(submission, fault, stream, policy.hash)
        routes = self.routing.routes(submission.identity, stream, submission.reverse_path, message)
        countries = self.routing.countries(routes)
        with telemetry.stage("gather"):
            mail = await self.domains.of(submission.id, stream, submission.recipients, countries)
            lanes = {key: lane.key for key, lane in self.holder.lanes(submission, stream, routes).items()}
            age = 0.0 if began is None else age_of(began, self._monotonic(), self.config.smtp)
            gathered = await gather(
                submission, message, policy, self.first_try(submission, policy), countries, self.now(policy).date(),
                store=self.store, records=self.records, keys=self.keys, mail=mail, ledger_ttl=delivery.ledger_ttl,
                lanes=tuple(dict.fromkeys(lanes.values())), age=age,
            )  # fmt: skip
        first = gathered.entry.first
        with telemetry.stage("decide"):
            steps = judge_in_steps(policy, stream, gathered.cases, self.now(policy))
            rulings = await self.reader.apart(message, lambda: next(steps, []))
            while len(rulings) < len(gathered.cases):
                await asyncio.sleep(0)
                rulings += next(steps)
        count_objections(rulings)
        unknown = unknown_digests(gathered.entry.rows)
        free = [ruling.recipient for ruling in rulings if ruling.leading is None]
        again = [recipient for recipient in free if gathered.digests[recipient.key] in unknown]
        marks = message_id_digests(self.keys, message.message_id)[:1] if message.message_id else ()
        record = await beside(
            lambda: received_record(
                submission, message, rulings, policy.hash, first, self.records.person, again, marks, countries
            ),
            size=len(rulings),
        )
        recording = spawn(self._record(record), f"record {submission.id}")
        deadline = begun + delivery.patience
        answered = asyncio.Event()
        consignment = Consignment(
            submission, message, policy, stream, gathered.key, first, routes, recording, deadline, deadline + delivery.past_dot,
            answered=answered, grounds=grounds_of(rulings), counted=counted_of(rulings),
            residences=residences_of(rulings), again=frozenset(recipient.key for recipient in again),
        )  # fmt: skip
        try:
            try:
                results = await self._results(consignment, gathered, rulings, lanes)
            finally:
                await consignment.recorded()
            return await self._conclude(consignment, results)
        finally:
            answered.set()

    async def _conclude(self, consignment: Consignment, results: Sequence[Result]) -> Reply:
        """Hold what is open and may be held, tell the sender of the refused, write it all down; the reply."""
        submission = consignment.submission
        results = await self.holder.hold(consignment, results)
        fate = await self._reporter.report(consignment, results)
        await self._reporter.confirm(consignment, results)
        reply = final_reply(consignment.first.submission_id, results, fate)
        is_recorded = await self._finish(consignment, results, fate, reply)
        for settling in consignment.settling:  # under way meanwhile
            await sheltered(settling)  # what was delivered is noted, whoever goes away
        if not is_recorded and keeps_any(results, fate):
            return replies.RECORDS_UNAVAILABLE  # a resend finds what is held
        if reply.is_positive and consignment.message.message_id is None:
            await self._close(submission.id, consignment.key, durable=True)  # the same bytes come again, and are new
        elif not reply.is_transient:
            self._answered.remember(submission.id, consignment.key)
        return reply

    async def _refuse(self, submission: Submission, fault: MessageError) -> Reply:
        policy = self.policy
        stream = stream_of(policy, submission)
        if stream is None:
            return replies.POLICY_UNUSABLE
        return await self._refuser.message(submission, fault, stream, policy.hash)

    async def _results(
        self, consignment: Consignment, gathered: Gathered, rulings: Sequence[Ruling], lanes: Mapping[str, Digest]
    ) -> list[Result]:
        """One result per recipient, in order: settled at an earlier try, refused by policy, behind others, or tried now."""
        settled: dict[str, Result] = {}
        earlier = settled_rows(gathered.entry.rows)
        for ruling in rulings:
            row = earlier.get(gathered.digests[ruling.recipient.key])
            if row is not None:
                settled[ruling.recipient.key] = earlier_result(ruling.recipient, row)
            elif ruling.leading is not None:
                settled[ruling.recipient.key] = objected(ruling, self.config.http.page(consignment.submission.id), self._clock())
            elif lanes.get(ruling.recipient.key) in gathered.entry.waiting:
                settled[ruling.recipient.key] = Result(ruling.recipient, Standing.TRANSIENT, replies.LANE_WAITS, why=Why.LANE)
        leaving = [ruling.recipient for ruling in rulings if ruling.recipient.key not in settled]
        if leaving:
            with telemetry.stage("deliver"):
                results = await self._sender.send(consignment, leaving)
                results = await await_others(self.store, gathered.key, gathered.digests, results, consignment.deadline)
                settled |= {result.recipient.key: result for result in results}
        return [settled[ruling.recipient.key] for ruling in rulings]

    async def _record(self, record: Record) -> RecordsUnavailable | None:
        """Write it down while the copies are made; the fault, if there was one, is for whoever waits for the record."""
        try:
            with telemetry.stage("record"):
                await self.records.append(record)
        except RecordsUnavailable as fault:
            return fault
        except Exception as fault:  # noqa: BLE001 - law 1: whatever went wrong, there is no record
            _log.exception("a submission could not be recorded")
            return RecordsUnavailable(type(fault).__name__)
        return None

    async def _finish(self, consignment: Consignment, results: Sequence[Result], fate: ReportFate, reply: Reply) -> bool:
        """Record every outcome; whether that was done. Mail that left cannot be called back: for it, a fault is only logged."""
        submission = consignment.submission
        for result in results:
            telemetry.recipients_total.labels(submission.stream, result.standing.value).inc()
        with telemetry.stage("finish"):
            try:
                until = expiry(submission, consignment.stream, results)
                await self._outcomes.finished(submission, results, fate, reply, until)
            except RecordsUnavailable:
                _log.exception("the outcome of %s could not be recorded; it reads as indeterminate", submission.id)
                return False
        return True

    # After the reply -------------------------------------------------------------------------------------------------

    async def concluded(self, submission: Submission) -> None:
        """Close the submission: its reply was written and the client went on, so the same bytes are a new message now.

        A resend that is still under way has a client of its own and keeps what it asked about; a try that began before
        and comes late finds how it ended.
        """
        key = self._answered.take(submission.id)
        if key is not None:
            await self._close(submission.id, key, durable=False)

    async def _close(self, submission_id: str, key: Digest, *, durable: bool) -> None:
        try:
            closing = Closing(submission_id, durable=durable, remember=remembered_for(self.config.smtp))
            await self.store.close(key, closing)
        except StoreUnavailable as fault:
            tell_unavailable(self.store, fault)

    # Small things ----------------------------------------------------------------------------------------------------

    def first_try(self, submission: Submission, policy: PolicySet) -> FirstTry:
        """What this submission's copies say of themselves if it is the first try."""
        date = _date_of(int(submission.at), policy.zone)
        return FirstTry(submission.id, submission.at, date, f"<{submission.id}@{self.config.hostname}>")

    def now(self, policy: PolicySet) -> datetime:
        """This moment, in the organisation's time zone."""
        return datetime.fromtimestamp(self._clock(), policy.zone)

    def upstream_countries(self, submission: Submission, stream: Stream) -> frozenset[str]:
        """Where the upstreams are that the mail may leave by, as far as that is known before there is a message."""
        return self.routing.countries(self.routing.routes(submission.identity, stream, submission.reverse_path, None))
