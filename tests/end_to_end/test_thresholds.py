"""Complaints and bounces pause a stream: on every worker and node, until somebody resumes it."""

import re
import shutil

import pytest

from tests.end_to_end.test_collector import account, copies_of, rates
from tests.support import letters
from tests.support.dovecot import Dovecot
from tests.support.fixtures import an_upstream
from tests.support.journey import Journey, metric, on_each_worker, records
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay, message

POLICY = {"streams/newsletter.toml": [("minimum = 500", "minimum = 5")]}
PEOPLE = [f"reader{number}@example.org" for number in range(6)]
PAUSED = 'relay_stream_paused{stream="newsletter"}'


upstream = an_upstream(accounts=ACCOUNTS)


def sends_again(relay, who="new@example.org"):
    """Whether mail flows; MAIL looks at what the store said a second ago."""
    return relay.send(NEWS, [who], message(who))[0] == 250


def test_complaints_pause_a_stream_everywhere_until_it_is_resumed(tmp_path, upstream):
    (tmp_path / "redis").mkdir()
    with Dovecot() as mailboxes, RedisServer(tmp_path / "redis") as redis:
        mailboxes.maildir(NEWS)
        extra = account(tmp_path, mailboxes)
        one = Relay(tmp_path / "one", upstream, workers=2, store=redis.url, policy=POLICY, extra=extra)
        two = Relay(tmp_path / "two", upstream, store=redis.url, policy=POLICY)
        with one:
            two.data.mkdir()
            shutil.copy(one.data / "keys.toml", two.data)
            with two:
                copies = copies_of(one, upstream, PEOPLE)
                assert rates(one)["delivered"] == 6
                mailboxes.drop(NEWS, letters.complaint(copies[PEOPLE[0]], recipient=PEOPLE[0]))
                one.wait(lambda: one.events("stream paused") or two.events("stream paused"), 60)
                _every_worker_and_node_defers(one, two, upstream)
                _people_see_why(one, two)
                _resuming_begins_anew(one, upstream, mailboxes, copies)
                assert one.command("records", "verify").returncode == 0


def _every_worker_and_node_defers(one, two, upstream):
    before = len(upstream.accepted)
    for client in on_each_worker(one):
        code, text = client.attempt(Journey(upstream, "new"))  # MAIL may know already what DATA asks for anew
        assert code == 451, text
        assert (
            "4.7.1 [paused] The stream newsletter is paused: complaints 16.67% (1 of 6 recipients in 7 days), over 0.3%" in text
        )
        client.quit()
    assert two.send(NEWS, ["new@example.org"], message("new@example.org"))[0] == 451
    assert len(upstream.accepted) == before
    assert one.send(OFFICE, ["bob@example.org"], message(sender=OFFICE)) == (250, "")
    one.wait(lambda: records(one, kind="paused") + records(two, kind="paused"))  # the log says it a moment earlier
    assert len(records(one, kind="paused") + records(two, kind="paused")) == 1
    (entry,) = records(one, kind="paused") or records(two, kind="paused")
    assert (entry["stream"], entry["measure"], entry["by"]) == ("newsletter", "complaints", "relay")
    assert entry["counts"] == {"complaints": 1, "delivered": 6, "refused": 0, "returned": 0}


def _people_see_why(one, two):
    for relay in (one, two):
        relay.wait(lambda relay=relay: metric(relay, PAUSED) == 1)
        code, text = relay.get("operators", "/readyz")
        assert code == 200
        assert "paused: newsletter: complaints 16.67%" in text
    assert metric(one, 'relay_stream_warning{measure="complaints",stream="newsletter"}') == 1
    assert metric(one, 'relay_stream_ratio{measure="complaints",stream="newsletter"}') == pytest.approx(1 / 6)
    _, text = one.send(NEWS, ["new@example.org"], message("new@example.org"))
    page = one.get("senders", re.search(r"/r/\w+", text)[0], headers={"Accept-Language": "zh"})[1]
    assert "已暂停" in page
    assert "16.67%" in page
    check = one.command("check", lang="zh")
    assert "邮件流 newsletter 已暂停" in check.stdout
    path = one.folder / "mail.eml"
    path.write_bytes(message("new@example.org"))
    explained = one.command("explain", path, "--identity", NEWS)
    assert explained.returncode == 1
    assert "451 4.7.1 [paused] The stream newsletter is paused" in explained.stdout


