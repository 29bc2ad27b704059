"""Copies: the message's own octets untouched, our fields around them, every signature good, or nothing leaves."""

import dataclasses
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from relay.cli.dkim import signatures
from relay.errors import RenderingImpossible
from relay.mail.message import Message, MessageError
from relay.render.copy import Copy, prepare, received_field, render_copy
from relay.render.oneclick import MAX_LINE
from relay.render.signing import OVERSIGNED, SIGNED_IF_PRESENT, Signer
from relay.render.verification import split_fields
from tests.support.duties import duty, treatment
from tests.support.mail_dkim import dns_records, verify_all
from tests.support.signing import (
    SUBMISSION_ID,
    URL,
    a_client,
    a_message,
    a_trace,
    ed25519_signer,
    octets,
    prepared,
    recipient,
    rsa_signer,
)

BOTH = (rsa_signer(), ed25519_signer())
MAILTO = "mailto:unsubscribe@example.com?subject=" + "x" * 75
RECORDS = dns_records(BOTH)
NAMES = (
    "Subject", "To", "Cc", "Reply-To", "Date", "Message-ID", "MIME-Version", "Content-Type", "X-Mailer", "Received", "Sender",
    "List-Id", "References", "DKIM-Signature",
)  # fmt: skip

# Words as people and programs write them; VT and FF at an edge of a value have a test of their own.
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f\x85"), max_size=12)
values = st.lists(words, max_size=5).map(lambda parts: "\r\n ".join(part or "x" for part in parts))
header_lines = st.lists(
    st.tuples(st.sampled_from(NAMES), values).map(lambda pair: f"{pair[0]}: {pair[1]}"),
    max_size=12,
)
bodies = st.lists(
    st.sampled_from([b" ", b"\t", b"a", b"\r\n", b"\r\n\r\n", b".", b"\r\n.\r\n", b"\xff", b"\x0b", b"\xe4\xbd\xa0"])
).map(b"".join)


def from_parts(lines: list[str], body: bytes) -> Message | None:
    try:
        return a_message(*lines, body=body)
    except MessageError:
        return None


messages = st.builds(from_parts, header_lines, bodies).filter(lambda message: message is not None)


def verified(copy: Copy, signers: tuple[Signer, ...] = BOTH) -> list[bool]:
    records = dns_records(signers)
    return [
        found["valid"] for found in signatures(octets(copy), lambda name: records[name].encode() if name in records else None)
    ]


def own_signatures(copy: Copy, signers: tuple[Signer, ...]) -> list[bool]:
    """Whether each of our signatures verifies; a client's own stand below them."""
    return verified(copy, signers)[: len(signers)]


def names_of(copy: Copy) -> list[bytes]:
    return [field.name for field in split_fields(copy.header[:-2])]


# Law 3 -----------------------------------------------------------------------------------------------------------------


