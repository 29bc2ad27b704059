"""What cannot leave now is kept, sealed, and answered with 250; what may not be kept is left to the client."""

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.holding.codec import LIFETIMES, Codec
from relay.mail import replies
from relay.mail.envelope import Credentials, Identity, IdentityKind, Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.suppressions.suppression import Purpose
from relay.records.kinds import Kind
from relay.stores.held import NEVER, Why
from relay.telemetry import refused_by_limit_total
from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import CLIENT, LineHouse
from tests.support.service import OFFICE, message
from tests.support.upstream import RecordingUpstream
from tests.support.waiting import wait_until

SLOW_DOWN = "450 4.7.1 slow down"
GONE = "550 5.1.1 no such user"
RULE = """
[[rule]]
id = "look"
check = "domains"
deny = ["partner.example"]
action = "hold"
"""

upstream = an_upstream(scope="module")


@pytest.fixture(autouse=True)
def healed(upstream):
    yield
    upstream.faults.clear()
    upstream.deliveries.clear()


@contextmanager
def a_house(folder, upstream, *, holds=True, **options):
    with LineHouse(folder, upstream, holds=holds, **options) as house:
        yield house


@pytest.fixture
def house(tmp_path, upstream):
    """Everything as shipped; nobody carries what is held, so that it can be looked at."""
    with a_house(tmp_path, upstream) as house:
        yield house


@pytest.fixture
def hasty(tmp_path, upstream):
    """One that does not wait long for an upstream that stands still."""
    with a_house(tmp_path, upstream, delivery='patience = "5s"\npast_dot = "1s"') as house:
        yield house


class Held:
    """What a house holds, opened: copies with their details, by recipient."""

    def __init__(self, house):
        store, self.codec = house.line.store, Codec(house.line.keys)
        self.copies = house.run(store.held_copies(None, 1000))
        self.details = [self.codec.read_detail(copy.message, copy.sealed) for copy in self.copies]
        self.messages = [house.run(store.held_message(one)) for one in sorted({copy.message for copy in self.copies})]

    @property
    def why(self) -> dict[str, Why]:
        return {self.name(detail): copy.why for copy, detail in zip(self.copies, self.details, strict=True)}

    @property
    def due(self) -> dict[str, float]:
        return {self.name(detail): copy.due_at for copy, detail in zip(self.copies, self.details, strict=True)}

    @staticmethod
    def name(detail) -> str:
        return detail.recipient.key.partition("@")[0]


def unconcluded(house, recipients, data, login=OFFICE, **declared):
    """One mail whose client says nothing after the reply."""

    async def send():
        submission = await house.begin(login, recipients, **declared)
        return await house.line.submit(submission, data)

    return house.run(send())


def counts(reply) -> tuple[int, str]:
    return reply.code, reply.text[0].partition(", ")[2]


def to(*names, at="example.org") -> list[str]:
    return [f"{name}@{at}" for name in names]


def mail(subject="Hello", sender=OFFICE) -> bytes:
    return message("readers@example.org", sender, subject, extra=f"Message-ID: <{subject}@example.com>\r\n")


def arrived(upstream) -> list[str]:
    return sorted(r.partition("@")[0] for d in upstream.accepted if d.reverse_path for r in d.recipients)


# What the upstream does not take -------------------------------------------------------------------------------------

UPSTREAM_FAULTS = {
    "MAIL": ({"at": "MAIL", "reply": SLOW_DOWN}, Why.UPSTREAM),
    "RCPT": ({"at": "RCPT", "reply": SLOW_DOWN}, Why.UPSTREAM),
    "DOT": ({"at": "DOT", "reply": "451 4.3.0 later"}, Why.UPSTREAM),
    "421": ({"at": "MAIL", "reply": "421 4.3.2 going down", "close": True}, Why.UPSTREAM),
    "closed": ({"at": "RCPT", "close": True}, Why.UPSTREAM),
    "deadline": ({"at": "DATA", "stall": True}, Why.UPSTREAM),
    "lost": ({"at": "DOT", "lose": True}, Why.UNKNOWN),
    "silent": ({"at": "DOT", "stall": True}, Why.UNKNOWN),
}


