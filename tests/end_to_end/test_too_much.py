"""A message over a bound is refused before it is whole, yet recorded, explained and counted; `relay explain` foretells it."""

import json
from dataclasses import replace

import pytest

from relay.mail.message import too_large
from relay.records.reading import Reader
from tests.support.fixtures import a_relay, an_upstream
from tests.support.journey import Client, Journey, metric, records
from tests.support.line import LineHouse
from tests.support.service import ACCOUNTS, NEWS, WHOLE_DOMAIN, message

LARGEST = 49152  # 64 KiB without what stays free for our fields
BOUNDS = '[smtp]\nmax_message_size = "64KiB"\nmax_line_length = 2000\n'
MARK = "Zwetschge"
TOO_LARGE = f"5.3.4 [base/size] the message is larger than {LARGEST} octets"
LONG_LINE = "5.6.0 [base/line-length] a line is longer than 2000 octets"
SAID = {
    "size": (f"上限为 {LARGEST} 字节。请改为发送下载链接", f"The limit is {LARGEST} octets. Send a link instead"),
    "line_length": ("上限为 2000 字节。请使用较新的邮件客户端", "The limit is 2000 octets. Send with a current mail program"),
}
CASES = {
    "large": ("size", 552, TOO_LARGE, f"{MARK * 8}\r\n" * 700),
    "large while it comes": ("size", 552, TOO_LARGE, f"{MARK * 8}\r\n" * 6000),
    "a long line": ("line_length", 554, LONG_LINE, "x" * 2001 + "\r\n"),
    "a long line while it comes": ("line_length", 554, LONG_LINE, MARK * 4000 + "\r\n"),
}

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module", auth=WHOLE_DOMAIN, extra=BOUNDS)


def counted(relay, limit, rule):
    """Refusals by this bound, refused submissions of the stream, objections of the rule."""
    return (
        metric(relay, f'relay_refused_by_limit_total{{limit="{limit}"}}'),
        metric(relay, 'relay_submissions_total{result="refused",stream="newsletter"}'),
        metric(relay, f'relay_rule_objections_total{{action="reject",rule="{rule}"}}'),
    )


def grown(now, before):
    """By how much each count has grown; a busy worker tells it a second later."""
    return [new - old for new, old in zip(now, before, strict=True)]


def searched(relay, subject):
    run = relay.command("records", "search", subject, "--json", "--addresses")
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def check_page(relay, text, limit, *, sentence):
    """The reply's second line opens a page with the remedy in both languages; returns the id."""
    page = text.split("\n")[1].split(" ")[1]
    answers = [relay.get("senders", f"{page[page.index('/r/') :]}?lang={language}") for language in ("zh", "en")]
    assert [status for status, _ in answers] == [200, 200]
    for words in (*SAID[limit], *sentence):
        assert words in answers[0][1] + answers[1][1]
    return page.rpartition("/")[2]


@pytest.mark.parametrize("case", CASES)
def test_what_is_over_a_bound_is_recorded_explained_and_counted(relay, upstream, case):
    limit, code, said, body = CASES[case]
    rule = said.partition("[")[2].partition("]")[0]
    before, delivered = counted(relay, limit, rule), len(upstream.deliveries)
    journey = Journey(upstream, "ada", "bob")
    journey.data = message("readers@example.org", NEWS, MARK, body)
    client = Client(relay)
    answer, text = client.send(journey)
    assert (answer, text.split("\n")[0]) == (code, said)
    assert client.say("NOOP")[0] == 250
    client.quit()
    known = check_page(relay, text, limit, sentence=("未发送：有规则不允许", "Not sent: a rule does not allow it"))
    (found,) = searched(relay, known)
    assert found["kind"] == "refused"
    for recipient in journey.recipients:
        assert [one["id"] for one in searched(relay, recipient)] == [known]
        (record,) = records(relay, recipient)
        assert (record["stream"], record["rule"], record["recipient"]) == ("newsletter", rule, None)
        assert recipient in [record["people"][ruling["person"]] for ruling in record["rulings"]]
    relay.wait(lambda: grown(counted(relay, limit, rule), before) == [1, 1, 2])
    assert len(upstream.deliveries) == delivered
    kept = b"".join(path.read_bytes() for path in relay.data.glob("records.db*"))
    assert MARK.encode() not in kept