@given(messages, st.booleans(), st.booleans())
def test_the_message_leaves_octet_for_octet_and_verifies(message, sets_unsubscribe, both):
    signers = BOTH if both else BOTH[:1]
    copy = render_copy(
        prepared(message, signers=signers, sets_unsubscribe=sets_unsubscribe), [recipient()], URL if sets_unsubscribe else None
    )
    assert copy.body == message.body
    own = b"".join(field.raw for field in message.fields if field.value or field.name not in (b"date", b"message-id"))
    assert own in copy.header
    added = Counter(names_of(copy)) - Counter(field.name for field in message.fields)
    assert set(added) <= {b"received", b"dkim-signature", b"date", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post"}
    assert own_signatures(copy, signers) == [True] * len(signers)


@settings(max_examples=8, phases=[Phase.generate])  # perl starts once an example; shrinking would start it for minutes
@given(st.lists(messages, min_size=20, max_size=40))
def test_an_independent_verifier_agrees(batch):
    copies = [render_copy(prepared(message, sets_unsubscribe=True), [recipient()], URL) for message in batch]
    for results in verify_all([octets(copy) for copy in copies], RECORDS):
        assert results[0].result == "pass", results[0].detail


def test_a_message_that_lacks_nothing_gets_the_trace_and_the_signature_alone():
    message = a_message("Date: Mon, 1 Jan 2024 00:00:00 +0000", "Message-ID: <1@example.com>", "To: bob@example.net")
    copy = render_copy(prepared(message), [recipient()])
    assert names_of(copy) == [b"received", b"dkim-signature", *(field.name for field in message.fields)]
    assert octets(copy).endswith(message.header + b"\r\n" + message.body)


def test_a_missing_date_and_message_id_come_from_the_first_try():
    copy = render_copy(prepared(a_message()), [recipient()])
    assert b"\r\nDate: Wed, 15 Nov 2023 06:13:20 +0800\r\n" in copy.header
    assert b"\r\nMessage-ID: <%s@relay.example.com>\r\n" % SUBMISSION_ID.encode() in copy.header


def test_an_empty_date_gives_way():
    copy = render_copy(prepared(a_message("Date:", "Message-ID: ")), [recipient()])
    assert names_of(copy).count(b"date") == names_of(copy).count(b"message-id") == 1


def test_what_only_the_sender_may_know_stays_here():
    message = a_message(
        "Bcc: secret@example.net", "X-RELAY-Stream: x", "Subject: s", "Resent-Bcc: s@example.net", "return-path: <x@y.example>"
    )
    copy = render_copy(prepared(message), [recipient()])
    assert b"secret" not in octets(copy)
    assert not set(names_of(copy)) & {b"bcc", b"resent-bcc", b"return-path", b"x-relay-stream"}
    assert b"subject" in names_of(copy)


def test_duties_remove_the_fields_they_name():
    removing = duty("remove-fields", fields=["X-Mailer", "X-Internal-*"])
    message = a_message("X-Mailer: Foxmail", "X-Internal-Host: pc7", "X-Internals: kept", "Subject: s")
    copy = render_copy(prepared(message, treatment=treatment(removing)), [recipient()])
    assert not {b"x-mailer", b"x-internal-host"} & set(names_of(copy))
    assert {b"x-internals", b"subject"} <= set(names_of(copy))


def test_copies_share_one_body():
    message = a_message(body=b"x" * 100_000)
    ready = prepared(message, sets_unsubscribe=True)
    copies = [render_copy(ready, [recipient()], f"{URL}{number}") for number in range(3)]
    assert all(copy.body is message.body for copy in copies)
    assert len({copy.header for copy in copies}) == 3


@dataclass(frozen=True, slots=True)
class Counting(Signer):
    """A signer that notes which hashes it signed."""

    signed: list[bytes] = dataclasses.field(default_factory=list, compare=False)

    def signature(self, digest):
        self.signed.append(digest)
        return Signer.signature(self, digest)


@pytest.mark.parametrize(("sets_unsubscribe", "signatures"), [(False, 1), (True, 3)])
def test_copies_that_differ_in_nothing_are_signed_once(sets_unsubscribe, signatures):
    signer = Counting("example.com", "s1", rsa_signer().private_key)
    ready = prepared(a_message("Subject: s"), signers=(signer,), sets_unsubscribe=sets_unsubscribe)
    urls = [f"{URL}{number}" if sets_unsubscribe else None for number in range(3)]
    copies = [render_copy(ready, [recipient(f"{number}@example.net")], url) for number, url in enumerate(urls)]
    assert len(set(signer.signed)) == len(signer.signed) == signatures
    assert all(own_signatures(copy, (signer,)) == [True] for copy in copies)


@given(messages, st.booleans(), st.booleans())
def test_a_copy_of_many_is_what_it_is_alone(message, web, mail):
    """What the copies share and what they were made of before leaves no trace in them."""
    offers = [(f"{URL}{n}" if web or not mail else None, f"{MAILTO}{n}" if mail else None) for n in range(3)]
    ready = prepared(message, sets_unsubscribe=True, signers=(ed25519_signer(),))
    render_copy(ready, [recipient()], URL, MAILTO)
    for offer in offers:
        alone = prepared(message, sets_unsubscribe=True, signers=(ed25519_signer(),))
        assert octets(render_copy(ready, [recipient()], *offer)) == octets(render_copy(alone, [recipient()], *offer))


def test_the_same_message_and_trace_give_the_same_octets():
    first, second = (render_copy(prepared(a_message("Subject: s"), signers=BOTH), [recipient()]) for _ in range(2))
    assert octets(first) == octets(second)


def test_a_copy_counts_its_octets():
    copy = render_copy(prepared(a_message()), [recipient()])
    assert copy.size == len(octets(copy))


# The signature ---------------------------------------------------------------------------------------------------------

SIGNED = [name.decode() for name in (*OVERSIGNED, *SIGNED_IF_PRESENT) if not name.startswith(b"list-unsubscribe")]


def a_full_copy() -> Copy:
    lines = [f"{name}: value of {name}" for name in SIGNED if name != "from"]
    return render_copy(
        prepared(a_message(*lines, body=b"Hello\r\n"), sets_unsubscribe=True, signers=BOTH), [recipient()], URL, MAILTO
    )


def test_every_changed_or_removed_signed_field_breaks_the_signature():
    copy = a_full_copy()
    fields = split_fields(copy.header[:-2])
    forgeries = []
    for place, field in enumerate(fields):
        if field.name in (*OVERSIGNED, *SIGNED_IF_PRESENT):
            changed = [replace(f, value=f.value.replace(b"e", b"3")) if n == place else f for n, f in enumerate(fields)]
            removed = [f for n, f in enumerate(fields) if n != place]
            forgeries += [joined(changed, copy.body), joined(removed, copy.body)]
    assert len(forgeries) == 2 * len(OVERSIGNED + SIGNED_IF_PRESENT)
    assert_all_fail(forgeries)


@pytest.mark.parametrize("place", ["above", "below"])
def test_a_second_field_that_people_see_breaks_the_signature(place):
    copy = a_full_copy()
    extra = [b"%s: <forged@example.org>\r\n" % name for name in OVERSIGNED]
    assert_all_fail([e + octets(copy) if place == "above" else copy.header[:-2] + e + b"\r\n" + copy.body for e in extra])


def test_fields_that_are_absent_cannot_be_added():
    copy = render_copy(prepared(a_message(), signers=BOTH), [recipient()])
    absent = set(OVERSIGNED) - set(names_of(copy))
    assert {b"reply-to", b"cc", b"list-unsubscribe", b"list-unsubscribe-post"} <= absent
    assert_all_fail([b"%s: <forged@example.org>\r\n" % name + octets(copy) for name in absent])


def test_another_body_breaks_the_signature():
    copy = a_full_copy()
    assert_all_fail([octets(copy) + b"PS: forged\r\n", octets(copy).replace(b"Hello", b"Hullo"), copy.header])


def joined(fields, body: bytes) -> bytes:
    return b"".join(field.name + b":" + field.value + b"\r\n" for field in fields) + b"\r\n" + body


def assert_all_fail(forgeries: list[bytes]) -> None:
    for forged in forgeries:
        found = signatures(forged, lambda name: RECORDS[name].encode())
        assert [signature["valid"] for signature in found] == [False, False], forged
    for results in verify_all(forgeries, RECORDS):
        assert results[0].result != "pass"


def test_both_keys_sign_rsa_on_top():
    copy = render_copy(prepared(a_message(), signers=BOTH), [recipient()])
    assert [b"a=rsa-sha256" in line for line in copy.header.split(b"DKIM-Signature:")[1:]] == [True, False]
    assert verified(copy) == [True, True]


def test_what_the_upstream_rewrites_may_change():
    message = a_message("Message-ID: <1@example.com>", "Date: Mon, 1 Jan 2024 00:00:00 +0000")
    copy = render_copy(prepared(message, signers=BOTH, unsigned_fields=("Message-ID",)), [recipient()])
    rewritten = octets(copy).replace(b"<1@example.com>", b"<tencent_1@qq.com>")
    assert [found["valid"] for found in signatures(rewritten, lambda name: RECORDS[name].encode())] == [True, True]


def test_without_a_key_a_stream_that_must_sign_sends_nothing():
    with pytest.raises(RenderingImpossible, match="no DKIM key") as fault:
        prepared(a_message(), signers=())
    assert fault.value.rule == "base/signature"


def test_without_a_key_a_stream_that_need_not_sign_sends_unsigned():
    copy = render_copy(prepared(a_message(), signers=(), signing_required=False), [recipient()])
    assert b"dkim-signature" not in names_of(copy)


@pytest.mark.parametrize(
    ("author", "domain", "aligned"),
    [
        ("example.com", "example.com", True),
        ("news.example.com", "example.com", True),
        ("example.com", "news.example.com", False),
        ("badexample.com", "example.com", False),
    ],
)
def test_only_an_aligned_key_speaks_for_the_author(author, domain, aligned):
    message = Message.parse(f"From: ada@{author}\r\n\r\n".encode())
    ready = prepared(message, signers=(rsa_signer(domain),))
    if aligned:
        assert own_signatures(render_copy(ready, [recipient()]), (rsa_signer(domain),)) == [True]
    else:
        with pytest.raises(RenderingImpossible, match="does not speak for"):
            render_copy(ready, [recipient()])


@pytest.mark.parametrize(
    "header", [b"Subject: no author\r\n\r\n", b"From: a@example.com\r\nFrom: b@example.com\r\n\r\n", b"From: x\r\n\r\n"]
)
def test_nothing_is_signed_for_an_author_who_cannot_be_read(header):
    with pytest.raises(RenderingImpossible, match="does not speak for"):
        render_copy(prepared(Message.parse(header)), [recipient()])


@pytest.mark.parametrize("value", ["\x0bHello", "Hello\x0c", "Hello \x0b", "\x0c"])
def test_a_value_that_verifiers_read_differently_stays_here(value):
    with pytest.raises(RenderingImpossible, match="subject begins or ends with a control character"):
        prepared(a_message(f"Subject: {value}"))
    prepared(a_message(f"X-Mailer: {value}"))


@dataclass(frozen=True, slots=True)
class Broken(Signer):
    """A signer as a fault of ours or of a library would make it."""

    old: bytes = b""
    new: bytes = b""

    def sign(self, fields, names, body_hash, at):
        changed = [(name, value.replace(b"Hello", b"Hullo")) for name, value in fields] if self.old == b"fields" else fields
        return Signer.sign(self, changed, names, body_hash, at).replace(self.old, self.new)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"fields", b"fields", "does not fit the header section"),
        (b" t=1700000000", b" t=1700000001", "does not fit the header section"),
        (b"d=example.com", b"d=example.org", "tag d= is not example.com"),
        (b"s=s1", b"s=s2", "tag s= is not s1"),
        (b"c=relaxed/relaxed", b"c=simple/simple", "tag c="),
        (b" t=", b" l=0; t=", "tag l= is not one that we set"),
        (b"v=1;", b"v=1; v=1;", "not a list of tags"),
        (b"h=from:from:", b"h=", "From is not signed"),
        (b"h=from:from:", b"h=from:", "does not fit|against a second one"),
        (b" bh=", b" bh=AAAA", "body hash"),
        (b" bh=", b" bh=!", "bh= is not base64"),
        (b"\r\n b=", b"\r\n b=!", "b= is not base64"),
    ],
)
def test_a_copy_that_would_not_verify_never_leaves(old, new, says):
    signer = Broken("example.com", "s1", rsa_signer().private_key, old, new)
    with pytest.raises(RenderingImpossible, match=says) as fault:
        render_copy(prepared(a_message("Subject: Hello"), signers=(signer,)), [recipient()])
    assert fault.value.rule == "base/signature"


