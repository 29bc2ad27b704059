"""Appending: acknowledged means on disk and in the one chain, anything else is RecordsUnavailable."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from relay.errors import RecordsFull, RecordsUnavailable
from relay.policy.suppressions.suppression import Reason
from relay.records.append import Records
from relay.records.kinds import Kind
from relay.records.reading import Reader
from relay.records.search import verify
from tests.support.records import KEYS, NOW, a_record, a_refusal, an_id, opened

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.db"


def appender(path: Path, first: int, amount: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.appender", str(path), str(first), str(amount)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def verdict(path: Path):
    with Reader(path, KEYS) as reader:
        return verify(reader)


async def test_records_are_numbered_one_after_the_other(path):
    with opened(path) as records:
        assert [await records.append(a_record(n)) for n in range(1, 4)] == [1, 2, 3]
        assert await records.append_many([a_record(4), a_record(5)]) == (4, 5)
        assert await records.append_many([]) == ()
    with opened(path) as records:
        assert await records.append(a_record(6)) == 6
    assert verdict(path).count == 6


async def test_many_at_once_share_commits_and_keep_their_own_numbers(path):
    with opened(path) as records:
        numbers = await asyncio.gather(*(records.append(a_record(n)) for n in range(300)))
        rows = dict(records.reader.read("SELECT id, seq FROM records"))
        assert sorted(numbers) == list(range(1, 301))
        assert [rows[an_id(n)] for n in range(300)] == numbers


def test_four_processes_write_one_unbroken_chain(path):
    processes = [appender(path, 1000 * n, 500) for n in range(4)]
    acknowledged = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert sorted(int(line.split()[0]) for line in acknowledged) == list(range(1, 2001))
    found = verdict(path)
    assert (found.count, found.broken) == (2000, None)


def test_a_killed_process_loses_nothing_that_it_acknowledged(path):
    process = appender(path, 0, 100_000)
    other = appender(path, 200_000, 300)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(250)]
    process.kill()
    acknowledged += process.communicate()[0].splitlines()
    acknowledged += other.communicate()[0].splitlines()
    whole = [line.split() for line in acknowledged if len(line.split()) == 2]  # the last line may be cut
    with Reader(path, KEYS) as reader:
        rows = dict(reader.read("SELECT seq, body FROM records"))
        assert verify(reader).broken is None
    assert len(whole) >= 550
    for seq, number in whole:
        assert f'"n":{number}}}' in rows[int(seq)]


async def test_a_removed_file_stops_appends_at_once(path):
    with opened(path) as records:
        await records.append(a_record(1))
        path.unlink()
        for operation in (records.append(a_record(2)), records.journal_refusal(a_record(3), a_refusal())):
            with pytest.raises(RecordsUnavailable, match="removed or replaced"):
                await operation
        with pytest.raises(RecordsUnavailable):
            records.pending([b"x" * 16])
        with pytest.raises(RecordsUnavailable):
            records.check()
    with pytest.raises(RecordsUnavailable, match="is gone"):
        Records.open(path, KEYS, 0, lambda: NOW)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_file_replaced_under_load_acknowledges_nothing_that_is_not_there(path, suffix):
    acknowledged: list[int] = []

    async def client(records, first):
        for n in count(first):
            await records.append(a_record(n))
            acknowledged.append(n)

    with opened(path) as records:
        clients = [asyncio.ensure_future(client(records, 10_000 * c)) for c in range(5)]
        while len(acknowledged) < 50:
            await asyncio.sleep(0)
        before = path.with_name("before")
        moved = path.with_name(path.name + suffix)
        moved.rename(before)
        moved.write_bytes(before.read_bytes())
        results = await asyncio.gather(*clients, return_exceptions=True)
        assert all(isinstance(result, RecordsUnavailable) for result in results)
        there = {row[0] for row in records.reader.read("SELECT id FROM records")}
        assert {an_id(n) for n in acknowledged} <= there


async def test_a_full_disk_is_unavailable_and_leaves_the_chain_whole(path):
    with opened(path) as records:
        await records.append(a_record(1))
        (pages,) = records._connection.execute("PRAGMA page_count").fetchone()
        records._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(RecordsUnavailable, match="full"):
            await records.append(a_record(2, filler="x" * 100_000))
        records._connection.execute("PRAGMA max_page_count = 1000000")
        assert await records.append(a_record(3)) == 2
    assert verdict(path).broken is None


async def test_below_min_free_new_mail_stops_but_refusals_and_outcomes_are_still_written(path):
    with opened(path, min_free=2**62) as records:
        together = await asyncio.gather(
            records.append(a_record(1, Kind.RECEIVED)),
            records.append(a_record(2, Kind.FINISHED)),
            records.append(a_record(3, Kind.REFUSED)),
            records.journal_refusal(a_record(4, Kind.SUPPRESSED), a_refusal()),
            return_exceptions=True,
        )
        assert [type(result) for result in together] == [RecordsFull, int, RecordsFull, type(None)]
        assert "min_free" in str(together[0])
        with pytest.raises(RecordsUnavailable, match="min_free"):
            records.check()
        assert len(records.take_pending(10)) == 1


async def test_a_closed_instance_is_unavailable(path):
    with opened(path) as records:
        await records.aclose()
        records.close()
        with pytest.raises(RecordsUnavailable, match="closed"):
            await records.append(a_record())
        with pytest.raises(RecordsUnavailable, match="closed"):
            records.pending([b""])


async def test_closing_waits_for_what_was_handed_in(path):
    with opened(path) as records:
        appends = [asyncio.ensure_future(records.append(a_record(n))) for n in range(50)]
        await asyncio.sleep(0)
        await records.aclose()
        assert sorted(await asyncio.gather(*appends)) == list(range(1, 51))
    assert verdict(path).count == 50


async def test_a_corrupt_file_is_unavailable(path):
    with opened(path) as records:
        await records.append(a_record())
    octets = bytearray(path.read_bytes())
    octets[100:] = b"\xff" * (len(octets) - 100)
    path.write_bytes(octets)
    with pytest.raises(RecordsUnavailable):
        Records.open(path, KEYS, 0, lambda: NOW)


async def test_an_emptied_or_foreign_file_is_not_taken_for_a_fresh_one(path, tmp_path):
    with opened(path) as records:
        await records.append(a_record())
    with opened(tmp_path / "other" / "records.db"):
        pass
    for octets in (b"", (tmp_path / "other" / "records.db").read_bytes()):
        path.write_bytes(octets)
        with pytest.raises(RecordsUnavailable, match="is not the file"):
            Records.open(path, KEYS, 0, lambda: NOW)


@pytest.mark.parametrize("remembered", [None, ""])
async def test_a_first_start_that_was_cut_off_is_taken_up_again(path, remembered):
    """Killed before the tables were made, or before the chain's id was remembered."""
    path.touch()
    with opened(path) as records:
        await records.append(a_record(1))
    known = path.with_suffix(".id")
    whole = known.read_text()
    known.unlink()
    if remembered is not None:
        known.write_text(remembered)
    with opened(path) as records:
        assert await records.append(a_record(2)) == 2
    assert known.read_text() == whole


