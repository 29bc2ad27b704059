"""Every store tells where people are with what is in force on them: in one round trip, for nothing while nobody said it."""

import sqlite3

import pytest

from relay.policy.consents.consent import Details
from relay.policy.consents.residence import Residence
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.stores.ledger import Opening
from relay.stores.lookup import Found
from relay.stores.sqlite import SQLiteStore
from relay.stores.sqlite import consents as consents_table
from tests.support.stores import (
    ADA,
    BOB,
    EVE,
    META,
    PATIENT_MS,
    START,
    consent,
    digest,
    first_try,
    new_redis,
    new_sqlite,
    refusal,
)

MAIL = digest("submission")
PEOPLE = [(ADA,), (BOB,), (EVE,)]


def living(country: str, who=ADA, at=START - 10, number=1, **facts):
    """An event that names a country."""
    return consent(who, at, number, said=Details(source="form", country=country).dump(), **facts)


def recorded(country: str, at=START - 10) -> Residence:
    return Residence(frozenset({country}), at)


async def residences(store, recipients=PEOPLE, **options):
    found = [one.residence for one in await store.look_up(recipients, **options)]
    entry = await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=recipients, **options))
    assert [one.residence for one in entry.found] == found
    return found


async def test_of_nobody_nothing_is_known(store):
    assert await store.look_up([]) == []
    assert await store.look_up(PEOPLE) == [Found()] * 3
    assert await store.look_up(PEOPLE, with_consents=True) == [Found()] * 3
    assert (await store.open_submission(MAIL, Opening(first_try(), 60.0))).found == ()


@pytest.mark.parametrize("with_consents", [False, True])
async def test_everything_on_a_recipient_comes_together(store, with_consents):
    events = [living("KR"), consent(BOB, number=2), living("DE", EVE, number=3), consent(EVE, START - 5, 4)]
    await store.record_consents(events)
    await store.suppress(refusal(EVE))
    found = await store.look_up(PEOPLE, with_consents=with_consents)
    assert [one.suppressions for one in found] == await store.find(PEOPLE) == [(), (), (refusal(EVE),)]
    told = await store.consents(PEOPLE)
    assert [one.consents for one in found] == (told if with_consents else [()] * 3)
    assert [len(events) for events in told] == [1, 1, 2]
    assert [one.residence for one in found] == [recorded("KR"), None, recorded("DE")]
    entry = await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=PEOPLE, with_consents=with_consents))
    assert list(entry.found) == found


@pytest.mark.parametrize("with_consents", [False, True])
async def test_the_last_word_under_any_generation_of_the_key_holds_and_a_withdrawal_takes_nothing_back(store, with_consents):
    old = digest("old generation of ada")
    people = [(ADA, old), (BOB,)]
    await store.record_consents([living("KR", old, START - 90)])
    assert await residences(store, people, with_consents=with_consents) == [recorded("KR", START - 90), None]
    await store.record_consents([living("DE", at=START - 50, number=2), living("US", at=START - 99, number=3)])
    await store.record_consents([consent(at=START - 5, number=4, event="withdrawn"), living("FR", number=5, event="requested")])
    assert await residences(store, people, with_consents=with_consents) == [recorded("DE", START - 50), None]
    await store.record_consents([living("JP", at=START - 1, number=6, event="withdrawn")])
    assert await residences(store, people, with_consents=with_consents) == [recorded("JP", START - 1), None]


async def test_a_lifting_that_names_a_country_counts(store):
    await store.suppress(refusal(at=START - 100))
    assert await residences(store) == [None] * 3
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, living("KR", purpose="marketing"), "")
    assert await residences(store) == [recorded("KR"), None, None]


async def test_of_many_recipients_each_has_its_own(store):
    codes = ["KR", "DE", "US"]
    await store.record_consents([living(codes[n % 3], digest(n), START - n, n) for n in range(0, 1200, 2)])
    people = [(digest(n),) for n in range(1300)]
    expected = [recorded(codes[n % 3], START - n) if n % 2 == 0 and n < 1200 else None for n in range(1300)]
    assert await residences(store, people) == await residences(store, people, with_consents=True) == expected


# What it costs ----------------------------------------------------------------------------------------------------------


def reader(store: SQLiteStore) -> sqlite3.Connection:
    assert store._reader.db is not None
    return store._reader.db


