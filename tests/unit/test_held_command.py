"""`relay held`: what people see of held mail, and what becomes of it when they release, retry or drop it."""

import asyncio
import json
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from relay.cli.main import root
from relay.cli.opening import open_all
from relay.gathering import recipient_digest
from relay.holding.codec import Codec, Detail, lane_of, owner_of, report_lane
from relay.holding.intervention import Deed, Done, HeldMail, Intervention, Wanted
from relay.mail.envelope import Client, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.policy.suppressions.suppression import Purpose
from relay.records.kinds import Kind
from relay.stores.held import NEVER, HeldCopy, HeldMessage, HeldUpdate, Holding, Why
from relay.stores.ledger import FirstTry
from tests.support.redis_server import RedisServer
from tests.support.small import SMALL_CONFIG

NEWS = "news@example.com"
ONE, TWO = "01KAM00000000000000000000A", "01KAM00000000000000000000B"
ASK = "450 4.7.1 [newsletter/look] Somebody must look at this"
DAY = 86400.0


class Office:
    """A relay's folder with held mail in its store, and the person at its terminal."""

    def __init__(self, folder, more=""):
        self.config = folder / "config.toml"
        (folder / "policies").mkdir(parents=True)
        self.config.write_text(SMALL_CONFIG + more)

    def __call__(self, *words, code=0, lang="en"):
        command = ["--config", str(self.config), "--lang", lang, "held", *map(str, words)]
        done = CliRunner().invoke(root, command, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    def rows(self, *words):
        return json.loads(self("list", *words, "--json").stdout)["copies"]

    def do(self, work):
        """Run work(opened) on what the commands open."""

        async def opened():
            async with open_all(str(self.config)) as everything:
                return await work(everything)

        return asyncio.run(opened())

    def hold(self, message, stream, *recipients, **facts):
        """Hold a message of NEWS to these recipients."""
        self.do(lambda opened: _hold(opened, message, stream, recipients, facts))

    def copies(self, message=None):
        return self.do(lambda opened: opened.store.held_copies(None, 100, message))

    def claim(self):
        return self.do(lambda opened: opened.store.claim(100, 600.0))

    def detail(self, copy):
        return self.do(lambda opened: _told(Codec(opened.keys).read_detail(copy.message, copy.sealed)))

    def facts(self, kind):
        async def read(opened):
            bodies = opened.records.reader.read("SELECT body FROM records WHERE kind = ? ORDER BY seq", (kind.value,))
            return [json.loads(body)["facts"] for (body,) in bodies]

        return self.do(read)


async def _told(value):
    return value


async def _hold(opened, message, stream, recipients, facts):
    keys, codec, now = opened.keys, Codec(opened.keys), time.time()
    client = Client("submission", "192.0.2.7", "desk", None, "ESMTPA")
    identity = Identity(NEWS, IdentityKind.USER, frozenset({NEWS}))
    submission = Submission(message, now, client, identity, Mailbox.parse(NEWS), stream, "0" * 16)
    first = FirstTry(message, now, "Sun, 22 Nov 2026 07:00:00 +0800", f"<{message}@relay.example.com>")
    body = codec.body(message, b"Subject: hello\r\n\r\nhello\r\n")
    kept = HeldMessage(message, codec.head(submission, first), body, len(body), now, now + DAY)
    facts = {"why": Why.RULE, "due_at": NEVER} | facts
    copies = []
    for name in recipients:
        recipient = Recipient(Mailbox.parse(f"{name}@example.org"))
        detail = Detail(recipient, ASK, "newsletter/look", "请查看", "look at it")
        lane = lane_of(keys, Purpose.MARKETING, NEWS, "example.org")
        sealed = codec.detail(message, detail)
        copies.append(
            HeldCopy(message, recipient_digest(keys, recipient), lane, owner_of(keys, "only", NEWS), sealed=sealed, **facts)
        )
    await opened.store.hold(keys.addresses.lasting_digest(message), Holding(kept, copies, {}, max_octets=1 << 30))


@pytest.fixture(params=["sqlite", "redis"])
def office(request, tmp_path):
    if request.param == "sqlite":
        yield Office(tmp_path / "relay")
        return
    with RedisServer(tmp_path / "redis") as server:
        yield Office(tmp_path / "relay", f'[store]\nurl = "{server.url}"\ntimeout_ms = 5000\n')


@pytest.fixture
def one(tmp_path):
    """An office with the embedded store."""
    return Office(tmp_path / "relay")


def test_what_is_held_is_listed_with_why_and_since_when(office):
    assert "Nothing is held." in office("list").stdout
    office.hold(ONE, "newsletter", "ada", "bob")
    office.hold(TWO, "receipts", "ada", why=Why.LIMIT, due_at=time.time() + 3600)
    shown = office("list").stdout
    assert "         2  rule            a rule wants a person to look at it" in shown
    assert "         1  limit           a limit is reached" in shown
    assert ASK in shown
    assert "a***@example.org" in shown
    assert "ada@example.org" not in shown
    assert "ada@example.org" in office("list", "--addresses").stdout
    assert [row["id"] for row in office.rows()] == [ONE, ONE, TWO]
    assert {row["recipient"] for row in office.rows("--addresses", "--why", "rule")} == {"ada@example.org", "bob@example.org"}
    assert [row["id"] for row in office.rows("--recipient", "Ada@Example.ORG")] == [ONE, TWO]
    assert [row["id"] for row in office.rows("--stream", "receipts")] == [TWO]
    assert len(office.rows("--limit", "1")) == 1
    assert "规则要求由人查看" in office("list", lang="zh").stdout


def test_one_message_is_shown_whole(office):
    office.hold(ONE, "newsletter", "ada", "bob")
    shown = office("show", ONE.lower()).stdout
    for said in ("stream: newsletter", "identity: n***@example.com", "client: 192.0.2.7", "a***@example.org", "look at it", ASK):
        assert said in shown, said
    assert "until a person or a login frees it" in shown
    assert "需由人处理" in office("show", ONE, lang="zh").stdout
    told = json.loads(office("show", ONE, "--addresses", "--json").stdout)
    assert (told["reverse_path"], told["stream"], len(told["copies"])) == (NEWS, "newsletter", 2)
    assert told["copies"][0]["why"] == "rule"
    assert "hello" not in json.dumps(told)


def test_what_is_not_held_is_not_shown(one):
    assert "nothing of" in one("show", ONE, code=1).stderr
    assert "is no submission id" in one("show", "nonsense", code=2).stderr
    assert "nothing that is held fits" in one("retry", ONE, code=1).stderr


def test_a_released_copy_is_due_and_says_that_a_person_let_it_go(office):
    office.hold(ONE, "newsletter", "ada", "bob")
    assert office.claim() == []
    said = office("release", ONE, "--recipient", "ada@example.org", "--by", "Wang Min", "--reason", "looked at it").stdout
    assert said == "1 copy released.\n"
    (copy,) = office.claim()
    assert (office.detail(copy).recipient.key, office.detail(copy).released) == ("ada@example.org", True)
    assert office.facts(Kind.HANDLED) == [{"what": "release", "about": [0], "by": "Wang Min", "reason": "looked at it"}]
    assert [office.detail(copy).released for copy in office.copies() if copy.due_at == NEVER] == [False]


def test_only_what_a_rule_holds_can_be_released(one):
    one.hold(ONE, "newsletter", "ada", why=Why.LIMIT, due_at=time.time() + 3600)
    done = one("release", "--all", code=1)
    assert "not held by a rule" in done.stderr
    assert one.claim() == []
    assert one.facts(Kind.HANDLED) == []


def test_what_is_retried_is_due_now_whatever_it_waited_for(office):
    office.hold(ONE, "newsletter", "ada", why=Why.AUTHENTICATION)
    office.hold(TWO, "newsletter", "bob", why=Why.LIMIT, due_at=time.time() + 3600)
    lane = office.copies()[0].lane
    office.do(lambda opened: opened.store.update_held([], {lane: time.time() + 3600}))
    assert "2 copies will be tried now." in office("retry", "--why", "authentication", "--why", "limit").stdout
    assert sorted(copy.message for copy in office.claim()) == [ONE, TWO]
    assert [facts["what"] for facts in office.facts(Kind.HANDLED)] == ["retry", "retry"]


def test_a_dropped_copy_never_leaves_and_its_sender_will_be_told_why(office):
    office.hold(ONE, "newsletter", "ada", "bob", "eve")
    done = office("drop", ONE, "--recipient", "ada@example.org", "--reason", "a  test\ncampaign", "--by", "Wang Min")
    assert done.stdout == "1 copy dropped; the sender gets a report.\n"
    assert "will never be sent anyway" in office("drop", ONE, "--why", "report", "--reason", "again", code=1).stderr
    (copy,) = office.claim()
    lane = office.do(lambda opened: _told(report_lane(opened.keys, ONE)))
    assert (copy.why, copy.lane, copy.attempts) == (Why.REPORT, lane, 0)
    detail = office.detail(copy)
    assert detail.reply == "554 5.7.1 [dropped] An administrator of the relay decided not to send this message\r\n"
    assert detail.why_en.endswith("a test campaign")
    assert detail.why_zh.endswith("a test campaign")
    assert office.facts(Kind.HANDLED) == [{"what": "drop", "about": [0], "by": "Wang Min", "reason": "a test campaign"}]
    (late,) = office.facts(Kind.LATE)
    assert [(one["state"], one["rule"]) for one in late["outcomes"]] == [("refused", "dropped")]


def test_to_drop_without_a_reason_is_refused(one):
    one.hold(ONE, "newsletter", "ada")
    assert "Missing option '--reason'" in one("drop", ONE, code=2).stderr
    assert "say why" in one("drop", ONE, "--reason", "  ", code=2).stderr
    assert len(one.copies()) == 1


def test_everything_is_changed_only_when_somebody_says_all(one):
    one.hold(ONE, "newsletter", "ada")
    assert "or else --all" in one("drop", "--reason", "x", code=2).stderr
    assert "或者 --all" in one("drop", "--all", ONE, "--reason", "x", code=2, lang="zh").stderr
    assert one.copies()[0].why is Why.RULE


def test_what_is_being_sent_is_named_so_and_left_alone(office):
    office.hold(ONE, "newsletter", "ada", why=Why.UPSTREAM, due_at=time.time() - 1)
    (claimed,) = office.claim()
    assert office.rows()[0]["being_sent"]
    assert "being sent now" in office("show", ONE).stdout
    assert "正在发送" in office("list", lang="zh").stdout
    for words in (("drop", ONE, "--reason", "x"), ("retry", ONE)):
        assert "being sent now and left alone" in office(*words, code=1).stderr
    assert office.facts(Kind.HANDLED) == []
    assert office.do(lambda opened: opened.store.update_held([HeldUpdate(claimed, None)])) == 1


def test_what_was_claimed_while_a_person_looked_is_left_alone(office):
    """The courier is quicker: its claim stands, and nothing is said of the outcome but by the courier."""
    office.hold(ONE, "newsletter", "ada", "bob", why=Why.UPSTREAM, due_at=time.time() - 1)

    async def drop_late(opened):
        (page,) = [page async for page in HeldMail(opened.store, opened.keys, time.time).pages(Wanted())]
        claimed = await opened.store.claim(1, 600.0)
        intervention = Intervention(opened.store, opened.records, opened.keys, time.time, by="Wang Min", reason="x")
        return claimed, await intervention.do(Deed.DROP, page)

    (claimed,), done = office.do(drop_late)
    assert done == Done(changed=1, leaving=1)
    assert [copy for copy in office.copies() if copy.why is not Why.REPORT] == [claimed]
    (late,) = office.facts(Kind.LATE)
    assert len(late["outcomes"]) == 1


def test_of_what_is_dropped_page_by_page_the_sender_is_told_once(office, monkeypatch):
    """A message of more recipients than a page: its report waits for the last of them."""
    monkeypatch.setattr("relay.holding.intervention.PAGE", 2)
    office.hold(ONE, "newsletter", "ada", "bob", "eve")
    office.hold(TWO, "newsletter", "ada", "bob", "eve", "joe")

    async def drop(opened):
        intervention = Intervention(opened.store, opened.records, opened.keys, time.time, by="Wang Min", reason="x")
        due = []
        async for page in HeldMail(opened.store, opened.keys, time.time).pages(Wanted()):
            await intervention.do(Deed.DROP, page)
            due.append(await opened.store.claim(100, 600.0))
        await intervention.finish()
        return [*due, await opened.store.claim(100, 600.0)]

    told = [[(copy.message, copy.why) for copy in claimed] for claimed in office.do(drop)]
    assert told == [[], [(ONE, Why.REPORT)] * 3, [], [], [(TWO, Why.REPORT)] * 4]


def closed(office, copy):
    """Let no key open a copy."""
    office.do(lambda opened: opened.store.update_held([HeldUpdate(copy, replace(copy, sealed=b"\1not ours"))]))


def test_mail_that_this_relay_has_no_key_for_is_listed_and_can_only_be_retried(one):
    one.hold(ONE, "newsletter", "ada")
    closed(one, one.copies()[0])
    assert "(no key of this relay opens it)" in one("list").stdout
    assert one.rows()[0]["last_reply"] == ""
    for words in (("drop", ONE, "--reason", "x"), ("release", ONE)):
        said = one(*words, code=1).stderr
        assert "no key opens it" in said
        assert "[keys] file" in said
        assert "not held by a rule" not in said
        assert "will never be sent anyway" not in said
    assert one.facts(Kind.HANDLED) == []
    one("retry", ONE)
    assert len(one.claim()) == 1


def test_what_no_key_opens_is_dropped_when_somebody_says_so_and_on_record_as_untold(office):
    office.hold(ONE, "newsletter", "ada", "bob")
    office.hold(TWO, "newsletter", "eve", why=Why.UPSTREAM, due_at=time.time() - 1)
    first, second, third = office.copies()
    closed(office, first)
    closed(office, third)
    assert len(office.claim()) == 1
    done = office("drop", "--all", "--unreadable", "--reason", "its key is lost", "--by", "Wang Min", code=1)
    assert "1 copy dropped; the sender gets a report." in done.stdout
    assert "1 copy that no key opens dropped" in done.stdout
    assert "1 copy being sent now and left alone" in done.stderr
    assert [(copy.message, copy.recipient) for copy in office.copies()] == [
        (copy.message, copy.recipient) for copy in (second, third)
    ]
    assert [(one["what"], one["about"], one["by"]) for one in office.facts(Kind.HANDLED)] == [
        ("drop", [0], "Wang Min"),
        ("drop", [], "Wang Min"),
    ]
    assert office.facts(Kind.UNREPORTED) == [{"about": [], "why": "unreadable"}]