@pytest.mark.parametrize(("fault", "why"), UPSTREAM_FAULTS.values(), ids=UPSTREAM_FAULTS)
def test_what_the_upstream_does_not_take_now_is_held(hasty, upstream, fault, why):
    upstream.fault(**fault)
    before = time.time()
    data = mail()
    assert counts(unconcluded(hasty, to("ada"), data)) == (250, "0 delivered, 1 held, 0 left out")
    held = Held(hasty)
    assert held.why == {"ada": why}
    assert before <= held.due["ada"] <= time.time() + 600
    (kept,) = held.messages
    submission, first = held.codec.read_head(kept.id, kept.head)
    assert (submission.identity.name, str(submission.reverse_path)) == (OFFICE, OFFICE)
    assert first.submission_id == kept.id
    assert held.codec.read_body(kept.id, kept.body) == data
    assert kept.octets == len(kept.body)
    assert kept.expires_at == submission.at + LIFETIMES[Purpose.CORRESPONDENCE]


def test_an_upstream_that_is_not_there_is_waited_for(tmp_path, upstream):
    dead = '[[upstream]]\nname = "up"\naddresses = ["127.0.0.1:9"]\ntls = "none"\nauth = "none"\n'
    with a_house(tmp_path, upstream, upstreams=dead) as house:
        assert counts(unconcluded(house, to("ada"), mail())) == (250, "0 delivered, 1 held, 0 left out")
        assert Held(house).why == {"ada": Why.UPSTREAM}


