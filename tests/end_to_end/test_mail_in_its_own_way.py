"""A mail whose reading fails through a fault of ours, or that the server keeps back: those behind it are read all the same.

No such mail is known, so the reading is broken here by hand; mailbox, records, store and effects are the real ones.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay import telemetry
from relay.config import parse_config
from relay.doors.mailbox import collector, effects
from relay.doors.mailbox.collector import BREAKS, TRIES, Watch
from relay.doors.mailbox.imap import CommandRefused, Session
from relay.errors import RecordsUnavailable
from relay.stores.opening import open_store
from relay.tasks import spawn
from tests.support import letters
from tests.support.dovecot import Dovecot
from tests.support.records import KEYS
from tests.unit.test_effects import Node, node, token_for

NEWS = "news@example.com"
CONFIG = """\
hostname = "relay.example.com"
data_dir = "data"
policies = "policies"
[[listen]]
name = "submission"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "netease"
provider = "netease"
addresses = ["127.0.0.1:25"]
[[account]]
identity = "news@example.com"
upstream = "netease"
password_file = "secret"
imap = "127.0.0.1:{port}"
imap_tls = "none"
"""
REFUSAL = letters.mail("ada@example.org", token_for(1, "ada@example.org"), "")
ORDINARY = letters.mail("bob@example.org", "Hello", "stop by")
POISON = letters.mail("eve@example.org", "Poison", "eve@example.org")


@pytest.fixture
def server():
    with Dovecot() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for pause in ("FIRST_PAUSE", "LONGEST_PAUSE", "LOGIN_PAUSE"):
        monkeypatch.setattr(collector, pause, 0.01)


@asynccontextmanager
async def watching(folder, server, here: Node):
    """The mailbox is watched as the supervisor would."""
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    (folder / "data").mkdir()
    config = parse_config(CONFIG.format(port=server.port).encode(), "config.toml", folder)
    store = await open_store(config, KEYS, time.time)
    watch = Watch(
        "netease", config.account[0], config, here.effects,
        keys=KEYS, records=here.records, store=lambda: store, clock=lambda: here.now,
    )  # fmt: skip
    task = spawn(watch.run(), "watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.aclose()


@asynccontextmanager
async def counting(**kinds):
    """Wait until so many more mails of each kind are counted: that comes last."""
    before = {kind: counted(kind) for kind in kinds}
    async with asyncio.timeout(60):
        yield
        while {kind: counted(kind) - was for kind, was in before.items()} != kinds:
            await asyncio.sleep(0.02)


def counted(kind: str) -> float:
    return telemetry.collected_total.labels(kind)._value.get()


def broken_by(monkeypatch, fault) -> list[bytes]:
    """Let the reading of POISON do what `fault` does; return the list of its tries."""
    tries: list[bytes] = []
    read = effects._read

    def reading(octets):
        if octets == POISON:
            tries.append(octets)
            fault()
        return read(octets)

    monkeypatch.setattr(effects, "_read", reading)
    return tries


def give(fault: Exception | None) -> None:
    if fault is not None:
        raise fault


async def test_a_mail_that_breaks_its_reading_is_passed_over(tmp_path, server, monkeypatch, caplog):
    tries = broken_by(monkeypatch, lambda: give(AssertionError("a fault that nobody knows")))
    server.drop(NEWS, ORDINARY, POISON, REFUSAL)
    with node(tmp_path) as here:
        await here.sent(1, "ada@example.org")
        async with watching(tmp_path, server, here), counting(innocent=1, unreadable=1, refusal_by_token=1):
            pass
        assert (here.kinds()["collected"], here.kinds()["suppressed"]) == (1, 1)
    assert len(tries) == TRIES
    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR and "passed over" in record.message]
    assert said.message == "mailbox netease: mail 2 cannot be read and is passed over: look at it"
    assert said.exc_info
    assert server.flags(NEWS)[POISON] == ""


async def test_a_reading_that_does_not_end_is_left(tmp_path, server, monkeypatch):
    """The thread cannot be stopped; the mails behind it do not wait for it."""
    released = threading.Event()
    tries = broken_by(monkeypatch, lambda: released.wait(60))
    monkeypatch.setattr(effects, "READ_SECONDS", 2.0)
    server.drop(NEWS, POISON, REFUSAL)
    try:
        with node(tmp_path) as here:
            async with watching(tmp_path, server, here), counting(unreadable=1, refusal_by_token=1):
                pass
            assert here.kinds()["suppressed"] == 1
    finally:
        released.set()
    assert len(tries) == TRIES


async def test_a_fault_of_this_node_passes_no_mail_over(tmp_path, server, monkeypatch):
    """The records are away for longer than a mail is tried: nothing is lost."""
    faults = [RecordsUnavailable("away")] * (2 * TRIES)
    tries = broken_by(monkeypatch, lambda: give(faults.pop() if faults else None))
    server.drop(NEWS, POISON, REFUSAL)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=0, innocent=1, refusal_by_token=1):
            pass
        assert here.kinds()["suppressed"] == 1
    assert len(tries) == 2 * TRIES + 1


async def test_the_threads_of_others_are_no_fault_of_a_mail(tmp_path, server, monkeypatch):
    """All threads that the process shares are busy, and stay so for longer than a mail is tried."""
    monkeypatch.setattr(effects, "READ_SECONDS", 5.0)
    released = threading.Event()
    asyncio.get_running_loop().set_default_executor(busy := ThreadPoolExecutor(1))
    busy.submit(released.wait, 60)
    server.drop(NEWS, REFUSAL, ORDINARY)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here):
            try:
                async with counting(unreadable=0, refusal_by_token=1, innocent=1):
                    pass
            finally:
                released.set()


def locked(server, mail: bytes) -> Path:
    """Let Dovecot say BYE at this mail: it may not open the file."""
    kept = next(path for path in (server.maildir(NEWS) / "new").iterdir() if path.read_bytes() == mail)
    kept.chmod(0)
    return kept


async def outlast(caplog, times: int) -> None:
    """Wait until the mailbox could not be read so often."""
    while sum("cannot be read now" in record.message for record in caplog.records) < times:
        await asyncio.sleep(0.02)


async def test_a_mail_at_which_the_server_hangs_up_is_passed_over(tmp_path, server):
    server.drop(NEWS, POISON, REFUSAL)
    locked(server, POISON)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=1, refusal_by_token=1):
            pass
        assert here.kinds()["suppressed"] == 1


async def test_two_such_mails_are_passed_over(tmp_path, server):
    """That the first of those behind does not come either says nothing for the first."""
    server.drop(NEWS, POISON, ORDINARY, REFUSAL)
    locked(server, POISON)
    locked(server, ORDINARY)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=2, refusal_by_token=1):
            pass
        assert here.kinds()["suppressed"] == 1


async def test_a_server_that_hangs_up_at_every_mail_costs_none(tmp_path, server, caplog):
    """It may be the server's fault, and the mail a refusal: it waits until the server is well."""
    server.drop(NEWS, REFUSAL, ORDINARY)
    names = [locked(server, mail).name for mail in (REFUSAL, ORDINARY)]
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=0, innocent=1, refusal_by_token=1):
            await outlast(caplog, 2 * BREAKS)
            for name in names:
                next(server.maildir(NEWS).glob(f"*/{name}*")).chmod(0o600)
        assert here.kinds()["suppressed"] == 1


async def test_a_server_that_says_no_to_every_mail_costs_none(tmp_path, server, monkeypatch, caplog):
    fetch, is_ill = Session.fetch, True

    async def fetching(session, number):
        if is_ill:
            raise CommandRefused("[UNAVAILABLE] try again later")
        return await fetch(session, number)

    monkeypatch.setattr(Session, "fetch", fetching)
    server.drop(NEWS, REFUSAL, ORDINARY)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=0, innocent=1, refusal_by_token=1):
            await outlast(caplog, 3 * TRIES)
            is_ill = False
        assert here.kinds()["suppressed"] == 1


async def test_the_last_mail_waits_for_one_behind_it(tmp_path, server, caplog):
    server.drop(NEWS, POISON)
    locked(server, POISON)
    with node(tmp_path) as here:
        async with watching(tmp_path, server, here), counting(unreadable=1, refusal_by_token=1):
            before = counted("unreadable")
            await outlast(caplog, BREAKS + 2)
            assert counted("unreadable") == before
            server.drop(NEWS, REFUSAL)
        assert here.kinds()["suppressed"] == 1