def test_a_size_that_is_announced_is_refused_with_a_page_before_there_are_recipients(relay):
    before = counted(relay, "size", "base/size")
    client = Client(relay)
    answer, text = client.say(f"MAIL FROM:<{NEWS}> SIZE={LARGEST + 1}")
    assert (answer, text.split("\n")[0]) == (552, TOO_LARGE)
    assert client.say("RCPT TO:<ada@example.org>")[0] == 503
    assert client.say(f"MAIL FROM:<{NEWS}> SIZE={LARGEST}")[0] == 250
    client.quit()
    known = check_page(relay, text, "size", sentence=("邮件大于中继接收的上限", "The message is larger than the relay takes"))
    (found,) = [record for record in records(relay, kind="refused") if record["id"] == known]
    assert (found["stream"], found["rule"], found["bound"]) == ("newsletter", "base/size", LARGEST)
    assert (found["people"], found["recipient"], found["rulings"]) == ([NEWS], None, [])
    relay.wait(lambda: grown(counted(relay, "size", "base/size"), before) == [1, 1, 0])


def test_whose_sender_is_refused_hears_of_that_and_not_of_the_size(relay):
    client = Client(relay)
    assert client.say(f"MAIL FROM:<boss@example.net> SIZE={LARGEST + 1}")[1].startswith("5.7.1 [base/ownership]")
    client.quit()


@pytest.mark.parametrize("case", CASES)
def test_explain_gives_the_verdict_of_the_door(relay, tmp_path, case):
    limit, code, said, body = CASES[case]
    path = tmp_path / "message.eml"
    path.write_bytes(message("ada@example.org", NEWS, MARK, body))
    english, chinese = (relay.command("explain", path, lang=lang) for lang in ("en", "zh"))
    assert english.returncode == chinese.returncode == 1
    assert f"{code} {said}\n" in english.stderr
    assert SAID[limit][1] in english.stderr
    assert SAID[limit][0] in chinese.stderr


def test_explain_and_the_door_take_the_largest_message(relay, upstream, tmp_path):
    data = message("ada@example.org", NEWS, "Large", "")
    data += (b"y" * 98 + b"\r\n") * 600
    data = data[: LARGEST - 2].rstrip(b"\r\n").ljust(LARGEST - 2, b"y") + b"\r\n"
    path = tmp_path / "message.eml"
    path.write_bytes(data)
    assert relay.command("explain", path).returncode == 0
    journey = Journey(upstream, "ada")
    journey.data = data
    client = Client(relay)
    assert client.send(journey)[0] == 250
    client.quit()


def test_a_refusal_that_cannot_be_written_down_is_451(upstream, tmp_path, monkeypatch):
    with LineHouse(tmp_path, upstream) as house:
        submission = house.run(house.begin(NEWS, ["ada@example.org"]))
        announced = replace(submission, recipients=())
        monkeypatch.setattr(house.line.records, "_min_free", 10**18)  # as a disk that others have filled since MAIL
        for one in (submission, announced):
            assert house.run(house.line.refuse(one, too_large(1))).code == 451
        assert records(house.relay, kind="refused") == []


def test_another_set_that_does_not_take_the_sender_is_451(upstream, tmp_path):
    with LineHouse(tmp_path, upstream) as house:
        submission = house.run(house.begin(NEWS, ["ada@example.org"]))
        begun_before = replace(submission, policy="another", stream="one that is gone")
        assert house.run(house.line.refuse(begun_before, too_large(1))).code == 451


def test_an_announced_size_fills_the_disk_no_faster_than_a_refused_sender(upstream, tmp_path):
    with LineHouse(tmp_path, upstream) as house:
        house.run(house.begin(NEWS, [], sender="boss@example.net"))
        submission = house.run(house.begin(NEWS, [], admitted_only=False))
        house.run(house.line.refuse(submission, too_large(10**7)))
        with Reader(house.relay.data / "records.db", house.line.keys) as reader:
            (sender,), (announced,) = reader.read("SELECT length(body) FROM records WHERE kind = 'refused' ORDER BY seq")
    assert announced < sender + 50
