"""A month of a small company's mail, as records: three streams, refusals, bounces, policy changes."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from shutil import copytree
from zoneinfo import ZoneInfo

from relay.answer import ReportFate, Result, Standing
from relay.cli.opening import open_all
from relay.ids import new_id
from relay.keys import Keys
from relay.mail import replies
from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import reply
from relay.policy.cases.case import Action, Objection, Ruling
from relay.policy.cases.reputation import Measure, Pause, Tally
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.adapted import adapted_record
from relay.records.facts import (
    collected_record,
    finished_record,
    keys_record,
    late_record,
    policy_record,
    received_record,
    refused_record,
)
from relay.records.kinds import Person, Record
from relay.records.paused import paused_record, resumed_record
from relay.records.suppressed import imported_record, lifted_record, suppressed_record
from relay.service.policies import PolicyArchive, read_folder
from relay.stores.adaptations import Adaptation, Scope
from relay.stores.adaptations import Kind as Adapted
from relay.stores.ledger import FirstTry
from tests.support.records import CLIENT, GONE, a_message, a_submission

ROOT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
SIZE = Objection(
    "newsletter/no-big-mail-to-qq",
    Action.REJECT,
    "Attachments over 5 MB are not sent to qq.com",
    "不向 qq.com 发送超过 5 MB 的附件",
    "Put the file on the website",
    "请改用网盘链接",
    cite="QQ Mail sender guidelines 3.2",
)
TYPES = replace(SIZE, rule="base/attachment-types", text="This attachment type is not sent", text_zh="不发送此类附件", cite="")
OBSERVED = replace(TYPES, action=Action.WARN, asked_for=Action.REJECT, observed="override")
WARNED = replace(
    TYPES, rule="base/subject-words", action=Action.WARN, text="The subject reads like advertising", text_zh="主题像广告用语",
    cite="Advertising Law Art 9",
)  # fmt: skip
LIMIT = "newsletter: recipient domain qq.com 20/minute"


class Writer:
    """Makes records; `random` with a seed, so that a month is the same every time."""

    def __init__(self, keys: Keys, seed: int = 7) -> None:
        self._keys = keys
        self._random = random.Random(seed)
        self._message = a_message()

    def person(self, mailbox_key: str) -> Person:
        return Person(self._keys.records.digest(mailbox_key), self._keys.records.seal(mailbox_key.encode(), b"address"))

    def id(self, at: float) -> str:
        return new_id(at, self._random.randbytes(10))

    def mail(self, at: float, stream: str, addresses: list[str], policy: str) -> list[Record]:
        """One message to these people, and what came of it: some of everything."""
        recipients = tuple(Recipient(Mailbox.parse(address)) for address in addresses)
        submission = replace(a_submission(1, addresses), id=self.id(at), at=at, stream=stream, recipients=recipients)
        pairs = [self._fate(recipient, stream) for recipient in recipients]
        first = FirstTry(submission.id, at, "", "")
        rulings, results = [ruling for ruling, _ in pairs], [result for _, result in pairs]
        final = reply(250, "0.0", "OK")
        return [
            received_record(submission, self._message, rulings, policy, first, self.person),
            *finished_record(submission, results, ReportFate.NOT_NEEDED, final, at + 3, self.person),
        ]

    def _fate(self, recipient: Recipient, stream: str) -> tuple[Ruling, Result]:
        chance = self._random.random()
        ok = Result(recipient, Standing.DELIVERED, reply(250, "0.0", "OK"), upstream="netease")
        if stream != "newsletter" or chance < 0.88:
            if chance > 0.8 and stream == "newsletter":
                objection = OBSERVED if chance > 0.84 else WARNED
                return Ruling(recipient, Action.WARN, (objection,)), ok
            return Ruling(recipient, Action.PERMIT), ok
        if chance < 0.95:
            objection = GONE if chance < 0.92 else SIZE
            said = replies.refused(objection.rule, objection.text)
            return Ruling(recipient, Action.REJECT, (objection,)), Result(recipient, Standing.REFUSED, said, rule=objection.rule)
        permit = Ruling(recipient, Action.PERMIT)
        if chance < 0.97:
            over = replies.over_limit(LIMIT, 37)
            return permit, Result(recipient, Standing.TRANSIENT, over, rule="limit")
        if chance < 0.99:
            return permit, Result(recipient, Standing.REFUSED, reply(550, "1.1", "User unknown"), upstream="netease")
        unknown = reply(451, "4.7", "The upstream server took too long, try again later")
        return permit, Result(recipient, Standing.INDETERMINATE, unknown, upstream="netease")

    def refusal(self, mail: Record, at: float, origin: str = "one_click", reason: Reason = Reason.UNSUBSCRIBE) -> Record:
        entry = Suppression(mail.people[0].digest, ORGANISATION, reason, origin, at, mail.people[0].sealed)
        return suppressed_record(self.id(at), at, entry, "recipient", mail.id)

    def returned(self, mail: Record, at: float, what: str, *, gone: bool = False) -> Record:
        effect = "complaint" if what == "complaint" else ""
        return collected_record(
            self.id(at), at, what=what, mailbox="netease", person=mail.people[0], submission_id=mail.id,
            stream=mail.facts["stream"], why="5.1.1 recipient_gone", gone=gone, effect=effect, mark=self._random.randbytes(16),
        )  # fmt: skip

    def rcpt_refusal(self, at: float, policy: str) -> Record:
        recipient = Recipient(Mailbox.parse("eve@example.org"))
        ruling, said = Ruling(recipient, Action.REJECT, (GONE,)), replies.refused(GONE.rule, GONE.text)
        path = Mailbox.parse("shop@example.com")
        return refused_record(
            self.id(at), at, CLIENT, path.key, path, recipient, said, [ruling], policy, self.person, stream="receipts"
        )

    def sender_refusal(self, at: float, policy: str) -> Record:
        path = Mailbox.parse("eve@example.net")
        return refused_record(self.id(at), at, CLIENT, path.key, path, None, replies.SENDER_NOT_OWNED, (), policy, self.person)


def month(
    keys: Keys, start: datetime, policies: tuple[str, str], days: int = 30, mails: int = 12, each: int = 6
) -> Iterator[Record]:
    """`policies`: the set in force at the beginning, and the one that replaces it on the tenth day."""
    writer = Writer(keys)
    for day in range(days):
        begins = start + timedelta(days=day)
        policy = policies[day >= 9]
        weekday = begins.weekday() < 5
        for number in range(mails if weekday else 1):
            at = (begins + timedelta(hours=9, minutes=number * 17)).timestamp()
            stream = ("newsletter", "newsletter", "receipts", "correspondence")[number % 4]
            people = [f"person{day}.{number}.{one}@{('qq.com', '163.com', 'example.org')[one % 3]}" for one in range(each)]
            records = writer.mail(at, stream, people, policy)
            yield from records
            if stream == "newsletter" and number % 5 == 1:
                yield writer.refusal(records[0], at + (1800, 50_000, 400_000)[day % 3])
            if stream == "newsletter" and number % 8 == 0:
                yield writer.returned(records[0], at + 120, "bounce", gone=day % 3 == 0)
        if day == 9:
            at = begins.timestamp() + 30_000
            yield policy_record(
                writer.id(at), at, policy_hash=policies[1], previous=policies[0], reason="trade fair, asked by wang@example.com",
                by="Wang Min", laxer=3, shadow=["receipts"],
            )  # fmt: skip
    at = (start + timedelta(days=days - 1, hours=20)).timestamp()
    mail = writer.mail(at, "newsletter", ["ada@example.org"], policies[1])[0]
    yield from (mail, writer.returned(mail, at + 60, "complaint"), writer.refusal(mail, at + 60, "feedback", Reason.COMPLAINT))
    yield writer.rcpt_refusal(at + 1, policies[1])
    yield writer.sender_refusal(at + 2, policies[1])
    ada = Recipient(Mailbox.parse("ada@example.org"))
    yield late_record(mail.id, [Result(ada, Standing.DELIVERED, reply(250, "0.0", "OK"))], at + 90, writer.person)
    person = mail.people[0]
    yield imported_record(
        writer.id(at), at, origin="import:ses", file_sha256="00", rows=1300, new=1200, rejected=2, by="Wang Min"
    )
    yield lifted_record(
        writer.id(at), at, digest=person.digest, sealed=person.sealed, scope=ORGANISATION, reason=Reason.MANUAL, by="Li Na",
        consent=None, note="",
    )  # fmt: skip
    yield keys_record(writer.id(at), at, ring="tokens", fingerprints=["tokens:2:00"], by="Li Na")
    yield from pauses(writer, at)
    rest = Adaptation(b"", Adapted.REST, "netease", Scope.UPSTREAM, b"", at, at + 900, reply_class="throttle", said="421 HL:ICC")
    yield adapted_record(writer.id(at), at, rest, None)
    yield adapted_record(writer.id(at), at + 900, rest, None, ended="time")
    yield adapted_record(writer.id(at), at + 1000, replace(rest, kind=Adapted.PAUSE), None)


def pauses(writer: Writer, at: float) -> Iterator[Record]:
    """The relay pauses a stream for a rate and a person resumes it; a person pauses another one."""
    tally = Tally(delivered=1180, refused=20, returned=43, complaints=1)
    rate = Pause(
        "newsletter", at, "relay", Measure.HARD_BOUNCES, "hard bounces 5.25% (63 of 1200 recipients in 7 days), over 5%",
        "硬退信率 5.25%（7 天内 1200 位收件人中 63 位），超过 5%",
    )  # fmt: skip
    yield paused_record(writer.id(at), at, rate, tally)
    yield resumed_record(writer.id(at), at + 7200, rate, tally, reason="list deleted, says wang@example.com", by="Wang Min")
    said = "recall"
    yield paused_record(writer.id(at), at + 7300, Pause("receipts", at + 7300, "Li Na", Measure.MANUAL, said, said), Tally())


CONFIG = """
hostname = "relay.example.com"
data_dir = "data"
policies = "policies"
[[listen]]
name = "s"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "netease"
addresses = ["127.0.0.1:1"]
[records]
min_free = "1"
"""
RELAXED = """
[[override]]
rule = "base/attachment-types"
action = "warn"
reason = "trade fair; wang@example.com asked"
by = "Wang Min"
until = 2026-11-20
"""
EXEMPT = """
[[exempt]]
recipients = ["qa@example.com", "qb@example.com"]
rules = ["base/mass-*"]
reason = "test mailboxes"
by = "Li Na"
until = 2027-03-31
"""


async def a_node(folder: Path, start: datetime, **shape: int) -> None:
    """Make a node in `folder` with config.toml, two policy sets, and the month from `start` on in its records."""
    (folder / "config.toml").write_text(CONFIG)
    copytree(ROOT / "policies", folder / "policies", dirs_exist_ok=True)
    async with open_all(str(folder / "config.toml")) as opened:
        archive = PolicyArchive(opened.config.data_path)
        first = archive.keep(read_folder(folder / "policies"))
        archive.put_in_force(first, (start - timedelta(days=40)).timestamp(), "Li Na", "first set")
        for name, more in (("streams/newsletter.toml", RELAXED), ("organisation.toml", EXEMPT)):
            path = folder / "policies" / name
            path.write_text(path.read_text("utf-8") + more, "utf-8")
        receipts = folder / "policies/streams/receipts.toml"
        text = receipts.read_text("utf-8")
        receipts.write_text(text.replace('mode = "enforce"', 'mode = "shadow"'), "utf-8")
        second = archive.keep(read_folder(folder / "policies"))
        records = month(opened.keys, start, (first, second), **shape)
        at = start.timestamp() + 9 * 86400 + 30_000
        archive.put_in_force(second, at, "Wang Min", "trade fair, asked by wang@example.com")
        while batch := list(islice(records, 500)):
            await opened.records.append_many(batch)
