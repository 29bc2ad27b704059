"""The supervisor and its workers: replaced when they die, drained when the service stops."""

import os
import re
import signal
import smtplib
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from relay.service.loop import FILES
from tests.support.fixtures import a_relay, an_upstream
from tests.support.scrape import counted, samples
from tests.support.service import ACCOUNTS, NEWS, OFFICE, PASSWORD, Relay, message
from tests.support.upstream import RecordingUpstream

upstream = an_upstream(accounts=ACCOUNTS)
relay = a_relay()  # which a test may stop or kill


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A relay that all tests share; they leave it as they found it."""
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path_factory.mktemp("relay"), upstream, workers=2) as relay:
        yield relay


@contextmanager
def in_background(work, *arguments):
    """Run it on a thread; yields a function that waits for what it returns."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work, *arguments).result


def kill_workers(relay):
    for pid in relay.worker_pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_ready(relay):
    relay.wait(lambda: relay.get("operators", "/readyz")[0] == 200, 60)


def test_a_killed_worker_is_replaced_and_connections_that_wait_are_served(standing):
    before = standing.worker_pids()
    kill_workers(standing)
    client = smtplib.SMTP(timeout=60)
    client.connect("127.0.0.1", standing.port)  # while there is no worker
    client.login(NEWS, PASSWORD)
    assert standing.send_over(client, NEWS, ["ada@example.org"], message()) == (250, "")
    client.quit()
    assert not set(before) & set(standing.worker_pids())
    wait_ready(standing)


def test_while_a_worker_is_away_readyz_says_so(standing):
    said = "worker-1: not running: ended with status -9\nworker-2: not running: ended with status -9\n"

    def is_said():
        kill_workers(standing)  # again and again: others are soon there
        return standing.get("operators", "/readyz") == (503, said)

    standing.wait(is_said)
    assert standing.get("operators", "/healthz") == (200, "ok\n")
    wait_ready(standing)


def test_counters_never_fall(standing):
    series = 'relay_submissions_total{result="accepted",stream="newsletter"}'
    already = counted(standing, series)
    assert standing.send(NEWS, ["ada@example.org"], message())[0] == 250
    standing.wait(lambda: counted(standing, series) == already + 1)
    before = samples(standing)
    kill_workers(standing)
    for _ in range(5):
        assert counted(standing, series) == before[series]
    assert standing.send(NEWS, ["bob@example.org"], message(to="bob@example.org"))[0] == 250
    standing.wait(lambda: counted(standing, series) == before[series] + 1)  # a busy worker is shown as it was a second ago
    assert samples(standing).keys() == before.keys()  # a restart makes no new series
    wait_ready(standing)


@contextmanager
def unanswered(upstream):
    """As long as the block lasts, the upstream answers no dot."""
    end = threading.Event()
    upstream.on_delivery = lambda _: end.wait(60)
    try:
        yield
    finally:
        end.set()


def is_stopping(relay):
    return relay.get("operators", "/readyz") == (503, "stopping\n")


def test_sigterm_lets_a_message_finish(relay, upstream):
    with in_background(relay.send, NEWS, ["ada@example.org"], message()) as reply:
        with unanswered(upstream):
            upstream.wait(lambda: upstream.deliveries)
            relay.process.terminate()
            relay.wait(lambda: is_stopping(relay))
        assert relay.stop() == 0
        assert reply() == (250, "")
    assert len(upstream.accepted) == 1


def test_sigterm_ends_idle_sessions_with_421_and_new_ones_are_not_taken(relay, upstream):
    with in_background(relay.send, OFFICE, ["ada@example.org"], message(sender=OFFICE)) as reply:
        idle = relay.connect(login=None)
        with unanswered(upstream):
            upstream.wait(lambda: upstream.deliveries)
            relay.process.terminate()
            assert idle.getreply() == (421, b"4.3.2 The relay is shutting down, connect again")
            assert idle.sock.recv(1) == b""
            idle.close()
            assert late_greeting(relay) == b""
            assert is_stopping(relay)
        assert reply() == (250, "")
    assert relay.stop() == 0


def late_greeting(relay):
    """What a client that connects now is told first; b"" when it is refused, reset or closed."""
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", relay.port), 60) as client:
        return client.recv(1)
    return b""


def test_a_session_in_the_middle_of_a_mail_gets_its_reply_after_sigterm(relay, upstream):
    client = relay.connect()
    client.mail(NEWS)
    client.rcpt("ada@example.org")
    relay.process.terminate()
    relay.wait(lambda: is_stopping(relay) and late_greeting(relay) == b"")
    assert client.data(message())[0] == 250
    client.close()
    assert len(upstream.accepted) == 1
    assert relay.stop() == 0


def test_an_upstream_that_never_answers_does_not_keep_the_service_alive(tmp_path, upstream):
    upstream.fault("DOT", stall=True)
    relay = Relay(tmp_path, upstream, delivery='patience = "5s"\npast_dot = "1s"')
    with relay, in_background(relay.send, NEWS, ["ada@example.org"], message()) as reply:
        upstream.wait(lambda: upstream.deliveries)
        assert relay.stop() == 0  # SIGKILL would be -9
        assert reply()[0] == 451


def test_sigterm_during_the_start_ends_in_order(tmp_path, upstream):
    relay = Relay(tmp_path, upstream, workers=2)
    with in_background(relay.start) as started:
        relay.wait(lambda: relay.process and relay.worker_pids())
        assert relay.stop() == 0
        with suppress(AssertionError):  # it came too late or not; both are in order
            started()


def test_workers_end_when_the_supervisor_is_killed(relay):
    (worker,) = relay.worker_pids()
    relay.process.kill()
    relay.wait(lambda: has_ended(worker))


def has_ended(pid):
    try:
        return "zombie" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_worker_ends_in_order_although_nobody_waits_for_its_answer(relay):
    (worker,) = relay.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    assert relay.get("operators", "/metrics")[0] == 200  # the worker was asked too, and has not heard it
    relay.process.kill()
    relay.process.wait(30)
    os.kill(worker, signal.SIGCONT)
    relay._listening.to_the_end()  # the worker has closed its output, too
    assert not [line for line in relay.lines if "Traceback" in line or '"level":"error"' in line], "".join(relay.lines)


def test_every_worker_takes_connections_and_one_page_counts_them_all(standing):
    clients = [smtplib.SMTP("127.0.0.1", standing.port, timeout=30) for _ in range(24)]
    standing.wait(lambda: counted(standing, "relay_sessions") == 24)
    assert len(standing.worker_pids()) == 2
    for client in clients:
        client.quit()
    standing.wait(lambda: counted(standing, "relay_sessions") == 0)


def test_files_in_data_dir_are_for_the_relay_only(standing):
    assert standing.send(NEWS, ["ada@example.org"], message())[0] == 250
    found = [path for path in standing.data.rglob("*") if path.is_file()]
    assert {path.name for path in found} >= {"records.db", "relay.db", "keys.toml", "store.id", "history.jsonl"}
    assert [path.name for path in found if path.stat().st_mode & 0o077] == []
    assert standing.data.stat().st_mode & 0o077 == 0


def test_the_soft_limit_of_open_files_is_raised(standing):
    for pid in (standing.process.pid, *standing.worker_pids()):
        ((soft, hard),) = re.findall(r"^Max open files +(\d+) +(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
        assert int(soft) >= min(FILES, int(hard))


def test_a_slow_reader_of_metrics_stops_no_mail(standing):
    request = urllib.request.Request(f"http://{standing.http['operators']}/metrics")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert standing.send(NEWS, ["ada@example.org"], message())[0] == 250
        assert answer.read(10)
