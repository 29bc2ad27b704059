"""What each kind of record means and holds: the source of docs/records.md.

The examples are built by the functions that the line uses, so they are what
is really written; a field without a meaning here fails the tests.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import orjson

from relay.ids import new_id
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.mail.reply import Reply, reply
from relay.policy.cases.case import Action, Objection, Ruling
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.cases.transfers import Category, Threshold
from relay.policy.consents.consent import ConsentEvent, Ground
from relay.policy.consents.residence import Residence
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records import chain, facts, suppressed
from relay.records.adapted import adapted_record
from relay.records.consented import consent_record, consents_record
from relay.records.handled import handled_record
from relay.records.held import held_records
from relay.records.judged import judged_record
from relay.records.kinds import Kind, Person, Record
from relay.records.meanings import MEANINGS, SENTENCES
from relay.records.paused import paused_record, resumed_record
from relay.records.probed import probed_record
from relay.records.threshold import threshold_record
from relay.stores.adaptations import Adaptation, Scope
from relay.stores.adaptations import Kind as Adapted
from relay.stores.ledger import FirstTry

RECIPE = """\
import hashlib, sqlite3, sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
(chain,) = database.execute("SELECT value FROM meta WHERE name = 'chain'").fetchone()
number, last = 0, hashlib.sha256(chain.encode()).digest()
for seq, body, stored in database.execute("SELECT seq, body, hash FROM records ORDER BY seq"):
    number, last = number + 1, hashlib.sha256(last + body.encode()).digest()
    if (seq, stored) != (number, last):
        sys.exit(f"record {number} is not what was written")
print(f"{number}:{last.hex()}")
"""

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
    why: _Why | None = None
    due: float = 0.0
    cleared: int = 0


def reference() -> str:
    """docs/records.md."""
    kinds = "\n".join(f"- [`{kind.value}`](#{kind.value}): {SENTENCES[kind]}" for kind in Kind)
    chapters = "\n".join(_chapter(kind) for kind in Kind)
    return _PAGE.format(kinds=kinds, chapters=chapters, shape=_json(_shape()), recipe=RECIPE.strip()) + "\n"


_GROUND = Ground("cn-marketing/consent", "marketing:newsletter", "01K8Z0V0000000000000000000", _AT - 86400.0, "explicit")

_RESIDENCE = Residence(frozenset({"KR"}), _AT - 86400.0)


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
    consent = ConsentEvent(_id(6), b"", b"", "granted", _AT + 50, _AT + 60, "by telephone, 18 November", "Wang Min", "marketing")
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
    rulings = [
        Ruling(ada, Action.REJECT, (_OBJECTION,)),
        Ruling(bob, Action.PERMIT, grounds=(_GROUND,), domain_mail=DomainMail.TAKES, residence=_RESIDENCE),
    ]
    came = replace(refusal, number=8131, in_flight=(_id(13),))
    digest, policy = refusal.digest, submission.policy
    lifted = suppressed.lifted_record(
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
    imported = suppressed.imported_record(
        _id(4), _AT, origin="import:ses", file_sha256="5feceb66ffc86f38", rows=12000, new=11874, rejected=3, by="Wang Min"
    )
    applied = facts.policy_record(
        _id(7), _AT, policy_hash=policy, previous="07c1d2a98be4f365", reason="new footer", by="Wang Min", laxer=0, shadow=[]
    )
    at_rcpt = facts.refused_record(
        _id(2), _AT, client, author.key, author, ada, gone, rulings[:1], policy, _person, stream=submission.stream,
        upstream_countries=["CN"],
    )  # fmt: skip
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
        Kind.SUPPRESSED: [suppressed.suppressed_record(_id(3), _AT + 90, refusal, "recipient", submission.id), imported],
        Kind.APPLIED: [suppressed.applied_record(_id(3), _AT + 91, came)],
        Kind.COLLECTED: [bounced],
        Kind.LIFTED: [lifted],
        Kind.CONSENT: [
            consent_record(_id(6), _AT + 60, replace(consent, digest=digest)),
            consents_record(
                _id(16), _AT, file_sha256="d4735e3a265e16ee", rows=8000, new=7990, refused=41, rejected=2, by="Wang Min"
            ),
        ],
        Kind.PAUSED: [paused_record(_id(11), _AT, _PAUSE, _TALLY)],
        Kind.RESUMED: [resumed_record(_id(12), _AT + 7200, _PAUSE, _TALLY, reason="the bought list is deleted", by="Wang Min")],
        Kind.PROBED: [probed_record(_id(15), _AT, "netease", bob.key, "Wang Min", _person)],
        Kind.ADAPTED: [
            adapted_record(_id(13), _AT, _ADAPTATION, _person(author.key)),
            adapted_record(_id(14), _AT + 900, _ADAPTATION, _person(author.key), ended="time"),
        ],
        Kind.THRESHOLD: [threshold_record(_id(17), _AT, 2026, _THRESHOLD, 80_000, "80 %")],
        Kind.POLICY: [applied],
        Kind.KEYS: [facts.keys_record(_id(8), _AT, ring="tokens", fingerprints=["tokens:2:0a1b2c3d4e5f6071"], by="Wang Min")],
        Kind.OPENED: [facts.opened_record(_id(9), _AT, store="sqlite", store_id="01K8Z0V0000000000000000000", why="created")],
    }


def fields(value: Any, path: str = "") -> Iterator[str]:
    """The path of every field in an example, as `MEANINGS` names it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from fields(inner, f"{path}[]")
    elif not path.endswith(("[].objections", "rulings")):
        yield path


