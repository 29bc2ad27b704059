"""A record of every kind, as the line and the commands write them: for docs/records.md and for whoever counts records."""

import hashlib
from dataclasses import dataclass, replace
from enum import Enum

from relay.ids import new_id
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply, reply
from relay.policy.case import Action, Objection, Ruling
from relay.policy.reputation import Measure, Pause, Tally
from relay.policy.suppression import ORGANISATION, Reason, Suppression
from relay.records import facts, journalled
from relay.records.adapted import adapted_record
from relay.records.handled import handled_record
from relay.records.held import held_records
from relay.records.judged import judged_record
from relay.records.kinds import Kind, Person, Record
from relay.records.probed import probed_record
from relay.stores.adaptations import Adaptation, Scope
from relay.stores.adaptations import Kind as Adapted
from relay.stores.contracts import ConsentEvent, FirstTry

_AT = 1_795_000_000.0


class _State(Enum):
    DELIVERED = "delivered"
    REFUSED = "refused"
    HELD = "held"


class _Why(Enum):
    UPSTREAM = "upstream"


class _Report(Enum):
    DELIVERED = "delivered"
    HELD = "held"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True)
class _Outcome:
    recipient: Recipient
    standing: _State
    reply: Reply
    rule: str = ""
    upstream: str = "netease"
    upstream_text: str = ""
    earlier: bool = False
    cleared: int = 0
    why: _Why | None = None
    due: float = 0.0


