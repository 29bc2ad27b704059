"""`relay records` and `relay evidence` on what a running relay has written."""

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.support.fixtures import an_upstream
from tests.support.service import ACCOUNTS, NEWS, Relay, message
from tests.support.terminal import LANGUAGES, Terminal

ADA = "ada@example.org"

upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@pytest.fixture(scope="module")
def relay(upstream, tmp_path_factory):
    """After ada got one mail, unsubscribed, and was refused the next."""
    with Relay(tmp_path_factory.mktemp("relay"), upstream) as running:
        assert running.send(NEWS, [ADA], message(to=ADA, subject="The first one"))[0] == 250
        assert running.unsubscribe(upstream.accepted[-1].data) == 200
        running.wait(lambda: running.command("records", "search", ADA, "--kind", "applied", "--json").stdout)
        assert running.send(NEWS, [ADA], message(to=ADA))[0] == 550
        yield running


def refusal_id(relay):
    relay.wait(lambda: _refusals(relay))
    (event,) = _refusals(relay)
    return event["id"]


def _refusals(relay):
    return [event for event in relay.events("answered") if event["reply"].startswith("550")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_trail_of_a_mailbox(relay, language):
    officer = Terminal(relay, language)
    said = officer.run("records", "search", ADA)
    assert "base/suppression" in said
    assert ADA not in said  # masked
    assert ADA in officer.run("records", "search", ADA, "--addresses")
    assert refusal_id(relay) in officer.run("records", "search", refusal_id(relay))
    found = relay.command("records", "search", ADA, "--json", "--limit", "100").stdout
    kinds = [json.loads(line)["kind"] for line in found.splitlines()]
    assert kinds == ["received", "finished", "suppressed", "applied", "received", "finished"]
    officer.run("records", "search", "nobody@example.org")
    officer.run("records", "search", "nobody", code=2)
    officer.run("records", "search", ADA, "--since", "last week", code=2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_file_answers_a_letter(relay, language, tmp_path):
    officer = Terminal(relay, language)
    out = tmp_path / "evidence.zip"
    officer.run("evidence", ADA, "--out", out)
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        pages = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".html")]
    assert any("退订" in page for page in pages)
    assert any("nsubscribe" in page for page in pages)
    officer.run("evidence", refusal_id(relay), "--out", tmp_path / "one.zip")
    officer.run("evidence", "nobody@example.org", "--out", tmp_path / "none.zip", code=1)
    assert not (tmp_path / "none.zip").exists()
    said = officer.run("evidence", ADA, "--out", tmp_path / "no such folder" / "evidence.zip", code=2, quiet=True)
    assert "no such folder" in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_chain_is_whole_until_somebody_changes_it(relay, language, tmp_path):
    officer = Terminal(relay, language)
    head = officer.run("records", "verify").split()[-1].rpartition("：")[2].rstrip(".。")
    officer.run("records", "verify", "--head", head)
    number, _, digest = head.partition(":")
    officer.run("records", "verify", "--head", f"{int(number)}:{digest[::-1]}", code=1)
    officer.run("records", "verify", "--head", "the last one", code=2)

    elsewhere = Relay(tmp_path / "elsewhere", upstreams=UPSTREAM)  # a copy, so that the running relay keeps its own
    elsewhere.data.mkdir()
    shutil.copy(relay.data / "keys.toml", elsewhere.data)
    with (
        closing(sqlite3.connect(relay.data / "records.db")) as theirs,
        closing(sqlite3.connect(elsewhere.data / "records.db")) as ours,
    ):
        theirs.backup(ours)
        for (name,) in ours.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ours.execute(f"DROP TRIGGER {name}")
        changed = ours.execute("UPDATE records SET body = replace(body, 'reject', 'permit') WHERE body LIKE '%reject%'")
        assert changed.rowcount
        ours.commit()
    Terminal(elsewhere, language).run("records", "verify", code=1)


def test_the_log_names_no_recipient(relay):
    assert refusal_id(relay)  # the last mail of all
    assert not [line for line in relay.lines if ADA in line]


UPSTREAM = '[[upstream]]\nname = "up"\naddresses = ["127.0.0.1:25"]\ntls = "none"\n'


def test_a_report_that_finds_no_room_leaves_nothing_behind(relay, tmp_path):
    limited = ["prlimit", "--fsize=4096", sys.executable, "-m", "relay", "--config", relay.config, "--lang", "en"]
    month = datetime.now(UTC).strftime("%Y-%m")
    command = [*limited, "records", "report", "--month", month, "--out", tmp_path / "report.html"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/report.html cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []
