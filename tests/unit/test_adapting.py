"""What a worker does because of replies: at once by itself, a second later all others, and it without the store too."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.adapting import Adapting, Meter, Place
from relay.config import parse_config
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.mail.envelope import Credentials, Recipient
from relay.mail.mailbox import Mailbox
from relay.mail.reply import reply
from relay.records.kinds import Kind as RecordKind
from relay.records.search import Query, search
from relay.routing import Route
from relay.stores.adaptations import Kind, Scope
from relay.stores.held import Why
from relay.upstream.delivery import Upstreams
from relay.upstream.outcome import Outcome, OutcomeState, UpstreamUnavailable
from relay.upstream.profile import ReplyClass, load_profiles
from relay.upstream.reaction import Reaction
from tests.support.fixtures import a_sqlite_store
from tests.support.policies import newsletter
from tests.support.records import KEYS, opened

CONFIG = parse_config(
    b'hostname = "relay.example.com"\n[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\n'
    b'[[upstream]]\nname = "up"\nprovider = "netease"\naddresses = ["smtp.example:465"]\nlimits = ["600/hour"]\n',
    "config.toml",
    Path(),
)
POLICY = newsletter()
NEWS, LETTERS = POLICY.stream("newsletter"), POLICY.stream("correspondence")
ROUTE = Route("up", "news@example.com", Credentials("news@example.com", "wrong"))
ADA, BOB = (Recipient(Mailbox.parse(address)) for address in ("ada@qq.com", "bob@example.net"))
PAGE = "http://127.0.0.1:8027/r/X"


store = a_sqlite_store()


@pytest.fixture
async def records(tmp_path):
    with opened(tmp_path / "records.db") as records:
        yield records


@pytest.fixture
def worker(store, records, clock):
    """One worker after the other, all on one store."""
    upstreams = Upstreams(CONFIG, load_profiles(), b"")
    return lambda given=store: Adapting(
        CONFIG, keys=KEYS, store=given, records=records, upstreams=upstreams, clock=clock, entropy=os.urandom, processes=2
    )


def place(stream=NEWS, route=ROUTE):
    return Place(route, stream, POLICY.zone)


def said(reaction, reply_class=ReplyClass.THROTTLE, text="451 MI:SFQ"):
    return Outcome(OutcomeState.TRANSIENT, reply(451, "7.1", "later"), reply_class, True, text, reaction=reaction)


TAKEN = Outcome(OutcomeState.DELIVERED, reply(250, "0.0", "ok"), ReplyClass.ACCEPTED)
MINUTES = Reaction(back_off=900.0)
TO_DOMAIN = Reaction(Scope.DOMAIN, back_off=3600.0)
PAUSE = Reaction(Scope.UPSTREAM, pause=True)


def free(worker, *recipients, **where):
    asked, kept = worker.part(place(**where), recipients or (ADA, BOB), PAGE)
    return [recipient.key for recipient in asked], [(result.recipient.key, result.why, result.due) for result in kept]


def on_record(records):
    return [entry.record for entry in search(records.reader, Query(kinds=frozenset({RecordKind.ADAPTED})))]


async def test_what_one_worker_caused_it_obeys_at_once_and_all_others_a_second_later(worker, store, records, clock):
    one, other = worker(), worker()
    await one.learn(place(), [ADA], [said(MINUTES)])
    until = clock() + 900
    expected: tuple[list[str], list[tuple[str, Why, float]]] = (
        [],
        [(ADA.key, Why.UPSTREAM, until), (BOB.key, Why.UPSTREAM, until)],
    )
    assert free(one) == expected
    assert free(other) == ([ADA.key, BOB.key], [])
    await other.refresh()
    assert free(other) == expected
    assert free(other, route=replace(ROUTE, identity="shop@example.com")) == ([ADA.key, BOB.key], [])
    (record,) = on_record(records)
    assert (record.facts["kind"], record.facts["class"], record.facts["said"], record.facts["value"]) == (
        "rest", "throttle", "451 MI:SFQ", 0,
    )  # fmt: skip
    assert records.reader.reveal(record.people[0]) == "news@example.com"
    clock.pass_(900)
    assert free(one) == free(other) == ([ADA.key, BOB.key], [])


async def test_a_reply_about_a_domain_keeps_back_that_domain(worker, clock):
    one = worker()
    await one.learn(place(), [ADA, BOB], [said(TO_DOMAIN), TAKEN])
    assert free(one) == ([BOB.key], [(ADA.key, Why.UPSTREAM, clock() + 3600)])


async def test_the_reply_names_the_time(worker):
    one = worker()
    await one.learn(place(), [ADA], [said(MINUTES)])
    _, (result,) = one.part(place(), [ADA], PAGE)
    assert result.reply.status == "4.7.1"
    assert (result.rule, result.reply.text[0].count("before 20")) == ("upstream", 1)
    assert "try again in 900 s" in result.reply.text[0]
    assert result.why_zh
    assert result.why_en


async def test_a_pause_binds_marketing_alone(worker, clock):
    one = worker()
    await one.learn(place(), [ADA], [said(PAUSE, ReplyClass.REPUTATION, "554 HL:IPB")])
    assert free(one, stream=LETTERS) == ([ADA.key, BOB.key], [])
    assert free(one) == ([], [(ADA.key, Why.PAUSED, 0.0), (BOB.key, Why.PAUSED, 0.0)])
    one.check_free(place())
    clock.pass_(400 * 86400.0)
    assert free(one)[0] == []


async def test_many_refusals_of_one_moment_are_one(worker, store, records):
    one, other = worker(), worker()
    for _ in range(5):
        for each in (one, other):
            await each.learn(place(), [ADA, BOB], [said(Reaction(back_off=900.0, halve=True))] * 2)
    assert sorted(found.kind for found in await store.adaptations()) == [Kind.RATE, Kind.REST]
    assert len(on_record(records)) == 2


async def test_the_rate_is_half_of_what_the_node_sent_and_is_charged(worker, store, clock):
    one = worker()
    for _ in range(30):
        await one.learn(place(), [ADA], [TAKEN])
    await one.learn(place(), [ADA], [said(Reaction(halve=True))])
    (rate,) = await store.adaptations()
    assert (rate.value, rate.scope) == (31, Scope.IDENTITY)  # 31 here, as many by the other process, and half of that
    (charge,) = one.charges(replace(place(), domain="qq.com"))
    assert (charge.key, charge.window.count, charge.window.length) == (rate.key, 31, 60.0)
    clock.pass_(600)
    assert one.charges(place())[0].window.count == 38
    assert one.charges(place(route=replace(ROUTE, identity="shop@example.com"))) == ()


async def test_of_an_upstream_the_configured_limit_counts(worker, store):
    one = worker()
    await one.learn(place(), [ADA] * 40, [TAKEN] * 40)
    await one.learn(place(), [ADA], [said(Reaction(Scope.UPSTREAM, halve=True))])
    (rate,) = await store.adaptations()
    assert rate.value == 5  # 600 an hour are 10 a minute


async def test_the_learnt_cap_counts_and_ends(worker, clock):
    one = worker()
    split = said(Reaction(split=True))
    await one.learn(place(), [ADA] * 10, [TAKEN] * 4 + [split] * 6)
    assert (one.cap("up", 50), one.cap("up", 3)) == (4, 3)
    clock.pass_(86400)
    assert one.cap("up", 50) == 50


async def test_a_wrong_password_rests_until_it_changes_or_a_login_works(worker, store, records, clock):
    one = worker()
    refused = UpstreamUnavailable("refused", "up: login answered 535", said="535 wrong", reply_class=ReplyClass.AUTHENTICATION)
    await one.learn_fault(place(), refused)
    assert free(one)[0] == []
    with pytest.raises(UpstreamUnavailable) as caught:
        one.check_free(place())
    assert (caught.value.reason, caught.value.retry_after) == ("resting", 86400.0)
    fresh = replace(ROUTE, credentials=Credentials("news@example.com", "right"))
    assert free(one, route=fresh)[0] == [ADA.key, BOB.key]
    (rest,) = await store.adaptations()
    assert len(rest.login) == 4
    assert b"wrong" not in rest.login
    await one.logged_in("up", "shop@example.com")
    assert free(one)[0] == []
    await one.logged_in("up", "news@example.com")
    assert free(one)[0] == [ADA.key, BOB.key]
    assert await store.adaptations() == []
    assert [record.facts["ended"] for record in on_record(records)] == ["", "login"]


async def test_a_mail_that_leaves_with_another_password_ends_the_rest(worker, store):
    one = worker()
    await one.learn_fault(place(), UpstreamUnavailable("refused", "535", reply_class=ReplyClass.AUTHENTICATION))
    await one.learn(place(route=replace(ROUTE, credentials=Credentials("news@example.com", "right"))), [ADA], [TAKEN])
    assert await store.adaptations() == []


async def test_a_reply_to_the_connection_counts_for_the_upstream(worker, store):
    one = worker()
    fault = UpstreamUnavailable(
        "closing", "421", said="HL:ICC", reply_class=ReplyClass.THROTTLE, reaction=Reaction(Scope.DOMAIN, back_off=60.0)
    )
    await one.learn_fault(place(), fault)
    assert [found.scope for found in await store.adaptations()] == [Scope.UPSTREAM], "nobody was written to yet"


class Away:
    name = "sqlite"

    async def adapt(self, adaptation):
        raise StoreUnavailable("unreachable", "away")

    async def end_adaptation(self, key):
        raise StoreUnavailable("unreachable", "away")


async def test_without_the_store_the_worker_obeys_by_itself(worker, clock):
    one = worker(Away())
    await one.learn(place(), [ADA], [said(MINUTES)])
    assert free(one)[0] == []
    await one.learn_fault(place(), UpstreamUnavailable("refused", "535", reply_class=ReplyClass.AUTHENTICATION))
    await one.logged_in("up", "news@example.com")
    clock.pass_(900)
    assert free(one)[0] == [ADA.key, BOB.key]


async def test_a_store_that_is_back_is_told(worker, store, records):
    one = worker(Away())
    await one.learn(place(), [ADA], [said(MINUTES)])
    assert on_record(records) == []
    one.store = store
    await one.refresh()
    await one.refresh()
    assert free(one)[0] == []
    assert len(await store.adaptations()) == len(on_record(records)) == 1


async def test_without_records_it_is_adapted_all_the_same(worker, store, records, monkeypatch):
    async def full(*_):
        raise RecordsUnavailable("the disk is full")

    monkeypatch.setattr(records, "append", full)
    one = worker()
    await one.learn(place(), [ADA], [said(MINUTES)])
    assert len(await store.adaptations()) == 1
    assert free(one)[0] == []


async def test_what_is_caused_meanwhile_outlives_an_older_answer_of_the_store(worker, store, monkeypatch):
    one = worker()
    adaptations = store.adaptations

    async def slowly():
        found = await adaptations()
        await one.learn(place(), [ADA], [said(MINUTES)])
        return found

    monkeypatch.setattr(store, "adaptations", slowly)
    await one.refresh()
    assert free(one)[0] == []
    monkeypatch.setattr(store, "adaptations", adaptations)
    (rest,) = await store.adaptations()
    await store.end_adaptation(rest.key)
    await one.refresh()
    assert free(one)[0] == [ADA.key, BOB.key], "a person ended it"


def test_the_meter_counts_one_minute():
    meter, what = Meter(), ("up", Scope.UPSTREAM, "")
    for second in range(120):
        meter.count(float(second), [what])
    assert 50 <= meter.sent(119.0, what) <= 60
    assert meter.sent(119.0, ("up", Scope.DOMAIN, "qq.com")) == 0
    assert meter.sent(300.0, what) == 0
    assert len(meter._slots) <= 7


def test_a_clock_that_is_set_back_makes_the_last_minute_no_longer():
    meter, what = Meter(), ("up", Scope.UPSTREAM, "")
    for second in range(7200, 7260):
        meter.count(float(second), [what])
    for second in range(3600, 5400):  # it went an hour wrong, and was set right
        meter.count(float(second), [what])
    assert 50 <= meter.sent(5399.0, what) <= 60
    assert len(meter._slots) <= 7
