"""An upstream that says there is no such mailbox is believed as a bounce is: the next mail does not ask it again."""

import pytest

from tests.support.journey import Client, Journey, metric, on_each_worker, records
from tests.support.service import ACCOUNTS, NEWS, OFFICE, Relay
from tests.support.upstream import RecordingUpstream

GONE = "550 5.1.1 no such user"
COUNTED = 'relay_suppressions_total{origin="upstream:generic",reason="hard_bounce"}'


def send(relay, upstream, *people, sender=NEWS):
    """One mail of its own to these mailboxes."""
    client = Client(relay, sender)
    try:
        return client.send(Journey(upstream, "x", sender=sender), people)
    finally:
        client.quit()


def suppressed(relay, who):
    return records(relay, who, "suppressed")


def asked(upstream, who):
    """How often the upstream heard of this mailbox."""
    return sum(f"<{who}>" in line for session in upstream.sessions for line in session.lines)


@pytest.mark.parametrize("place", ["RCPT", "DOT"])
def test_the_next_mail_is_refused_without_asking(relay, upstream, place):
    gone = f"gone-at-{place.lower()}@example.org"
    relay.wait(lambda: metric(relay, "relay_refusals_waiting_seconds") == 0)  # those of other tests are counted, too
    before = metric(relay, COUNTED)
    upstream.fault(place, GONE, times=1)
    code, text = send(relay, upstream, gone)
    assert (code, "The upstream server said: no such user" in text) == (550, True), text
    (record,) = suppressed(relay, gone)
    (finished,) = records(relay, gone, "finished")
    assert (record["reason"], record["origin"], record["by"]) == ("hard_bounce", "upstream:generic", "relay")
    assert record["submission"] == finished["id"]
    for _ in range(2):
        code, text = send(relay, upstream, gone)
        assert (code, text.startswith("5.1.1 [base/suppression] ")) == (550, True), text
    assert asked(upstream, gone) == 1
    assert len(suppressed(relay, gone)) == 1
    relay.wait(lambda: metric(relay, COUNTED) == before + 1)
    assert "upstream:generic" in relay.command("suppress", "check", gone).stdout
    assert send(relay, upstream, f"not-{gone}")[0] == 250


def test_other_words_for_it_must_be_said_of_two_mails(relay, upstream):
    who = "words@example.org"
    upstream.fault("RCPT", "550 User not found", matching=who)
    for expected in (0, 1):
        assert "The upstream server said: User not found" in send(relay, upstream, who)[1]
        assert len(suppressed(relay, who)) == expected
    assert send(relay, upstream, who)[1].startswith("5.1.1 [base/suppression] ")
    assert asked(upstream, who) == 2


def test_only_whom_it_is_about(relay, upstream):
    upstream.fault("RCPT", GONE, matching="one-of-two@")
    both = ("one-of-two@example.org", "other-of-two@example.org")
    assert send(relay, upstream, *both, sender=OFFICE)[0] == 250
    assert [len(suppressed(relay, who)) for who in both] == [1, 0]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("RCPT", "550 5.1.1 Too many messages, rate limit exceeded"),
        ("RCPT", "450 4.1.1 user unknown for now"),
        ("RCPT", "552 5.2.2 mailbox full"),
        ("RCPT", "550 5.7.26 unauthenticated mail is prohibited"),
        ("DOT", "554 5.7.1 Suspected spam"),
        ("MAIL", "550 5.1.1 no such user"),
        ("DATA", "550 5.1.1 no such user"),
    ],
)
def test_other_replies_suppress_nobody(relay, upstream, place, said):
    who = f"kept.{place}.{len(said)}@example.org".lower()
    upstream.fault(place, said, times=2)
    for _ in range(2):
        assert send(relay, upstream, who)[0] >= 400
    assert suppressed(relay, who) == []
    upstream.faults.clear()
    relay.command("upstream", "resume", "generic", "--all", "--reason", "the reply was not meant", "--by", "test")
    for client in on_each_worker(relay):  # each looks once a second; the next test may meet the other one
        relay.wait(lambda client=client: client.send(Journey(upstream, "x"), [who])[0] == 250)
        client.quit()


def test_a_reply_to_a_copy_for_several_says_nothing_of_one(relay, upstream):
    both = ("several.1@example.org", "several.2@example.org")
    upstream.fault("DOT", GONE, times=1)
    assert send(relay, upstream, *both, sender=OFFICE)[0] == 550
    assert [suppressed(relay, who) for who in both] == [[], []]
    assert send(relay, upstream, *both, sender=OFFICE)[0] == 250


def test_a_kill_after_the_reply_loses_nothing(tmp_path):
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream) as relay:
        upstream.fault("RCPT", GONE, matching="gone@")
        client = Client(relay)
        journey = Journey(upstream, "x")
        assert client.send(journey, ["gone@example.org"])[0] == 550
        relay.kill()
        client.close()
        relay.start()
        assert send(relay, upstream, "gone@example.org")[1].startswith("5.1.1 [base/suppression] ")
        assert len(suppressed(relay, "gone@example.org")) == 1
        assert relay.command("records", "verify").returncode == 0
