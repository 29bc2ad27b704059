"""`relay check` as an operator runs it: exit codes, languages, JSON, and a relay that it says is ready really is."""

import json
import re

import pytest

from tests.support import warm
from tests.support.dovecot import Dovecot
from tests.support.fixtures import an_upstream
from tests.support.installation import Installation
from tests.support.ports import free_port
from tests.support.service import ACCOUNTS, NEWS, Relay, message
from tests.support.upstream import RecordingUpstream

OK, FINDINGS, CONFIGURATION, UNREACHABLE = 0, 1, 3, 4


@pytest.fixture(scope="module")
def mailbox():
    with Dovecot() as server:
        yield server


upstream = an_upstream(scope="module")


@pytest.fixture
def place(tmp_path, mailbox, upstream):
    """An installation with nothing left to do; its upstream answers, bounces come to a real mailbox."""
    secret = tmp_path / "secret"
    secret.write_text("secret\n", "utf-8")
    secret.chmod(0o600)
    account = f"""\
[[account]]
identity = "news@acme-mail.cn"
upstream = "up"
password_file = "secret"
imap = "127.0.0.1:{mailbox.tls_port}"
imap_ca_file = "{mailbox.ca_file}"
"""
    return (
        Installation(tmp_path)
        .add(account)
        .set("addresses", f'["{upstream.address}"]', table="[upstream]")
        .set("auth", '"account"', table="[upstream]")
    )


def check(place, *options, lang="en"):
    return warm.run("--config", place.config, "--lang", lang, "check", *options)


def test_all_is_well(place):
    done = check(place)
    assert (done.returncode, done.stderr) == (OK, "")
    assert done.stdout.endswith("Everything is in place.\n")
    assert "✓ DKIM key of acme-mail.cn\n" in done.stdout
    assert re.search(r"^✓ upstream up \(127\.0\.0\.1:\d+\): answers$", done.stdout, re.MULTILINE)
    assert "✓ listen submission 127.0.0.1:0 tls=implicit auth=required\n" in done.stdout


def test_bounces_that_nobody_reads_are_still_to_do(tmp_path, upstream):
    place = (
        Installation(tmp_path)
        .set("addresses", f'["{upstream.address}"]', table="[upstream]")
        .set("auth", '"account"', table="[upstream]")
    )
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == FINDINGS
    [to_do] = re.findall(r"^ +1\. (.*)$", english.stdout, re.MULTILINE)
    assert to_do == (
        "streams/newsletter.toml: bounces and complaints are not read and count nowhere: set imap in [[account]] of"
        " config.toml (news@acme-mail.cn), see docs/mailbox.md"
    )
    assert "\n  1. streams/newsletter.toml：退信与投诉无人读取" in chinese.stdout
    assert "\n  2. " not in english.stdout


def test_faults_and_what_is_still_to_do_are_one_numbered_list(place):
    place.replace("policies/streams/newsletter.toml", 'mode = "enforce"', 'mode = "shadow"')
    (place.folder / "relay.crt").unlink()
    (place.folder / "dkim.pem").unlink()
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == CONFIGURATION
    _, _, listed = english.stdout.partition("\nStill to do, what is wrong (✗) first:\n")
    starts = ["  1. ✗ config.toml [tls]: ", "  2. ✗ [[dkim]] 1: ", "  3. streams/newsletter.toml: shadow mode"]
    assert [line[: len(start)] for line, start in zip(listed.splitlines(), starts, strict=True)] == starts
    assert "\n尚待完成，先处理错误（✗）：\n  1. ✗ " in chinese.stdout


def test_what_is_still_to_do_is_numbered_in_both_languages(place):
    place.replace("policies/streams/newsletter.toml", 'mode = "enforce"', 'mode = "shadow"')
    place.set("base_url", '"http://127.0.0.1:8026"', table="unsubscribe")
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == FINDINGS
    shadow = "streams/newsletter.toml"
    assert (
        f"\nStill to do:\n  1. {shadow}: shadow mode, its rules only observe\n  2. config.toml [unsubscribe]: base_url"
        in english.stdout
    )
    assert f"\n尚待完成：\n  1. {shadow}：影子模式，规则只记录不拦截\n  2. config.toml [unsubscribe]：base_url" in chinese.stdout


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
    assert "  1. ✗ config.toml [store]: empty: " in done.stdout


def test_an_upstream_that_does_not_answer(place):
    place.set("addresses", f'["127.0.0.1:{free_port()}"]', table="[upstream]")
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == UNREACHABLE
    assert '  1. ✗ config.toml [[upstream]] "up": cannot be reached, so no mail leaves by it: 127.0.0.1:' in english.stdout
    assert '  1. ✗ config.toml [[upstream]] "up"：无法连接' in chinese.stdout
    (place.folder / "data" / "relay.db").unlink()
    assert check(place).returncode == UNREACHABLE  # the store as well
    (place.folder / "dkim.pem").unlink()
    assert check(place).returncode == CONFIGURATION  # what people can mend here comes first


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
    done = warm.run("--config", tmp_path / "config.toml", "check")
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


def test_an_upstream_that_is_asked_for_no_password_can_judge_none(place):
    place.set("auth", '"none"', table="[upstream]")
    english, chinese = check(place), check(place, lang="zh")
    assert english.returncode == chinese.returncode == CONFIGURATION
    [line] = [line for line in english.stdout.splitlines() if "✗" in line and "[[listen]]" in line]
    assert line.strip().startswith(
        '1. ✗ config.toml [[listen]] "submission": upstream up has auth = "none" and can judge no password'
    )
    assert "登录都会得到 454" in chinese.stdout
    place.add('[auth]\nmode = "users"\nusers_file = "users.toml"\n').write_users("news@acme-mail.cn")
    assert "can judge no password" not in check(place).stdout
