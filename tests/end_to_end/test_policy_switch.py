"""Another policy set comes into force in the middle of a mail: no step mixes two sets."""

from dataclasses import replace

import pytest

from relay.mail.envelope import Recipient
from relay.mail.mailbox import Mailbox
from relay.policy.parse import parse_policies
from relay.service.policies import read_folder
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.policies import word_rule
from tests.support.service import NEWS, message

ADA = Recipient(Mailbox.parse("ada@example.org"))

upstream = an_upstream()


@pytest.fixture
def house(tmp_path, upstream):
    with LineHouse(tmp_path, upstream) as house:
        yield house


def switch(house, file, old, new):
    """Put a set in force that differs in one text."""
    files = read_folder(house.relay.config.parent / "policies")
    if "everybody" in new:
        files["streams/everybody.toml"] = files.pop("streams/newsletter.toml")
    assert old.encode() in files[file]
    house.line.policy = parse_policies({**files, file: files[file].replace(old.encode(), new.encode())})


def answers(house, submission):
    """The replies to one more RCPT and to the message."""
    return house.run(house.line.admit(submission, ADA)), house.run(house.line.submit(submission, message(sender=NEWS)))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("streams/newsletter.toml", f'identities = ["{NEWS}"]', 'identities = ["other@example.com"]'),
        ("streams/newsletter.toml", "listeners = []", 'listeners = ["another"]'),
        ("organisation.toml", '["newsletter", ', '["everybody", '),
    ],
    ids=["somebody else's", "another listener's", "another stream's"],
)
def test_a_stream_that_would_not_take_the_mail_any_more_does_not(house, upstream, file, old, new):
    submission = house.run(house.begin(NEWS, ["ada@example.org"]))
    before = house.line.policy
    switch(house, file, old, new)
    assert house.line.policy.hash != before.hash
    assert [reply.status for reply in answers(house, submission)] == ["4.3.5", "4.3.5"]
    assert upstream.deliveries == []
    house.line.policy = before
    assert [reply.status for reply in answers(house, submission)] == ["2.1.5", "2.0.0"]


def test_a_stream_that_still_takes_it_judges_by_the_set_in_force(house, upstream):
    submission = house.run(house.begin(NEWS, ["ada@example.org"]))
    rule = word_rule("News", "no-hello")
    switch(house, "streams/newsletter.toml", 'over = "defer"\n', f'over = "defer"\n{rule}')
    admitted, answer = answers(house, submission)
    assert (admitted.code, answer.code, answer.rule) == (250, 550, "newsletter/no-hello")
    assert upstream.deliveries == []
    again = replace(submission, policy=house.line.policy.hash)
    assert house.run(house.line.submit(again, message(sender=NEWS))).code == 550
