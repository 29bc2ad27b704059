"""One message on its way to the upstream, and the copies that are made of it."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from relay import telemetry
from relay.accounts import Account
from relay.answer import Result
from relay.config import Config
from relay.errors import RecordsUnavailable, RenderingImpossible
from relay.hosts import split_host_port
from relay.keys import Keys
from relay.mail.envelope import Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message
from relay.policy.cases.case import Counted, Ruling
from relay.policy.cases.jurisdiction import countries_told
from relay.policy.consents.consent import Ground
from relay.policy.consents.residence import Residence, countries_of
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Digest
from relay.render.body import Body
from relay.render.copy import Copy, Prepared, Trace, prepare, render_copy
from relay.render.duties import NOBODY, Treatment, treatment_for
from relay.render.encoding import encode_message
from relay.render.letterhead import Letterhead, letterhead_of
from relay.render.report import Heading, Named, Notice, build_report
from relay.render.signing import Signer, Signers
from relay.render.token import UnsubscribeToken, make_token, stream_number
from relay.routing import Route, Routing
from relay.stores.ledger import FirstTry
from relay.tasks import Turns, sheltered
from relay.upstream.delivery import Upstreams

_WRITTEN_AT_ONCE = 16 * 1024  # octets of a body into which duties write without a break
_AT_ONCE = 1024**2  # octets of a body that are hashed without a break: about 3 ms
_MOST_LETTERHEADS = 1000
_PIECES = 4  # of a larger body, hashed at a time: where it is white space, each takes as long as many of text
_Place = tuple[str, frozenset[str], frozenset[str]]  # a domain, the recorded countries, what was agreed


@dataclass(frozen=True)
class Consignment:
    """One message on its way: everything its copies share.

    `recording` ends when the rulings are on disk; before that, and without
    one, not one byte leaves.  `settling` are outcomes on their way to the store; the reply waits
    for them.  In the loop's time: a transaction that did not reach its content by
    `deadline` waits for the client's next try, and by `end` the client is told
    what is known of the others.  `held` are the keys of recipients who were
    held after it; it is complete when `answered` is set (None: from the start).
    `grounds` are the consents on which each recipient was permitted, by mailbox key;
    `counted` is what counts those whose data leave the country; `residences` where those
    are of whom the consent ledger knew it when they were judged; `again` names
    those of whom it is on record that an earlier try may have reached them.
    """

    submission: Submission
    message: Message
    policy: PolicySet
    stream: Stream
    key: Digest
    first: FirstTry
    routes: Sequence[Route]
    recording: "asyncio.Future[RecordsUnavailable | None] | None" = None
    deadline: float = 0.0
    end: float = 0.0
    prepared: dict[tuple[str, bool, Treatment], Prepared] = field(default_factory=dict)
    treatments: dict[_Place, Treatment] = field(default_factory=dict)
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    settling: "list[asyncio.Future[bool]]" = field(default_factory=list)
    answered: asyncio.Event | None = None
    held: set[str] = field(default_factory=set)
    attempt: str = ""
    grounds: Mapping[str, tuple[Ground, ...]] = field(default_factory=dict)
    counted: Mapping[str, tuple[Counted, ...]] = field(default_factory=dict)
    residences: Mapping[str, Residence] = field(default_factory=dict)
    again: frozenset[str] = frozenset()

    @property
    def try_id(self) -> str:
        """Who claims and settles in the ledger: a submission is a try, and of held mail each turn of the courier is one."""
        return self.attempt or self.submission.id

    async def recorded(self) -> None:
        """Return when the rulings are on disk. Raises RecordsUnavailable."""
        if self.recording is None:
            raise RecordsUnavailable("nothing was recorded of this message")
        fault = await sheltered(self.recording)
        if fault is not None:
            raise fault

    @property
    def past_dot(self) -> float:
        """Seconds for the reply to the dot."""
        return max(0.0, self.end - self.deadline)


def grounds_of(rulings: Iterable[Ruling]) -> dict[str, tuple[Ground, ...]]:
    """The consents on which each recipient was permitted; nobody where no rule asked for any."""
    return {ruling.recipient.key: ruling.grounds for ruling in rulings if ruling.grounds}


def counted_of(rulings: Iterable[Ruling]) -> dict[str, tuple[Counted, ...]]:
    """What counts each recipient whose copy may leave the country; nobody where no rule counts."""
    return {ruling.recipient.key: ruling.counted for ruling in rulings if ruling.counted}


def residences_of(rulings: Iterable[Ruling]) -> dict[str, Residence]:
    """Where each recipient is; nobody of whom that is not recorded."""
    return {ruling.recipient.key: ruling.residence for ruling in rulings if ruling.residence}


class Renderer:
    """Makes the octets that leave. One per worker."""

    def __init__(self, config: Config, *, keys: Keys, upstreams: Upstreams, routing: Routing, signers: Signers) -> None:
        self._config = config
        self._keys = keys
        self._upstreams = upstreams
        self._routing = routing
        self._signers = signers
        self._turns = Turns()
        self._letterheads: dict[tuple[str, str, str | None, str, frozenset[str]], Letterhead] = {}

    def groups(self, consignment: Consignment, recipients: Sequence[Recipient], cap: int) -> Iterator[tuple[Recipient, ...]]:
        """Split into copies of about the same number: one per recipient where the bytes differ, else `cap` at most.

        Who is owed other duties gets another copy.  Who needs SMTPUTF8 goes
        apart: an upstream that lacks it can still have the others.
        """
        if len(recipients) == 1:
            yield tuple(recipients)
            return
        alike: dict[tuple[bool, Treatment], list[Recipient]] = {}
        for recipient in recipients:
            kind = recipient.mailbox.needs_smtputf8, self.treatment(consignment, recipient)
            alike.setdefault(kind, []).append(recipient)
        cap = 1 if consignment.stream.unsubscribe.is_offered else cap
        for _, some in sorted(alike.items(), key=lambda one: one[0][0]):
            copies = -(-len(some) // cap)
            for number in range(copies):
                yield tuple(some[number * len(some) // copies : (number + 1) * len(some) // copies])

    def treatment(self, consignment: Consignment, recipient: Recipient) -> Treatment:
        """What is done to the recipient's copy."""
        domain, stream = recipient.mailbox.domain, consignment.stream
        recorded = countries_of(consignment.residences.get(recipient.key))
        agreed = stream.agreed(consignment.grounds.get(recipient.key, ()))
        place = domain, recorded, agreed
        if place not in consignment.treatments:
            told = countries_told(domain, recorded)
            laws = told or frozenset(consignment.policy.organisation.unknown_recipient)
            ways = self._routing.countries(consignment.routes)
            consignment.treatments[place] = treatment_for(stream, told, laws, ways, agreed, consignment.message)
        return consignment.treatments[place]

    async def ready(self, consignment: Consignment, route: Route, group: tuple[Recipient, ...], *, encoded: bool = False) -> None:
        """Wait until the copy may be made: large bodies are read, written and hashed while others have their turn.

        One copy is signed in each pass of the loop.  Raises RenderingImpossible.
        """
        size = len(consignment.message.body)
        if size > _WRITTEN_AT_ONCE and (size > _AT_ONCE or self.treatment(consignment, group[0]).changes_body):
            async with consignment.preparing:
                prepared = await self._prepared_in_steps(consignment, route.upstream, group, encoded=encoded)
            if prepared.body.size_after_link > _AT_ONCE:
                offer = self._offer(consignment, group[0])
                prepared.digests[offer.link] = await _hash_in_steps(prepared.body, offer.link)
        await self._turns.take()

    async def _prepared_in_steps(
        self, consignment: Consignment, upstream: str, group: tuple[Recipient, ...], *, encoded: bool
    ) -> Prepared:
        treatment = self.treatment(consignment, group[0])
        key = upstream, encoded, treatment
        if key not in consignment.prepared:
            message = self._as_taken(consignment, upstream, encoded=encoded)
            if treatment.changes_body:
                prepared = await asyncio.to_thread(self._prepare, consignment, upstream, message, treatment, encoded=encoded)
                await asyncio.to_thread(prepared.body.begun)
                if prepared.body.is_shared:
                    prepared = replace(prepared, hashed=await _hash_in_steps(prepared.body))
            else:
                hashed = await _hash_in_steps(Body((message.body,)))
                prepared = self._prepare(consignment, upstream, message, treatment, encoded=encoded, hashed=hashed)
            consignment.prepared[key] = prepared
        return consignment.prepared[key]

    def copy(self, consignment: Consignment, route: Route, group: tuple[Recipient, ...], *, encoded: bool = False) -> Copy:
        """The copy for these recipients as this upstream takes it; `encoded` when it lacks 8BITMIME.

        Raises RenderingImpossible.
        """
        if not self._routing.lets_write(route, consignment.message):
            raise RenderingImpossible("base/login-only", "The upstream server takes mail only with its own login in From")
        upstream, treatment = route.upstream, self.treatment(consignment, group[0])
        prepared = consignment.prepared.get((upstream, encoded, treatment))
        if prepared is None:
            message = self._as_taken(consignment, upstream, encoded=encoded)
            prepared = self._prepare(consignment, upstream, message, treatment, encoded=encoded)
            consignment.prepared[upstream, encoded, treatment] = prepared
        if not prepared.sets_unsubscribe:
            return render_copy(prepared, group)
        offer = self._offer(consignment, group[0])
        return render_copy(prepared, group, offer.url, offer.mailto, offer.token)

    def _as_taken(self, consignment: Consignment, upstream: str, *, encoded: bool) -> Message:
        """The message with the octets that this upstream takes."""
        profile = self._upstreams.profile(upstream)
        eight_bit, long_lines = encoded or profile.eight_bit == "encode", profile.long_lines == "encode"
        if eight_bit or long_lines:
            return encode_message(consignment.message, eight_bit=eight_bit, long_lines=long_lines)
        return consignment.message

    def _prepare(
        self,
        consignment: Consignment,
        upstream: str,
        message: Message,
        treatment: Treatment,
        *,
        encoded: bool,
        hashed: bytes | None = None,
    ) -> Prepared:
        """What all copies of the message share on their way to this upstream."""
        stream, submission, first = consignment.stream, consignment.submission, consignment.first
        profile = self._upstreams.profile(upstream)
        author = (message.authors or (None,))[0]
        signers = self._signers.for_domain(author.domain) if author else ()
        prepared = prepare(
            message,
            Trace(first.submission_id, first.at, first.date, first.message_id, self._config.hostname, submission.client),
            signers=signers,
            signing_required=stream.signing_required,
            sets_unsubscribe=stream.unsubscribe.is_offered,
            existing=stream.unsubscribe.existing,
            unsigned_fields=profile.unsigned_fields,
            treatment=treatment,
            letterhead=self._letterhead(consignment, signers) if treatment.duties else NOBODY,
            eight_bit=not encoded and profile.eight_bit != "encode",
            smtputf8=submission.smtputf8,
            hashed=hashed,
        )
        for duty, why in prepared.skipped:
            telemetry.duties_skipped_total.labels(duty).inc()
            telemetry.event("duty skipped", level=logging.WARNING, id=submission.id, duty=duty, text=why)
        return prepared

    def _letterhead(self, consignment: Consignment, signers: Sequence[Signer]) -> Letterhead:
        """What duties write, from organisation.toml and the stream: the same for all mail of a sender under one policy set."""
        submission, domains = consignment.submission, frozenset([signer.domain for signer in signers])
        own = submission.reverse_path.key if submission.reverse_path else None
        place = consignment.policy.hash, consignment.stream.name, own, submission.identity.name, domains
        if (letterhead := self._letterheads.get(place)) is None:
            watched = self._watched(consignment)
            letterhead = letterhead_of(
                consignment.policy.organisation,
                consignment.stream,
                feedback_mailbox=watched.address if watched else "",
                signing_domains=domains,
            )
            if len(self._letterheads) >= _MOST_LETTERHEADS:
                self._letterheads.clear()
            self._letterheads[place] = letterhead
        return letterhead

    def _offer(self, consignment: Consignment, recipient: Recipient) -> "_Offer":
        """How the recipient unsubscribes."""
        offered, token = consignment.stream.unsubscribe, self._token(consignment, recipient)
        url = self._url(token) if offered.one_click else None
        return _Offer(token, url, self._mailto(consignment, token) if offered.mailto else None)

    def _token(self, consignment: Consignment, recipient: Recipient) -> str:
        """The recipient's own token; the same at every try of the submission."""
        addresses = self._keys.addresses
        token = UnsubscribeToken(
            recipient_digest=addresses.digest(recipient.key),
            address_generation=addresses.keys[0].number,
            stream_number=stream_number(consignment.stream.name),
            whole_organisation=consignment.stream.unsubscribe.scope == "organisation",
            submission_id=consignment.first.submission_id,
        )
        return make_token(token, self._keys.tokens.keys[0])

    def _url(self, token: str) -> str:
        base_url = self._config.unsubscribe.base_url
        if not base_url:
            raise RenderingImpossible("base/one-click", "one_click needs [unsubscribe] base_url in config.toml")
        return f"{base_url}/u/{token}"

    def _mailto(self, consignment: Consignment, token: str) -> str:
        account = self._watched(consignment)
        if account is None:
            raise RenderingImpossible("base/one-click", "mailto needs an [[account]] of the sender with imap in config.toml")
        return f"mailto:{quote(account.address, safe='@')}?subject={token}"

    def _watched(self, consignment: Consignment) -> Account | None:
        """A mailbox that the collector reads: the sender's own, else the organisation's for refusals."""
        submission = consignment.submission
        own = submission.reverse_path.key if submission.reverse_path else None
        return self._config.watched_account(own, submission.identity.name, consignment.policy.organisation.refusal_mailbox)

    def report(
        self,
        consignment: Consignment,
        route: Route,
        recipient: Recipient,
        notice: Notice,
        about: Sequence[Result],
        digest: Digest,
        delivered: int,
    ) -> tuple[Copy, Mailbox | None]:
        """The report's octets and its reverse-path: null, or the account itself where the provider refuses null.

        `digest` tells the reports on one submission from each other.
        """
        first = consignment.first
        own = None
        if not self._upstreams.profile(route.upstream).null_reverse_path:
            own = _mailbox_of(route) or consignment.submission.reverse_path
        message_id = f"<{first.submission_id}.{digest[:4].hex()}.report@{self._config.hostname}>"
        heading = Heading(self._config.hostname, own, first.date, message_id, first.date)
        octets = build_report(
            consignment.submission,
            consignment.message,
            [self._named(result) for result in about],
            heading,
            notice=notice,
            delivered=delivered,
        )
        trace = Trace(first.submission_id, first.at, first.date, message_id, self._config.hostname, consignment.submission.client)
        signers = self._signers.for_domain(own.domain if own else self._config.hostname)
        prepared = prepare(Message.parse(octets), trace, signers=signers, signing_required=False)
        return render_copy(prepared, (recipient,)), own

    def _named(self, result: Result) -> Named:
        """Where the upstream decided, its host speaks, unless it is gone since; a rule's words are ours."""
        host = ""
        if result.upstream and not result.rule and self._upstreams.knows(result.upstream):
            host, _ = split_host_port(self._config.upstream_named(result.upstream).addresses[0])
        return Named(result.recipient, result.reply, result.why_zh, result.why_en, host)


async def _hash_in_steps(body: Body, link: str | None = None) -> bytes:
    """As `Body.digest`, and others get their turn in between, also where a body is nothing but white space."""
    hasher = body.begun()
    for number, piece in enumerate(body.rest(link), 1):
        hasher.update(piece)
        if number % _PIECES == 0:
            await asyncio.sleep(0)
    digest: bytes = hasher.digest()
    return digest


@dataclass(frozen=True, slots=True)
class _Offer:
    """The token of one recipient, and the URIs with it that the stream offers."""

    token: str
    url: str | None
    mailto: str | None

    @property
    def link(self) -> str:
        """What a footer shows."""
        return self.url or self.mailto or ""


def _mailbox_of(route: Route) -> Mailbox | None:
    """The account as a mailbox, where its login is one."""
    try:
        return Mailbox.parse(route.credentials.login) if route.credentials else None
    except MailboxError:
        return None
