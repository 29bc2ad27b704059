"""Lists that several processes read: the same entries as one would make, whatever becomes of a process or of the command."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest

from relay.cli import importing
from relay.errors import StoreUnavailable
from relay.keys import load_keys
from relay.records.kinds import Kind
from relay.stores.entries import row_of
from relay.stores.sqlite import SQLiteStore
from tests.support.needs import full_device
from tests.support.stores import digest, new_sqlite, refusal
from tests.support.suppressing import Relay, a_small_relay, relays_on_both_stores
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
MANY = 200_000  # addresses
PEOPLE = [f"customer-{number}@example.com" for number in range(700)]


relay = relays_on_both_stores()
small = a_small_relay()


@pytest.fixture
def short_parts(monkeypatch):
    """So that a short list has many parts, and what is set aside is written several times."""
    monkeypatch.setattr("relay.cli.lists._CHUNK", 1500)
    monkeypatch.setattr(importing, "_SET_ASIDE", 150)


@pytest.fixture
def processes(monkeypatch):
    """Those that were started, as asyncio has them."""
    started = []
    start = asyncio.create_subprocess_exec

    async def watched(*command, **options):
        started.append(await start(*command, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    return started


def a_list(relay, people=PEOPLE):
    rows = [f"{who},2024-01-{number % 28 + 1:02},BOUNCE\n" for number, who in enumerate(people)]
    rows[100] = "nobody,2024-01-01,BOUNCE\n"
    rows[500] = '"a cell\nof two lines",2024-01-01,BOUNCE\n'
    return relay.file("list.csv", "email,created_at,reason\n" + "".join(rows))


def entries(relay):
    out = relay.folder / "out.csv"
    relay("export", "--out", out)
    return sorted(line.split(",")[3:8] + line.split(",")[:1] for line in out.read_text("utf-8-sig").splitlines()[1:])


def test_processes_make_of_a_list_what_one_would(relay, tmp_path, short_parts, processes, monkeypatch):
    path = a_list(relay)
    found = relay.json("import", path, "--reason", "unsubscribe", "--rejects", relay.folder / "bad.csv", code=1)
    assert len(processes) == min(os.cpu_count() or 1, 4)
    assert all(process.returncode is not None for process in processes)
    assert (found["rows"], found["new"], found["written"], found["rejected"]) == (698, 698, 698, 2)
    bad = (relay.folder / "bad.csv").read_text("utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in bad[1:3]] == ["102", "502"]
    (facts,) = relay.facts(Kind.SUPPRESSED)
    assert (facts["rows"], facts["new"], facts["rejected"]) == (698, 698, 2)

    monkeypatch.setattr("relay.cli.lists._CHUNK", 1 << 20)
    alone = Relay(tmp_path / "alone")
    assert alone.json("import", a_list(alone), "--reason", "unsubscribe", code=1)["new"] == 698
    assert len(processes) == min(os.cpu_count() or 1, 4)
    assert entries(relay) == entries(alone)


def test_what_a_list_says_first_stays_and_what_it_says_last_is_remembered(relay, short_parts):
    days = [9, 3, 27, 14]
    rows = [f"{who},2024-01-{day:02}\n" for day in days for who in PEOPLE[:200]]
    found = relay.json("import", relay.file("list.csv", "email,date\n" + "".join(rows)), "--reason", "complaint")
    assert (found["rows"], found["new"]) == (800, 200)
    for who in (PEOPLE[0], PEOPLE[199]):
        (entry,) = relay.json("check", who, code=1)[who]
        assert [entry[name][:10] for name in ("at", "again_at")] == ["2024-01-09", "2024-01-27"]


def test_a_row_without_a_reason_ends_the_import_where_it_stands(small, short_parts):
    rows = [f"{who},{'complaint' if number != 400 else ''}\n" for number, who in enumerate(PEOPLE)]
    assert "line 402" in small("import", small.file("list.csv", "email,reason\n" + "".join(rows)), code=2).stderr
    (facts,) = small.facts(Kind.SUPPRESSED)
    assert (facts["rows"], facts["new"]) == (400, 400)
    assert small.json("check", PEOPLE[399], PEOPLE[401], code=1)[PEOPLE[401]] == []


def test_what_was_written_before_the_store_failed_is_recorded_and_the_next_import_writes_the_rest(
    small, short_parts, monkeypatch
):
    write, steps = SQLiteStore.suppress_rows, []

    async def fail_at_last(store, rows):
        steps.append(len(rows))
        if len(steps) == 3:
            raise StoreUnavailable("disk", "relay.db: the disk is full")
        return await write(store, rows)

    monkeypatch.setattr(SQLiteStore, "suppress_rows", fail_at_last)
    path = a_list(small)
    with pytest.raises(StoreUnavailable, match="disk"):
        small("import", path, "--reason", "unsubscribe")
    (facts,) = small.facts(Kind.SUPPRESSED)
    assert facts["rows"] == facts["new"] == sum(steps[:2])
    assert small.json("import", path, "--reason", "unsubscribe", code=1)["new"] == 698 - sum(steps[:2])


def test_a_full_disk_is_told_and_the_next_import_writes_all(small, short_parts, monkeypatch):
    full, path = full_device(), a_list(small)
    with monkeypatch.context() as patch:
        patch.setattr(importing, "TemporaryFile", lambda **_: full.open("r+b", buffering=0))
        result = small("import", path, "--reason", "unsubscribe", code=4)
    assert f"{small.folder / 'data'}: the disk is full" in result.stderr
    assert small.json("import", path, "--reason", "unsubscribe", code=1)["new"] == 698


def test_a_process_that_dies_is_told_and_nothing_is_lost(small, short_parts, processes, monkeypatch):
    tell = importing._tell
    killed: list[asyncio.subprocess.Process] = []

    def kill_later(process, message):
        tell(process, message)
        # Once: to signal a process again asks whether it ended, and takes its exit status from the loop.
        if len(processes) > 1 and processes[1] is process and not killed:
            process.send_signal(signal.SIGKILL)
            killed.append(process)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_tell", kill_later)
        patch.setattr(os, "cpu_count", lambda: 2)
        result = small("import", a_list(small), "--reason", "unsubscribe", code=4)
    assert "ended early (-9); run the command again" in result.stderr
    assert small.json("import", a_list(small), "--reason", "unsubscribe", code=1)["rows"] == 698
    assert len(entries(small)) == 698


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_import_leaves_no_process_no_file_and_a_list_that_the_next_one_completes(small):
    small("add", "ada@example.com", "--reason", "manual")  # the files of a node are there
    before = {path.name for path in (small.folder / "data").iterdir()}
    many = [f"customer-{number}-of-a-company-with-a-long-name@example.com\n".encode() for number in range(60_000)]
    command = [sys.executable, "-m", "relay", "--config", small.folder / "config.toml", "suppress", "import", "-"]
    with subprocess.Popen([*command, "--reason", "unsubscribe"], cwd=ROOT, stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        importer.stdin.write(b"".join(many[:40_000]))
        importer.stdin.flush()
        wait_until(lambda: len(children_of(importer.pid)) == min(os.cpu_count() or 1, 4))
        helpers = children_of(importer.pid)
        keys = load_keys(small.folder / "data" / "keys.toml")
        told = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for pid in helpers for name in ("cmdline", "environ"))
        for key in (*keys.addresses.keys, *keys.records.keys):
            assert not any(
                secret in told for secret in (key.secret[:8], key.secret.hex()[:16].encode(), b64encode(key.secret)[:12])
            )
        importer.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers))
    assert {path.name for path in (small.folder / "data").iterdir()} <= before | {
        "relay.db-wal",
        "relay.db-shm",
        "records.db-wal",
        "records.db-shm",
    }
    found = small.json("import", small.file("list.csv", b"".join(many)), "--reason", "unsubscribe")
    assert found["rows"] == 60_000
    assert small.json("list")["counts"][-1] == {"reason": "unsubscribe", "scope": "organisation", "count": 60_000}


def test_the_folder_that_an_import_is_started_in_is_no_library(small):
    """Whoever may write there could otherwise have the keys: a process that reads a part is told them."""
    path = small.file("list.txt", b"".join(b"customer-%d@example.com\n" % number for number in range(60_000)))
    small.file("pickle.py", "open('was-here', 'w').close()\n")
    command = [Path(sys.executable).with_name("relay"), "--config", small.folder / "config.toml", "suppress", "import", path]
    subprocess.run([*command, "--reason", "unsubscribe"], cwd=small.folder, check=True)
    assert not (small.folder / "was-here").exists()
    assert small.json("list")["counts"][-1]["count"] == 60_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_an_import_killed_while_it_writes_is_completed_by_the_next(small):
    path = small.file("list.txt", b"".join(b"customer-%d@example.com\n" % number for number in range(MANY)))
    small("add", "ada@example.com", "--reason", "manual")
    command = [sys.executable, "-m", "relay", "--config", small.folder / "config.toml", "suppress", "import", path]

    with closing(sqlite3.connect(small.folder / "data" / "relay.db")) as db:

        def written():
            return db.execute("SELECT count(*) FROM suppressions WHERE reason = 'unsubscribe'").fetchone()[0]

        with subprocess.Popen([*command, "--reason", "unsubscribe"], cwd=ROOT) as importer:
            wait_until(written, every=0.001)  # the rest takes seconds
            importer.kill()
        assert importer.returncode == -signal.SIGKILL  # it was not done yet
        known = written()
    found = small.json("import", path, "--reason", "unsubscribe")
    assert (found["rows"], found["new"]) == (MANY, MANY - known)


async def test_another_writer_has_its_turn_between_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("relay.stores.sqlite.store._TURN", 0.0)
    store = await new_sqlite(tmp_path, None)
    other = SQLiteStore.open(tmp_path / "relay.db", await store.meta())
    rows = [row_of(refusal(digest(number))) for number in range(6000)]
    importing_all = asyncio.ensure_future(store.suppress_rows(rows))
    turns = 0
    while not importing_all.done():
        await other.suppress(refusal(digest(("other", turns))))
        turns += 1
    assert await importing_all == 6000
    assert turns > 5
    await other.aclose()
    await store.aclose()
