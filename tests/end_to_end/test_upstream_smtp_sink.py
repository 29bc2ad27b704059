"""Postfix's smtp-sink, an upstream that is not ours, takes what we send in every mode."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from relay.upstream.outcome import OutcomeState
from tests.support.leaving import a_copy, send, upstream_table, upstreams_of
from tests.support.ports import free_port
from tests.support.waiting import wait_for_server

SINK = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin")
BODY = b".\r\n..two\r\n" + b"line\r\n" * 3000
MAILS = 30


@pytest.fixture
def sink(tmp_path, request):
    """Start smtp-sink with the test's options; it writes each message to a file of its own."""
    if SINK is None:
        if os.environ.get("CI"):
            pytest.fail("smtp-sink is missing")
        pytest.skip("smtp-sink is not installed")
    port = free_port()
    owner = ["-u", "root"] if os.geteuid() == 0 else []
    command = [SINK, *owner, *request.param, "-d", str(tmp_path / "mail."), f"127.0.0.1:{port}", "100"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=sys.stderr)
    try:
        wait_for_server(process, lambda: _listens(port))
        yield port, tmp_path
    finally:
        process.terminate()
        process.wait(60)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def table(port):
    return upstream_table(SimpleNamespace(address=f"127.0.0.1:{port}", tls="none", ca_file="", accounts={}))


@pytest.mark.parametrize("sink", [[], ["-p"], ["-8"]], ids=["all", "no-pipelining", "no-8bitmime"], indirect=True)
async def test_the_octets_arrive_in_every_mode(sink):
    port, folder = sink
    bodies = [BODY + b"%d\r\n" % number for number in range(MAILS)]
    async with upstreams_of(table(port)) as upstreams:
        outcomes = await asyncio.gather(*(send(upstreams, a_copy(body=body), credentials=None) for body in bodies))
    assert {outcome.state for (outcome,) in outcomes} == {OutcomeState.DELIVERED}
    # smtp-sink writes its own lines on top, LF for CRLF, and undoes the stuffing.
    files = [file.read_bytes().partition(b"\nSubject: hello\n\n")[2].rstrip(b"\n") for file in folder.iterdir()]
    assert sorted(files) == sorted(body.replace(b"\r\n", b"\n").rstrip(b"\n") for body in bodies)


@pytest.mark.parametrize(
    ("sink", "state"),
    [
        (["-r", "RCPT"], OutcomeState.TRANSIENT),
        (["-f", "RCPT"], OutcomeState.PERMANENT),
        (["-f", "DATA"], OutcomeState.PERMANENT),
        (["-q", "DATA"], OutcomeState.TRANSIENT),
        (["-q", "."], OutcomeState.INDETERMINATE),
    ],
    ids=["rcpt-4yz", "rcpt-5yz", "data-5yz", "data-closed", "dot-closed"],
    indirect=["sink"],
)
async def test_its_refusals_are_told_apart(sink, state):
    port, _ = sink
    async with upstreams_of(table(port)) as upstreams:
        for _ in range(3):
            assert [outcome.state for outcome in await send(upstreams, credentials=None)] == [state]
