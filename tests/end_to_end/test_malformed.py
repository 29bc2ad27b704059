"""Octets that are no message are refused with a page that says so, and the refusal is written down."""

from tests.support.journey import Client, Journey, records


def test_a_message_without_header_is_refused_explained_and_recorded(relay, upstream):
    journey = Journey(upstream, "ada", "bob")
    journey.data = b"Hello, this is no header\r\n\r\nand this no body\r\n"
    before = len(upstream.deliveries)
    client = Client(relay)
    code, text = client.send(journey)
    client.quit()
    rule, page = text.split("\n")
    assert (code, rule) == (554, "5.6.0 [base/header-structure] the message does not start with a header field")
    for recipient in journey.recipients:
        (refused,) = records(relay, recipient, "refused")
        assert refused["id"] == page.rpartition("/")[2].strip()
    status, html = relay.get("senders", page[page.index("/r/") :].strip())
    assert status == 200
    assert "邮件头格式不合规" in html
    assert len(upstream.deliveries) == before
