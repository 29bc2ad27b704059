"""Domains that take no mail, from the question to a real DNS server to what the client is told."""

import json
import re
import shutil
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.records.kinds import Kind
from tests.end_to_end.test_explain_agrees import check_replies, dry_run, foretold, objections, recorded, said_of
from tests.support.courier import CourierHouse, report_parts
from tests.support.dns_server import SERVFAIL, SILENCE, DnsServer
from tests.support.fixtures import an_upstream
from tests.support.journey import Client, Journey, records
from tests.support.line import LineHouse
from tests.support.scrape import samples
from tests.support.service import ACCOUNTS, NEWS, OFFICE, SHOP, Relay, message
from tests.support.upstream import RecordingUpstream

TAKES, HERE, ALIAS, CHINESE = "takes.example", "here.example", "alias.example", "xn--fsqu00a.example"
NOWHERE, NULL, BROKEN, QUIET = "nowhere.example", "null.example", "broken.example", "quiet.example"
MAIL = {
    TAKES: ["MX 10 mx.takes.example."],
    HERE: ["A 192.0.2.1"],
    ALIAS: ["CNAME takes.example."],
    CHINESE: ["MX 10 mx.takes.example."],
    NULL: ["MX 0 ."],
    BROKEN: SERVFAIL,
    QUIET: SILENCE,
}
SINCE = ("--since", "2026-01-01")
NUMBERS = count()

upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def dns():
    with DnsServer({}, mail=MAIL) as server:
        yield server


def asking(dns, timeout="10s"):
    """The server of a test answers at once, on a busy machine a moment later; who waits in vain asks for less."""
    return f'[dns]\nservers = ["{dns.address}"]\ntimeout = "{timeout}"\n'


@pytest.fixture(scope="module")
def house(upstream, dns, tmp_path_factory):
    with LineHouse(tmp_path_factory.mktemp("line"), upstream, extra=asking(dns)) as house:
        yield house


# What the client is told -----------------------------------------------------------------------------------------------


def test_rcpt_tells_what_dns_says(dns, tmp_path):
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream, extra=asking(dns)) as relay:
        client, journey = Client(relay, OFFICE), Journey(upstream, sender=OFFICE)
        assert client.say(f"MAIL FROM:<{OFFICE}>")[0] == 250
        told = {}
        for domain in (TAKES, HERE, ALIAS, CHINESE, NOWHERE, NULL, BROKEN):
            code, text = client.say(f"RCPT TO:<ada@{domain}>")
            told[domain] = f"{code} {text}".split(" [")[0]
        assert told == {
            **dict.fromkeys((TAKES, HERE, ALIAS, CHINESE), "250 2.1.5 OK"),
            NOWHERE: "550 5.1.2",
            NULL: "556 5.1.10",
            BROKEN: "451 4.4.3",
        }
        assert client.say("DATA")[0] == 354
        client.finish(journey)
        assert client.reply()[0] == 250
        (delivery,) = upstream.accepted
        assert delivery.recipients == [f"ada@{domain}" for domain in (TAKES, HERE, ALIAS, CHINESE)]
        refused = records(relay, kind="refused")
        assert [one["reply"][:3] for one in refused] == ["550", "556", "451"]
        relay.wait(lambda: lookups(relay) == {"takes": 4.0, "none": 1.0, "null-mx": 1.0, "unknown": 1.0})


def test_rcpt_waits_in_vain_no_longer_than_the_configuration_says(dns, tmp_path):
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream, extra=asking(dns, "0.5s")) as relay:
        client = Client(relay, OFFICE)
        assert client.say(f"MAIL FROM:<{OFFICE}>")[0] == 250
        code, text = client.say(f"RCPT TO:<ada@{QUIET}>")
        assert f"{code} {text}".startswith("451 4.4.3 [")
        client.quit()
        relay.wait(lambda: lookups(relay) == {"unknown": 1.0})


def lookups(relay):
    name = re.compile(r'relay_domain_lookups_total\{result="(.+)"\}')
    return {found[1]: value for series, value in samples(relay).items() if (found := name.fullmatch(series))}


def test_after_the_message_it_is_554(house):
    assert house.send(NEWS, [f"ada@{NULL}"], message()).lines()[0].startswith("554-5.1.10 [base/recipient-domain]")
    assert house.send(NEWS, [f"ada@{NOWHERE}"], message()).lines()[0].startswith("550-5.1.2 [base/recipient-domain]")


def test_a_report_names_whom_the_mail_cannot_reach(house, upstream):
    before = len(upstream.accepted)
    assert house.send(NEWS, [f"ada@{NULL}", f"ada@{TAKES}"], message()).code == 250
    delivery, report = sorted(upstream.accepted[before:], key=lambda one: b"multipart/report" in one.data)
    assert delivery.recipients == [f"ada@{TAKES}"]
    said, groups = report_parts(report.data)
    assert "收件域名不存在或不收信" in said
    assert "Status: 5.1.10" in groups
    assert f"ada@{NULL}" in groups


