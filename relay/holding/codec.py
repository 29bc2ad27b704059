"""What is kept of mail that the relay holds: the sealed forms, how long, and the names of lanes and owners.

Everything that says who writes what to whom is sealed under the ring `held`
(AES-GCM).  The associated data names the kind of value and the submission, so
that none can take another's place.  What a store must compare are digests
under the oldest generation of the address ring: they stay the same when the
ring gets a new one.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import orjson

from relay.answer import Result, Standing
from relay.keys import Keys
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.reply import parse_reply
from relay.policy.sets.policy_set import Stream
from relay.policy.suppressions.suppression import Digest, Purpose
from relay.stores.held import HeldCopy, Lane, Why
from relay.stores.ledger import FirstTry

_DAY = 86400.0
LIFETIMES: Mapping[Purpose, float] = {
    Purpose.MARKETING: _DAY,
    Purpose.SERVICE: 5 * _DAY,
    Purpose.CORRESPONDENCE: 5 * _DAY,
    Purpose.NOTICE: 5 * _DAY,
}
"""Seconds after which held mail is given up, and its sender told."""

_PRIORITIES = {Purpose.NOTICE: 0, Purpose.SERVICE: 0, Purpose.CORRESPONDENCE: 1, Purpose.MARKETING: 2}
_REPORTS = 0  # the priority of reports
_UNREADABLE = 3  # of what cannot be opened: behind everything that may leave


@dataclass(frozen=True, slots=True)
class Detail:
    """What is kept of one recipient, for the next try and for the report.

    `reply` is the wire form of the last reply about it, `rule`, `why_zh` and `why_en` are of the rule that spoke last;
    `upstream`, `upstream_text` and `gone` are as in `relay.answer.Result`.  `judged` names the decision that is on record,
    "" for the one of the submission itself; `released` says that a person let it pass the rules that hold mail back.
    `refused_at` is when it was known that the recipient will never get it, 0 while nobody knows, or since it is held.
    `is_unrecorded` says that this outcome may not be on record yet.
    """

    recipient: Recipient
    reply: str = ""
    rule: str = ""
    why_zh: str = ""
    why_en: str = ""
    upstream: str = ""
    upstream_text: str = ""
    gone: str = ""
    judged: str = ""
    released: bool = False
    refused_at: float = 0.0
    is_unrecorded: bool = False

    def after(self, result: Result) -> Self:
        """What is kept when this is the last that was said of the recipient."""
        return replace(
            self, reply=result.reply.wire().decode(), rule=result.rule, why_zh=result.why_zh, why_en=result.why_en,
            upstream=result.upstream, upstream_text=result.upstream_text, gone=result.gone,
        )  # fmt: skip

    def refused(self) -> Result:
        """What was found out about a recipient who waits for a report."""
        return Result(
            self.recipient, Standing.REFUSED, parse_reply(self.reply), self.rule, self.upstream,
            upstream_text=self.upstream_text, gone=self.gone, why_zh=self.why_zh, why_en=self.why_en,
        )  # fmt: skip


class Codec:
    """Seals what is held and opens it again. Whatever was altered or belongs to another submission raises ValueError."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def head(self, submission: Submission, first: FirstTry) -> bytes:
        """The envelope without its recipients, and what the first try used."""
        client, identity = submission.client, submission.identity
        return self._seal("head", submission.id, {
            "at": submission.at,
            "client": [client.listener, client.address, client.helo, client.tls, client.protocol],
            "identity": [identity.name, identity.kind.value, sorted(identity.owns), identity.upstream],
            "path": submission.reverse_path.wire if submission.reverse_path else None,
            "stream": submission.stream,
            "policy": submission.policy,
            "body": submission.body,
            "smtputf8": submission.smtputf8,
            "ret": submission.ret,
            "envid": submission.envid,
            "first": [first.submission_id, first.at, first.date, first.message_id],
        })  # fmt: skip

    def read_head(self, submission_id: str, sealed: bytes) -> tuple[Submission, FirstTry]:
        """The submission, with no recipients and no credentials, and its first try. Raises ValueError."""
        with _of_our_form():
            said = self._open("head", submission_id, sealed)
            name, kind, owns, upstream = said["identity"]
            submission = Submission(
                submission_id, said["at"], Client(*said["client"]), Identity(name, IdentityKind(kind), frozenset(owns), upstream),
                _mailbox(said["path"]) if said["path"] else None, said["stream"], said["policy"],
                body=said["body"], smtputf8=said["smtputf8"], ret=said["ret"], envid=said["envid"],
            )  # fmt: skip
            return submission, FirstTry(*said["first"])

    def detail(self, submission_id: str, detail: Detail) -> bytes:
        """One recipient of the submission."""
        recipient = detail.recipient
        return self._seal("copy", submission_id, {
            "to": recipient.mailbox.wire,
            "notify": None if recipient.notify is None else sorted(recipient.notify),
            "orcpt": recipient.orcpt,
            "said": [
                detail.reply, detail.rule, detail.why_zh, detail.why_en, detail.upstream, detail.upstream_text, detail.gone,
                detail.judged, detail.released, detail.refused_at, detail.is_unrecorded,
            ],
        })  # fmt: skip

    def read_detail(self, submission_id: str, sealed: bytes) -> Detail:
        """Raises ValueError."""
        with _of_our_form():
            said = self._open("copy", submission_id, sealed)
            notify = None if said["notify"] is None else frozenset(said["notify"])
            return Detail(Recipient(_mailbox(said["to"]), notify, said["orcpt"]), *said["said"])

    def detail_of(self, copy: HeldCopy) -> Detail | None:
        """What is kept of the recipient of a held copy; None when it cannot be opened."""
        try:
            return self.read_detail(copy.message, copy.sealed)
        except ValueError:
            return None

    def body(self, submission_id: str, octets: bytes) -> bytes:
        """The message as it was received."""
        return self._keys.held.seal(octets, _associated("body", submission_id))

    def read_body(self, submission_id: str, sealed: bytes) -> bytes:
        """Raises ValueError."""
        return self._keys.held.open(sealed, _associated("body", submission_id))

    def _seal(self, kind: str, submission_id: str, facts: Mapping[str, Any]) -> bytes:
        return self._keys.held.seal(orjson.dumps(facts), _associated(kind, submission_id))

    def _open(self, kind: str, submission_id: str, sealed: bytes) -> dict[str, Any]:
        facts: dict[str, Any] = orjson.loads(self._keys.held.open(sealed, _associated(kind, submission_id)))
        return facts