_THRESHOLD = Threshold("cn-marketing/transfer-count", "exempt", Category.ORDINARY, 100_000, ("SG",))
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


def _chapter(kind: Kind) -> str:
    records = examples()[kind]
    names: dict[str, None] = dict.fromkeys(name for record in records for name in fields(record.facts))
    rows = "\n".join(f"| `{name}` | {MEANINGS[name]} |" for name in names)
    shown = "\n".join(f"```json\n{_json(record.facts)}\n```\n" for record in records)
    return f"### {kind.value}\n\n{SENTENCES[kind]}\n\n| fact | meaning |\n|---|---|\n{rows}\n\n{shown}"


def _shape() -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(chain.line_of(examples()[Kind.UNREPORTED][0]).body)
    return document


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def _id(number: int) -> str:
    return new_id(_AT, number.to_bytes(10, "big"))


def _person(mailbox_key: str) -> Person:
    return Person(hashlib.sha256(mailbox_key.encode()).digest()[:16], b"sealed")


_PAGE = """\
# Records

What happened, written down on the node where it happened: `data_dir/records.db`, an SQLite file that is only ever added
to. A record is on disk before the first byte of its message goes upstream; when it cannot be written, the client gets a
451 and nothing leaves. `relay records search` finds records, `relay records verify` proves that nobody changed one,
`relay evidence` makes a ZIP of them for a letter, `relay records report --month 2026-11` a page (HTML) and a table (CSV)
of a month, without addresses.

This page is made by `relay.records.reference`; a test keeps it true.

## Kinds

{kinds}

## Shape

```json
{shape}
```

- `id`: the submission's id (in the reply to the client, in every log line and in the help page's address), or the event's own.
- `at`: epoch seconds.
- `people`: everybody the record names. `digest` finds a mailbox (HMAC-SHA-256 under the `records` ring, the first 16
  octets; in `suppressed` and `lifted` under the `addresses` ring, because a refusal by link knows no address), `sealed` is
  the mailbox itself (AES-256-GCM under the `records` ring). Facts name people by their number here.
- `facts`: as below. The client's IP address is the only address in them. Subjects, bodies and passwords are never recorded.

## Facts of each kind

{chapters}
## The chain

Every record is kept as the JSON text that was hashed: sorted keys, no blanks, UTF-8. Its hash is SHA-256 over the 32
octets of the hash before and this text; the first record follows the SHA-256 of the chain's id. Triggers forbid changes;
whoever lifts them breaks the chain. `relay records verify` walks it, compares every index with the texts, and names the
first record that is not what was written. By hand (Python, as `verify.py`; the relay may run meanwhile):

```python
{recipe}
```

`python3 verify.py /var/lib/relay/records.db` prints the number and hash of the last record. Keep that line somewhere
else, on paper or in a mail to yourself: `relay records verify --head NUMBER:HASH` then also proves that nobody cut the
end off, or wrote the whole file anew.

`data_dir/records.id` remembers the chain's id. When `records.db` is gone or is another file, the relay defers all mail
until the backup is restored; it never starts a fresh chain by itself. A backup is both files together with the keys.

## Journal of refusals

A recipient's refusal is written here first, with its record and in one transaction, and answered only then. It binds
every process of this node from that moment; it is applied to the store as soon as the store answers, and applied again
for a day after every outage of the store. The table `effects` counts how soon the store had it, for the monthly report.

The same refusal said again has no record of its own: its row in the journal and its entry in the store remember the last
time, and only a consent after that lifts it. So one link, however often it is posted, adds two records to a node (`suppressed`
and `applied`); two more after each lifting, after a day of silence, and for each outage of the store in which it is posted.

## Numbers

The store counts its steps. One that lets the copies of one transaction leave takes a number (`cleared` in an outcome), one
that brings suppressions in force takes one too (`applied`; an import shares one among some hundred rows). So whether a copy
was cleared before or after a refusal needs no clock: no copy is cleared under a number above that of a refusal that binds it.
A copy that was cleared below it, and had no outcome yet, is among the submissions `in_flight`.

A refusal binds the node that wrote it down from that moment, all nodes from its number on. When a store comes back without
its last steps (an old backup, a fail-over of Redis), its numbers go on from there; a refusal that it has lost is carried over
again and has a second `applied` with its new number.

## Retention

Nothing is ever deleted by the relay, so `[retention] records` and `network_log` are what you promise, not what is
carried out by this version: keep the file for three years at least, where the law of evidence asks for it. A message to
one recipient takes about 2 KB in its two records: a million of them are about 2 GB. Mail is deferred when the disk has
less than `[records] min_free` left; refusals and outcomes are still written then. Whoever has the `records` ring
can read the addresses; without it they stay sealed for ever, which is how to forget them all at once.
"""
