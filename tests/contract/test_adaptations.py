"""Every store keeps what is adapted because of upstreams' replies the same way."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest

from relay.stores.adaptations import MOST, NEVER, Adaptation, Kind, Scope
from relay.stores.sqlite import SQLiteStore
from tests.support.stores import META, START, digest

REST = Adaptation(
    digest("rest"), Kind.REST, "netease", Scope.IDENTITY, b"sealed\0name", START, START + 900, 0, b"\xff\0",
    "throttle", "451 MI:SFQ 发信过多", "relay",
)  # fmt: skip
RATE = Adaptation(digest("rate"), Kind.RATE, "netease", Scope.UPSTREAM, b"", START, START + 7800, 10, said="451 MI:SFQ")
CAP = Adaptation(digest("cap"), Kind.RECIPIENTS, "netease", Scope.UPSTREAM, b"", START, START + 86400, 20)
PAUSE = Adaptation(digest("pause"), Kind.PAUSE, "ses", Scope.UPSTREAM, b"", START, NEVER, by="Wang Min")


async def test_nothing_is_adapted_at_first(store):
    assert await store.adaptations() == []
    assert await store.end_adaptation(REST.key) is None
    assert await store.take_ended() == []


async def test_all_of_it_is_known_as_it_was_said(store):
    for one in (REST, RATE, CAP, PAUSE):
        assert await store.adapt(one)
    assert {one.key: one for one in await store.adaptations()} == {one.key: one for one in (REST, RATE, CAP, PAUSE)}


async def test_each_ends_by_itself_and_is_told_once_but_a_pause(store, clock):
    for one in (REST, RATE, CAP, PAUSE):
        await store.adapt(one)
    clock.pass_(899)
    assert await store.take_ended() == []
    clock.pass_(1)
    assert REST not in await store.adaptations()
    taken = await asyncio.gather(*(store.take_ended() for _ in range(5)))
    assert [one for some in taken for one in some] == [REST]
    clock.pass_(400 * 86400.0)
    assert {one.key for one in await store.take_ended()} == {RATE.key, CAP.key}
    assert await store.adaptations() == [PAUSE]


@pytest.mark.parametrize(
    ("before", "after", "is_taken"),
    [
        (REST, replace(REST, until=REST.until + 59), False),
        (REST, replace(REST, until=REST.until + 60), True),
        (REST, replace(REST, until=REST.until - 60), False),
        (RATE, replace(RATE, since=START + 59, value=5), False),
        (RATE, replace(RATE, since=START + 60, value=5), True),
        (CAP, replace(CAP, value=20), False),
        (CAP, replace(CAP, value=30), False),
        (CAP, replace(CAP, value=19), True),
        (PAUSE, replace(PAUSE, since=START + 1000, said="again"), False),
    ],
)
async def test_only_a_stronger_one_takes_the_place_of_the_one_in_force(store, before, after, is_taken):
    await store.adapt(before)
    assert await store.adapt(after) is is_taken
    assert await store.adaptations() == [after if is_taken else before]
    assert after.outdoes(before) is is_taken


async def test_one_whose_time_is_over_stands_in_nobodys_way(store, clock):
    await store.adapt(CAP)
    clock.pass_(86400)
    again = replace(CAP, since=clock(), until=clock() + 86400, value=40)
    assert await store.adapt(again)
    assert await store.adaptations() == [again]
    assert await store.take_ended() == []


async def test_ten_that_say_it_at_once_are_one(store):
    taken = await asyncio.gather(*(store.adapt(replace(REST, until=REST.until + n / 10)) for n in range(10)))
    assert sorted(taken) == [False] * 9 + [True]


async def test_a_person_ends_one(store):
    await store.adapt(PAUSE)
    await store.adapt(REST)
    assert await store.end_adaptation(PAUSE.key) == PAUSE
    assert await store.end_adaptation(PAUSE.key) is None
    assert await store.adaptations() == [REST]


async def test_there_are_not_more_than_the_bound(store):
    many = [replace(REST, key=digest(n), scope=Scope.DOMAIN) for n in range(MOST)]
    assert all(await asyncio.gather(*(store.adapt(one) for one in many)))
    assert not await store.adapt(RATE)
    assert await store.adapt(replace(many[0], until=REST.until + 500))
    await store.end_adaptation(many[1].key)
    assert await store.adapt(RATE)


async def test_a_file_from_before_gets_the_table(tmp_path, clock):
    path = tmp_path / "relay.db"
    SQLiteStore.create(path, META)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE adaptations")
    store = SQLiteStore.open(path, META, clock=clock)
    try:
        assert await store.adapt(REST)
        assert await store.adaptations() == [REST]
    finally:
        await store.aclose()
