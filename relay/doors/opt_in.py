"""Double opt-in: ask a mailbox by mail to confirm a sign-up, and record what it confirms.

Asking adds a `requested` event to the consent ledger, which permits nothing;
its id says mailbox, purpose and ten minutes, so that of two who ask at once,
on two nodes, one sends.  The mail goes the way of every mail, as one of a
stream that serves.  Its link shows a page; the button there adds the
`confirmed` event, with the proof of both.  A request that nobody confirms
lapses, and there is no consent.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from relay.config import Config
from relay.doors.consents import ConsentDesk, ConsentIdTaken, ConsentsFull
from relay.doors.pace import DomainPace, Pace, PersonPace
from relay.errors import RelayError
from relay.ids import ENTROPY_OCTETS, new_id
from relay.keys import Keys
from relay.loglines import fault_text
from relay.mail.mailbox import Mailbox, MailboxError
from relay.policy.consents.consent import Basis, ConsentEvent, Details, EventKind, Source, Statement, is_ended
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.opting_in.confirming import serving_stream
from relay.policy.opting_in.opt_in import (
    AGAIN_SECONDS,
    HOLDS_SECONDS,
    MOST_TO_ALL,
    Kept,
    Language,
    SignUp,
    person_of,
    why_not,
)
from relay.policy.sets.policy_set import PolicySet
from relay.policy.suppressions.suppression import Reason
from relay.records.consents import Said, address_of, origin_of
from relay.render.confirmation import Asking, confirmation_mail
from relay.render.request_token import RequestToken, make_request_token, read_request_token
from relay.render.sealed import TokenError
from relay.telemetry import consent_confirmations_total, consent_requests_total

_log = logging.getLogger("relay.doors")
MOST_FROM_NETWORK, MOST_FROM_ALL = 20, 300
"""Requests in an hour, of this node."""
UNANSWERED_AT_DOMAIN, FOR_EACH_ANSWER = 50, 4
"""Mails in a day to one domain, of this node: so many, and so many more for each mailbox there that confirmed."""
_DAY = 86400.0
_MOST_UNTAKEN = 10_000
_NO_INVITATION = frozenset({Reason.COMPLAINT, Reason.OBJECTION, Reason.LEGAL})

Post = Callable[[Mailbox, Mailbox, bytes], Awaitable[tuple[int, str]]]
"""Hands a mail to the line: sender, recipient, octets; its reply's code and text. Raises OSError when no worker answers."""


class NotServed(RelayError):
    """No stream that serves takes mail of [consents] sender."""


class TooManyRequests(RelayError):
    """More sign-ups came than are let through, from one network, at all, or to a domain where nobody answers."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is known of who asks."""

    language: Language
    origin: Mapping[str, str]
    by: str
    evidence: str = ""
    age_band: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of it: `kept` says why nothing is sent, else `mail` is what is to be sent."""

    id: str = ""
    kept: Kept | None = None
    recipient: Mailbox | None = None
    mail: bytes = field(default=b"", repr=False)


class State(StrEnum):
    """What a link still opens."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REFUSED = "refused"  # confirmed, and a refusal that is wider than it keeps the mail back
    ENDED = "ended"  # confirmed once, and taken back since
    EXPIRED = "expired"  # too late, or the form says something else now


@dataclass(frozen=True, slots=True)
class Request:
    """What a link is about; `form` is None only where it is expired."""

    event: ConsentEvent
    state: State
    mailbox: Mailbox
    form: SignUp | None
    policy: PolicySet