async def test_records_of_a_later_format_are_left_alone(path):
    with opened(path) as records:
        records._connection.execute("DROP TRIGGER meta_stays_as_written")
        records._connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
    with pytest.raises(RecordsUnavailable, match="format 99"):
        Records.open(path, KEYS, 0, lambda: NOW)


async def test_nothing_is_chained_to_a_broken_end(path):
    with opened(path) as records:
        await records.append_many([a_record(1), a_record(2)])
        records._connection.execute("DROP TRIGGER records_stay_as_written")
        records._connection.execute("UPDATE records SET body = replace(body, '2', '3') WHERE seq = 2")
    with pytest.raises(RecordsUnavailable, match="relay records verify"):
        Records.open(path, KEYS, 0, lambda: NOW)


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RecordsUnavailable):
        Records.open(tmp_path / "file" / "records.db", KEYS, 0, lambda: NOW)


async def test_facts_that_are_not_json_are_the_callers_fault_alone(path):
    with opened(path) as records:
        good, bad = await asyncio.gather(
            records.append(a_record(1)), records.append(a_record(2, what=object())), return_exceptions=True
        )
        assert good == 1
        assert isinstance(bad, TypeError)


async def test_the_same_person_twice_in_one_record_is_indexed_once(path):
    with opened(path) as records:
        twice = (records.person("ada@example.org"), records.person("ada@example.org"))
        record = a_record()
        await records.append(type(record)(record.kind, record.id, record.at, twice, {}))
        assert records.reader.read("SELECT count(*) FROM people") == [(1,)]


async def test_a_journalled_refusal_is_pending_in_every_process_until_it_is_applied(path):
    ada, bob = KEYS.addresses.digest("ada@example.org"), KEYS.addresses.digest("bob@example.org")
    with opened(path) as one, opened(path) as two:
        assert two.pending([ada, bob]) == []
        entry = a_refusal("ada@example.org")
        await one.journal_refusal(a_record(1, Kind.SUPPRESSED), entry)
        assert two.pending([bob, ada]) == one.pending([ada]) == [entry]
        assert two.pending([bob]) == two.pending([]) == []
        [(number, taken)] = two.take_pending(10)
        assert taken == entry
        await two.applied([(number, taken)])
        assert one.pending([ada]) == []
        assert one.take_pending(10) == []
        assert one.journalled(NOW, 0, 10) == [(number, entry)]
        assert one.journalled(NOW + 1, 0, 10) == []


async def test_pending_asks_for_thousands_at_once(path):
    with opened(path) as records:
        entry = a_refusal()
        await records.journal_refusal(a_record(), entry)
        others = [n.to_bytes(16, "big") for n in range(2000)]
        assert records.pending([*others, entry.digest]) == [entry]


