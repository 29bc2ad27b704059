"""`relay upstream probe`: a canary by a real upstream into a real mailbox, and what is said of what a provider does to it."""

import json
import re
import time

import pytest
from click.testing import CliRunner

from relay.cli.main import root
from tests.support.dovecot import Dovecot
from tests.support.findings import names_no_place
from tests.support.ports import free_port
from tests.support.service import ACCOUNTS, NEWS, PASSWORD, Relay
from tests.support.upstream import RecordingUpstream

READER = "reader@example.org"
COMMAND = ("upstream", "probe", "up", "--wait", "120s", "--by", "Wang Min")


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot(password=PASSWORD) as server:
        server.maildir(READER)
        yield server


@pytest.fixture
def upstream(dovecot):
    with RecordingUpstream(tls="implicit", accounts=ACCOUNTS) as server:
        yield server


@pytest.fixture
def relay(tmp_path, upstream, dovecot):
    """A relay's files; nothing of it runs. NEWS has an account at the upstream, READER a mailbox."""
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    accounts = f'[[account]]\nidentity = "{NEWS}"\nupstream = "up"\npassword_file = "{secret}"\n'
    accounts += f'[[account]]\nidentity = "{READER}"\nupstream = "up"\npassword_file = "{secret}"\n'
    accounts += f'imap = "127.0.0.1:{dovecot.tls_port}"\nimap_ca_file = "{dovecot.ca_file}"\n'
    return Relay(tmp_path / "relay", upstream, extra=accounts)


def deliver(upstream, dovecot, *changes, folder=""):
    """What the provider does: every mail goes into READER's mailbox, after these substitutions."""

    def take(delivery):
        data = b"Return-Path: <x@example.com>\r\nReceived: from upstream by mailbox\r\n" + delivery.data
        for pattern, replacement in changes:
            data, count = re.subn(pattern, replacement, data)
            assert count, pattern
        dovecot.drop(READER, data, folder=folder)

    upstream.on_delivery = take


def command(relay, *words, code=0, lang="en", typed=None):
    """In this process: it is the two servers that are apart."""
    done = CliRunner().invoke(root, ["--config", str(relay.config), "--lang", lang, *words], input=typed, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def probe(relay, *words, **how):
    return command(relay, *COMMAND, "--to", READER, *words, **how)


def found(relay, *words, code=0):
    return json.loads(probe(relay, *words, "--json", code=code).stdout)


def test_what_arrives_as_it_left_survived_whole(relay, upstream, dovecot):
    deliver(upstream, dovecot)
    said = found(relay)
    assert said["findings"] == []
    (offer,) = said["offers"]
    assert offer["tls"].startswith("TLSv1.")
    assert {"PIPELINING", "8BITMIME", "SIZE 52428800", "AUTH PLAIN LOGIN"} <= set(offer["extensions"])
    survival = said["survival"]
    assert {"Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "X-Probe-Id", "Received"} <= set(
        survival["kept"]
    )
    assert (survival["changed"], survival["gone"], survival["added"], survival["message_id"]) == ([], [], [], "")
    assert survival["is_body_same"]
    assert [(one["domain"], one["valid"]) for one in said["signatures"]] == [("example.com", True)]
    (sent,) = upstream.accepted
    assert (sent.identity, sent.reverse_path, sent.recipients) == (NEWS, NEWS, [READER])
    assert re.search(rb"\r\n\.\.?a line that begins", sent.data)
    kept = json.loads((relay.data / "probes" / "up.json").read_bytes())
    assert (kept["id"], kept["addresses"]) == (said["id"], [upstream.address])
    assert READER not in json.dumps(kept)
    records = command(relay, "records", "search", said["id"], "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in records] == ["probed"]


def test_people_read_it_in_their_language(relay, upstream, dovecot):
    deliver(upstream, dovecot)
    assert "✓ Everything survived." in probe(relay).stdout
    assert "✓ 全部完好。" in probe(relay, lang="zh").stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(rb"Message-ID: <[^>]+>", b"Message-ID: <tencent_0123@qq.com>")],
         ["Message-ID was rewritten to <tencent_0123@qq.com>", "does not verify"]),
        ([(rb"List-Unsubscribe-Post: [^\r]+\r\n", b"")], ["List-Unsubscribe-Post was removed", "does not verify"]),
        ([(rb"X-Probe-Id: [^\r]+", b"X-Probe-Id: other")], ["X-Probe-Id was changed"]),
        ([(rb"MIME-Version: 1.0\r\n", b"MIME-Version: 1.0\r\nX-Provider: yes\r\n")], []),
        ([(rb"blanks at the end  \t", b"blanks at the end")], ["the octets of the body were changed"]),
        ([(rb"This is a canary", b"This is an advert")], ["the octets of the body were changed", "does not verify"]),
        ([(rb"(?s)DKIM-Signature:.*?\r\n(?=[A-Z])", b"")], ["it is gone"]),
        ([(rb"(?s)Received: from relay.*?\r\n(?=[A-Z])", b"")], []),
    ],
    ids=["message-id", "removed", "changed", "added", "blanks", "body", "signature", "received"],
)  # fmt: skip
def test_what_a_provider_does_to_mail_is_named(relay, upstream, dovecot, changes, said):
    deliver(upstream, dovecot, *changes)
    findings = found(relay, code=1 if said else 0)["findings"]
    assert len(findings) == len(said), findings
    for part, finding in zip(said, findings, strict=True):
        assert part in finding


