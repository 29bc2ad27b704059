"""`relay check` as an operator runs it: exit codes, languages, JSON, and a relay that it says is ready really is."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.installation import Installation
from tests.support.service import ACCOUNTS, NEWS, ROOT, Relay, message
from tests.support.upstream import RecordingUpstream

OK, FINDINGS, CONFIGURATION, UNREACHABLE = 0, 1, 3, 4


@pytest.fixture
def place(tmp_path):
    return Installation(tmp_path)


def check(place, *options, lang="en"):
    command = [sys.executable, "-m", "relay.cli.main", "--config", str(place.config), "--lang", lang, "check", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_all_is_well(place):
    done = check(place)
    assert (done.returncode, done.stderr) == (OK, "")
    assert done.stdout.endswith("Everything is in place.\n")
    assert "✓ DKIM key of acme-mail.cn\n" in done.stdout
    assert "✓ listen submission 127.0.0.1:0 tls=implicit auth=required\n" in done.stdout


def test_what_is_still_to_do_is_numbered_in_both_languages(place):
    place.replace("policies/streams/newsletter.toml", 'mode = "enforce"', 'mode = "shadow"')
    place.set("base_url", '"http://127.0.0.1:8026"', table="unsubscribe")
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == FINDINGS
    shadow = "streams/newsletter.toml"
    assert f"\nStill to do:\n  1. {shadow}: shadow mode, its rules only observe\n  2. [unsubscribe] base_url" in english.stdout
    assert f"\n尚待完成：\n  1. {shadow}：影子模式，规则只记录不拦截\n  2. [unsubscribe] base_url" in chinese.stdout


def test_faults_are_for_machines_too(place):
    (place.folder / "dkim.pem").unlink()
    done = check(place, "--json")
    assert done.returncode == CONFIGURATION
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert said["to_do"] == []
    assert [fault.partition(":")[0] for fault in said["faults"]] == ["[[dkim]] 1"]


def test_a_store_that_cannot_be_used(place):
    (place.folder / "data" / "relay.db").unlink()
    done = check(place)
    assert done.returncode == UNREACHABLE
    assert "✗ [store]: empty: " in done.stdout


def test_a_configuration_that_cannot_be_read(place):
    place.config.write_text('hostname = "relay.example.com"\nworker = 3\n', "utf-8")
    done = check(place)
    assert done.returncode == CONFIGURATION
    assert {line.split(": ")[-2] if "is missing" in line else "worker" for line in done.stderr.splitlines()} == {
        "listen",
        "upstream",
        "worker",
    }
    assert "Traceback" not in done.stderr


def test_no_configuration_at_all(tmp_path):
    command = [sys.executable, "-m", "relay.cli.main", "--config", str(tmp_path / "config.toml"), "check"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == CONFIGURATION
    assert "copy config.example.toml to config.toml" in done.stderr


def test_beside_a_running_relay(tmp_path):
    """It opens what the relay has open and disturbs nothing."""
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream) as relay:
        assert relay.command("check").returncode == FINDINGS  # the shipped policies still say "example"
        assert relay.send(NEWS, ["ada@example.org"], message())[0] == 250
        done = relay.command("check", "--json")
    assert done.returncode == FINDINGS
    assert json.loads(done.stdout)["faults"] == []