class Statements:
    """What SQLite was asked on the connection that reads."""

    def __init__(self, store: SQLiteStore) -> None:
        self._db = reader(store)
        self.said: list[str] = []

    def __enter__(self):
        self._db.set_trace_callback(self.said.append)
        return self

    def __exit__(self, *_):
        self._db.set_trace_callback(None)

    @property
    def of_consents(self) -> int:
        return sum("FROM consents" in one for one in self.said)


async def test_in_sqlite_one_look_at_an_empty_index_is_all_while_nobody_said_it(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    try:
        people = [(digest(n),) for n in range(1000)]
        await store.record_consents([consent(digest(n), number=n) for n in range(1000)])
        with Statements(store) as asked:
            await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people))
        assert asked.of_consents == 1
        await store.record_consents([living("KR", digest(7), number=2000)])
        with Statements(store) as asked:
            await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people))
        assert asked.of_consents == 6, "one, and one for two hundred recipients"
        with Statements(store) as asked:
            await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people, with_consents=True))
        assert asked.of_consents == 5, "all events tell it too: nobody is looked up twice"
    finally:
        await store.aclose()


async def test_in_sqlite_those_who_named_none_are_not_read(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    try:
        plan = reader(store).execute(f"EXPLAIN QUERY PLAN {consents_table._NAMING} AND digest IN (?, ?)", (ADA, BOB)).fetchall()
        assert [row[3] for row in plan] == ["SEARCH consents USING INDEX consents_country (digest=?)"]
    finally:
        await store.aclose()


def calls(server) -> dict[str, int]:
    """How often Redis carried out each command since it was asked to count anew."""
    lines = server.command("INFO", "commandstats").split()
    named = (line.removeprefix("cmdstat_").partition(":calls=") for line in lines if line.startswith("cmdstat_"))
    return {name: int(rest.partition(",")[0]) for name, _, rest in named}


async def test_in_redis_it_is_the_same_call_and_one_look_more_while_nobody_said_it(redis_server, clock):
    redis_server.command("FLUSHALL")
    store = await new_redis(redis_server.url, clock)
    try:
        people = [(digest(n),) for n in range(200)]
        await store.record_consents([consent(digest(n), number=n) for n in range(200)])

        async def cost(**options) -> dict[str, int]:
            redis_server.command("CONFIG", "RESETSTAT")
            await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people, **options))
            return calls(redis_server)

        await cost()  # of the first try, which writes the submission down
        before = await cost()
        assert (before["fcall"], before["exists"]) == (1, 1)
        whole = await cost(with_consents=True)
        assert (whole["fcall"], whole.get("exists", 0), whole["hget"]) == (1, 0, before["hget"] + 200)
        await store.record_consents([living("KR", digest(7), number=2000)])
        after = await cost()
        assert (after["fcall"], after["exists"], after["hget"]) == (1, 1, whole["hget"])
    finally:
        await store.aclose()


async def test_a_look_at_one_recipient_is_one_call(redis_server, clock):
    redis_server.command("FLUSHALL")
    store = await new_redis(redis_server.url, clock)
    try:
        await store.record_consents([living("KR")])
        for with_consents in (False, True):
            redis_server.command("CONFIG", "RESETSTAT")
            assert (await store.look_up([(ADA,)], with_consents=with_consents))[0].residence == recorded("KR")
            assert calls(redis_server)["fcall"] == 1
    finally:
        await store.aclose()


# Files of an earlier version ---------------------------------------------------------------------------------------------


async def test_a_file_from_before_countries_were_recorded_is_taken_on(tmp_path, clock):
    store = await new_sqlite(tmp_path, clock)
    await store.record_consents([consent(), living("KR", BOB, number=2)])
    await store.aclose()
    db = sqlite3.connect(tmp_path / "relay.db")
    db.execute("DROP INDEX consents_country")
    db.commit()
    db.close()
    for _ in range(2):  # the second time there is nothing to do
        store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
        try:
            assert await residences(store) == [None, recorded("KR"), None]
        finally:
            await store.aclose()


async def test_two_nodes_on_one_redis_know_the_same(redis_server, clock):
    """One that has looked before anybody said it sees what the other records."""
    redis_server.command("FLUSHALL")
    one = await new_redis(redis_server.url, clock)
    other = await type(one).open(redis_server.url, META, clock=clock, timeout_ms=PATIENT_MS)
    try:
        assert await residences(one) == [None] * 3
        await other.record_consents([living("KR")])
        assert await residences(one) == [recorded("KR"), None, None]
    finally:
        await one.aclose()
        await other.aclose()
