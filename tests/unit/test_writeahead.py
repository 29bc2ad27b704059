"""The write-ahead log: what was answered is on the disk, the log begins anew, a disk that failed is not believed again."""

import os
import sqlite3
from contextlib import closing
from functools import partial

import pytest

from relay import writeahead
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.files import Turn
from relay.records import chain
from relay.stores.ledger import Closing, Opening
from relay.stores.sqlite.file import StoreFile
from relay.writeahead import WRITER_PRAGMAS, WriteAheadLog
from tests.support.clocks import Clock
from tests.support.records import a_record, opened
from tests.support.stores import START, digest, first_try, new_sqlite, refusal


@pytest.fixture
def database(tmp_path):
    """A connection that writes as our writers do, and its log."""
    path = tmp_path / "file.db"

    def connect():
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    with closing(connect()) as db, closing(Turn(tmp_path / "file.db.lock")) as turn:
        db.execute("PRAGMA journal_mode = WAL")
        for pragma in WRITER_PRAGMAS:
            db.execute(pragma)
        db.execute("CREATE TABLE t (octets BLOB)")
        with closing(WriteAheadLog(path, connect, turn)) as log:
            yield db, log, path.with_name("file.db-wal")


@pytest.fixture
def synced(monkeypatch):
    """How large the log was each time that it was made durable."""
    sizes = []

    def sync(descriptor):
        os.fsync(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(writeahead, "_sync_data", sync)
    return sizes


@pytest.fixture
def failing(monkeypatch):
    def fail(descriptor):
        raise OSError(5, "Input/output error")

    def break_disk():
        monkeypatch.setattr(writeahead, "_sync_data", fail)

    def mend_disk():
        monkeypatch.setattr(writeahead, "_sync_data", os.fsync)

    return break_disk, mend_disk


async def test_a_record_is_on_the_disk_when_its_append_returns(tmp_path, synced):
    with opened(tmp_path / "records.db") as records:
        for number in range(3):
            await records.append(a_record(number))
            assert len(synced) == number + 1
            assert synced[-1] == (tmp_path / "records.db-wal").stat().st_size


async def test_a_write_to_the_store_is_on_the_disk_when_it_returns(tmp_path, synced):
    store = await new_sqlite(tmp_path, Clock(START))
    await store.extend(frozenset({"another"}))
    (log,) = tmp_path.glob("*.db-wal")
    assert synced == [log.stat().st_size]
    await store.aclose()


def test_the_log_begins_anew_again_and_again(database, monkeypatch):
    monkeypatch.setattr(writeahead, "CHECKPOINT_EVERY", 10)
    db, log, file = database
    sizes = []
    for _ in range(100):
        db.execute("INSERT INTO t VALUES (randomblob(10000))")
        log.committed()
        log.sync()
        sizes.append(file.stat().st_size)
    assert max(sizes) == max(sizes[:20]) < 400_000
    assert db.execute("SELECT count(*), sum(length(octets)) FROM t").fetchone() == (100, 1_000_000)


async def test_submissions_that_nobody_clears_do_not_make_a_large_log(tmp_path, monkeypatch):
    """What is opened and closed need not be durable; a stream that is paused all day writes nothing else."""
    monkeypatch.setattr(writeahead, "CHECKPOINT_EVERY", 20)
    store = await new_sqlite(tmp_path, Clock(START))
    sizes = []
    for number in range(200):
        await store.open_submission(digest(number), Opening(first_try(number), 60.0))
        await store.close(digest(number), Closing(first_try(number).submission_id, durable=False))
        sizes.append(next(tmp_path.glob("*.db-wal")).stat().st_size)
    assert max(sizes) == max(sizes[:50])
    await store.aclose()


def test_large_commits_do_not_make_a_large_log(database, monkeypatch):
    monkeypatch.setattr(writeahead, "LARGEST", 200_000)
    db, log, file = database
    db.execute("PRAGMA journal_size_limit = 100000")
    checkpoints = []
    monkeypatch.setattr(WriteAheadLog, "_checkpoint", lambda log, real=WriteAheadLog._checkpoint: checkpoints.append(real(log)))
    sizes = []
    for _ in range(100):
        db.execute("INSERT INTO t VALUES (randomblob(50000))")
        log.sync()
        sizes.append(file.stat().st_size)
    assert max(sizes) < 300_000
    assert len(checkpoints) < 40  # not after every commit
    assert db.execute("SELECT count(*), sum(length(octets)) FROM t").fetchone() == (100, 5_000_000)


async def test_a_log_that_was_large_once_is_not_brought_home_after_every_commit(tmp_path):
    store = await new_sqlite(tmp_path, Clock(START))
    with opened(tmp_path / "records.db"):
        for connect in (StoreFile(tmp_path / "relay.db").connect, partial(chain.connect, tmp_path / "records.db")):
            with closing(connect()) as db:
                (left,) = db.execute("PRAGMA journal_size_limit").fetchone()
            assert 0 < left <= writeahead.LARGEST // 2
    await store.aclose()


def test_a_checkpoint_that_cannot_be_made_loses_nothing(database, monkeypatch):
    monkeypatch.setattr(writeahead, "CHECKPOINT_EVERY", 1)
    db, log, _ = database
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (x'00')")
    log.committed()
    log.sync()
    db.execute("COMMIT")
    log.committed()
    log.sync()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)


async def test_records_on_a_disk_that_failed_stay_unavailable_until_a_restart(tmp_path, failing):
    break_disk, mend_disk = failing
    with opened(tmp_path / "records.db") as records:
        await records.append(a_record(1))
        break_disk()
        with pytest.raises(RecordsUnavailable, match="look at the disk, then restart"):
            await records.append(a_record(2))
        mend_disk()
        with pytest.raises(RecordsUnavailable, match="look at the disk, then restart"):
            await records.append(a_record(3))
    with opened(tmp_path / "records.db") as records:
        assert await records.append(a_record(4)) in (2, 3)


async def test_a_store_on_a_disk_that_failed_stays_unavailable_until_a_restart(tmp_path, failing):
    break_disk, mend_disk = failing
    store = await new_sqlite(tmp_path, Clock(START))
    break_disk()
    with pytest.raises(StoreUnavailable, match="look at the disk, then restart"):
        await store.suppress(refusal())
    mend_disk()
    with pytest.raises(StoreUnavailable, match="look at the disk, then restart"):
        await store.check()
    await store.aclose()