async def test_applied_refusals_are_forgotten_after_a_day(path):
    now = [NOW]
    with opened(path, clock=lambda: now[0]) as records:
        for number in (1, 2):
            entry = a_refusal(f"person{number}@example.org", at=now[0])
            await records.journal_refusal(a_record(number), entry)
            await records.applied([(number, entry)])
            now[0] += 86_401
        assert [number for number, _ in records.journalled(0, 0, 10)] == [2]


async def test_a_refusal_said_again_moves_its_time_on_and_is_pending_again(path):
    with opened(path) as records:
        first = a_refusal(at=NOW)
        await records.journal_refusal(a_record(1, Kind.SUPPRESSED), first)
        await records.applied(records.take_pending(10))
        await records.journal_refusal(a_record(2, Kind.SUPPRESSED), replace(first, at=NOW + 5), 0.0)
        [(number, entry)] = records.take_pending(10)
        assert (number, entry) == (1, replace(first, again_at=NOW + 5))
        await records.journal_refusal(a_record(3, Kind.SUPPRESSED), replace(first, at=NOW - 5), 0.0)  # the clock went back
        assert records.take_pending(10) == [(number, entry)]
        assert records.reader.read("SELECT count(*) FROM records") == [(1,)]
        assert records.journalled(NOW + 5, 0, 10) == [(number, entry)]


@pytest.mark.parametrize(
    ("answered_at", "is_applied", "rows"), [(0.0, True, 1), (NOW, True, 2), (None, True, 2), (NOW, False, 2), (None, False, 1)]
)
async def test_what_was_answered_or_may_have_been_is_written_anew(path, answered_at, is_applied, rows):
    with opened(path) as records:
        await records.journal_refusal(a_record(1, Kind.SUPPRESSED), a_refusal(at=NOW))
        if is_applied:
            await records.applied(records.take_pending(10))
        await records.journal_refusal(a_record(2, Kind.SUPPRESSED), a_refusal(at=NOW + 5), answered_at)
        assert len(records.journalled(0, 0, 10)) == rows
        assert records.reader.read("SELECT count(*) FROM records") == [(rows,)]
        assert [entry.last_at for entry in records.pending([a_refusal().digest])][-1] == NOW + 5


async def test_only_the_same_refusal_is_the_same(path):
    with opened(path) as records:
        others = [a_refusal("bob@example.org"), a_refusal(scope="stream:news"), a_refusal(reason=Reason.COMPLAINT)]
        for number, entry in enumerate([a_refusal(), *others], 1):
            await records.journal_refusal(a_record(number), entry, 0.0)
        assert len(records.take_pending(10)) == 4


async def test_many_at_once_of_many_processes_are_one(path):
    with opened(path) as one, opened(path) as two:
        await asyncio.gather(
            *(records.journal_refusal(a_record(n), a_refusal(at=NOW + n), 0.0) for n in range(50) for records in (one, two))
        )
        [(_, entry)] = one.take_pending(10)
        assert entry.last_at == NOW + 49
        assert one.reader.read("SELECT count(*) FROM records") == [(1,)]


async def test_what_is_said_again_while_it_is_carried_over_stays_pending(path):
    with opened(path) as records:
        await records.journal_refusal(a_record(1), a_refusal(at=NOW))
        carried = records.take_pending(10)
        await records.journal_refusal(a_record(2), a_refusal(at=NOW + 1))
        await records.applied(carried)
        [(_, entry)] = records.take_pending(10)
        assert entry.last_at == NOW + 1
        assert records.take_pending(10, after=1) == []


async def test_a_file_of_an_earlier_version_learns_when_a_refusal_was_said_again(path):
    with opened(path) as records:
        await records.journal_refusal(a_record(1), a_refusal(at=NOW))
    with closing(sqlite3.connect(path)) as older:
        older.execute("DROP INDEX refusals_said")
        for column in ("again_at", "record", "sequence"):
            older.execute(f"ALTER TABLE refusals DROP COLUMN {column}")
    for _ in range(2):
        with opened(path) as records:
            [(number, entry)] = records.take_pending(10)
            assert entry.at == NOW
            await records.journal_refusal(a_record(2), a_refusal(at=NOW + 1))
            assert [entry.last_at for _, entry in records.take_pending(10)] == [NOW + 1]
            await records.applied([(number, replace(entry, number=7))])  # nobody knows which record it has
            assert records.reader.read("SELECT count(*) FROM records") == [(1,)]
            assert records.reader.read("SELECT count(*) FROM sqlite_master WHERE name = 'refusals_said'") == [(1,)]


async def test_the_tables_refuse_changes(path):
    with opened(path) as records:
        await records.append_many([a_record(1), a_record(2)])
        for statement in (
            "UPDATE records SET at = 0",
            "DELETE FROM records",
            "INSERT OR REPLACE INTO records SELECT 1, id, kind, at, body, hash FROM records WHERE seq = 2",
            "INSERT INTO records SELECT 9, id, kind, at, body, hash FROM records WHERE seq = 2",
            "UPDATE meta SET value = ''",
            "DELETE FROM meta",
        ):
            with pytest.raises(Exception, match="records"):
                records._connection.execute(statement)
