"""Policy sets: which stream takes a mail, what a set is called, where a fault stands."""

import pytest

from relay.mail.mailbox import Mailbox
from relay.policy.sets.faults import line_of
from relay.policy.sets.policy_set import set_hash
from tests.support.policies import a_policy, an_identity, shipped_files

NEWS = "streams/newsletter.toml"


def matching(match: str):
    """The shipped set with another match for the newsletter; the other streams stay out of the way."""
    return a_policy(changes={NEWS: ('match = { identities = ["news@example.com"], listeners = [], sender_domains = [] }', match)})


def taken(policy, identity="news@example.com", listener="submission", reverse_path="news@example.com"):
    path = Mailbox.parse(reverse_path) if reverse_path else None
    stream = policy.stream_for(an_identity(identity), listener, path)
    return stream.name if stream else None


@pytest.mark.parametrize(
    ("match", "session", "expected"),
    [
        ('match = { identities = ["News@EXAMPLE.com"] }', {}, "newsletter"),
        ('match = { identities = ["listener:scripts"] }', {"identity": "listener:scripts"}, "newsletter"),
        ('match = { identities = ["AKIAUSER"] }', {"identity": "akiauser"}, "newsletter"),
        ('match = { listeners = ["scripts", "submission"] }', {}, "newsletter"),
        ('match = { listeners = ["scripts"] }', {}, None),
        ('match = { identities = ["news@example.com"], listeners = ["scripts"] }', {}, None),
        ('match = { sender_domains = ["example.com"] }', {}, "newsletter"),
        ('match = { sender_domains = ["*.example.com"] }', {}, None),
        ('match = { sender_domains = ["*.example.com"] }', {"reverse_path": "a@x.example.com"}, "newsletter"),
        ('match = { sender_domains = ["example.com"] }', {"reverse_path": ""}, None),
        ('match = { identities = ["other@example.com"] }', {"identity": "receipts@example.com"}, "receipts"),
        ('match = { identities = ["other@example.com"] }', {"identity": "nobody@example.com"}, None),
    ],
)
def test_the_first_stream_whose_match_fits_takes_the_mail(match, session, expected):
    assert taken(matching(match), **session) == expected


def test_an_empty_match_takes_the_rest_when_it_stands_last():
    changes = {"streams/correspondence.toml": ('identities = ["someone@example.com"]', "identities = []")}
    policy = a_policy(changes=changes)
    assert taken(policy, identity="anybody@example.com") == "correspondence"
    assert taken(policy) == "newsletter"


def test_an_unknown_stream_is_a_key_error():
    with pytest.raises(KeyError):
        a_policy().stream("nothing")


def test_a_set_is_called_after_names_and_octets():
    files = shipped_files()
    assert set_hash(files) == set_hash(dict(reversed(files.items())))
    assert set_hash(files) != set_hash(files | {NEWS: files[NEWS] + b"\n"})
    assert set_hash({"a": b"bc"}) != set_hash({"ab": b"c"})
    assert a_policy().hash == set_hash(files)


TEXT = """mode = "x"
[limits]
over = "y"
recipient_domain = { "qq.com" = [] }
[[rule]]
id = "one"
[[rule]] # second
 "id" = "two"
[a.b]
c = 1
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("mode",), 1),
        (("missing",), 0),
        (("limits", "over"), 3),
        (("limits", "missing"), 2),
        (("limits", "recipient_domain", "qq.com", 0), 4),
        (("rule", 0, "id"), 6),
        (("rule", 1, "id"), 8),
        (("rule", 1, "missing"), 7),
        (("a", "b", "c"), 10),
        ((), 0),
    ],
)
def test_faults_find_their_line(place, line):
    assert line_of(TEXT, place) == line
