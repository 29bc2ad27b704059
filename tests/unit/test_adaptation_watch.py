"""The end of an adaptation is written down once, by whichever node hears of it; what is in force is shown."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.config import parse_config
from relay.errors import RecordsUnavailable
from relay.records.kinds import Kind as RecordKind
from relay.records.search import Query, search
from relay.service.adaptation import AdaptationWatch
from relay.stores.adaptations import NEVER, Adaptation, Kind, Scope
from relay.telemetry import upstream_adapted
from tests.support.fixtures import a_sqlite_store
from tests.support.records import NOW, opened
from tests.support.stores import digest

CONFIG = parse_config(
    b'hostname = "relay.example.com"\n[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\n'
    b'[[upstream]]\nname = "up"\naddresses = ["smtp.example:465"]\n',
    "config.toml",
    Path(),
)


store = a_sqlite_store()


@pytest.fixture
def nodes(tmp_path):
    """The records of two nodes."""
    with opened(tmp_path / "one.db") as one, opened(tmp_path / "two.db") as two:
        yield one, two


def a_rest(records):
    sealed = records.person("news@example.com").sealed
    return Adaptation(digest("rest"), Kind.REST, "up", Scope.IDENTITY, sealed, NOW, NOW + 900, said="451 MI:SFQ")


PAUSE = Adaptation(digest("pause"), Kind.PAUSE, "gone", Scope.UPSTREAM, b"", NOW, NEVER, said="554 HL:IPB")


def watching(records, store, clock):
    return AdaptationWatch(CONFIG, records, lambda: store, clock=clock, entropy=os.urandom)


def on_record(*nodes):
    wanted = Query(kinds=frozenset({RecordKind.ADAPTED}))
    return [(entry.record, records) for records in nodes for entry in search(records.reader, wanted)]


async def test_of_two_nodes_one_writes_down_the_end(store, nodes, clock):
    watches = [watching(records, store, clock) for records in nodes]
    await store.adapt(a_rest(nodes[0]))
    for watch in watches:
        await watch.look()
    assert on_record(*nodes) == []
    clock.pass_(900)
    for _ in range(3):
        for watch in watches:
            await watch.look()
    ((record, records),) = on_record(*nodes)
    assert (record.facts["ended"], record.facts["kind"], record.facts["since"]) == ("time", "rest", NOW)
    assert records.reader.reveal(record.people[0]) == "news@example.com"


async def test_whom_the_keys_do_not_tell_is_nobody_on_record(store, nodes, clock):
    await store.adapt(replace(a_rest(nodes[0]), sealed=b"sealed under a ring that is gone"))
    clock.pass_(900)
    await watching(nodes[0], store, clock).look()
    ((record, _),) = on_record(*nodes)
    assert (record.facts["ended"], record.facts["person"], record.people) == ("time", None, ())


async def test_the_end_is_written_when_the_disk_has_room_again(store, nodes, clock, monkeypatch):
    watch = watching(nodes[0], store, clock)
    await store.adapt(a_rest(nodes[0]))
    clock.pass_(900)
    append = nodes[0].append

    async def full(*_):
        raise RecordsUnavailable("the disk is full")

    monkeypatch.setattr(nodes[0], "append", full)
    for _ in range(2):
        with pytest.raises(RecordsUnavailable):
            await watch.look()
    monkeypatch.setattr(nodes[0], "append", append)
    await watch.look()
    await watch.look()
    assert len(on_record(nodes[0])) == 1


async def test_what_is_in_force_is_shown_and_a_pause_is_remarked(store, nodes, clock):
    watch = watching(nodes[0], store, clock)
    await watch.look()
    assert upstream_adapted.labels("up", "rest")._value.get() == 0
    await store.adapt(a_rest(nodes[0]))
    await store.adapt(PAUSE)
    await watch.look()
    assert upstream_adapted.labels("up", "rest")._value.get() == 1
    assert upstream_adapted.labels("gone", "pause")._value.get() == 1
    assert watch.remarks() == ["marketing paused: upstream gone: 554 HL:IPB (by relay)"]
    clock.pass_(900)
    await store.end_adaptation(PAUSE.key)
    await watch.look()
    assert {series.labels["upstream"] for series in upstream_adapted.collect()[0].samples} == {"up"}
    assert (watch.remarks(), upstream_adapted.labels("up", "rest")._value.get()) == ([], 0)
