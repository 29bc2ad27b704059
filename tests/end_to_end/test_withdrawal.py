"""Somebody unsubscribes in the middle of a campaign to ten thousand: by the numbers, no copy is cleared to them after that.

No clock is asked.  The store numbers what it lets leave and what it brings in
force, and the records of both name those numbers.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.keys import load_keys
from relay.records.kinds import Kind
from relay.records.reading import Reader
from relay.records.search import Query, search
from tests.support.journey import on_each_worker, records
from tests.support.service import ACCOUNTS, NEWS, Relay, message
from tests.support.upstream import RecordingUpstream

ADA = "ada@example.org"
SUBMISSIONS, RECIPIENTS = 20, 500
SETTING = {"workers": 2, "delivery": 'patience = "300s"'}  # a busy machine is no reason to leave anybody out


@pytest.fixture(params=["sqlite", "redis"])
def station(request, tmp_path):
    """A database of its own on the server of all tests."""
    store = "sqlite"
    if request.param == "redis":
        store = request.getfixturevalue("redis_server").url.replace("/0", "/2")
    with RecordingUpstream(accounts=ACCOUNTS) as upstream, Relay(tmp_path, upstream, store=store, **SETTING) as relay:
        yield relay, upstream


class Unsubscribing:
    """Ada opens the third mail that reaches her and says no, while the upstream has not yet answered for it."""

    def __init__(self, relay, upstream):
        self.relay, self.upstream = relay, upstream
        self.opened = 0
        self.answer, self.mail = 0, b""
        upstream.on_delivery = self

    def __call__(self, delivery):
        self.opened += delivery.recipients == [ADA]
        if self.opened == 3 and not self.mail:
            self.mail = delivery.data
            self.answer = self.relay.unsubscribe(delivery.data)
            # The 200 says that the journal has it; the store numbers it when it has it, too.
            self.relay.wait(lambda: records(self.relay, ADA, Kind.APPLIED.value))


def people_of(number):
    """Ada somewhere among others, another place in each list."""
    people = [f"person{number * RECIPIENTS + place}@example.org" for place in range(RECIPIENTS - 1)]
    people.insert((number * 173) % RECIPIENTS, ADA)
    return people


def send(client, people, data):
    """One submission, its recipients in one piece; the reply to the dot."""
    assert client.say(f"MAIL FROM:<{NEWS}>")[0] == 250
    client.socket.sendall("".join(f"RCPT TO:<{whom}>\r\n" for whom in people).encode())
    assert {client.reply()[0] for _ in people} == {250}
    assert client.say("DATA")[0] == 354
    client.socket.sendall(data)
    return client.say(".")[0]


def send_some(client, numbers):
    client.socket.settimeout(300)
    replies = [send(client, people_of(number), message(subject=f"News {number}")) for number in numbers]
    client.quit()
    return replies


def test_nobody_is_cleared_after_unsubscribing(station):
    relay, upstream = station
    ada = Unsubscribing(relay, upstream)
    clients = [*on_each_worker(relay), *on_each_worker(relay)]
    lists = [range(first, SUBMISSIONS, len(clients)) for first in range(len(clients))]
    with ThreadPoolExecutor(len(clients)) as pool:
        sent = list(pool.map(send_some, clients, lists))
    assert {code for replies in sent for code in replies} == {250}, sent
    assert ada.answer == 200
    with Reader(relay.data / "records.db", load_keys(relay.data / "keys.toml")) as reader:
        written = [entry.record for entry in search(reader, Query())]
        outcomes = [
            (record.id, reader.reveal(record.people[outcome["person"]]), outcome)
            for record in written
            if record.kind in (Kind.FINISHED, Kind.LATE)
            for outcome in record.facts["outcomes"]
        ]
        (withdrawal,) = [record for record in written if record.kind is Kind.APPLIED]
        assert withdrawal.people[0].digest in reader.digests(ADA)

    at, in_flight = withdrawal.facts["number"], set(withdrawal.facts["in_flight"])
    hers = {record_id: outcome for record_id, whom, outcome in outcomes if whom == ADA}
    cleared = {record_id: outcome["cleared"] for record_id, outcome in hers.items() if outcome["cleared"]}
    assert len(hers) == SUBMISSIONS
    assert all(number < at for number in cleared.values()), "a copy was cleared to her after she had refused"
    others = [record_id for record_id in hers if record_id not in cleared]
    assert {hers[record_id]["rule"] for record_id in others} == {"base/suppression"}
    assert in_flight <= cleared.keys(), "what had been cleared, and nothing else, was on its way"
    opened = [record_id for record_id in cleared if record_id.encode() in ada.mail]
    assert set(opened) <= in_flight, "the upstream had not answered for the mail that she opened"
    assert len(opened) == 1
    assert sum(delivery.recipients == [ADA] for delivery in upstream.accepted) == len(cleared)

    numbers = [outcome["cleared"] for _, whom, outcome in outcomes if whom != ADA]
    assert len(numbers) == SUBMISSIONS * (RECIPIENTS - 1)
    assert len({*numbers, *cleared.values(), at}) == len(numbers) + len(cleared) + 1, "over both workers one sequence"
    assert min(numbers) < at < max(numbers), "the campaign went on"