class OptIn:
    """One per supervisor."""

    def __init__(
        self,
        config: Config,
        keys: Keys,
        desk: ConsentDesk,
        post: Post,
        policy: Callable[[], PolicySet],
        clock: Callable[[], float],
    ) -> None:
        self._config, self._keys, self._desk, self._post, self._policy, self._clock = config, keys, desk, post, policy, clock
        self._sender = Mailbox.parse(config.consents.sender)
        self._pace = Pace(MOST_FROM_NETWORK, MOST_FROM_ALL)
        self._persons = PersonPace(MOST_TO_ALL, HOLDS_SECONDS)
        self._domains = DomainPace(UNANSWERED_AT_DOMAIN, FOR_EACH_ANSWER, _DAY)
        self._untaken: OrderedDict[str, None] = OrderedDict()  # requests whose mail the line did not take, and may take later
        for result in ("sent", "failed"):  # there from the start, so that the first is seen to be one more
            consent_requests_total.labels(result)

    def policy(self) -> PolicySet:
        """The set in force."""
        return self._policy()

    def form(self, name: str) -> SignUp | None:
        """The form of that name."""
        return next((form for form in self._config.form if form.name == name), None)

    # Asking ------------------------------------------------------------------------------------------------------------

    async def admit(self, address: str, mailbox: Mailbox) -> None:
        """Count a request from this network address, and see whether one to this mailbox could be recorded and sent now.

        Raises TooManyRequests, NotServed, StoreUnavailable, RecordsUnavailable.
        """
        if serving_stream(self._policy(), self._sender) is None:
            raise NotServed("no stream of purpose service or notice takes mail of [consents] sender; see relay check")
        await self._desk.check()
        now = self._clock()
        if bound := self._pace.refusal(address, now) or ("" if self._domains.is_open(mailbox.domain, now) else "domain"):
            consent_requests_total.labels(bound).inc()
            raise TooManyRequests(bound)

    async def ask(self, form: SignUp, mailbox: Mailbox, wish: Wish) -> Asked:
        """Record the request, unless the mailbox must not be asked now; `send` what comes back.

        Raises StoreUnavailable and RecordsUnavailable.
        """
        now = self._clock()
        request = self._request_id(form, mailbox, now)
        kept = await self._kept(form, mailbox, now)
        if kept is None and not (self._persons.lets(person_of(mailbox), now) and self._domains.lets(mailbox.domain, now)):
            kept = Kept.TOO_MANY
        kept = kept or await self._recorded(form, mailbox, wish, request, now)
        if kept is not None:
            consent_requests_total.labels(kept.value).inc()
            return Asked(kept=kept)
        return Asked(request, None, mailbox, self._mail(form, mailbox, request, now, wish.language))

    async def _recorded(self, form: SignUp, mailbox: Mailbox, wish: Wish, request: str, now: float) -> Kept | None:
        """Put the request into the ledger, unless it is there and its mail was taken."""
        try:
            is_new = (await self._desk.record(mailbox, self._said(form, wish, now), event_id=request)).is_new
        except ConsentIdTaken:
            is_new = False
        except ConsentsFull:
            return Kept.TOO_MANY
        is_untaken = request in self._untaken
        self._untaken.pop(request, None)  # of two who ask at once, one sends
        return None if is_new or is_untaken else Kept.ASKED

    async def send(self, asked: Asked) -> bool:
        """Hand the mail to the line; whether the line took it, so that it is delivered or held."""
        code, text = 0, "no worker answered"
        if asked.recipient is not None:
            try:
                code, text = await self._post(self._sender, asked.recipient, asked.mail)
            except OSError as fault:
                text = fault_text(fault)
        is_sent = 200 <= code < 300
        consent_requests_total.labels("sent" if is_sent else "failed").inc()
        if not is_sent:
            if code == 0 or 400 <= code < 500:
                self._untaken[asked.id] = None
                if len(self._untaken) > _MOST_UNTAKEN:
                    self._untaken.popitem(last=False)
            _log.warning("the confirmation mail of request %s was not taken: %s %s", asked.id, code, text)
        return is_sent

    async def _kept(self, form: SignUp, mailbox: Mailbox, now: float) -> Kept | None:
        events, refusals = await asyncio.gather(self._desk.events(mailbox), self._desk.refusals(mailbox, form.purpose))
        if any(entry.reason in _NO_INVITATION for entry in refusals):
            return Kept.REFUSED
        zone = self._policy().zone
        stands = grant_for(events, Needs(form.purpose, confirmed=True, zone=zone), datetime.fromtimestamp(now, zone).date())
        if isinstance(stands, ConsentEvent) and not refusals:
            return Kept.STANDS
        return why_not([event for event in events if event.id not in self._untaken], form.purpose, now)

    def _request_id(self, form: SignUp, mailbox: Mailbox, now: float) -> str:
        slot = int(now // AGAIN_SECONDS)
        digest = self._keys.addresses.lasting_digest(mailbox.key)
        content = f"{digest.hex()}\0{form.purpose}\0{slot}".encode()
        return new_id(slot * AGAIN_SECONDS, hashlib.sha256(content).digest()[:ENTROPY_OCTETS])

    def _said(self, form: SignUp, wish: Wish, now: float) -> Said:
        evidence = wish.evidence or f"signed up at {form.page}" * bool(form.page) or f"signed up by the form {form.name}"
        details = self._details(form, wish.language, wish.age_band, wish.country or form.country)
        return Said(EventKind.REQUESTED, form.purpose, Basis.EXPLICIT, now, evidence, wish.by, details, wish.origin)

    def _details(self, form: SignUp, language: Language, age_band: str, country: str) -> Details:
        names = self._policy().organisation.legal_name
        return Details(
            source=Source.FORM,
            source_ref=form.page,
            method=_method(form),
            notice_version=form.notice_version,
            text_sha256=form.text_sha256(language),
            language=language,
            controller=names.en or names.zh if language == "en" else names.zh or names.en,
            age_band=age_band,
            country=country,
        )

    def _mail(self, form: SignUp, mailbox: Mailbox, request: str, now: float, language: Language) -> bytes:
        policy, generation, until = self._policy(), self._keys.addresses.keys[0].number, int(now + HOLDS_SECONDS)
        token = RequestToken(self._keys.addresses.digest(mailbox.key), generation, request, until)
        link = f"{self._config.unsubscribe.base_url}/u/confirm/{make_request_token(token, self._keys.tokens.keys[0])}"
        asking = Asking(
            form,
            policy.organisation,
            self._sender,
            mailbox,
            link,
            datetime.fromtimestamp(now, policy.zone),
            datetime.fromtimestamp(until, policy.zone),
            f"<{request}.confirm@{self._config.hostname}>",
        )
        return confirmation_mail(asking, language)

    # Confirming --------------------------------------------------------------------------------------------------------

    async def request(self, text: str) -> Request | None:
        """What the link with this token is about; None when it is none of ours. Raises StoreUnavailable."""
        try:
            token = read_request_token(text, self._keys.tokens.keys)
        except TokenError:
            return None
        asked = _named(await self._desk.events_of([token.recipient_digest]), token.request)
        if asked is None:
            return None
        try:
            mailbox = Mailbox.parse(address_of(self._keys, asked))
        except MailboxError:  # sealed with keys that are gone
            return None
        form = self._form_of(asked)
        state = await self._state(asked, mailbox)
        if state is State.OPEN and (form is None or self._clock() > token.until):
            state = State.EXPIRED
        return Request(asked, state, mailbox, form, self._policy())

    def _form_of(self, asked: ConsentEvent) -> SignUp | None:
        """The form by which the person signed up, else one that says the same."""
        same = [form for form in self._config.form if form.is_of(asked)]
        return next((form for form in same if _method(form) == asked.details.method), same[0] if same else None)

    async def _state(self, asked: ConsentEvent, mailbox: Mailbox) -> State:
        events, refusals = await asyncio.gather(self._desk.events(mailbox), self._desk.refusals(mailbox, asked.purpose))
        confirmed = _named(events, _confirmation_id(asked))
        if confirmed is None:
            return State.OPEN
        if is_ended(confirmed, asked.purpose, events) or any(entry.last_at >= confirmed.at for entry in refusals):
            return State.ENDED
        return State.REFUSED if refusals else State.CONFIRMED

    async def confirm(self, request: Request, language: Language, origin: Mapping[str, str]) -> State:
        """The button was pressed: record the consent; it lifts refusals that are older and no wider. What the link opens now.

        To press again changes nothing.  Raises StoreUnavailable, RecordsUnavailable, ConsentsFull.
        """
        if request.state is State.OPEN and request.form is not None:
            said = self._confirmed(request.event, request.form, language, origin)
            try:
                done = await self._desk.record(
                    request.mailbox, said, lifts=True, event_id=_confirmation_id(request.event), is_dated=False
                )
            except ConsentIdTaken:  # confirmed meanwhile in the other language
                pass
            else:
                if done.is_new:
                    self._domains.answer(request.mailbox.domain, self._clock())
                consent_confirmations_total.labels("confirmed" if done.is_new else "again").inc()
                return State.CONFIRMED if done.refused_since is None else State.REFUSED
        consent_confirmations_total.labels("expired" if request.state is State.EXPIRED else "again").inc()
        return State.CONFIRMED if request.state is State.OPEN else request.state

    def _confirmed(self, asked: ConsentEvent, form: SignUp, language: Language, origin: Mapping[str, str]) -> Said:
        zone = self._policy().zone
        day, page = f"{datetime.fromtimestamp(asked.at, zone):%Y-%m-%d %H:%M}", asked.details.source_ref
        evidence = (
            f"signed up {f'at {page} ' * bool(page)}on {day}, confirmed from this mailbox"
            if language == "en"
            else f"{day} {f'在 {page} ' * bool(page)}登记，并从此邮箱确认"
        )
        told = self._details(form, language, asked.details.age_band, asked.details.country)
        of_request = replace(told, source_ref=page, method=asked.details.method, request=asked.id, asked_at=asked.at)
        details = replace(of_request, statements=(Statement.UNTICKED.value,))
        asked_from = {f"asked_{name}": value for name, value in origin_of(self._keys, asked).items() if name in _ORIGIN}
        return Said(
            EventKind.CONFIRMED, asked.purpose, Basis.EXPLICIT, self._clock(), evidence, "recipient", details,
            {**origin, **asked_from},
        )  # fmt: skip


_ORIGIN = ("ip", "user_agent")


def _method(form: SignUp) -> str:
    return f"double opt-in, form {form.name}"


def _confirmation_id(asked: ConsentEvent) -> str:
    return f"{asked.id}-confirmed"


def _named(events: Sequence[ConsentEvent], wanted: str) -> ConsentEvent | None:
    return next((event for event in events if event.id == wanted), None)
