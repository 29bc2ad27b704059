"""What came back reaches the counts once, and a stream that is over its thresholds is paused once, on record."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config import parse_config
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.policy.cases.reputation import DAY, Feedback, Measure, Tally
from relay.policy.cases.transfers import Category, Crossing
from relay.policy.deciding.charges import upstream_charges
from relay.records.chain import line_of
from relay.records.facts import collected_record
from relay.records.feedback import FeedbackLog, feedback_of
from relay.records.kinds import Kind, Person
from relay.records.search import Query, search
from relay.service.reputation import ReputationWatch
from relay.stores.ledger import ClearRequest, Opening, RowState, Settlement
from relay.telemetry import (
    stream_paused,
    stream_ratio,
    stream_sent,
    stream_warning,
    transfer_persons,
    transfer_persons_below,
    upstream_limit_used,
)
from tests.support.policies import a_policy, newsletter
from tests.support.records import KEYS, NOW, an_id, opened
from tests.support.stores import digest, first_try, new_sqlite

FEW = '{ warn = "10%", pause = "50%" }'
CONFIG = parse_config(
    b'hostname = "relay.example.com"\n[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\n'
    b'[[upstream]]\nname = "netease"\naddresses = ["smtp.example:465"]\nlimits = ["8/day", "100/hour"]\n',
    "config.toml",
    Path(),
)
POLICY = newsletter(minimum="4", complaints=FEW)


@pytest.fixture
async def store(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    yield store
    await store.aclose()


def a_watch(records, store, clock, policy=POLICY):
    return ReputationWatch(CONFIG, KEYS, records, lambda: store, lambda: policy, clock=clock, entropy=os.urandom)


def came_back(number=1, *, sent=1, at=NOW, effect="complaint", gone=False, stream="newsletter", who=0):
    return collected_record(
        an_id(number), at, what="complaint" if effect == "complaint" else "bounce", mailbox="netease",
        person=Person(digest(who), b""), submission_id=an_id(sent), stream=stream, why="", gone=gone,
        effect=effect, mark=digest(f"mail {number}"),
    )  # fmt: skip


async def sent(store, recipients, stream="newsletter"):
    key, first = digest(os.urandom(4)), first_try(1)
    await store.open_submission(key, Opening(first, DAY))
    outcomes = [Settlement(digest(n), RowState.DELIVERED, "250 OK", "", first.submission_id, stream) for n in range(recipients)]
    await store.finish(key, outcomes)


async def tally(store, stream="newsletter"):
    return (await store.tallies({stream: 7}))[stream]


def kinds(records):
    return [entry.record for entry in search(records.reader, Query(kinds=frozenset({Kind.PAUSED})))]


def test_only_complaints_and_dead_mailboxes_count():
    lines = [
        came_back(1),
        came_back(2, effect="hard_bounce", gone=True, who=1),
        came_back(3, effect="", gone=True, who=2),  # said once, not confirmed yet: no entry, and a hard bounce all the same
        came_back(4, effect="", gone=False),  # a full mailbox
        came_back(5, effect="unsubscribe"),
        came_back(6, stream=""),
    ]
    assert [(f.measure.value, f.recipient, round(f.sent_at)) for f in feedback_of(line_of(line).body for line in lines)] == [
        ("complaints", digest(0), NOW),
        ("hard_bounces", digest(1), NOW),
        ("hard_bounces", digest(2), NOW),
    ]


async def test_the_log_is_read_once_and_after_an_outage_again(records):
    await records.append_many(came_back(number, sent=number) for number in range(1200))
    log = FeedbackLog(records.reader)

    def read():
        return [one.submission_id for page in log.pages(NOW) for one in page]

    everything = [an_id(number) for number in range(1200)]
    assert read() == everything
    assert read() == []
    await records.append(came_back(5000, sent=5000, at=NOW - 60))  # its moment was before that of the last one
    assert read() == [an_id(5000)]
    log.begin_anew()
    assert sorted(read()) == sorted([*everything, an_id(5000)])


async def test_what_is_too_old_is_not_read_anew(records):
    await records.append(came_back(1, at=NOW - 40 * DAY))
    assert [one for page in FeedbackLog(records.reader).pages(NOW) for one in page] == []


async def test_a_stream_over_its_threshold_is_paused_once_and_on_record(records, store, clock):
    await sent(store, 4)
    watch = a_watch(records, store, clock)
    for who in range(2):
        await records.append(came_back(who, who=who))
    await watch.look()
    assert watch.pauses == {}  # 2 of 4 is not over 50 %
    assert stream_warning.labels("newsletter", "complaints")._value.get() == 1
    await records.append(came_back(9, who=9))
    await watch.look()
    await a_watch(records, store, clock).look()  # the other node, or the same after a restart
    (record,) = kinds(records)
    assert record.facts == {
        "stream": "newsletter",
        "measure": "complaints",
        "by": "relay",
        "reason": "complaints 75.00% (3 of 4 recipients in 7 days), over 50%",
        "reason_zh": "投诉率 75.00%（7 天内 4 位收件人中 3 位），超过 50%",
        "counts": {"delivered": 4, "refused": 0, "returned": 0, "complaints": 3},
    }
    assert (await store.paused())["newsletter"].measure is Measure.COMPLAINTS
    assert stream_paused.labels("newsletter")._value.get() == 1
    assert stream_sent.labels("newsletter")._value.get() == 4
    assert stream_ratio.labels("newsletter", "complaints")._value.get() == 0.75


async def test_a_restart_counts_nothing_twice(records, store, clock):
    await sent(store, 4)
    await records.append(came_back(1))
    for _ in range(3):
        await a_watch(records, store, clock).look()
    assert await tally(store) == Tally(delivered=4, complaints=1)


async def test_the_same_mail_read_by_two_nodes_counts_once(records, store, clock, tmp_path):
    with opened(tmp_path / "other.db", clock=clock) as theirs:
        await records.append(came_back(1))
        await theirs.append(came_back(2))  # its own record of the same complaint
        await a_watch(records, store, clock).look()
        await a_watch(theirs, store, clock).look()
    assert (await tally(store)).complaints == 1


async def test_after_resuming_the_old_numbers_do_not_pause_again(records, store, clock):
    await sent(store, 4)
    for who in range(4):
        await records.append(came_back(who, who=who))
    watch = a_watch(records, store, clock)
    await watch.look()
    assert "newsletter" in watch.pauses
    clock.pass_(10)
    await store.resume("newsletter")
    await watch.look()
    await a_watch(records, store, clock).look()
    assert await store.paused() == {}
    assert len(kinds(records)) == 1
    assert stream_paused.labels("newsletter")._value.get() == 0


async def test_letters_of_people_are_never_paused_by_a_rate(records, store, clock):
    await sent(store, 600, "correspondence")
    await store.note([Feedback("correspondence", Measure.HARD_BOUNCES, an_id(n), digest(n), NOW) for n in range(60)])
    await a_watch(records, store, clock).look()
    assert await store.paused() == {}
    assert stream_warning.labels("correspondence", "hard_bounces")._value.get() == 1


async def test_the_stream_is_paused_when_the_record_must_wait(records, store, clock, monkeypatch):
    await sent(store, 4)
    for who in range(4):
        await records.append(came_back(who, who=who))
    watch = a_watch(records, store, clock)

    async def full(record):
        raise RecordsUnavailable("no room")

    with monkeypatch.context() as broken:
        broken.setattr(records, "append", full)
        with pytest.raises(RecordsUnavailable):
            await watch.look()
    assert "newsletter" in await store.paused()
    assert not kinds(records)
    await watch.look()
    await watch.look()
    assert len(kinds(records)) == 1


async def test_an_outage_of_the_store_loses_nothing(records, store, clock):
    await sent(store, 8)
    watch = a_watch(records, store, clock)
    await watch.look()
    await records.append(came_back(1))

    async def away(feedback):
        raise StoreUnavailable("unreachable", "down")

    note, store.note = store.note, away
    with pytest.raises(StoreUnavailable):
        await watch.look()
    store.note = note
    await watch.look()
    assert (await tally(store)).complaints == 1


async def test_the_share_of_an_upstreams_limits_is_shown(records, store, clock):
    day, hour = upstream_charges(
        POLICY, "netease", CONFIG.upstream[0].limits, datetime.fromtimestamp(NOW, UTC), KEYS.addresses.lasting_digest
    )
    for _ in range(6):
        await store.settle((await store.reserve([day, hour], 60)).id)
    await a_watch(records, store, clock).look()
    assert upstream_limit_used.labels("netease", "day")._value.get() == 0.75
    assert upstream_limit_used.labels("netease", "hour")._value.get() == 0.06


GROUND = '[[transfer]]\nto = ["SG"]\nbasis = "{}"\nreference = "1"\nuntil = 2099-12-31\n'
ELSEWHERE = "[[transferred]]\nyear = {}\nordinary = 7\n"
COUNTING = {"streams/newsletter.toml": ('packs = ["base"]', 'packs = ["base", "cn-marketing"]')}


def values(gauge):
    """By the values of its labels."""
    return {tuple(sample.labels.values()): sample.value for metric in gauge.collect() for sample in metric.samples}


async def test_whose_data_left_is_shown_beside_what_the_grounds_allow(records, store, clock):
    year = datetime.fromtimestamp(clock(), POLICY.zone).year
    crossing = Crossing(year, Category.ORDINARY, clock() + DAY)
    people = [ClearRequest(digest(n), (digest(n),), (), frozenset(), crossing=crossing) for n in range(3)]
    await store.clear(digest("mail"), first_try(1).submission_id, people, 60.0, DAY)
    tables = GROUND.format("exempt") + GROUND.format("standard-contract").replace("SG", "US") + ELSEWHERE.format(year)
    policy = a_policy(changes=COUNTING, added={"organisation.toml": f"\n{tables}"})
    await a_watch(records, store, clock, policy).look()
    assert values(transfer_persons) == {("ordinary",): 10, ("sensitive",): 0}
    assert values(transfer_persons_below) == {
        ("ordinary", "exempt"): 100_000,
        ("ordinary", "standard-contract"): 1_000_000,
        ("sensitive", "standard-contract"): 10_000,
    }
    await a_watch(records, store, clock, a_policy(changes=COUNTING)).look()  # no ground: nobody leaves
    assert (values(transfer_persons), values(transfer_persons_below)) == ({}, {})
