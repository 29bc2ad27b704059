"""MAIL and RCPT arguments: whatever comes in, there comes out one mailbox or a reply."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.doors.smtp.arguments import Unacceptable, parse_mail, parse_rcpt
from relay.mail.mailbox import Mailbox

Read = TypeVar("Read")

hostile = st.one_of(
    st.binary(max_size=300).map(lambda octets: octets.decode("utf-8", "surrogateescape")),
    st.text(max_size=300),
    st.lists(st.sampled_from([*'<>@"\\ .a=:,;\0\ré', "b.c", "SIZE", "+2B"])).map("".join),
)


def taken(parse: Callable[[], Read]) -> Read | None:
    """What was read, None when it was refused for good."""
    try:
        return parse()
    except Unacceptable as refusal:
        code = refusal.reply.code
    assert 500 <= code < 600
    return None


@given(hostile, st.booleans(), st.booleans())
@example("<" + '"' * 5000 + ">", True, True)
@example("<" + "@a," * 2000 + ">", True, True)
@example("<" + '"\\' * 3000 + ">", True, True)
def test_any_path_is_a_mailbox_or_a_permanent_reply(path, extended, smtputf8):
    recipient = taken(lambda: parse_rcpt(f"TO:{path}", extended=extended, smtputf8=smtputf8))
    if recipient is not None:
        assert recipient.mailbox == Mailbox.parse(recipient.mailbox.wire)
        assert not set(recipient.mailbox.wire) & set("\r\n\0")
        assert recipient.mailbox.wire.encode().isascii() or smtputf8


@given(hostile, hostile, st.booleans())
def test_any_mail_argument_is_a_mail_or_a_permanent_reply(path, parameters, extended):
    mail = taken(lambda: parse_mail(f"FROM:<{path}> {parameters}", extended=extended))
    if mail is not None:
        assert mail.body in ("7BIT", "8BITMIME")
        assert (mail.envid or "").isascii()
        assert mail.reverse_path is None or mail.reverse_path.wire.isascii() or mail.smtputf8


@given(hostile)
def test_any_argument_at_all_is_answered(text):
    taken(lambda: parse_mail(text, extended=True))
    taken(lambda: parse_rcpt(text, extended=True, smtputf8=True))


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("TO:<bob@example.org>", "bob@example.org"),
        ("to: <Bob@Example.ORG>", "Bob@example.org"),
        ("TO:<@relay.example:bob@example.org>", "bob@example.org"),
        ('TO:<"a>b@c"@example.org>', '"a>b@c"@example.org'),
        ('TO:<"a\\"b"@example.org> NOTIFY=NEVER', '"a\\"b"@example.org'),
    ],
)
def test_one_mailbox_is_read(text, wire):
    assert parse_rcpt(text, extended=True, smtputf8=False).mailbox.wire == wire


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("ORCPT=utf-8;用户@example.com", "utf-8;用户@example.com"), ("orcpt=RFC822;A+20B", "RFC822;A+20B")],
)
def test_orcpt_is_kept_as_given(parameter, value):
    assert parse_rcpt(f"TO:<bob@example.org> {parameter}", extended=True, smtputf8=True).orcpt == value


@pytest.mark.parametrize("value", ["rfc822;a+2b", "rfc822;a+0", "rfc822;", ";a", "rfc 822;a", "rfc822;" + "x" * 500, "rfc822;ü"])
def test_orcpt_that_is_not_one_is_refused(value):
    with pytest.raises(Unacceptable, match="501"):
        parse_rcpt(f"TO:<bob@example.org> ORCPT={value}", extended=True, smtputf8=True)
