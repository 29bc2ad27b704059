"""Policy sets in the running service: taken up whole by every worker, or refused and said why."""

import os
import re
import signal
from datetime import UTC, datetime

import pytest

from tests.support.fixtures import a_relay, an_upstream
from tests.support.policies import word_rule
from tests.support.scrape import counted, samples
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay, message
from tests.support.upstream import RecordingUpstream

STREAM = "streams/newsletter.toml"
RULE = word_rule("forbidden", "no-tests")

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", workers=2, cases=True)


@pytest.fixture
def text(relay):
    """The newsletter's file as it is; put back and in force again afterwards."""
    path = relay.folder / "policies" / STREAM
    before, in_force = path.read_text("utf-8"), policy_hash(relay)
    yield before
    path.write_text(before, "utf-8")
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: policy_hash(relay) == in_force)
    relay.wait(lambda: relay.get("operators", "/readyz")[0] == 200)  # the workers use it too


def policy_hash(relay):
    (found,) = [series for series in samples(relay) if series.startswith("relay_policy_info")]
    return found.split('"')[1]


def failures(relay):
    return counted(relay, "relay_policy_apply_failures_total")


def refusals(relay):
    """What the log says of sets that were not taken up."""
    return [event for event in relay.events("relay.service") if "refused" in event["text"]]


def change(relay, text):
    (relay.folder / "policies" / STREAM).write_text(text, "utf-8")


def replies(relay, subject, count=8):
    """The codes that as many connections get, so that every worker is asked."""
    return {relay.send(NEWS, ["ada@example.org"], message(subject=subject))[0] for _ in range(count)}


def test_sighup_applies_the_folder_on_every_worker(relay, text):
    before = policy_hash(relay)
    assert replies(relay, "forbidden") == {250}
    change(relay, text + RULE)
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: policy_hash(relay) != before)
    relay.wait(lambda: relay.get("operators", "/readyz") == (200, "ready\n"))
    assert replies(relay, "forbidden") == {550}
    assert replies(relay, "fine", 1) == {250}
    found = relay.command("records", "search", "--kind", "policy", "--json").stdout
    assert policy_hash(relay) in found
    assert "SIGHUP" in found


def test_a_worker_that_is_started_later_uses_the_set_in_force(relay, text):
    before = policy_hash(relay)
    change(relay, text + RULE)
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: policy_hash(relay) != before)
    for pid in relay.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert replies(relay, "forbidden") == {550}


def test_a_broken_folder_changes_nothing_and_says_where(relay, text):
    before, counted, said = policy_hash(relay), failures(relay), len(refusals(relay))
    change(relay, text.replace('purpose = "marketing"', 'purpose = "marketting"'))
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: failures(relay) == counted + 1)
    relay.wait(lambda: len(refusals(relay)) == said + 1)
    assert policy_hash(relay) == before
    assert relay.get("operators", "/readyz")[0] == 200
    refused = refusals(relay)[-1]
    assert refused["level"] == "error"
    assert re.search(r"streams/newsletter\.toml: line \d+: purpose: expected", refused["text"])
    assert replies(relay, "still fine", 2) == {250}


def test_a_set_whose_cases_do_not_hold_changes_nothing_and_says_which(relay, text):
    before, counted = policy_hash(relay), failures(relay)
    case = relay.folder / "policies/tests/mine.toml"
    case.write_text('stream = "newsletter"\n[[case]]\nname = "spring"\nsubject = "forbidden"\nexpect = "reject"\n')
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: failures(relay) == counted + 1)
    assert policy_hash(relay) == before
    relay.wait(lambda: "tests/mine.toml: line 3: spring: expected reject, found permit" in refusals(relay)[-1]["text"])
    change(relay, text + RULE)  # which makes the case hold
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: policy_hash(relay) != before)
    case.unlink()


def test_policy_apply_is_taken_up_without_a_signal(relay, text):
    before = policy_hash(relay)
    change(relay, text + RULE)
    applied = relay.command("policy", "apply", relay.folder / "policies", "--reason", "no more of this", "--by", "Wang Min")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    relay.wait(lambda: policy_hash(relay) != before)
    relay.wait(lambda: relay.get("operators", "/readyz")[0] == 200)
    assert replies(relay, "forbidden") == {550}


def test_a_shadow_stream_is_counted(relay, text):
    change(relay, re.sub('^mode = "enforce"', 'mode = "shadow"', text, flags=re.MULTILINE))
    relay.process.send_signal(signal.SIGHUP)
    relay.wait(lambda: counted(relay, "relay_shadow_streams") == 1)


def test_the_last_day_of_a_pack_is_measured(relay, text):
    pack = relay.folder / "policies/packs/law.toml"
    pack.write_text('[pack]\nversion = "1"\nexpires_on = 2099-12-31\n')
    change(relay, text.replace('packs = ["base"]', 'packs = ["base", "law"]'))
    relay.process.send_signal(signal.SIGHUP)
    ends = datetime(2099, 12, 31, 16, tzinfo=UTC).timestamp()
    relay.wait(lambda: counted(relay, 'relay_pack_expires_timestamp_seconds{pack="law"}') == ends)
    pack.unlink()


def test_sessions_that_are_open_go_on_under_the_new_set(relay, text):
    before = policy_hash(relay)
    with relay.connect() as client:
        assert relay.send_over(client, NEWS, ["ada@example.org"], message(subject="forbidden"))[0] == 250
        change(relay, text + RULE)
        relay.process.send_signal(signal.SIGHUP)
        relay.wait(lambda: policy_hash(relay) != before)
        relay.wait(lambda: relay.get("operators", "/readyz")[0] == 200)
        assert relay.send_over(client, NEWS, ["ada@example.org"], message(subject="forbidden"))[0] == 550


def test_a_start_with_a_broken_folder_keeps_the_last_set(tmp_path):
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream) as relay:
        before = policy_hash(relay)
        relay.stop()
        (relay.folder / "policies" / "organisation.toml").write_text("country = 3\n")
        relay.start()
        assert policy_hash(relay) == before
        assert failures(relay) == 1
        relay.wait(lambda: any("the last set in force stays" in event["text"] for event in relay.events("relay.service")))
        assert relay.send(OFFICE, ["ada@example.org"], message(sender=OFFICE))[0] == 250
