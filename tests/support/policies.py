"""Policy sets and cases for tests: the shipped set with changes, and one recipient of one message."""

import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.cases.case import Case
from relay.policy.cases.domain_mail import DomainMail
from relay.policy.cases.transfers import Transferred
from relay.policy.rules.organisation import OrganisationFacts
from relay.policy.rules.rule import Setting
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet
from relay.policy.suppressions.suppression import ORGANISATION, Purpose, Reason, Suppression
from relay.service.policies import read_folder

SHIPPED = Path(__file__).resolve().parents[2] / "policies"
PLAIN = b"From: news@example.com\r\nTo: ada@mail.example.org\r\nSubject: Spring\r\n\r\nHello\r\n"


def word_rule(word: str, name: str = "no-word") -> str:
    """A rule of a stream that refuses a word in the subject."""
    return (
        f'[[rule]]\nid = "{name}"\ncheck = "subject-words"\nwords = ["{word}"]\naction = "reject"\n'
        'text = "Not this word"\ntext_zh = "不能使用此词"\nfix = "Write another one"\nfix_zh = "请换一个词"\n'
    )


def shipped_files() -> dict[str, bytes]:
    return read_folder(SHIPPED)


def lasting(pack: str) -> str:
    """The text of a pack without an end: by the machine's clock a shipped one expires some day, and then its mail waits (451)."""
    return re.sub("(?m)^expires_on = .*$", "expires_on = 9999-12-31", pack)


def nested(depth: int) -> bytes:
    """A message whose parts lie inside each other, the innermost a program."""
    head, body = PLAIN.split(b"\r\n\r\n", 1)
    inner = b'Content-Type: application/octet-stream; name="setup.exe"\r\n\r\n' + body
    for number in range(depth):
        boundary = b"b%d" % number
        inner = b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n--%b\r\n%b--%b--\r\n' % (
            boundary,
            boundary,
            inner,
            boundary,
        )
    return head + b"\r\nMIME-Version: 1.0\r\n" + inner


def a_policy(
    *, changes: dict[str, tuple[str, str]] | None = None, added: dict[str, str] | None = None, **files: str
) -> PolicySet:
    """The shipped set; `changes` replaces one text in a file, `added` appends to one, `files` adds whole packs or streams."""
    texts = {name: octets.decode() for name, octets in shipped_files().items()}
    for name, (old, new) in (changes or {}).items():
        assert old in texts[name], f"{name} has no {old!r}"
        texts[name] = texts[name].replace(old, new)
    for name, text in (added or {}).items():
        texts[name] = texts.get(name, "") + text
    texts |= {f"packs/{name}.toml": text for name, text in files.items()}
    return parse_policies({name: text.encode() for name, text in texts.items()})


def newsletter(added: str = "", **settings: str) -> PolicySet:
    """The shipped set with more tables at the end of newsletter.toml, and some of its lines replaced."""
    set_ = {name: octets.decode() for name, octets in shipped_files().items()}
    text = set_["streams/newsletter.toml"]
    for key, value in settings.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text.split("\n")]
        text = "\n".join(lines)
    set_["streams/newsletter.toml"] = text + "\n" + added
    return parse_policies({name: text.encode() for name, text in set_.items()})


def a_setting(
    stream: str = "newsletter", purpose: Purpose = Purpose.MARKETING, today: date = date(2026, 11, 21), **facts: Any
) -> Setting:
    """What a check is told; `facts` are keys of organisation.toml."""
    return Setting(stream, purpose, OrganisationFacts.model_validate({"country": "CN"} | facts), today)


def noon(day: date) -> datetime:
    """The middle of a day where the shipped organisation is."""
    return datetime.combine(day, time(12), ZoneInfo("Asia/Shanghai"))


def an_identity(name: str = "news@example.com", *owns: str) -> Identity:
    return Identity(name, IdentityKind.USER, frozenset(owns or {"@example.com"}))


def a_submission(stream: str = "newsletter", identity: Identity | None = None, *recipients: str) -> Submission:
    return Submission(
        id="01HZZZZZZZZZZZZZZZZZZZZZZZ",
        at=1_795_000_000.0,
        client=Client("submission", "192.0.2.7", "client.example", "TLSv1.3", "ESMTPSA"),
        identity=identity or an_identity(),
        reverse_path=Mailbox.parse("news@example.com"),
        stream=stream,
        policy="0" * 16,
        recipients=tuple(Recipient(Mailbox.parse(one)) for one in recipients),
    )


def a_case(
    raw: bytes | None = PLAIN,
    *,
    to: str = "ada@mail.example.org",
    stream: str = "newsletter",
    identity: Identity | None = None,
    suppressed: Reason | None = None,
    scope: str = ORGANISATION,
    jurisdictions: frozenset[str] = frozenset(),
    upstream_countries: frozenset[str] = frozenset(),
    transferred: Transferred | None = None,
    domain_mail: DomainMail | None = None,
) -> Case:
    """One recipient; `raw` None is phase RCPT."""
    entries = (Suppression(b"d" * 16, scope, suppressed, "test", 1.0),) if suppressed else ()
    message = None if raw is None else Message.parse(raw)
    recipient = Recipient(Mailbox.parse(to))
    submission = a_submission(stream, identity, to)
    return Case(
        submission,
        recipient,
        message,
        entries,
        jurisdictions,
        upstream_countries,
        transferred=transferred,
        domain_mail=domain_mail,
    )
