"""What is kept of held mail: sealed, bound to its submission, and whole when it is opened again."""

from dataclasses import replace
from datetime import date

import pytest

from relay.holding.codec import Codec, Detail, held_key, lane_of, owner_of, report_lane
from relay.keys import Ring, new_keys, rotated
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox
from relay.policy.suppressions.suppression import Purpose
from relay.stores.ledger import FirstTry

TODAY = date(2026, 11, 22)
ID = "01KAM00000000000000000000A"
OTHER = "01KAM00000000000000000000B"
FIRST = FirstTry(OTHER, 1000.5, "Sun, 22 Nov 2026 07:00:00 +0800", "<m@relay.example>")
CLIENT = Client("submission", "192.0.2.7", "laptop", "TLSv1.3 TLS_AES_256_GCM_SHA384", "ESMTPSA")
OWNS = frozenset({"news@example.com", "@example.com"})


def submission(**changed):
    identity = Identity(
        "news@example.com", IdentityKind.PASSTHROUGH, OWNS, "netease", Credentials("news@example.com", "Geheim-4711")
    )
    whole = Submission(
        ID, 1234.25, CLIENT, identity, Mailbox.parse("News+a@Example.com"), "newsletter", "0123456789abcdef",
        (Recipient(Mailbox.parse("li@example.net")),), "8BITMIME", True, "HDRS", "QQ+2B",
    )  # fmt: skip
    return replace(whole, **changed)


@pytest.fixture
def keys():
    return new_keys(TODAY)


@pytest.mark.parametrize(
    "whole",
    [
        submission(),
        submission(reverse_path=None, ret=None, envid=None, body="7BIT", smtputf8=False),
        submission(reverse_path=Mailbox.parse("王芳@例子.中国")),
        submission(reverse_path=Mailbox.parse('"a b"@example.com')),
        submission(client=replace(CLIENT, tls=None), identity=Identity("listener:scripts", IdentityKind.TRUSTED, OWNS)),
    ],
)
def test_the_head_is_the_envelope_without_recipients_and_without_a_password(keys, whole):
    codec = Codec(keys)
    sealed = codec.head(whole, FIRST)
    read, first = codec.read_head(ID, sealed)
    assert read == replace(whole, recipients=(), identity=replace(whole.identity, credentials=None))
    assert first == FIRST
    assert b"Geheim-4711" not in keys.held.open(sealed, f"held head\0{ID}".encode())


@pytest.mark.parametrize(
    "recipient",
    [
        Recipient(Mailbox.parse("li@example.net")),
        Recipient(Mailbox.parse("Li.Wei+x@example.net"), frozenset({"SUCCESS", "FAILURE"}), "rfc822;li@example.net"),
        Recipient(Mailbox.parse("li@[192.0.2.1]", literals=True), frozenset({"NEVER"})),
        Recipient(Mailbox.parse("李伟@例子.中国"), frozenset()),
    ],
)
def test_a_copy_keeps_the_recipient_as_given_and_what_was_said_of_it(keys, recipient):
    codec = Codec(keys)
    detail = Detail(recipient, "450 4.2.1 later", "base/limits", "稍后", "later", "netease", "450 MI:SFQ", "5.1.1")
    assert codec.read_detail(ID, codec.detail(ID, detail)) == detail
    dropped = replace(detail, judged="a1", released=True, refused_at=1_800_000_000.5, is_unrecorded=True)
    assert codec.read_detail(ID, codec.detail(ID, dropped)) == dropped
    assert codec.read_detail(ID, codec.detail(ID, Detail(recipient))) == Detail(recipient)


def test_a_body_is_kept_octet_for_octet(keys):
    codec = Codec(keys)
    octets = bytes(range(256)) * 300
    assert codec.read_body(ID, codec.body(ID, octets)) == octets


def sealed_forms(codec):
    head, copy = codec.head(submission(), FIRST), codec.detail(ID, Detail(Recipient(Mailbox.parse("li@example.net"))))
    return {"head": head, "copy": copy, "body": codec.body(ID, b"Subject: x\r\n\r\nhello\r\n")}


READERS = {"head": Codec.read_head, "copy": Codec.read_detail, "body": Codec.read_body}


@pytest.mark.parametrize("kind", READERS)
def test_nothing_is_readable_in_what_is_kept(keys, kind):
    sealed = sealed_forms(Codec(keys))[kind]
    assert not any(word in sealed for word in (b"example", b"news", b"hello", b"192.0.2.7"))


@pytest.mark.parametrize("kind", READERS)
def test_what_was_altered_cut_or_taken_from_elsewhere_is_refused(keys, kind):
    codec = Codec(keys)
    forms = sealed_forms(codec)
    sealed = forms.pop(kind)
    read = READERS[kind]
    wrong = [b"", sealed[:1], sealed[:-1], sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:], *forms.values()]
    for octets in wrong:
        with pytest.raises(ValueError, match="held"):
            read(codec, ID, octets)
    with pytest.raises(ValueError, match="held"):
        read(codec, OTHER, sealed)
    with pytest.raises(ValueError, match="held"):
        read(Codec(new_keys(TODAY)), ID, sealed)


@pytest.mark.parametrize("kind", READERS)
def test_what_an_older_generation_sealed_can_be_read(keys, kind):
    sealed = sealed_forms(Codec(keys))[kind]
    assert READERS[kind](Codec(rotated(keys, "held", TODAY)), ID, sealed)


def test_names_stay_when_the_ring_gets_a_new_generation(keys):
    fresh = rotated(keys, "addresses", TODAY)
    assert isinstance(fresh.addresses, Ring)
    for name in (held_key, report_lane):
        assert name(fresh, ID) == name(keys, ID) != name(keys, OTHER)
    assert lane_of(fresh, Purpose.SERVICE, "a", "b") == lane_of(keys, Purpose.SERVICE, "a", "b")
    assert owner_of(fresh, "netease", "a") == owner_of(keys, "netease", "a") != owner_of(keys, "ses", "a")


def test_lanes_part_priorities_identities_and_domains(keys):
    lanes = [
        lane_of(keys, purpose, identity, domain)
        for purpose in (Purpose.SERVICE, Purpose.CORRESPONDENCE, Purpose.MARKETING)
        for identity in ("a", "b")
        for domain in ("qq.com", "163.com")
    ]
    assert len({lane.key for lane in lanes}) == 12
    assert [lane.priority for lane in lanes] == [0] * 4 + [1] * 4 + [2] * 4
    assert lane_of(keys, Purpose.NOTICE, "a", "qq.com") == lanes[0]


@pytest.mark.parametrize("form", [b"{}", b"[]", b'{"identity": 1, "to": 1, "notify": 1}', b"null"])
@pytest.mark.parametrize("kind", ["head", "copy"])
def test_what_has_another_form_is_as_unreadable_as_what_does_not_open(keys, kind, form):
    sealed = keys.held.seal(form, f"held {kind}\0{ID}".encode())
    with pytest.raises(ValueError, match="form that this version"):
        READERS[kind](Codec(keys), ID, sealed)
