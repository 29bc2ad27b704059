"""Records in a temporary folder, and people and submissions to fill them with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from relay.ids import new_id
from relay.keys import Keys, new_keys
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.cases.case import Action, Objection, Ruling
from relay.policy.suppressions.suppression import Reason, Suppression
from relay.records.append import Records
from relay.records.kinds import Kind, Record
from relay.records.suppressed import suppressed_record
from relay.stores.ledger import FirstTry

NOW = 1_795_000_000.0
KEYS = new_keys(date(2026, 11, 1))
CLIENT = Client("submission", "192.0.2.7", "desk.example.com", "TLSv1.3 TLS_AES_256_GCM_SHA384", "ESMTPSA")
GONE = Objection(
    "base/suppression",
    Action.REJECT,
    "This recipient has unsubscribed",
    "收件人已退订",
    "Remove the address",
    "请删除该地址",
    cite="15 USC 7704(a)(4)",
    detail="unsubscribe, organisation",
)


@contextmanager
def opened(path: Path, keys: Keys = KEYS, min_free: int = 0, clock: Callable[[], float] = lambda: NOW) -> Iterator[Records]:
    """Records that are closed again."""
    records = Records.open(path, keys, min_free, clock)
    try:
        yield records
    finally:
        records.close()


async def has_all_keys() -> bool:
    """What `Refusals` are told of the store: nothing was written to it with keys that are not here."""
    return False


def an_id(number: int, at: float = NOW) -> str:
    return new_id(at, number.to_bytes(10, "big"))


def a_record(number: int = 1, kind: Kind = Kind.RECEIVED, at: float = NOW, **facts: object) -> Record:
    return Record(kind, an_id(number, at), at, (), {"number": number, **facts})


def a_submission(
    number: int = 1, recipients: Sequence[str] = ("ada@example.org",), *, notify: frozenset[str] | None = None
) -> Submission:
    author = Mailbox.parse("news@example.com")
    identity = Identity(author.key, IdentityKind.USER, frozenset({author.key}))
    people = tuple(Recipient(Mailbox.parse(recipient), notify) for recipient in recipients)
    return Submission(an_id(number), NOW, CLIENT, identity, author, "newsletter", "0123456789abcdef", people)


def a_message(body: str = "Hello") -> Message:
    text = f"From: news@example.com\r\nTo: ada@example.org\r\nSubject: News\r\n\r\n{body}\r\n"
    return Message.parse(text.encode(), line_ends="normalise", max_fields=100, max_header_size=10_000, max_line=998)


def a_first_try(submission: Submission) -> FirstTry:
    return FirstTry(submission.id, submission.at, "Wed, 18 Nov 2026 10:00:00 +0800", f"<{submission.id}@relay.example.com>")


def permitted(recipient: Recipient) -> Ruling:
    return Ruling(recipient, Action.PERMIT)


def rejected(recipient: Recipient, objection: Objection = GONE) -> Ruling:
    return Ruling(recipient, objection.action, (objection,))


def a_refusal(mailbox: str = "ada@example.org", at: float = NOW, keys: Keys = KEYS, **changes: object) -> Suppression:
    facts: dict[str, object] = {"scope": "organisation", "reason": Reason.UNSUBSCRIBE, "origin": "one_click", **changes}
    return Suppression(keys.addresses.digest(mailbox), at=at, sealed=keys.records.seal(mailbox.encode(), b"address"), **facts)  # type: ignore[arg-type]


async def journal(records: Records, number: int, refusal: Suppression) -> None:
    """What is written down before a recipient reads that it was understood."""
    record = suppressed_record(an_id(number, refusal.at), refusal.at, refusal, "recipient")
    await records.journal_refusal(record, refusal)


async def refuse(records: Records, number: int, clock: Callable[[], float], **changes: Any) -> Suppression:
    """The refusal of a person of that number, written down."""
    refusal = a_refusal(f"person{number}@example.org", clock(), **changes)
    await journal(records, number, refusal)
    return refusal