def expiry(submission: Submission, stream: Stream, results: Iterable[Result] = ()) -> float:
    """When held mail of this submission is given up, epoch seconds: its time begins with the hours that it waits for."""
    begins = max((result.due for result in results if result.why is Why.HOURS), default=submission.at)
    return begins + LIFETIMES[stream.purpose]


def held_key(keys: Keys, submission_id: str) -> Digest:
    """Name the held part of a submission in the ledger, apart from what its client sent and may send again."""
    return keys.addresses.lasting_digest(f"held\0{submission_id}")


def lane_of(keys: Keys, purpose: Purpose, identity: str, domain: str) -> Lane:
    """The lane of an identity's mail of this purpose to a recipient domain.

    The key says the priority too: what waits in a lane keeps nobody of another priority waiting.
    """
    priority = _PRIORITIES[purpose]
    return Lane(priority, keys.addresses.lasting_digest(f"lane\0{priority}\0{identity}\0{domain}"))


def report_lane(keys: Keys, submission_id: str) -> Lane:
    """The lane of the recipients of one submission whose sender must be told: they come together, in one report."""
    return Lane(_REPORTS, keys.addresses.lasting_digest(f"report\0{submission_id}"))


def unreadable_lane(keys: Keys, submission_id: str) -> Lane:
    """The lane of the copies of one submission that nobody can open: they wait together, and keep nobody else waiting."""
    return Lane(_UNREADABLE, keys.addresses.lasting_digest(f"unreadable\0{submission_id}"))


def owner_of(keys: Keys, upstream: str, identity: str) -> Digest:
    """Name whose login at which upstream a copy leaves with."""
    return keys.addresses.lasting_digest(f"owner\0{upstream}\0{identity}")


@contextmanager
def _of_our_form() -> Iterator[None]:
    """What opens and yet has not the form that this version writes is as unreadable as what does not open."""
    try:
        yield
    except (KeyError, TypeError) as fault:
        raise ValueError(f"not in a form that this version reads: {fault}") from fault


def _associated(kind: str, submission_id: str) -> bytes:
    return f"held {kind}\0{submission_id}".encode()


def _mailbox(wire: str) -> Mailbox:
    return Mailbox.parse(wire, literals=True)