def test_fifty_recipients_at_one_domain_are_one_question(house, dns):
    people = [f"p{number}@fifty.example" for number in range(50)]
    dns.mail["fifty.example"] = ["MX 10 mx.takes.example."]
    assert house.send(OFFICE, people, message(sender=OFFICE)).code == 250  # at RCPT, one after the other, and after the dot
    assert dns.asked.count("fifty.example") == 1
    dns.mail["sixty.example"] = SERVFAIL
    assert house.send(NEWS, [f"p{number}@sixty.example" for number in range(50)], message()).code == 451
    assert dns.asked.count("sixty.example") == 1


def test_a_server_that_says_nothing_is_waited_for_within_bounds(upstream, tmp_path):
    """Every RCPT names another domain; all of them are asked about, and the client waits for the first few."""
    with DnsServer({}, silent=True) as dns, LineHouse(tmp_path, upstream, extra=asking(dns, "0.2s")) as house:
        replies = house.run(told_at_rcpt(house, OFFICE, [f"ada@{number}.example" for number in range(30)]))
        assert {(reply.code, reply.status) for reply in replies} == {(451, "4.4.3")}
        (waited,) = house.line.domains._waited.seconds.values()
        assert len(replies) == 30
        assert waited < 30 * 0.2


async def told_at_rcpt(house, login, people):
    submission = await house.begin(login, people, admitted_only=False)
    return [await house.line.admit(submission, recipient) for recipient in submission.recipients]


def test_who_names_no_servers_asks_nobody(upstream, dns, tmp_path):
    people = [f"ada@{NOWHERE}", f"ada@{NULL}", f"ada@{BROKEN}"]
    with LineHouse(tmp_path, upstream) as house:
        before = len(dns.asked)
        assert house.send(OFFICE, people, message(sender=OFFICE)).code == 250
        assert len(dns.asked) == before
        assert all(one.is_positive for one in house.run(told_at_rcpt(house, OFFICE, people)))


def test_a_client_that_tries_again_sends_to_whom_dns_did_not_know(upstream, tmp_path):
    """The others have it already, and get it no second time."""
    mail = {"later.example": list(SERVFAIL), **MAIL}
    people, data = [f"ada@{TAKES}", "ada@later.example"], message(extra="Message-ID: <again@example.com>\r\n")
    with DnsServer({}, mail=mail) as dns, CourierHouse(tmp_path, upstream, extra=asking(dns)) as house:
        before = len(upstream.accepted)
        assert house.send(NEWS, people, data).code == 451
        dns.mail["later.example"] = ["MX 10 mx.takes.example."]
        assert house.send(NEWS, people, data).code == 451  # what nobody answered is not asked again at once
        house.clock.pass_(10)
        assert house.send(NEWS, people, data).code == 250
        delivered = [recipient for one in upstream.accepted[before:] if one.reverse_path for recipient in one.recipients]
        assert sorted(delivered) == sorted(people)


# What was held --------------------------------------------------------------------------------------------------------


def hold(house, upstream, *people):
    upstream.fault("RCPT", "450 4.2.1 later")
    assert house.send(OFFICE, people, message(sender=OFFICE)).is_positive
    upstream.faults.clear()
    assert len(house.held()) == len(people)


def test_held_mail_is_judged_by_a_new_look(upstream, tmp_path):
    """And nobody is asked at the moment of leaving: one question when it came, one when it was taken up again."""
    with DnsServer({}, mail=dict(MAIL)) as dns, CourierHouse(tmp_path, upstream, extra=asking(dns)) as house:
        hold(house, upstream, f"ada@{TAKES}", f"bob@{HERE}")
        assert dns.asked.count(TAKES) == 1
        dns.mail[TAKES] = ["MX 0 ."]
        before = len(upstream.accepted)
        house.turn(7 * 3600)  # no answer is believed as long
        house.wait_empty()
        delivery, report = sorted(upstream.accepted[before:], key=lambda one: b"multipart/report" in one.data)
        assert delivery.recipients == [f"bob@{HERE}"]
        assert f"ada@{TAKES}" in report_parts(report.data)[1]
        assert dns.asked.count(TAKES) == 2
        (judged,) = house.records(Kind.JUDGED)
        assert [one["objections"][0]["rule"] for one in judged.facts["rulings"] if one["objections"]] == ["base/recipient-domain"]


def test_held_mail_waits_while_dns_does_not_answer(upstream, tmp_path):
    with DnsServer({}, mail=dict(MAIL)) as dns, CourierHouse(tmp_path, upstream, extra=asking(dns)) as house:
        hold(house, upstream, f"ada@{TAKES}")
        dns.mail[TAKES] = list(SERVFAIL)
        before = len(upstream.accepted)
        house.settled(7 * 3600)
        assert len(house.held()) == 1
        dns.mail[TAKES] = ["MX 10 mx.takes.example."]
        house.turn(2 * 3600)
        house.wait_empty()
        assert [one.recipients for one in upstream.accepted[before:]] == [[f"ada@{TAKES}"]]


