"""What has the same bytes leaves together; who is named twice gets one; who is refused at RCPT reads why."""

import re

from tests.support.journey import Client, Journey
from tests.support.service import NEWS, OFFICE, SHOP

NETEASE_CAP = 50


def test_correspondence_and_service_mail_leave_in_one_transaction(relay, upstream):
    for sender in (OFFICE, SHOP):
        journey = Journey(upstream, "ada", "bob", "eve", sender=sender)
        client = Client(relay, sender)
        assert client.send(journey)[0] == 250
        client.quit()
        (delivery,) = journey.deliveries
        assert delivery.recipients == journey.recipients


def test_marketing_leaves_as_one_copy_for_each_with_a_link_of_its_own(relay, upstream):
    journey = Journey(upstream, "ada", "bob", "eve")
    client = Client(relay)
    assert client.send(journey)[0] == 250
    client.quit()
    assert sorted(delivery.recipients for delivery in journey.deliveries) == [[r] for r in journey.recipients]
    links = {re.search(rb"List-Unsubscribe: <([^>]+)>", delivery.data)[1] for delivery in journey.deliveries}
    assert len(links) == 3


def test_more_recipients_than_the_provider_takes_are_split(relay, upstream):
    people = [f"p{number}" for number in range(NETEASE_CAP + 7)]
    journey = Journey(upstream, *people, sender=OFFICE)
    client = Client(relay, OFFICE, listener="netease")
    assert client.send(journey)[0] == 250
    client.quit()
    assert sorted(len(delivery.recipients) for delivery in journey.deliveries) == [28, 29]
    assert journey.arrived == sorted(people)


def test_a_recipient_who_is_named_twice_gets_one(relay, upstream):
    journey = Journey(upstream, "ada", sender=OFFICE)
    (ada,) = journey.recipients
    client = Client(relay, OFFICE)
    code, text = client.send(journey, [ada, ada, ada.replace("ada", "ADA").replace("example", "Example")])
    client.quit()
    assert code == 250
    assert "1 delivered" in text
    assert journey.deliveries[0].recipients == [ada]


def test_who_is_refused_at_rcpt_is_told_why_at_once_and_the_others_get_it(relay, upstream):
    journey = Journey(upstream, "ada", "bob", sender=SHOP)
    assert relay.command("suppress", "add", "--reason", "legal", journey.recipients[1]).returncode == 0
    client = Client(relay, SHOP)
    assert client.say(f"MAIL FROM:<{SHOP}>")[0] == 250
    code, text = client.say(f"RCPT TO:<{journey.recipients[1]}>")
    rule, page = text.split("\n")
    assert code == 550
    assert rule.startswith("5.7.1 [base/suppression] ")
    status, html = relay.get("senders", page[page.index("/r/") :])
    assert status == 200
    assert "base/suppression" in html
    assert journey.recipients[1] not in html
    assert client.say("RSET")[0] == 250
    assert client.send(journey, journey.recipients[:1])[0] == 250
    client.quit()
    assert journey.arrived == ["ada"]


def test_all_refused_alike_by_the_upstream_is_its_reply(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    upstream.fault("DOT", "554 5.7.1 content rejected", matching=journey.subject)
    client = Client(relay)
    code, text = client.send(journey)
    client.quit()
    assert (code, text) == (554, "5.7.1 The upstream server said: content rejected")
    assert journey.reports == []
    assert not any(NEWS in delivery.recipients for delivery in journey.deliveries)