# List-Unsubscribe ------------------------------------------------------------------------------------------------------


def test_the_stream_sets_both_fields_and_signs_them():
    copy = render_copy(prepared(a_message(), sets_unsubscribe=True, signers=BOTH), [recipient()], URL, MAILTO)
    assert copy.header.endswith(
        f"\r\nList-Unsubscribe: <{URL}>,\r\n <{MAILTO}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n".encode()
    )
    assert verified(copy) == [True, True]
    assert all(len(line) <= MAX_LINE for line in copy.header.split(b"\r\n") if b"nsubscribe" in line)


def test_without_a_web_address_there_is_no_one_click():
    copy = render_copy(prepared(a_message(), sets_unsubscribe=True), [recipient()], None, MAILTO)
    assert b"list-unsubscribe" in names_of(copy)
    assert b"list-unsubscribe-post" not in names_of(copy)


def test_the_clients_own_fields_give_way():
    message = a_message("List-Unsubscribe: <https://tool.example/u>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    copy = render_copy(prepared(message, sets_unsubscribe=True), [recipient()], URL)
    assert b"tool.example" not in copy.header
    assert names_of(copy).count(b"list-unsubscribe") == names_of(copy).count(b"list-unsubscribe-post") == 1


@pytest.mark.parametrize(
    "line", ["List-Unsubscribe: <https://tool.example/u>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]
)
def test_the_clients_own_fields_are_refused_where_the_stream_says_so(line):
    with pytest.raises(RenderingImpossible, match="brings its own") as fault:
        prepared(a_message(line), sets_unsubscribe=True, existing="reject")
    assert fault.value.rule == "base/one-click"


def test_a_stream_that_sets_nothing_leaves_the_clients_fields_alone():
    line = "List-Unsubscribe: <https://tool.example/u>,\r\n <mailto:u@tool.example>"
    copy = render_copy(prepared(a_message(line, "List-Unsubscribe-Post: List-Unsubscribe=One-Click")), [recipient()])
    assert line.encode() in copy.header


def test_a_promise_of_one_click_that_is_not_signed_stays_here():
    message = a_message("List-Unsubscribe: <https://tool.example/u>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    with pytest.raises(RenderingImpossible, match="not covered") as fault:
        render_copy(prepared(message, signers=(), signing_required=False), [recipient()])
    assert fault.value.rule == "base/one-click"


@pytest.mark.parametrize("field", ["List-Unsubscribe", "List-Unsubscribe-Post"])
def test_a_promise_that_the_upstream_would_rewrite_stays_here(field):
    with pytest.raises(RenderingImpossible, match="not covered"):
        render_copy(prepared(a_message(), sets_unsubscribe=True, unsigned_fields=(field,)), [recipient()], URL)


def test_a_stream_without_any_uri_sends_nothing():
    with pytest.raises(RenderingImpossible, match="base_url"):
        render_copy(prepared(a_message(), sets_unsubscribe=True), [recipient()])


def test_a_uri_for_a_message_that_was_not_prepared_for_one_is_a_fault_of_ours():
    with pytest.raises(ValueError, match="not prepared"):
        render_copy(prepared(a_message()), [recipient()], URL)


# The trace -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ({}, b"from pc.example.com ([192.0.2.7])\r\n"),
        ({"address": "2001:db8::7"}, b"from pc.example.com ([IPv6:2001:db8::7])\r\n"),
        ({"helo": "[192.0.2.9]"}, b"from [192.0.2.7]\r\n"),
        ({"helo": "evil (\r\nSubject: forged"}, b"from [192.0.2.7]\r\n"),
        ({"helo": "主机"}, b"from [192.0.2.7]\r\n"),
        ({"helo": "", "address": ""}, b"from unknown\r\n"),
        ({"tls": "TLSv1.3 TLS_AES_256_GCM_SHA384"}, b"\r\n\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"),
        (
            {"protocol": "UTF8SMTPSA"},
            b" with UTF8SMTPSA id " + SUBMISSION_ID.encode() + b";\r\n\tWed, 15 Nov 2023 06:13:20 +0800\r\n",
        ),
    ],
)
def test_the_trace_names_the_client_and_nobody_else(client, says):
    field = received_field(a_trace(**client))
    assert says in field
    assert b"\r\n\tby relay.example.com with " in field
    assert b" for " not in field
    assert [f.name for f in split_fields(field)] == [b"received"]


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_no_client_writes_into_the_trace_more_than_its_name(helo, address, tls):
    field = received_field(replace(a_trace(), client=a_client(helo=helo, address=address, tls=tls)))
    assert field.isascii()
    assert len(split_fields(field)) == 1
    assert field.count(b"\r\n") <= 4


# What the upstream must offer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "body", "declared", "address", "needs"),
    [
        ("plain", b"plain\r\n", True, "bob@example.net", (False, False)),
        ("plain", b"\xff\r\n", False, "bob@example.net", (True, False)),
        ("主题", b"plain\r\n", False, "bob@example.net", (True, False)),
        ("主题", b"plain\r\n", True, "bob@example.net", (True, True)),
        ("plain", b"plain\r\n", True, "鲍勃@example.net", (False, True)),
    ],
)
def test_a_copy_says_what_it_needs(subject, body, declared, address, needs):
    message = a_message(f"Subject: {subject}", body=body)
    ready = prepare(message, a_trace(), signers=(rsa_signer(),), signing_required=True, smtputf8=declared)
    copy = render_copy(ready, [recipient(address)])
    assert (copy.needs_8bit, copy.needs_smtputf8) == needs