def test_a_message_id_that_the_profile_knows_to_be_rewritten_is_no_finding(relay, upstream, dovecot):
    text = relay.config.read_text("utf-8")
    relay.config.write_text(text.replace('name = "up"\n', 'name = "up"\nprovider = "tencent"\n', 1), "utf-8")
    deliver(upstream, dovecot, (rb"Message-ID: <[^>]+>", b"Message-ID: <tencent_0123@qq.com>"))
    said = found(relay)
    assert said["survival"]["message_id"] == "<tencent_0123@qq.com>"
    assert [one["valid"] for one in said["signatures"]] == [True]


def test_a_canary_that_does_not_arrive_is_looked_for_no_longer_than_asked(relay, upstream):
    (finding,) = found(relay, "--wait", "1s", code=1)["findings"]
    assert "junk folder" in finding


@pytest.mark.parametrize(
    ("folder", "shown"), [("Unwanted", "Unwanted"), ("&V4NXPpCuTvY-", "垃圾邮件"), ("Spam", "Spam")], ids=["use", "zh", "en"]
)
def test_what_arrives_in_the_junk_folder_is_found_there_and_said_so(relay, upstream, dovecot, folder, shown):
    """The one that the server marks for junk, and those that are called so."""
    dovecot.folder_of(READER, folder)
    deliver(upstream, dovecot, folder=folder)
    said = found(relay, code=1)
    (finding,) = said["findings"]
    assert f'arrived in the junk folder "{shown}"' in finding
    assert [one["valid"] for one in said["signatures"]] == [True]
    assert said["survival"]["is_body_same"]


def test_where_a_canary_was_looked_for_is_said(relay, upstream, dovecot):
    dovecot.folder_of(READER, "Junk")
    (finding,) = found(relay, "--wait", "1s", code=1)["findings"]
    assert "neither in the inbox nor in the junk folder" in finding
    assert "Junk" in finding


def test_without_a_mailbox_it_is_only_sent(relay, upstream):
    assert "It was not seen where it went." in command(relay, *COMMAND, "--to", "ada@example.net").stdout
    assert [delivery.recipients for delivery in upstream.accepted] == [["ada@example.net"]]


def test_what_the_upstream_refuses_is_told_in_its_words(relay, upstream):
    upstream.fault("DOT", "554 5.7.1 DT:SPM spam")
    (finding,) = found(relay, code=1)["findings"]
    assert "554 5.7.1 DT:SPM spam" in finding


@pytest.mark.parametrize("who", ["upstream", "mailbox"])
def test_what_cannot_be_reached_is_exit_code_4_and_nothing_is_kept(relay, upstream, dovecot, who):
    gone = upstream.address if who == "upstream" else f"127.0.0.1:{dovecot.tls_port}"
    relay.config.write_text(relay.config.read_text("utf-8").replace(gone, f"127.0.0.1:{free_port()}"), "utf-8")
    assert "cannot be" in probe(relay, code=4).stderr
    assert upstream.deliveries == []
    assert not (relay.data / "probes").exists()


def test_whoever_must_not_be_written_to_gets_no_canary(relay, upstream):
    command(relay, "suppress", "add", READER, "--reason", "objection")
    assert "on the suppression list (objection)" in probe(relay, code=1).stderr
    assert upstream.deliveries == []


def test_what_was_typed_wrongly_is_told(relay):
    def told(*words):
        return command(relay, "upstream", "probe", *words, code=2).stderr

    assert "there are up" in told("down", "--to", READER)
    assert "with imap" in told("up", "--to", READER, "--mailbox", NEWS)
    assert 'the policy has no stream "x"' in told("up", "--to", READER, "--stream", "x")
    relay.config.write_text(relay.config.read_text("utf-8").replace("[[account]]", "[[nobody]]"), "utf-8")
    text = re.sub(r"(?s)\[\[nobody\]\].*?(?=\[\[|\Z)", "", relay.config.read_text("utf-8"))
    relay.config.write_text(text, "utf-8")
    assert "give --login LOGIN" in told("up", "--to", READER)


def test_a_login_may_be_typed_and_is_not_kept(relay, upstream, dovecot):
    deliver(upstream, dovecot)
    done = probe(relay, "--login", NEWS, typed=f"{PASSWORD}\n")
    assert (upstream.auth_attempts[-1], PASSWORD in done.output) == ((NEWS, True), False)
    files = [path for path in relay.data.rglob("*") if path.is_file() and path.name != "keys.toml"]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files)


def test_the_check_asks_for_a_probe_until_there_is_a_fresh_one(relay, upstream, dovecot):
    """The upstream is made to look like one that is not on this machine, by its name."""
    deliver(upstream, dovecot)
    text = relay.config.read_text("utf-8")
    relay.config.write_text(
        text.replace(f'["{upstream.address}"]', f'["{upstream.address}", "127.0.0.1.nip.invalid:465"]'), "utf-8"
    )

    def asked():
        told = json.loads(command(relay, "check", "--json", code=1).stdout)
        (said,) = [line for line in (*told["fine"], *told["to_do"]) if "probe" in line or "as it left" in line]
        return said

    assert "nobody has looked yet" in asked()
    assert not names_no_place(asked())
    probe(relay)
    assert asked() == "upstream up: mail arrives as it left"
    path = relay.data / "probes" / "up.json"
    kept = json.loads(path.read_bytes())
    path.write_text(json.dumps(kept | {"at": time.time() - 31 * 86400}))
    assert "the last probe was 31 days ago" in asked()
    path.write_text(json.dumps(kept | {"findings": [["正文", "the octets of the body were changed"]]}))
    assert "found 1 thing (the octets of the body were changed)" in asked()
    path.write_text(json.dumps(kept | {"addresses": ["elsewhere.example:465"]}))
    assert "nobody has looked yet" in asked()
    path.write_text("half a file")
    assert "nobody has looked yet" in asked()
