"""Warming: what a worker knows of the days on which streams sent, and tells the store."""

from relay.errors import StoreUnavailable
from relay.policy.cases.reputation import SendingDays
from relay.stores.closed import ClosedStore
from relay.warming import Warming
from tests.support.fixtures import a_clock, a_sqlite_store
from tests.support.policies import a_policy
from tests.support.stores import START

WARM = a_policy(changes={"streams/newsletter.toml": ("identity = []", 'identity = []\nwarm_up = "200/day x1.5"')})
NEWS = WARM.stream("newsletter")
NOON = 1_795_248_000.0  # 2026-11-21 16:00 in Shanghai
MIDNIGHT = NOON + 8 * 3600


clock = a_clock(START)
store = a_sqlite_store()


async def test_until_the_store_was_asked_it_is_the_first_day(store):
    await store.note_sending("newsletter", "2026-11-20")
    warming = Warming()
    assert warming.days(NEWS) == SendingDays()
    await warming.learn(store, WARM)
    assert warming.days(NEWS) == SendingDays(1, "2026-11-20")


async def test_the_first_mail_of_a_worker_asks_before_it_is_counted(store):
    await store.note_sending("newsletter", "2026-11-20")
    warming = Warming()
    await warming.ready(ClosedStore("sqlite", StoreUnavailable("unreachable", "away")), WARM, NEWS)
    assert warming.days(NEWS) == SendingDays()
    await warming.ready(store, WARM, NEWS)
    assert warming.days(NEWS) == SendingDays(1, "2026-11-20")
    await store.note_sending("newsletter", "2026-11-21")
    await warming.ready(store, WARM, NEWS)
    assert warming.days(NEWS) == SendingDays(1, "2026-11-20"), "from then on once a second"


async def test_a_day_begins_where_the_organisation_is(store):
    warming = Warming()
    await warming.note(store, WARM, NEWS, MIDNIGHT - 1)
    await warming.note(store, WARM, NEWS, MIDNIGHT)
    await warming.learn(store, WARM)
    assert warming.days(NEWS) == SendingDays(2, "2026-11-22")


async def test_the_store_hears_of_a_day_once_from_each_worker(store, monkeypatch):
    told = []

    async def note(stream, day):
        told.append((stream, day))

    monkeypatch.setattr(store, "note_sending", note)
    warming = Warming()
    for seconds in (0, 1, 2, 8 * 3600, 8 * 3600 + 1):
        await warming.note(store, WARM, NEWS, NOON + seconds)
    assert told == [("newsletter", "2026-11-21"), ("newsletter", "2026-11-22")]


async def test_streams_that_do_not_warm_up_are_not_counted(store):
    warming = Warming()
    for stream in WARM.streams:
        await warming.note(store, WARM, stream, NOON)
    names = [stream.name for stream in WARM.streams]
    assert {name for name, days in (await store.sending_days(names)).items() if days.days} == {"newsletter"}


async def test_a_store_that_was_away_hears_of_the_day_after_the_next_mail(store):
    warming = Warming()
    away = ClosedStore("sqlite", StoreUnavailable("unreachable", "away"))
    await warming.note(away, WARM, NEWS, NOON)
    await warming.note(store, WARM, NEWS, NOON)
    assert (await store.sending_days(["newsletter"]))["newsletter"] == SendingDays(1, "2026-11-21")
