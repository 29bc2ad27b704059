"""What follows from a mail that came back: whom it is about, and what is suppressed because of it.

A mail is matched to a recipient by our unsubscribe token (nobody else can make
one) or by the Message-ID of a mail that this node sent.  What cannot be
matched changes nothing.  The effect, the collected record and the mailbox's
number are written in one transaction, so each mail takes effect once,
whenever the relay is killed.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from relay import telemetry
from relay.doors.refusals import Refusals
from relay.ids import new_id
from relay.keys import Keys
from relay.mail.incoming.bounces import Failure
from relay.mail.incoming.letters import Letter, LetterKind, read_letter
from relay.mail.message import Message, MessageError
from relay.policy.sets.policy_set import PolicySet
from relay.policy.suppressions.bounces import BOUNCE_SECONDS, hard_bounce, is_confirmed
from relay.policy.suppressions.suppression import ORGANISATION, Digest, Purpose, Reason, Suppression
from relay.records.append import Records
from relay.records.collected import (
    Addressee,
    Handled,
    addressee_named,
    addressees_of,
    earlier_bounces,
    mail_digests,
    was_collected,
)
from relay.records.facts import collected_record
from relay.records.kinds import Person, Record
from relay.records.suppressed import suppressed_record
from relay.upstream.profile import Profile, ReplyClass, classify

UNMATCHED, REPEATED, UNREADABLE = "unmatched", "repeated", "unreadable"
_ENDS_HERE = frozenset({LetterKind.INNOCENT, LetterKind.NOTICE, LetterKind.AUTO_REPLY})
READ_SECONDS = 60.0  # a mail is read in a tenth of one; the thread of one that is not cannot be stopped, but left
_MAX_HEADER = 256 * 1024
_MAX_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom a mail is about. `mailbox` is the mailbox key, "" when only the digest is known; `scope` is the token's."""

    digest: Digest
    sealed: bytes
    mailbox: str
    submission_id: str
    stream: str
    scope: str = ORGANISATION


@dataclass(frozen=True, slots=True)
class Effect:
    """What one mail says about one recipient; without a `reason` it is only put on record."""

    concerned: Concerned
    why: str
    reason: Reason | None
    origin: str = ""
    gone: bool = False


