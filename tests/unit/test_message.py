"""A message keeps its octets, and every message that is not as RFC 5322 wants it has a decided answer."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.mail.message import Message, MessageError, has_line_over, normalise_line_ends
from tests.support.corpus import corpus, shipped

HEADER = b"From: Ada <ada@example.com>\r\nTo: bob@example.org\r\nSubject: A test\r\n"


def a_message(*fields: bytes, body: bytes = b"body\r\n") -> Message:
    return Message.parse(HEADER + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body)


def fault(data: bytes, **bounds) -> MessageError:
    with pytest.raises(MessageError) as caught:
        Message.parse(data, **bounds)
    return caught.value


def keeps_every_octet(message: Message, data: bytes) -> bool:
    kept = b"".join(field.raw for field in message.fields) + b"\r\n" + message.body
    normalised = normalise_line_ends(data)
    return kept == normalised or (kept == normalised + b"\r\n" and not message.body)


def answers_every_question(message: Message) -> None:
    """No question of a rule raises, whatever the message."""
    assert message.size == len(message.header) + 2 + len(message.body)
    assert message.authors is None or len(message.authors) >= 1
    assert message.addressees >= len(message.addressee_list)
    assert len(message.attachments) == 0 or message.structure.parts
    shown = [message.subject, message.message_id or "", *(one.filename for one in message.attachments)]
    assert all("\n" not in text and text.encode() is not None for text in shown)
    assert set(message.defects) >= ({"no-from"} if not message.all("From") else set())


# Nothing is lost, nothing is guessed.

FRAGMENTS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\r\n",
        b" ",
        b"\t",
        b":",
        b"From: a@example.com",
        b"Subject",
        b"x",
        b"\0",
        b"\xff",
        b".",
        b"--b",
        b"=?",
    ]
)


@given(st.lists(FRAGMENTS, max_size=40).map(b"".join) | st.binary(max_size=200))
@example(b"")
@example(b"\r\n")
@example(b"From: a@example.com")
def test_any_octets_are_a_message_that_keeps_them_or_a_message_error(data):
    refused: MessageError | None
    try:
        message = Message.parse(data)
    except MessageError as error:
        refused = error
    else:
        refused = None
        assert keeps_every_octet(message, data)
        answers_every_question(message)
    assert refused is None or (refused.rule.startswith("base/") and refused.text.isascii())


@pytest.mark.parametrize(("name", "data"), corpus())
def test_the_corpus_keeps_its_octets(name, data):
    try:
        message = Message.parse(data)
    except MessageError:
        return
    assert keeps_every_octet(message, data)
    answers_every_question(message)


@given(st.binary(max_size=300))
def test_normalising_twice_is_normalising_once(data):
    once = normalise_line_ends(data)
    assert normalise_line_ends(once) == once
    assert once.count(b"\r") == once.count(b"\n") == once.count(b"\r\n")


# Line ends.


@pytest.mark.parametrize(
    ("data", "normalised"),
    [
        (b"", b""),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r", b"a\r\nb\r\n"),
        (b"a\r\r\nb", b"a\r\nb\r\n"),
        (b"a\r\r\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n"),
        (b"a\n.\nMAIL FROM:<>", b"a\r\n.\r\nMAIL FROM:<>\r\n"),
        (b"no end", b"no end\r\n"),
    ],
)
def test_every_line_ends_in_crlf(data, normalised):
    assert normalise_line_ends(data) == normalised


@pytest.mark.parametrize("name", ["bare-lf", "bare-cr", "cr-cr-lf", "mixed-line-ends"])
def test_line_ends_can_be_refused_instead(name):
    error = fault(shipped(name), line_ends="reject")
    assert (error.rule, error.detail) == ("base/line-ends", "6.11")
    Message.parse(shipped("plain"), line_ends="reject")


def test_line_ends_are_decided_before_the_header_is_read():
    message = Message.parse(shipped("mixed-line-ends"))
    assert [field.name for field in message.fields] == [b"from", b"to", b"subject", b"date"]
    assert message.body.startswith(b"body\r\n\r\n.\r\nmore\r\n\r\nend\r\n")


def test_the_digest_is_of_the_normalised_octets():
    crlf, lf = shipped("plain"), shipped("plain").replace(b"\r\n", b"\n")
    assert Message.parse(crlf).received_digest == Message.parse(lf).received_digest == hashlib.sha256(crlf).digest()


# What cannot be taken at all.


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("empty", "empty"),
        ("empty-header", "no header"),
        ("no-header", "does not start with a header field"),
        ("leading-blank", "white space"),
        ("mbox-line", "mbox"),
        ("missing-empty-line", "header field 6"),
        ("nul", "NUL"),
    ],
)
def test_what_readers_disagree_on_is_refused(name, word):
    error = fault(shipped(name))
    assert (error.rule, error.detail) == ("base/header-structure", "6.0")
    assert word in error.text


@pytest.mark.parametrize("line", [b"\0", b"a\0b", b"\r\n\0.\r\n"])
def test_nul_is_refused_wherever_it_stands(line):
    assert "NUL" in fault(HEADER + b"\r\n" + line).text
    assert "NUL" in fault(HEADER.replace(b"A test", line)).text


def test_bounds_of_the_header_are_kept():
    fields = HEADER + b"X: y\r\n" * 10
    assert "12 fields" in fault(fields + b"\r\n", max_fields=12).text
    assert len(Message.parse(fields + b"\r\n", max_fields=13).fields) == 13
    assert "larger" in fault(HEADER + b"\r\nbody", max_header_size=len(HEADER) - 3).text
    assert "larger" in fault(HEADER * 3, max_header_size=len(HEADER) * 2).text
    assert "larger" in fault(HEADER + b"\r\nbody", max_header_size=len(HEADER) - 1).text
    Message.parse(HEADER + b"\r\nbody", max_header_size=len(HEADER))


def test_a_line_over_the_bound_is_refused_in_header_and_body():
    assert fault(HEADER + b"\r\n" + b"x" * 101, max_line=100).rule == "base/line-length"
    assert fault(HEADER + b"X: " + b"x" * 98 + b"\r\n\r\n", max_line=100).rule == "base/line-length"
    Message.parse(HEADER + b"X: " + b"x" * 97 + b"\r\n\r\n" + b"x" * 100, max_line=100)


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 30), st.booleans())
def test_a_line_over_the_limit_is_found(lengths, limit, ended):
    data = b"\r\n".join(b"x" * length for length in lengths) + (b"\r\n" if ended else b"")
    assert has_line_over(limit, data) == any(length > limit for length in lengths)


def test_a_line_is_measured_within_its_part():
    assert not has_line_over(3, b"aaaaaa\r\nbbb\r\ncccccc", 8, 13)
    assert has_line_over(3, b"aaaaaa\r\nbbb\r\ncccccc", 8, 17)


def test_a_header_without_an_empty_line_gets_one():
    message = Message.parse(shipped("header-only"))
    assert message.body == b""
    assert message.size == len(shipped("header-only")) + 2


# What parses and is refused by rule.


@pytest.mark.parametrize(
    ("name", "defects"),
    [
        ("plain", ()),
        ("no-from", ("no-from",)),
        ("two-from", ("two-from", "duplicate-subject")),
        ("space-before-colon", ("obsolete-colon-space",)),
        ("8bit-field-name", ("8bit-field-name",)),
        ("blank-folded-line", ("blank-folded-line",)),
        ("odd-folding", ()),
        ("8bit-header", ()),
        ("long-header-line", ()),
        ("header-only", ()),
    ],
)
def test_defects_are_named(name, defects):
    assert Message.parse(shipped(name)).defects == defects


@pytest.mark.parametrize(
    "name",
    ["Date", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Content-Type"],
)
def test_what_may_stand_once_stands_once(name):
    once = Message.parse(b"From: a@example.com\r\n" + f"{name}: b@example.com\r\n\r\n".encode())
    twice = Message.parse(b"From: a@example.com\r\n" + f"{name}: b@example.com\r\n{name.upper()} : x\r\n\r\n".encode())
    assert once.defects == ()
    assert f"duplicate-{name.lower()}" in twice.defects


def test_a_sender_that_cannot_be_read_is_a_defect():
    assert a_message(b"Sender: ada@example.com").defects == ()
    assert a_message(b"Sender: root").defects == ("unreadable-sender",)
    assert a_message(b"Sender: ada@example.com, bob@example.com").sender is None


# What rules ask.


@pytest.mark.parametrize(
    ("name", "wires"),
    [
        ("plain", ["ada@example.com"]),
        ("8bit-header", ["zhang@example.com"]),
        ("smtputf8-header", ["zhang@xn--fsqu00a.xn--fiqs8s"]),
        ("odd-folding", ["ada@example.com"]),
        ("group-and-comments", ["ada@example.com"]),
        ("two-authors", ["ada@example.com", "bob@example.org"]),
    ],
)
def test_the_authors_are_the_mailboxes_in_from(name, wires):
    assert [mailbox.wire for mailbox in Message.parse(shipped(name)).authors or ()] == wires


@pytest.mark.parametrize("name", ["no-from", "two-from"])
def test_without_exactly_one_from_nobody_is_the_author(name):
    assert Message.parse(shipped(name)).authors is None


@pytest.mark.parametrize(
    "value", [b"", b"Ada", b"ada@localhost", b"Team: ada@example.com;", b"ada@example.com <eve@example.net>"]
)
def test_an_author_that_readers_would_see_differently_is_none(value):
    assert Message.parse(b"From: " + value + b"\r\n\r\n").authors is None


def test_addressees_are_counted_once_and_unreadable_ones_too():
    message = a_message(b"Cc: Bob <BOB@example.org>, carol@example.org, not an address")
    assert [mailbox.wire for mailbox in message.addressee_list] == ["bob@example.org", "carol@example.org"]
    assert message.addressees == 3


def test_groups_show_their_members():
    message = Message.parse(shipped("group-and-comments"))
    assert [mailbox.key for mailbox in message.addressee_list] == ["bob@example.org", "carol@example.org", "dave@example.org"]
    assert message.addressees == 3


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("plain", "A test"),
        ("gbk-subject", "促销：全场五折"),
        ("gb18030-split-characters", "关于第三季度销售数据的说明，请各部门查收"),
        ("big5-subject", "會議通知"),
        ("8bit-header", "关于发票"),
        ("smtputf8-header", "会议纪要"),
        ("odd-folding", "folded   with tabs  and spaces"),
        ("unknown-charset", "caf\ufffd €"),
    ],
)
def test_subjects_are_decoded(name, subject):
    assert Message.parse(shipped(name)).subject == subject


def test_fields_are_found_in_order_and_without_case():
    message = Message.parse(shipped("bcc-and-trace"))
    assert [field.value[:6] for field in message.all("RECEIVED")] == [b"from a", b"from c"]
    assert message.received_count == 2
    assert [field.value for field in message.all("x-relay-stream")] == [b"newsletter"]
    assert message.text("list-unsubscribe") == "<https://example.com/u>"
    assert message.first("X-Nothing") is None
    assert message.text("X-Nothing") is None
    assert message.all("X-Nothing") == ()


def test_the_message_id_is_none_when_missing_or_empty():
    assert a_message().message_id is None
    assert a_message(b"Message-ID: ").message_id is None
    assert a_message(b"Message-ID:").message_id is None
    assert Message.parse(shipped("plain")).message_id == "<1@example.com>"


@pytest.mark.parametrize(
    ("field", "automatic"),
    [
        (b"X: y", False),
        (b"Auto-Submitted: no", False),
        (b"Auto-Submitted: No (a person)", False),
        (b"Auto-Submitted: no; by=hand", False),
        (b"Auto-Submitted: auto-replied", True),
        (b"Auto-Submitted: auto-generated; owner=x", True),
        (b"Auto-Submitted: something-new", True),
    ],
)
def test_automatic_mail_says_so(field, automatic):
    assert a_message(field).auto_submitted is automatic


@pytest.mark.parametrize(
    ("name", "header", "body"),
    [("plain", False, False), ("8bit-header", True, False), ("8bit-utf8-body", False, True), ("smtputf8-header", True, True)],
)
def test_8bit_octets_are_seen_where_they_are(name, header, body):
    message = Message.parse(shipped(name))
    assert (message.has_8bit_header, message.has_8bit_body) == (header, body)


@pytest.mark.parametrize(
    ("name", "sealed"), [("signed", True), ("encrypted", True), ("smime", True), ("nested-mime", False), ("plain", False)]
)
def test_signed_and_encrypted_messages_are_known(name, sealed):
    assert Message.parse(shipped(name)).is_signed_or_encrypted is sealed


def test_a_message_cannot_be_changed():
    with pytest.raises(AttributeError):
        Message.parse(shipped("plain")).body = b""  # type: ignore[misc]
