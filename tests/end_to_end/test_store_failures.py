"""Each way in which a store fails under a running relay: 451, /readyz says why, nothing leaves; after the cure mail flows."""

import resource
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from itertools import repeat

import pytest
from redis import Redis

from tests.support.fixtures import an_upstream
from tests.support.journey import readiness
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.trusting import is_open, is_shut, open_relay, sends

PAGE, WAL_HEADER, FRAME_HEADER = 4096, 32, 24  # octets, as SQLite's file format has it


upstream = an_upstream(scope="module")


# SQLite


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, upstream):
    with open_relay(tmp_path_factory.mktemp("embedded"), upstream) as relay:
        yield relay


@contextmanager
def full(relay):
    """The workers' writes fail where the store's log ends, as they do where the disk does; the records have room."""
    people = "\n".join(f"nobody.{number}@example.org" for number in range(10_000))
    assert relay.command("suppress", "import", "-", "--reason", "manual_all", stdin=people).returncode == 0
    end = (relay.data / "relay.db-wal").stat().st_size
    assert end > 2 * (relay.data / "records.db-wal").stat().st_size
    unlimited = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (end, resource.RLIM_INFINITY)) for pid in relay.worker_pids()}
    yield
    for pid, before in unlimited.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(relay):
    """Somebody looks into the file by hand and forgets the transaction."""
    with closing(sqlite3.connect(relay.data / "relay.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize(("trouble", "reason"), [(full, "store disk: "), (locked, "store timeout: ")])
def test_the_embedded_store(embedded, upstream, trouble, reason):
    with trouble(embedded):
        assert is_shut(embedded, upstream, reason)
    embedded.wait(lambda: is_open(embedded, upstream))


def test_a_damaged_file_needs_the_backup(embedded, upstream):
    backup = embedded.folder / "backup.tar"
    assert embedded.command("backup", backup).returncode == 0
    assert (
        embedded.command("suppress", "add", "nobody@example.org", "--reason", "manual_all").returncode == 0
    )  # caches are old now
    for damage in (_without_pages, _without_frames):
        damage(embedded.data)
    assert is_shut(
        embedded, upstream, "store disk: relay.db: database disk image is malformed; stop the relay and restore the backup"
    )
    embedded.stop()
    embedded.data.rename(embedded.folder / "damaged")
    assert embedded.command("restore", backup).returncode == 0
    embedded.start()
    assert is_open(embedded, upstream)


def _without_pages(data):
    """Every page but the first, which says that this is a database."""
    with (data / "relay.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(PAGE)
        file.write(b"\xa5" * (size - PAGE))


def _without_frames(data):
    """The log's copies of these pages."""
    with (data / "relay.db-wal").open("r+b") as file:
        size = file.seek(0, 2)
        for frame in range(WAL_HEADER, size, FRAME_HEADER + PAGE):
            file.seek(frame)
            if int.from_bytes(file.read(4), "big") > 1:
                file.seek(frame + FRAME_HEADER)
                file.write(b"\xa5" * PAGE)


# Redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis-failures")) as server:
        yield server


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream, redis):
    with open_relay(tmp_path_factory.mktemp("failures"), upstream, store=redis.url) as relay:
        yield relay


def memory(redis):
    redis.command("CONFIG", "SET", "maxmemory", "1mb")
    yield
    redis.command("CONFIG", "SET", "maxmemory", "0")


def replica(redis):
    redis.command("REPLICAOF", "127.0.0.1", str(free_port()))
    yield
    redis.command("REPLICAOF", "NO", "ONE")


def password(redis):
    with closing(Redis(port=redis.port, single_connection_client=True)) as admin:
        admin.config_set("requirepass", "secret")
        admin.client_kill_filter(_type="normal")
        yield
        admin.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(memory, "store: memory"), (replica, "store: unreachable"), (password, "uthentication required")],
)
def test_redis(relay, upstream, redis, trouble, reason):
    with contextmanager(trouble)(redis):
        assert is_shut(relay, upstream, reason)
    relay.wait(lambda: is_open(relay, upstream))


@pytest.mark.parametrize(
    ("setting", "lax", "strict"), [("appendonly", "no", "yes"), ("maxmemory-policy", "allkeys-lru", "noeviction")]
)
def test_redis_that_may_forget_what_it_is_told(relay, upstream, redis, setting, lax, strict):
    """It answers as before, so the relay looks at its settings every second, and stays shut as long as they are lax."""
    redis.command("CONFIG", "SET", setting, lax)
    for reason in ("store: durability", "worker-1: store durability", "worker-2: store durability"):
        relay.wait(lambda reason=reason: reason in readiness(relay)[1])
    for _ in range(3):
        assert is_shut(relay, upstream, "store: durability")
    redis.command("CONFIG", "SET", setting, strict)
    relay.wait(lambda: is_open(relay, upstream))


# The disk under both, store and records


@pytest.fixture
def disk(tmp_path):
    """A file system of its own; whoever may not mount one has the limit on the size of files above."""
    place = tmp_path / "relay" / "data"
    place.mkdir(parents=True)
    options = ("-t", "tmpfs", "-o", "size=24m,mode=700")
    if subprocess.run(["mount", *options, "none", place], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk(disk, upstream):
    """Before it is full, `[records] min_free` says so; the client hears 452, the reply of RFC 5321 for this."""
    with open_relay(disk.parent, upstream) as relay:
        arrived = len(upstream.deliveries)
        _fill(disk / "filler")
        assert {sends(relay, upstream) for _ in range(4)} == {452}
        assert len(upstream.deliveries) == arrived
        status, text = readiness(relay)
        assert (status, "records: " in text, "min_free" in text) == (503, True, True)
        (disk / "filler").unlink()
        relay.wait(lambda: is_open(relay, upstream))


def _fill(path):
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(repeat(bytes(65536)))
