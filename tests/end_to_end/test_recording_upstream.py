"""The recording upstream keeps what it is given, also as a program of its own."""

import base64
import json
import smtplib
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.upstream import RecordingUpstream

ROOT = Path(__file__).resolve().parents[2]


def test_as_a_program_it_prints_one_line_for_each_message():
    command = [sys.executable, "-m", "tests.support.upstream", "--account", "ada@example.org:pw", "--without", "DSN"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        host, port = json.loads(process.stdout.readline())["listening"].split(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.login("ada@example.org", "pw")
            client.sendmail("ada@example.org", ["bob@example.org"], b".one\r\n")
            assert not client.has_extn("DSN")
        message = json.loads(process.stdout.readline())["message"]
        process.terminate()
    assert base64.b64decode(message["data"]) == b".one\r\n"
    assert (message["identity"], message["recipients"], message["accepted"]) == ("ada@example.org", ["bob@example.org"], True)


@pytest.mark.parametrize(("lax", "messages"), [(False, 1), (True, 2)])
def test_only_a_lax_upstream_is_smuggled_to(lax, messages):
    inner = b"one\n.\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\ntwo"
    with RecordingUpstream(lax=lax) as upstream, closing(smtplib.SMTP("127.0.0.1", upstream.port)) as client:
        client.ehlo()
        client.mail("ada@example.org")
        client.rcpt("bob@example.org")
        client.docmd("DATA")
        client.send(inner + b"\r\n.\r\n")
        upstream.wait(lambda: len(upstream.accepted) == messages)
        assert [delivery.reverse_path for delivery in upstream.accepted] == ["ada@example.org", "eve@example.org"][:messages]