def test_a_resend_hears_the_same_and_holds_nothing_twice(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    data = mail()
    replies_heard = [unconcluded(house, to("ada", "bob"), data) for _ in range(3)]
    assert counts(replies_heard[0]) == (250, "1 delivered, 1 held, 0 left out")
    assert replies_heard[1] == replies_heard[2] == replies_heard[0]
    assert arrived(upstream) == ["ada"]
    assert len(Held(house).copies) == 1
    held, *others = records(house.relay, "bob@example.org", "held")
    assert others == []
    assert held["people"] == ["bob@example.org"]
    finished = records(house.relay, "bob@example.org", "finished")
    assert [[(o["state"], o["earlier"]) for o in one["outcomes"]] for one in finished] == [
        [("delivered", False), ("held", False)],
        [("delivered", True), ("held", True)],
        [("delivered", True), ("held", True)],
    ]


def test_the_same_bytes_are_a_new_message_once_the_client_went_on(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN)
    assert [house.send(OFFICE, to("ada"), mail()).code for _ in range(2)] == [250, 250]
    assert len(Held(house).messages) == 2


def test_the_record_says_who_is_held_why_and_until_when(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    before = time.time()
    reply = unconcluded(house, to("ada", "bob"), mail())
    (held,) = records(house.relay, kind="held")
    assert (held["id"], held["people"]) == (reply.text[0].partition(",")[0], ["bob@example.org"])
    ((copy,), until) = held["copies"], held["until"]
    assert (copy["person"], copy["why"]) == (0, "upstream")
    assert before + 30 < copy["due"] < time.time() + 90
    assert before <= until - LIFETIMES[Purpose.CORRESPONDENCE] <= time.time()
    kinds = [record["kind"] for record in records(house.relay)]
    assert kinds.index("received") < kinds.index("held")
    explained = house.relay.command("explain", held["id"])
    assert "Held: the relay sends it by itself" in explained.stdout
    assert "由中继保留" in house.relay.command("explain", held["id"], lang="zh").stdout


# All that is open, or nothing ----------------------------------------------------------------------------------------


def test_delivered_held_and_refused_in_one_message(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    upstream.fault("RCPT", GONE, matching="eve@")
    assert counts(unconcluded(house, to("ada", "bob", "eve"), mail())) == (250, "1 delivered, 1 held, 1 left out")
    (report,) = [d for d in upstream.accepted if b"multipart/report" in d.data]
    assert report.recipients == [OFFICE]
    assert b"eve@example.org" in report.data
    assert b"bob@example.org" not in report.data.partition(b"message/rfc822")[0]
    assert Held(house).why == {"bob": Why.UPSTREAM}


def test_nobody_delivered_some_held_and_the_refused_reported(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    upstream.fault("RCPT", GONE, matching="eve@")
    assert counts(unconcluded(house, to("bob", "eve"), mail())) == (250, "0 delivered, 1 held, 1 left out")
    assert [d.recipients for d in upstream.accepted] == [[OFFICE]]


def test_a_report_that_is_not_taken_is_held_and_a_resend_does_not_send_it(house, upstream):
    upstream.fault("RCPT", "554 5.7.1 not from you", matching="eve@")  # no suppression follows: a resend may name her
    upstream.fault("RCPT", SLOW_DOWN, matching=f"<{OFFICE}>", times=1)
    data = mail()
    first = unconcluded(house, to("ada", "eve"), data)
    assert counts(first) == (250, "1 delivered, 0 held, 1 left out")
    held = Held(house)
    assert held.why == {"eve": Why.REPORT}
    assert "not from you" in held.details[0].reply
    assert held.details[0].upstream == "up"
    (record,) = records(house.relay, kind="held")
    assert (record["copies"], record["people"], record["report_on"]) == ([], ["eve@example.org"], [0])
    (finished,) = records(house.relay, kind="finished")
    assert finished["report"] == "held"
    assert unconcluded(house, to("ada", "eve"), data) == first
    assert not [d for d in upstream.accepted if b"multipart/report" in d.data]
    assert len(Held(house).copies) == 1


def test_copies_and_report_of_one_message_share_its_body(house, upstream):
    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    upstream.fault("RCPT", GONE, matching="eve@")
    upstream.fault("RCPT", SLOW_DOWN, matching=f"<{OFFICE}>")
    assert counts(unconcluded(house, to("ada", "bob", "eve"), mail())) == (250, "1 delivered, 1 held, 1 left out")
    held = Held(house)
    assert held.why == {"bob": Why.UPSTREAM, "eve": Why.REPORT}
    assert len(held.messages) == 1
    (record,) = records(house.relay, kind="held")
    assert [record["people"][copy["person"]] for copy in record["copies"]] == ["bob@example.org"]
    assert [record["people"][number] for number in record["report_on"]] == ["eve@example.org"]


def test_where_one_may_not_be_held_nobody_is(tmp_path, upstream):
    """`over = "defer"`: the second recipient is over the limit, the first is refused for now by the upstream."""
    policy = {"streams/correspondence.toml": [("identity = .*", 'identity = ["1/hour"]'), ('over = "hold"', 'over = "defer"')]}
    with a_house(tmp_path, upstream, policy=policy) as house:
        upstream.fault("RCPT", SLOW_DOWN, matching="ada@")
        reply = unconcluded(house, ["ada@example.org", "bob@example.net"], mail())
        assert (reply.code, Held(house).copies) == (451, [])
        assert "0 held, 2 not yet" in reply.text[0] or reply.rule == "limit"


def test_on_transient_defer_leaves_the_mail_to_the_client(tmp_path, upstream):
    with a_house(tmp_path, upstream, holds=False) as house:
        upstream.fault("RCPT", SLOW_DOWN)
        reply = unconcluded(house, to("ada"), mail())
        assert (reply.code, reply.text) == (450, ("The upstream server said: slow down",))
        assert Held(house).copies == []


# Limits, lanes, rules, hours -----------------------------------------------------------------------------------------

LIMITED = {"streams/correspondence.toml": [("identity = .*", 'identity = ["1/minute"]')]}


def test_over_a_limit_mail_is_held_until_there_is_room_and_later_mail_waits_behind_it(tmp_path, upstream):
    with a_house(tmp_path, upstream, policy=LIMITED) as house:
        said = [counts(house.send(OFFICE, to(name), mail(name))) for name in ("ada", "bob", "cid")]
        other_domain = house.send(OFFICE, ["dan@example.net"], mail("dan"))
        held, now = Held(house), time.time()
    assert said == [(250, "1 delivered, 0 held, 0 left out")] + [(250, "0 delivered, 1 held, 0 left out")] * 2
    assert counts(other_domain) == (250, "0 delivered, 1 held, 0 left out")
    assert held.why == {"bob": Why.LIMIT, "cid": Why.LANE, "dan": Why.LIMIT}
    assert now < held.due["bob"] <= now + 61
    assert held.due["cid"] <= now
    assert [copy.lane.priority for copy in held.copies] == [1, 1, 1]
    assert len({copy.lane for copy in held.copies}) == 2
    assert arrived(upstream) == ["ada"]


def test_a_rule_holds_until_a_person_releases(tmp_path, upstream):
    policy = {"streams/correspondence.toml": [(r"\Z", lambda _: RULE)]}
    with a_house(tmp_path, upstream, policy=policy) as house:
        reply = unconcluded(house, ["ada@example.org", "bob@partner.example"], mail())
        assert counts(reply) == (250, "1 delivered, 1 held, 0 left out")
        held = Held(house)
        assert (held.why, held.due) == ({"bob": Why.RULE}, {"bob": NEVER})
        assert held.details[0].rule == "correspondence/look"
        assert held.details[0].why_zh
        (record,) = records(house.relay, kind="held")
        assert record["copies"] == [{"person": 0, "why": "rule", "due": None}]


def hours_without(now: float) -> str:
    """An hour of the day, in UTC, that is some hours from now."""
    begins = (time.gmtime(now).tm_hour + 5) % 23
    return f'hours = "{begins:02}:00-{begins + 1:02}:00"\nhours_zone = "organisation"'


def test_outside_its_hours_a_stream_holds_until_they_begin(tmp_path, upstream):
    now = time.time()
    policy = {
        "organisation.toml": [('time_zone = "[^"]*"', 'time_zone = "UTC"')],
        "streams/correspondence.toml": [("identity = .*", f"identity = []\n{hours_without(now)}")],
    }
    with a_house(tmp_path, upstream, policy=policy) as house:
        assert counts(unconcluded(house, to("ada"), mail())) == (250, "0 delivered, 1 held, 0 left out")
        held = Held(house)
        assert held.why == {"ada": Why.HOURS}
        assert now + 3 * 3600 < held.due["ada"] < now + 24 * 3600
        assert held.details[0].rule == "base/hours"
    assert arrived(upstream) == []


# What the relay cannot answer for ------------------------------------------------------------------------------------


def full(house) -> int:
    return int(refused_by_limit_total.labels("hold")._value.get())


def test_without_room_the_reply_is_452_and_nothing_is_held(tmp_path, upstream):
    with a_house(tmp_path, upstream, extra="[hold]\nmax_bytes = 100\n") as house:
        upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
        data, before = mail(), full(house)
        assert unconcluded(house, to("ada", "bob"), data) == replies.HOLD_FULL
        upstream.faults.clear()
        assert (Held(house).copies, full(house)) == ([], before + 1)
        assert counts(unconcluded(house, to("ada", "bob"), data)) == (250, "2 delivered, 0 held, 0 left out")
        assert arrived(upstream) == ["ada", "bob"]


def test_a_store_that_cannot_hold_leaves_the_mail_to_the_client(house, upstream, monkeypatch):
    async def away(*_, **__):
        raise StoreUnavailable("timeout", "no answer in time")

    upstream.fault("RCPT", SLOW_DOWN, matching="bob@")
    data = mail()
    with monkeypatch.context() as broken:
        broken.setattr(house.line.store, "hold", away)
        reply = unconcluded(house, to("ada", "bob"), data)
    assert (reply.code, reply.text) == (450, ("The upstream server said: slow down",))
    assert counts(unconcluded(house, to("ada", "bob"), data)) == (250, "1 delivered, 1 held, 0 left out")
    assert arrived(upstream) == ["ada"]


def test_an_outcome_that_the_store_has_not_heard_of_is_not_written_over_what_is_held(house, upstream, monkeypatch):
    """The store was away for a moment after the upstream's 450: what it is told late would free the held row."""
    finish, told = house.line.store.finish, []

    async def away_once(key, settlements):
        told.append(settlements)
        if len(told) == 1:
            raise StoreUnavailable("timeout", "no answer in time")
        return await finish(key, settlements)

    upstream.fault("RCPT", SLOW_DOWN)
    monkeypatch.setattr(house.line.store, "finish", away_once)
    assert unconcluded(house, to("ada"), mail()).code == 450
    assert Held(house).copies == []


def test_a_record_that_cannot_be_written_takes_the_250_back_and_a_resend_finds_what_is_held(house, upstream, monkeypatch):
    async def full_disk(*_, **__):
        raise RecordsUnavailable("the disk is full")

    upstream.fault("RCPT", SLOW_DOWN)
    data = mail()
    with monkeypatch.context() as broken:
        broken.setattr(house.line.records, "append_many", full_disk)
        assert unconcluded(house, to("ada"), data) == replies.RECORDS_UNAVAILABLE
    assert counts(unconcluded(house, to("ada"), data)) == (250, "0 delivered, 1 held, 0 left out")
    assert len(Held(house).copies) == 1


def test_a_store_fault_before_leaving_is_never_held(house, upstream, monkeypatch):
    async def away(*_, **__):
        raise StoreUnavailable("timeout", "no answer in time")

    with monkeypatch.context() as broken:
        broken.setattr(house.line.store, "clear", away)
        assert unconcluded(house, to("ada"), mail()) == replies.STORE_UNAVAILABLE
    assert Held(house).copies == []


def test_a_fault_of_ours_is_never_held(house, monkeypatch):
    def broken(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(house.line.dispatcher.renderer, "copy", broken)
    assert unconcluded(house, to("ada"), mail()) == replies.INTERNAL
    assert Held(house).copies == []


# Logins --------------------------------------------------------------------------------------------------------------


def account(folder) -> str:
    """[[account]] of OFFICE at the upstream "up"."""
    folder.mkdir(exist_ok=True)
    secret = folder / "office.password"
    secret.write_text("secret")
    secret.chmod(0o600)
    return f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.password"\n'


def from_identity(house, identity):
    """Ada's mail from this identity, as if it had logged in."""

    async def send():
        submission = await house.line.begin(CLIENT, identity, Mailbox.parse(OFFICE))
        return await house.line.submit(replace(submission, recipients=(Recipient(Mailbox.parse("ada@example.org")),)), mail())

    return house.run(send())


OWN = Identity(OFFICE, IdentityKind.PASSTHROUGH, frozenset({OFFICE}), "up", Credentials(OFFICE, "secret"), time.time())
USER = Identity(OFFICE, IdentityKind.USER, frozenset({OFFICE}))


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (OWN, Why.AUTHENTICATION),  # its next AUTH frees it at once
        (USER, Why.UPSTREAM),
    ],
)
def test_what_leaves_by_an_account_is_tried_again_whoever_sent_it(tmp_path, identity, why):
    """Somebody will correct the [[account]]."""
    with (
        RecordingUpstream(accounts={OFFICE: "changed meanwhile"}) as upstream,
        a_house(tmp_path, upstream, auth="account", extra=account(tmp_path)) as house,
    ):
        assert counts(from_identity(house, identity)) == (250, "0 delivered, 1 held, 0 left out")
        held = Held(house)
    assert held.why == {"ada": why}
    assert held.due["ada"] < time.time() + 3600


def test_an_own_login_without_an_account_is_told_to_come_back(tmp_path):
    with (
        RecordingUpstream(accounts={OFFICE: "changed meanwhile"}) as upstream,
        a_house(tmp_path, upstream, auth="account") as house,
    ):
        assert from_identity(house, OWN) == replies.UPSTREAM_ACCOUNT
        assert Held(house).copies == []


@pytest.mark.parametrize("has_account", [False, True])
def test_the_store_gets_the_sealed_login_of_who_has_no_account_and_of_nobody_else(tmp_path, has_account):
    sealed = 'held_credentials = "sealed"\n[keys]\nfile = "keys.toml"\n'
    extra = account(tmp_path) if has_account else ""
    with (
        RecordingUpstream(accounts={OFFICE: "secret"}) as upstream,
        a_house(tmp_path, upstream, auth="account", extra=extra, logins=sealed) as house,
    ):
        upstream.fault("RCPT", SLOW_DOWN)
        assert counts(from_identity(house, OWN)) == (250, "0 delivered, 1 held, 0 left out")
        (copy,) = Held(house).copies
        kept = house.run(house.line.store.credentials_of(copy.owner))
    assert (kept is None) == has_account
    assert b"secret" not in (kept or b"")


# What comes late -----------------------------------------------------------------------------------------------------


def wait_for(house, condition):
    async def wait():
        while not condition():
            await asyncio.sleep(0.05)

    house.run(wait())


@pytest.mark.parametrize(("late", "states"), [("250 2.0.0 queued", ["held", "delivered"]), ("451 4.3.0 no", ["held"])])
def test_a_late_answer_ends_the_holding_only_if_the_upstream_has_it(hasty, upstream, late, states):
    too_late = threading.Event()
    upstream.fault("DOT", late, until=too_late)
    data = mail()
    assert counts(unconcluded(hasty, to("ada"), data)) == (250, "0 delivered, 1 held, 0 left out")
    assert Held(hasty).why == {"ada": Why.UNKNOWN}
    too_late.set()
    wait_until(lambda: not any("late reply" in task.get_name() for task in asyncio.all_tasks(hasty.loop)))
    written = [
        outcome["state"]
        for record in records(hasty.relay)
        if record["kind"] in (Kind.FINISHED, Kind.LATE)
        for outcome in record["outcomes"]
    ]
    assert written == states
    assert len(Held(hasty).copies) == len(states) % 2
    expected = "1 delivered, 0 held, 0 left out" if "delivered" in states else "0 delivered, 1 held, 0 left out"
    assert counts(unconcluded(hasty, to("ada"), data)) == (250, expected)


def test_a_late_answer_is_heeded_when_the_store_is_back(hasty, upstream, monkeypatch):
    too_late = threading.Event()
    upstream.fault("DOT", "250 2.0.0 queued", until=too_late)
    store, asked = hasty.line.store, []
    find = store.held_copies

    async def away(*facts):
        asked.append(facts)
        if len(asked) < 3:
            raise StoreUnavailable("unreachable", "gone")
        return await find(*facts)

    assert counts(unconcluded(hasty, to("ada"), mail())) == (250, "0 delivered, 1 held, 0 left out")
    monkeypatch.setattr(store, "held_copies", away)
    too_late.set()
    wait_for(hasty, lambda: len(asked) == 3)
    monkeypatch.undo()
    wait_until(lambda: not Held(hasty).copies)
    assert [record["kind"] for record in records(hasty.relay)].count(Kind.LATE) == 1
