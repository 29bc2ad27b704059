"""relay.db under a running relay: removed, replaced, damaged, on another's behalf."""

import shutil
import sqlite3
import stat
from contextlib import closing

import pytest

from relay.errors import StoreUnavailable
from relay.stores.ledger import Cleared
from relay.stores.sqlite import SQLiteStore, limits
from relay.stores.sqlite.file import StoreFile, unavailable
from tests.contract.test_meta import OPERATIONS
from tests.support.clocks import Clock
from tests.support.stores import ADA, BOB, META, START, digest, first_try, new_sqlite, refusal, request


@pytest.fixture
async def store(tmp_path):
    opened = await new_sqlite(tmp_path, Clock(START))
    await opened.suppress(refusal())
    yield opened
    await opened.aclose()


def remove(path):
    path.unlink()


def remove_all(path):
    for file in path.parent.glob("relay.db*"):
        file.unlink()


def remove_log(path):
    path.with_name("relay.db-wal").unlink()


def replace_by_copy(path):
    """The same octets in another file: later commits of the others would not be seen."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def replace_by_empty_store(path):
    remove_all(path)
    SQLiteStore.create(path, META)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("damage", [remove, remove_all, remove_log, replace_by_copy, replace_by_empty_store])
async def test_a_file_that_is_not_the_one_we_opened_permits_nobody(store, tmp_path, damage, operation):
    damage(tmp_path / "relay.db")
    with pytest.raises(StoreUnavailable) as caught:
        await OPERATIONS[operation](store)
    assert caught.value.reason == "removed"


async def test_a_store_whose_tables_were_emptied_permits_nobody(store, tmp_path):
    stranger = sqlite3.connect(tmp_path / "relay.db")
    stranger.execute("DELETE FROM meta")
    stranger.commit()
    stranger.close()
    with pytest.raises(StoreUnavailable) as caught:
        await store.find([(ADA,)])
    assert caught.value.reason == "empty"


async def test_another_schema_is_not_guessed(tmp_path):
    newer = type(META)(META.store_id, 2, META.fingerprints)
    SQLiteStore.create(tmp_path / "relay.db", newer)
    with pytest.raises(StoreUnavailable) as caught:
        SQLiteStore.open(tmp_path / "relay.db", META)
    assert caught.value.reason == "schema"


def older_file(folder, script):
    """A file as an earlier version left it: one of today's, changed by the script."""
    path = folder / "relay.db"
    SQLiteStore.create(path, META)
    with closing(sqlite3.connect(path)) as today:
        today.executescript(script)
    return path


async def test_a_file_from_before_days_of_sending_were_counted_goes_on_being_used(tmp_path):
    path = older_file(tmp_path, "DROP TABLE sending_days")
    store = SQLiteStore.open(path, META)
    await store.note_sending("news", "2026-11-21")
    assert (await store.sending_days(["news"]))["news"].days == 1
    await store.aclose()


async def test_a_file_from_before_transfers_were_counted_goes_on_being_used(tmp_path):
    path = older_file(tmp_path, "DROP TABLE transferred; DROP TABLE transferred_persons")
    store = SQLiteStore.open(path, META)
    assert await store.transfer_years() == []
    await store.aclose()


async def test_counting_what_is_reserved_reads_an_index_alone_also_in_an_older_file(tmp_path):
    path = older_file(tmp_path, "DROP INDEX reserved_counts; CREATE INDEX reserved_key ON reserved (key)")
    await SQLiteStore.open(path, META).aclose()
    renewed = sqlite3.connect(path)
    plan = [row[3] for row in renewed.execute(f"EXPLAIN QUERY PLAN {limits._COUNT}", (b"", 0, 0, 0, 0))]
    renewed.close()
    assert any("COVERING INDEX reserved_counts" in step for step in plan), plan


def test_a_file_is_made_once_and_for_nobody_else_to_read(tmp_path):
    path = tmp_path / "relay.db"
    SQLiteStore.create(path, META)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(StoreUnavailable):
        SQLiteStore.create(path, META)
    assert SQLiteStore.read_meta(path) == META


@pytest.mark.parametrize("octets", [b"", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 4080, b"text"])
def test_a_damaged_file_is_refused(tmp_path, octets):
    path = tmp_path / "relay.db"
    path.write_bytes(octets)
    for read in (lambda: SQLiteStore.open(path, META), lambda: SQLiteStore.read_meta(path)):
        with pytest.raises(StoreUnavailable) as caught:
            read()
        assert caught.value.reason in ("empty", "foreign", "disk")


def test_a_file_in_a_folder_with_odd_characters_is_found(tmp_path):
    folder = tmp_path / "a b%20?#数据"
    folder.mkdir()
    SQLiteStore.create(folder / "relay.db", META)
    assert SQLiteStore.read_meta(folder / "relay.db") == META


def test_commits_are_kept(tmp_path):
    SQLiteStore.create(tmp_path / "relay.db", META)
    db = StoreFile(tmp_path / "relay.db").connect()
    settings = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")}
    db.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (sqlite3.SQLITE_FULL, "disk"),
        (sqlite3.SQLITE_IOERR_FSYNC, "disk"),
        (sqlite3.SQLITE_CORRUPT, "disk"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "removed"),
        (sqlite3.SQLITE_READONLY, "disk"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "timeout"),
        (sqlite3.SQLITE_NOTADB, "foreign"),
        (sqlite3.SQLITE_CANTOPEN, "unreachable"),
    ],
)
def test_every_fault_of_sqlite_has_a_reason(code, reason):
    error = sqlite3.OperationalError("what SQLite said")
    error.sqlite_errorcode = code
    assert unavailable(error).reason == reason


def test_faults_of_the_file_system_and_of_the_module_have_one_too():
    assert unavailable(PermissionError(13, "Permission denied")).reason == "disk"
    assert unavailable(sqlite3.ProgrammingError("Cannot operate on a closed database.")).reason == "unreachable"


async def test_a_file_from_before_there_were_numbers_learns_to_number(tmp_path):
    before = await new_sqlite(tmp_path, Clock(START))
    await before.suppress(refusal(BOB))
    await before.aclose()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as older:
        for name in ("ledger_leaving", "ledger_leaving_older"):
            older.execute(f"DROP INDEX {name}")
        older.execute("DROP TABLE sequence")
        added = {"ledger": ("mailbox", "older", "copy_of"), "suppressions": ("sequence", "in_flight")}
        for table, columns in added.items():
            for column in columns:
                older.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for first in (1, 2):
        opened = SQLiteStore.open(tmp_path / "relay.db", META, clock=Clock(START))
        key = digest(first)
        (leave,) = await opened.clear(key, first_try(first).submission_id, [request(digest("eve"))], 90.0, 3600.0)
        assert leave == Cleared()
        assert leave.number == first
        ((known,),) = await opened.find([(BOB,)])
        assert (known.number, known.in_flight) == (0, ())
        await opened.aclose()