class Effects:
    """Judges the mails of one mailbox. `name` is what records and metrics call it."""

    def __init__(
        self,
        name: str,
        profile: Profile,
        hostname: str,
        *,
        keys: Keys,
        records: Records,
        refusals: Refusals,
        policy: Callable[[], PolicySet],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._name = name
        self._profile = profile
        self._hostname = hostname
        self._keys = keys
        self._records = records
        self._refusals = refusals
        self._policy = policy
        self._clock = clock
        self._entropy = entropy

    async def handle(self, octets: bytes, place: Handled) -> str:
        """Let one mail take effect and return what it was, for the metric.

        When something follows, the mail counts as handled on return; else the
        caller says so.  Raises RecordsUnavailable, and TimeoutError when the
        reading does not end; then nothing has happened.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                letter = await _read_apart(octets)
        except MessageError:
            return UNREADABLE
        if letter.kind in _ENDS_HERE:
            return letter.kind.value
        reader = self._records.reader
        if was_collected(reader, octets):
            return REPEATED
        now = self._clock()
        effects = list(self._effects_of(letter, now))
        if not effects:
            return UNMATCHED
        records: list[Record] = []
        entries: list[Suppression] = []
        for effect in effects:
            entry = self._entry(effect, now)
            records.append(self._collected(letter, effect, entry, octets, now))
            if entry:
                entries.append(entry)
                by = "recipient" if effect.origin != "bounce" else "relay"
                records.append(suppressed_record(self._id(now), now, entry, by, effect.concerned.submission_id))
        await self._records.handle(place, records, entries)
        for effect in effects:
            telemetry.event(
                "collected", kind=letter.kind.value, mailbox=self._name, submission=effect.concerned.submission_id,
                effect=effect.reason.value if effect.reason else "none",
            )  # fmt: skip
        return letter.kind.value

    # What follows ----------------------------------------------------------------------------------------------------

    def _effects_of(self, letter: Letter, now: float) -> Iterator[Effect]:
        match letter.kind:
            case LetterKind.TOKEN:
                for concerned in self._by_token(letter)[:1]:
                    yield Effect(concerned, "mailto", Reason.UNSUBSCRIBE, "mailto")
            case LetterKind.WORDS:
                answering = self._answering(letter)
                if answering and self._may_be_refused(answering.stream):
                    yield Effect(answering, "reply", Reason.OBJECTION, "reply")
            case LetterKind.COMPLAINT:
                if complaining := self._complaining(letter):
                    reason = Reason.UNSUBSCRIBE if letter.opts_out else Reason.COMPLAINT
                    yield Effect(complaining, "feedback", reason, "feedback")
            case LetterKind.BOUNCE:
                for concerned, failure in self._bounced(letter):
                    yield self._judge(concerned, failure, now)

    def _judge(self, concerned: Concerned, failure: Failure, now: float) -> Effect:
        """Whether the address is known to be invalid, by the rule that holds for the upstream's own replies too."""
        said = classify(self._profile, failure.code, failure.enhanced, failure.text)
        gone = said.reply_class is ReplyClass.RECIPIENT_GONE and said.permanent
        why = f"{failure.enhanced or failure.code} {said.reply_class.value}"
        confirmed = gone and is_confirmed(failure.enhanced, concerned.submission_id, self._earlier(concerned, now))
        return Effect(concerned, why, Reason.HARD_BOUNCE if confirmed else None, "bounce", gone)

    def _earlier(self, concerned: Concerned, now: float) -> frozenset[str]:
        reader = self._records.reader
        digests = (concerned.digest, *(reader.digests(concerned.mailbox) if concerned.mailbox else ()))
        return earlier_bounces(reader, digests, concerned.mailbox, now - BOUNCE_SECONDS)

    def _may_be_refused(self, stream: str) -> bool:
        """Words refuse marketing; in a person's own correspondence they are an answer to a person."""
        found = next((one for one in self._policy().streams if one.name == stream), None)
        return found is None or found.purpose is Purpose.MARKETING

    # Whom it is about ------------------------------------------------------------------------------------------------

    def _by_token(self, letter: Letter) -> list[Concerned]:
        all_concerned = []
        for text in letter.tokens:
            if offer := self._refusals.read(text):
                token = offer.token
                found = addressee_named(self._records.reader, token.submission_id, token.recipient_digest)
                all_concerned.append(
                    Concerned(
                        self._keys.addresses.digest(found.mailbox) if found else token.recipient_digest,
                        found.person.sealed if found else b"",
                        found.mailbox if found else "",
                        token.submission_id,
                        offer.stream.name if offer.stream else "",
                        offer.scope,
                    )
                )
        return all_concerned

    def _by_message_id(self, letter: Letter) -> dict[str, Concerned]:
        """The recipients of the mails that it returns or answers, by mailbox key; the latest mail counts."""
        found: dict[str, Concerned] = {}
        for message_id in letter.message_ids:
            for addressee in addressees_of(self._records.reader, message_id, self._hostname):
                found.setdefault(addressee.mailbox, self._concerned(addressee))
        return found

    def _concerned(self, addressee: Addressee) -> Concerned:
        digest = self._keys.addresses.digest(addressee.mailbox)
        return Concerned(digest, addressee.person.sealed, addressee.mailbox, addressee.submission_id, addressee.stream)

    def _answering(self, letter: Letter) -> Concerned | None:
        """Its writer, where we wrote to that address; else the one recipient of the mail, who may have forwarded it."""
        if all_concerned := self._by_token(letter):
            return next((concerned for concerned in all_concerned if concerned.mailbox == letter.sender), all_concerned[0])
        return _chosen(self._by_message_id(letter), (letter.sender,))

    def _complaining(self, letter: Letter) -> Concerned | None:
        if all_concerned := self._by_token(letter):
            return all_concerned[0]
        return _chosen(self._by_message_id(letter), letter.addresses)

    def _bounced(self, letter: Letter) -> list[tuple[Concerned, Failure]]:
        """Each failure with the recipient whom it is about."""
        if all_concerned := self._by_token(letter):
            about = [f for f in letter.failures if self._names(all_concerned[0], f)] or list(letter.failures)
            return [(all_concerned[0], about[0])] if len(about) == 1 else []
        known = self._by_message_id(letter)
        if len(letter.failures) == 1:
            concerned = _chosen(known, letter.failures[0].addresses)
            return [(concerned, letter.failures[0])] if concerned else []
        named = [(next((known[a] for a in failure.addresses if a in known), None), failure) for failure in letter.failures]
        return [(concerned, failure) for concerned, failure in named if concerned]

    def _names(self, concerned: Concerned, failure: Failure) -> bool:
        return any(concerned.digest in self._keys.addresses.digests(address) for address in failure.addresses)

    # What is written -------------------------------------------------------------------------------------------------

    def _entry(self, effect: Effect, now: float) -> Suppression | None:
        if effect.reason is None:
            return None
        concerned = effect.concerned
        if effect.reason is Reason.HARD_BOUNCE:
            return hard_bounce(concerned.digest, concerned.sealed, effect.origin, now)
        scope = concerned.scope if effect.reason is Reason.UNSUBSCRIBE else ORGANISATION
        return Suppression(concerned.digest, scope, effect.reason, effect.origin, now, concerned.sealed)

    def _collected(self, letter: Letter, effect: Effect, entry: Suppression | None, octets: bytes, now: float) -> Record:
        concerned = effect.concerned
        return collected_record(
            self._id(now),
            now,
            what=letter.kind.value,
            mailbox=self._name,
            person=Person(concerned.digest, concerned.sealed),
            submission_id=concerned.submission_id,
            stream=concerned.stream,
            why=effect.why,
            gone=effect.gone,
            effect=entry.reason.value if entry else "",
            mark=mail_digests(self._keys, octets)[0],
        )

    def _id(self, now: float) -> str:
        return new_id(now, self._entropy(10))


def _chosen(known: dict[str, Concerned], addresses: Sequence[str]) -> Concerned | None:
    """The recipient who is named; else the only one there is."""
    named = next((known[address] for address in addresses if address in known), None)
    return named or (next(iter(known.values())) if len(known) == 1 else None)


async def _read_apart(octets: bytes) -> Letter:
    """Read in a thread that waits behind nobody, so that a reading that does not end is known to be this mail's."""
    reader = ThreadPoolExecutor(1, thread_name_prefix="mailbox")
    try:
        return await asyncio.get_running_loop().run_in_executor(reader, _read, octets)
    finally:
        reader.shutdown(wait=False)


def _read(octets: bytes) -> Letter:
    """Raises MessageError."""
    return read_letter(Message.parse(octets, max_fields=_MAX_FIELDS, max_header_size=_MAX_HEADER))
