"""What leaves: the message as it came, the fields that we own around it, signed and read back.

    Received                                    ours, on top
    DKIM-Signature (RSA), DKIM-Signature (Ed25519)
    the message's own fields, octet for octet   but Bcc, Resent-Bcc, Return-Path, X-Relay-*, what duties remove
    Date, Message-ID                            where the message has none, or an empty one
    what duties add                             List-Id, Feedback-ID, Auto-Submitted, CFBL-Address
    CFBL-Feedback-ID                            where CFBL-Address is ours
    List-Unsubscribe, List-Unsubscribe-Post     where the stream sets them; the client's are gone then
    (empty line)
    the body, octet for octet                   one object shared by all copies, but where a footer has the copy's own link

Our fields stand at the two ends, so that the message's own fields stay
together and trace fields stay on top (RFC 5322 section 3.6.7).
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from relay.errors import RenderingImpossible
from relay.lazy import lazy
from relay.mail.envelope import Client, Recipient
from relay.mail.mailbox import is_at_or_below
from relay.mail.message import Message
from relay.mail.parts.fields import Field as MessageField
from relay.mail.parts.fields import split_fields as raw_fields
from relay.render.body import Body
from relay.render.duties import NOBODY, NONE, Treatment, carry_out
from relay.render.fields import CFBL_ADDRESS, CFBL_FEEDBACK_ID, feedback_id
from relay.render.letterhead import Letterhead
from relay.render.oneclick import RULE as ONE_CLICK_RULE
from relay.render.oneclick import check_one_click, promises_one_click, unsubscribe_fields
from relay.render.signing import SIGNED_NAMES, Begun, CanonicalField, Signer, canonical_field, signed_names
from relay.render.verification import Field, SignatureError, split_fields, verify

SIGNATURE_RULE = "base/signature"
_REMOVED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_REMOVED_PREFIX = b"x-relay-"
_SUPPLIED = frozenset({b"date", b"message-id"})
_NOTHING: Counter[bytes] = Counter()
_UNSUBSCRIBE = frozenset({b"list-unsubscribe", b"list-unsubscribe-post"})
_HELO = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Trace:
    """What the Received field and the missing fields say; the same at every try, so that the octets agree.

    `at` becomes the signature's t=.  `date` is an RFC 5322 date, `message_id` has its angle brackets.
    """

    submission_id: str
    at: float
    date: str
    message_id: str
    hostname: str
    client: Client


@dataclass(frozen=True)
class Prepared:
    """All that the copies of one message share, made once; `duties` and `skipped` as in Copy."""

    received: bytes
    fields: bytes  # the message's own, the supplied and the added ones
    body: Body = field(repr=False)
    hashed: bytes | None = field(repr=False)  # the hash of a body that all copies share, where it is known already
    canonical: tuple[CanonicalField, ...]  # of `fields` those that may be signed
    signers: tuple[Signer, ...]
    author_domains: frozenset[str]
    unsigned_fields: frozenset[bytes]
    at: int
    sets_unsubscribe: bool
    sets_feedback_id: bool
    needs_8bit: bool
    needs_smtputf8: bool
    duties: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    digests: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)
    """Hashes of the bodies with a link, where one was worked out before its copy is made."""
    _begun: dict[tuple[bytes, ...], tuple[Begun, ...]] = field(default_factory=dict, init=False, repr=False)

    @lazy
    def body_hash(self) -> bytes:
        """The hash of a body that all copies share."""
        return self.hashed or self.body.digest(None)

    def body_hash_of(self, link: str | None) -> bytes:
        """The hash of the body of the copy with this link; nobody reads it where nothing is signed."""
        if not self.signers:
            return b""
        return self.body_hash if self.body.is_shared else self.digests.pop(link or "", b"") or self.body.digest(link)

    @lazy
    def header(self) -> bytes:
        """The header section of every copy, signed and read back, where nothing in it is a copy's own."""
        names = self._signed_names(())
        signatures = b"".join([signer.sign(self.canonical, names, self.body_hash, self.at) for signer in self.aligned])
        _read_back(self, signatures, b"", self.body_hash)
        return self.received + signatures + self.fields

    @lazy
    def read(self) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """`received` and `fields` as a receiver reads them."""
        return split_fields(self.received), split_fields(self.fields)

    @lazy
    def aligned(self) -> tuple[Signer, ...]:
        """The signers, if each speaks for every author. Raises RenderingImpossible."""
        for signer in self.signers:
            if not _is_aligned(signer.domain, self.author_domains):
                raise RenderingImpossible(SIGNATURE_RULE, f"the key of {signer.domain} does not speak for the domain in From")
        return self.signers

    def begun(self, own: tuple[bytes, ...]) -> tuple[Begun, ...]:
        """The signatures of every copy that has fields of its own with these names, as far as they agree."""
        if own not in self._begun:
            names = self._signed_names(own)
            self._begun[own] = tuple([signer.begin(self.canonical, names, self.at) for signer in self.aligned])
        return self._begun[own]

    def _signed_names(self, own: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return signed_names([*[name for name, _ in self.canonical], *own], self.unsigned_fields)


@dataclass(frozen=True, slots=True)
class Copy:
    """The octets for one or more recipients.

    `header` ends with the empty line, so `header + body` is the message.
    `duties` names those that were done, `skipped` those that could not be, with why.
    """

    recipients: tuple[Recipient, ...]
    header: bytes = field(repr=False)
    body: bytes = field(repr=False)
    needs_8bit: bool
    needs_smtputf8: bool
    duties: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Octets of the message, as SIZE counts them (RFC 1870)."""
        return len(self.header) + len(self.body)


def prepare(
    message: Message,
    trace: Trace,
    *,
    signers: Sequence[Signer],
    signing_required: bool,
    sets_unsubscribe: bool = False,
    existing: Literal["replace", "reject"] = "replace",
    unsigned_fields: Iterable[str] = (),
    treatment: Treatment = NONE,
    letterhead: Letterhead = NOBODY,
    eight_bit: bool = True,
    smtputf8: bool = False,
    hashed: bytes | None = None,
) -> Prepared:
    """Do once what all copies of a message share; `signers` are those of the author's domain.

    `unsigned_fields` are the upstream profile's; `smtputf8` is what the client
    declared; `hashed` is the hash of the body where it is known already and no
    duty changes it; `eight_bit` says whether duties may bring 8-bit octets
    into a body that has none.  Raises RenderingImpossible.
    """
    if signing_required and not signers:
        raise RenderingImpossible(SIGNATURE_RULE, "there is no DKIM key for the domain in From; add a [[dkim]] table")
    done = carry_out(message, treatment, letterhead, trace.at, eight_bit=eight_bit)
    kept = _kept_fields(done.fields, sets_unsubscribe, existing)
    names = {name for name, _ in kept}
    for name, text in ((b"Date", trace.date), (b"Message-ID", trace.message_id)):
        if name.lower() not in names:
            kept.append((name.lower(), b"%s: %s\r\n" % (name, text.encode())))
    kept += done.added
    sets_feedback_id = CFBL_ADDRESS in [name for name, _ in done.added] and CFBL_FEEDBACK_ID not in names
    if sets_feedback_id and not sets_unsubscribe:  # copies are not for one recipient each
        kept.append(feedback_id(trace.submission_id))
    fields = b"".join([octets for _, octets in kept])
    if signers and (b"\x0b" in fields or b"\x0c" in fields):
        _check_edges(kept)
    has_8bit_body = message.has_8bit_body if not treatment.changes_body else done.body.has_8bit
    return Prepared(
        received=received_field(trace),
        fields=fields,
        body=done.body,
        hashed=hashed,
        canonical=tuple([canonical_field(octets) for name, octets in kept if name in SIGNED_NAMES]) if signers else (),
        signers=tuple(signers),
        author_domains=frozenset([author.domain for author in message.authors or ()]),
        unsigned_fields=frozenset([name.lower().encode() for name in unsigned_fields]),
        at=int(trace.at),
        sets_unsubscribe=sets_unsubscribe,
        sets_feedback_id=sets_feedback_id and sets_unsubscribe,
        needs_8bit=has_8bit_body or message.has_8bit_header,
        needs_smtputf8=smtputf8 and message.has_8bit_header,
        duties=tuple([name for name in treatment.names if name not in dict(done.skipped)]),
        skipped=done.skipped,
    )


def render_copy(
    prepared: Prepared,
    recipients: Sequence[Recipient],
    unsubscribe_url: str | None = None,
    mailto: str | None = None,
    token: str = "",
) -> Copy:
    """Build the copy for these recipients, sign it, and read it back as a receiver would.

    The URIs and the token in them belong to one recipient's copy and are given
    exactly when the message was prepared for them; copies of a message without
    them differ in nothing, so those are signed once.  Raises RenderingImpossible.
    """
    link = unsubscribe_url or mailto
    if prepared.sets_unsubscribe:
        own = unsubscribe_fields(unsubscribe_url, mailto)
        if prepared.sets_feedback_id:
            own = feedback_id(token)[1] + own
        header = _own_header(prepared, own, prepared.body_hash_of(link))
    elif link:
        raise ValueError("this message was not prepared for List-Unsubscribe")
    else:
        header = prepared.header
    smtputf8 = prepared.needs_smtputf8 or any(recipient.mailbox.needs_smtputf8 for recipient in recipients)
    body = prepared.body.octets(link)
    return Copy(tuple(recipients), header + b"\r\n", body, prepared.needs_8bit, smtputf8, prepared.duties, prepared.skipped)


def received_field(trace: Trace) -> bytes:
    """The Received field (RFC 5321 section 4.4, RFC 3848).

    It has no `for` clause: a copy may be for several people, and none of them
    shall read of the others.  It does name the client's address; receivers
    and abuse desks trace by it.
    """
    clauses = f"by {trace.hostname} with {trace.client.protocol} id {trace.submission_id}"
    return f"Received: from {_source(trace.client)}\r\n\t{clauses};\r\n\t{trace.date}\r\n".encode()


@lru_cache(maxsize=1024)  # a connection brings many mails
def _source(client: Client) -> str:
    literal = _literal(client.address)
    helo = client.helo if _HELO.fullmatch(client.helo) else ""
    source = f"{helo} ({literal})" if helo and literal else helo or literal or "unknown"
    tls = f"\r\n\t({re.sub('[^A-Za-z0-9 ._-]', '', client.tls)})" if client.tls else ""
    return source + tls


def _literal(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return f"[IPv6:{parsed.compressed}]" if parsed.version == 6 else f"[{parsed}]"


def _kept_fields(fields: Sequence[MessageField], sets_unsubscribe: bool, existing: str) -> list[tuple[bytes, bytes]]:
    removed = _REMOVED
    if sets_unsubscribe:
        if existing == "reject" and not _UNSUBSCRIBE.isdisjoint([one.name for one in fields]):
            raise RenderingImpossible(
                ONE_CLICK_RULE, "the message brings its own List-Unsubscribe, and this stream does not take that"
            )
        removed |= _UNSUBSCRIBE
    return [
        (one.name, one.raw)
        for one in fields
        if one.name not in removed and not one.name.startswith(_REMOVED_PREFIX) and (one.name not in _SUPPLIED or one.value)
    ]


def _check_edges(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse what verifiers read differently: some take VT and FF around a value for white space, RFC 6376 does not."""
    for name, raw in fields:
        value = raw.partition(b":")[2].strip(b" \t\r\n")
        if value != value.strip() and name in SIGNED_NAMES:
            text = (
                f"the field {name.decode()} begins or ends with a control character, on which DKIM verifiers disagree; remove it"
            )
            raise RenderingImpossible(SIGNATURE_RULE, text)


def _own_header(prepared: Prepared, own: bytes, body_hash: bytes) -> bytes:
    """The header section of a copy that has fields of its own, signed and read back."""
    canonical = [canonical_field(raw) for raw in raw_fields(own)]
    signed = [field for field in canonical if field[0] not in prepared.unsigned_fields]
    begun = prepared.begun(tuple([name for name, _ in canonical]))
    signatures = b"".join([signature.finish(signed, body_hash) for signature in begun])
    _read_back(prepared, signatures, own, body_hash)
    return b"".join([prepared.received, signatures, prepared.fields, own])


def _read_back(prepared: Prepared, signatures: bytes, own: bytes, body_hash: bytes) -> None:
    """Verify every signature of ours on the finished octets and what it covers; what all copies share is read once."""
    trace, shared = prepared.read
    fields = [*trace, *split_fields(signatures), *shared, *split_fields(own)]
    authors = [field.name for field in fields].count(b"from")
    covered = _NOTHING
    for place, signer in enumerate(prepared.signers, 1):
        try:
            named = verify(fields, place, signer, body_hash)
        except SignatureError as fault:
            raise RenderingImpossible(SIGNATURE_RULE, f"the signature of {signer.domain} would not verify: {fault}") from None
        if named[b"from"] <= authors:
            raise RenderingImpossible(SIGNATURE_RULE, "From is not signed against a second one")
        covered = covered & named if place > 1 else named
    if promises_one_click(fields):
        check_one_click(fields, covered)


def _is_aligned(domain: str, authors: frozenset[str]) -> bool:
    return bool(authors) and all(is_at_or_below(author, domain) for author in authors)