def _resuming_begins_anew(one, upstream, mailboxes, copies):
    assert one.command("streams", "resume", "newsletter", "--by", "Wang Min").returncode == 2
    done = one.command("streams", "resume", "newsletter", "--reason", "bought list deleted", "--by", "Wang Min")
    assert done.returncode == 0, done.stderr
    (entry,) = records(one, kind="resumed")
    assert (entry["reason"], entry["by"], entry["measure"]) == ("bought list deleted", "Wang Min", "complaints")
    one.wait(lambda: sends_again(one))
    mailboxes.drop(NEWS, letters.complaint(copies[PEOPLE[1]], recipient=PEOPLE[1]))
    one.wait(lambda: len(records(one, PEOPLE[1], kind="suppressed")) == 1, 60)
    one.wait(lambda: metric(one, PAUSED) == 0)
    for client in on_each_worker(one):
        one.wait(lambda client=client: client.attempt(Journey(upstream, "new"))[0] == 250)  # MAIL looks a second back
        client.quit()
    later = copies_of(one, upstream, ["later@example.org"])["later@example.org"]
    mailboxes.drop(NEWS, letters.complaint(later, recipient="later@example.org"))
    one.wait(lambda: rates(one)["complaints"]["count"], 60)  # it is told after the one from before, which counts no more
    row = rates(one)
    assert (row["paused"], row["complaints"]["count"]) == (None, 1)
    assert row["delivered"] in (3, 4)  # fewer than it takes to pause again
    assert one.command("streams", "resume", "newsletter", "--reason", "again").returncode == 1


def test_mailboxes_that_do_not_exist_pause_a_stream(tmp_path, upstream):
    upstream.fault("RCPT", "550 5.1.1 no such user", matching="gone")
    with Relay(tmp_path, upstream, workers=2, policy=POLICY) as relay:
        for number in range(5):
            assert relay.send(NEWS, [f"reader{number}@example.org"], message())[0] == 250
        relay.wait(lambda: metric(relay, 'relay_stream_sent{stream="newsletter"}') == 5)
        assert relay.send(NEWS, ["gone@example.org"], message())[0] == 550
        relay.wait(lambda: relay.events("stream paused"))
        code, text = relay.send(NEWS, ["new@example.org"], message())
        assert (code, "hard bounces 16.67% (1 of 6 recipients" in text) == (451, True), text
        assert rates(relay)["hard_bounces"]["count"] == 1
        relay.restart()
        assert not sends_again(relay)


def test_a_person_pauses_in_the_middle_of_a_transaction(tmp_path, upstream):
    with Relay(tmp_path, upstream, policy=POLICY) as relay:
        client = relay.connect(NEWS)
        assert client.mail(NEWS)[0] == 250
        assert client.rcpt("ada@example.org")[0] == 250
        reason = "投诉太多"
        assert relay.command("streams", "pause", "newsletter", "--reason", reason, "--by", "Wang Min").returncode == 0
        code, text = client.data(message())
        assert (code, text.decode().split("\n")[0]) == (
            451,
            "4.7.1 [paused] The stream newsletter is paused: by an administrator, try again later",
        )
        assert not upstream.accepted
        page = relay.get("senders", re.search(r"/r/\w+", text.decode())[0])[1]
        assert "邮件流 newsletter 已暂停：投诉太多" in page
        assert relay.command("streams", "pause", "newsletter", "--reason", "again").returncode == 1
        assert relay.command("streams", "pause", "no-such", "--reason", "again").returncode == 2
        assert "已暂停：投诉太多（Wang Min" in relay.command("streams", lang="zh").stdout
        assert relay.command("streams", "resume", "newsletter", "--reason", "mended", "--by", "Wang Min").returncode == 0
        relay.wait(lambda: sends_again(relay))
        client.close()