# Explaining, trying, judging again -------------------------------------------------------------------------------------

PEOPLE = st.lists(
    st.sampled_from([f"{name}@{domain}" for name in ("ada", "bob") for domain in (TAKES, HERE, ALIAS, NOWHERE, NULL, BROKEN)]),
    min_size=1,
    max_size=6,
    unique=True,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(login=st.sampled_from([NEWS, OFFICE, SHOP]), people=PEOPLE)
def test_explain_dry_run_and_the_line_agree(house, upstream, login, people):
    number = next(NUMBERS)  # the same octets again would be another try of the same mail
    data = message("readers@example.org", login, f"Number {number}", extra=f"Message-ID: <{number}@example.com>\r\n")
    expected = foretold(house, login, data, people)
    assert dry_run(house, login, people, data) == {address: said_of(one) for address, one in expected.items()}
    before, known = len(upstream.accepted), len(records(house.relay))
    house.send(login, people, data)
    delivered = [address for one in upstream.accepted[before:] if one.reverse_path for address in one.recipients]
    assert sorted(delivered) == sorted(address for address, one in expected.items() if one.copy)
    assert {one for one, told in expected.items() if told.copy} == {
        p for p in people if p.rpartition("@")[2] in (TAKES, HERE, ALIAS)
    }
    written = records(house.relay)[known:]
    assert recorded(written) == {address: (one.ruling.action.word, objections(one.ruling)) for address, one in expected.items()}
    check_replies(written, expected)


def test_explain_shows_what_dns_said(house, tmp_path):
    file = tmp_path / "mail.eml"
    file.write_bytes(message(sender=OFFICE))
    words = ("--from", OFFICE, "--to", f"ada@{NULL}", "--identity", OFFICE, "--json")
    done = house.relay.command("explain", file, *words)
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)
    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert found["reply"][0].startswith("556 5.1.10 [base/recipient-domain]")
    assert rules["base/recipient-domain"]["input"]["facts"] == {"recipient.domain_mail": "null-mx"}


def test_replay_reads_what_was_found_from_the_record(house, tmp_path):
    folder = house.relay.folder / "policies"
    assert house.relay.command("policy", "apply", folder, "--reason", "the first").returncode == 0
    house.send(NEWS, [f"ada@{NULL}", f"ada@{TAKES}", f"ada@{BROKEN}"], message(subject="Replayed"))
    other = tmp_path / "policies"
    shutil.copytree(folder, other)
    override = '[[override]]\nrule = "{}"\naction = "warn"\nreason = "r"\nby = "Wang Min"\nuntil = 2099-01-01\n'
    stream = other / "streams" / "newsletter.toml"
    assert changes(house, other) == set()
    rules = ("base/recipient-domain", "base/recipient-domain-unanswered")
    stream.write_text(stream.read_text("utf-8") + "".join(map(override.format, rules)), "utf-8")
    assert {("reject", "warn"), ("defer", "warn")} <= changes(house, other)


def test_replay_asks_again_of_what_dns_said_then(house, tmp_path):
    folder, other = house.relay.folder / "policies", tmp_path / "policies"
    assert house.relay.command("policy", "apply", folder, "--reason", "again").returncode == 0
    house.send(NEWS, [f"ada@{NULL}", f"ada@{TAKES}"], message(subject="Asked again"))
    shutil.copytree(folder, other)
    pack = other / "packs" / "base.toml"
    pack.write_text(pack.read_text("utf-8").replace('faults = ["none", "null-mx"]', 'faults = ["none"]'), "utf-8")
    assert changes(house, other) == {("reject", "permit")}


def test_replay_says_what_a_relay_that_asked_nobody_cannot_know(upstream, tmp_path):
    with LineHouse(tmp_path / "house", upstream) as house:
        folder, other = house.relay.folder / "policies", tmp_path / "other"
        assert house.relay.command("policy", "apply", folder, "--reason", "the first").returncode == 0
        house.send(NEWS, [f"ada@{NULL}"], message())
        shutil.copytree(folder, other)
        assert replayed(house, other)["not_replayable"] == []
        stream = other / "streams" / "newsletter.toml"
        stream.write_text(stream.read_text("utf-8") + '[[rule]]\nid = "mine"\ncheck = "recipient-domain"\n', "utf-8")
        (unknown,) = replayed(house, other)["not_replayable"]
        assert (unknown["rule"], unknown["recipients"]) == ("newsletter/mine", 1)


def changes(house, folder):
    return {(one["then"], one["now"]) for one in replayed(house, folder)["changes"]}


def replayed(house, folder):
    done = house.relay.command("policy", "replay", *SINCE, "--set", folder, "--json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