def examples() -> dict[Kind, list[Record]]:
    """Records of every kind, as the line and the commands write them."""
    ada, bob = (Recipient(Mailbox.parse(f"{name}@example.org")) for name in ("ada", "bob"))
    author = Mailbox.parse("news@example.com")
    client = Client("submission", "192.0.2.7", "desk.example.com", "TLSv1.3 TLS_AES_256_GCM_SHA384", "ESMTPSA")
    identity = Identity(author.key, IdentityKind.USER, frozenset({author.key}))
    submission = Submission(_id(1), _AT, client, identity, author, "newsletter", "9f3a6c0e12b47d58", (ada, bob))
    message = Message.parse(
        b"From: news@example.com\r\n\r\nHello\r\n", line_ends="normalise", max_fields=10, max_header_size=1000, max_line=998
    )
    gone = reply(550, "7.1", "[base/suppression] This recipient has unsubscribed")
    outcomes = [
        _Outcome(ada, _State.REFUSED, gone, "base/suppression", ""),
        _Outcome(bob, _State.DELIVERED, reply(250, "0.0", "OK"), upstream_text="250 Mail OK queued as smtp1", cleared=8127),
    ]
    refusal = Suppression(_person(ada.key).digest, ORGANISATION, Reason.UNSUBSCRIBE, "one_click", _AT + 90)
    consent = ConsentEvent(_id(6), b"", b"", "granted", _AT + 50, _AT + 60, "by telephone, 18 November", "Wang Min")
    first = FirstTry(submission.id, _AT, "", "")
    final = reply(250, "0.0", f"{submission.id}, 1 delivered, 0 held, 1 left out")
    finished, reported = facts.finished_record(submission, outcomes, _Report.DELIVERED, final, _AT + 1, _person)
    _, unreported = facts.finished_record(submission, outcomes, _Report.FORBIDDEN, final, _AT + 1, _person)
    waiting = [
        outcomes[0],
        _Outcome(
            bob, _State.HELD, reply(450, "4.7.1", "The upstream server said: slow down"), upstream_text="450 slow down",
            why=_Why.UPSTREAM, due=_AT + 61,
        ),
    ]  # fmt: skip
    held = held_records(submission.id, waiting, _Report.HELD, _AT + 1, _AT + 86400, _person)
    rulings = [Ruling(ada, Action.REJECT, (_OBJECTION,)), Ruling(bob, Action.PERMIT)]
    came = replace(refusal, number=8131, in_flight=(_id(13),))
    digest, policy = refusal.digest, submission.policy
    lifted = facts.lifted_record(
        _id(5),
        _AT + 60,
        digest=digest,
        sealed=b"",
        scope=refusal.scope,
        reason=refusal.reason,
        by="Wang Min",
        consent=consent,
        note="",
    )
    imported = facts.imported_record(
        _id(4), _AT, origin="import:ses", file_sha256="5feceb66ffc86f38", rows=12000, new=11874, rejected=3, by="Wang Min"
    )
    applied = facts.policy_record(
        _id(7), _AT, policy_hash=policy, previous="07c1d2a98be4f365", reason="new footer", by="Wang Min", laxer=0, shadow=[]
    )
    at_rcpt = facts.refused_record(
        _id(2), _AT, client, author.key, author, ada, gone, rulings[:1], policy, _person, stream=submission.stream
    )
    large = reply(552, "3.4", "[base/size] the message is larger than 33538048 octets")
    announced = facts.refused_record(
        _id(11), _AT, client, author.key, author, None, large, (), policy, _person, stream=submission.stream, bound=33538048
    )
    bounced = facts.collected_record(
        _id(10),
        _AT + 90,
        what="bounce",
        mailbox="netease",
        person=_person(bob.key),
        submission_id=submission.id,
        stream=submission.stream,
        why="5.1.1 recipient_gone",
        gone=True,
        effect=Reason.HARD_BOUNCE.value,
        mark=_person("the mail's octets").digest,
    )
    return {
        Kind.RECEIVED: [facts.received_record(submission, message, rulings, policy, first, _person, upstream_countries=["CN"])],
        Kind.JUDGED: [
            judged_record(submission, rulings, "07c1d2a98be4f365", _AT + 3600, _person, [bob], ["CN"]),
        ],
        Kind.FINISHED: [finished],
        Kind.HELD: held,
        Kind.REFUSED: [at_rcpt, announced],
        Kind.REPORTED: [reported],
        Kind.UNREPORTED: [unreported],
        Kind.LATE: [facts.late_record(submission.id, outcomes[1:], _AT + 90, _person)],
        Kind.HANDLED: [
            handled_record(submission.id, [bob], "drop", by="Wang Min", reason="a test campaign", at=_AT + 60, person=_person)
        ],
        Kind.SUPPRESSED: [facts.suppressed_record(_id(3), _AT + 90, refusal, "recipient", submission.id), imported],
        Kind.APPLIED: [journalled.applied_record(_id(3), _AT + 91, came)],
        Kind.COLLECTED: [bounced],
        Kind.LIFTED: [lifted],
        Kind.PAUSED: [facts.paused_record(_id(11), _AT, _PAUSE, _TALLY)],
        Kind.RESUMED: [
            facts.resumed_record(_id(12), _AT + 7200, _PAUSE, _TALLY, reason="the bought list is deleted", by="Wang Min")
        ],
        Kind.PROBED: [probed_record(_id(15), _AT, "netease", bob.key, "Wang Min", _person)],
        Kind.ADAPTED: [
            adapted_record(_id(13), _AT, _ADAPTATION, _person(author.key)),
            adapted_record(_id(14), _AT + 900, _ADAPTATION, _person(author.key), ended="time"),
        ],
        Kind.POLICY: [applied],
        Kind.KEYS: [facts.keys_record(_id(8), _AT, ring="tokens", fingerprints=["tokens:2:0a1b2c3d4e5f6071"], by="Wang Min")],
        Kind.OPENED: [facts.opened_record(_id(9), _AT, store="sqlite", store_id="01K8Z0V0000000000000000000", why="created")],
    }


_OBJECTION = Objection(
    "base/suppression",
    Action.REJECT,
    "This recipient has unsubscribed or must not be written to",
    "收件人已退订，或在禁发名单中",
    "Remove the address from your list; only a new consent of the recipient lifts a refusal",
    "请将该地址从名单中删除；只有收件人重新同意后才能解除",
    "PIPL Art 15, 47; 15 USC 7704(a)(4); GDPR Art 21(3)",
    "unsubscribe, organisation",
)


_ADAPTATION = Adaptation(
    b"", Adapted.REST, "netease", Scope.IDENTITY, b"", _AT, _AT + 900, reply_class="throttle", said="451 MI:SFQ"
)
_TALLY = Tally(delivered=1210, refused=14, returned=6, complaints=5)
_PAUSE = Pause(
    "newsletter",
    _AT,
    "relay",
    Measure.COMPLAINTS,
    "complaints 0.41% (5 of 1210 recipients in 7 days), over 0.3%",
    "投诉率 0.41%（7 天内 1210 位收件人中 5 位），超过 0.3%",
)


def _id(number: int) -> str:
    return new_id(_AT, number.to_bytes(10, "big"))


def _person(mailbox_key: str) -> Person:
    return Person(hashlib.sha256(mailbox_key.encode()).digest()[:16], b"sealed")
