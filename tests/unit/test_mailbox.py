"""One mailbox, two faces: which spellings are equal, what goes on the wire, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.mailbox import Mailbox, MailboxError, a_label, is_at_or_below, upwards
from tests.support.mailboxes import DIFFERENT, EQUAL, REFUSED


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_two_spellings_of_one_mailbox_have_one_key(one, other):
    assert Mailbox.parse(one).key == Mailbox.parse(other).key


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_mailboxes_have_two_keys(one, other):
    assert Mailbox.parse(one).key != Mailbox.parse(other).key


@pytest.mark.parametrize("text", REFUSED)
def test_what_others_would_read_differently_is_refused(text):
    with pytest.raises(MailboxError):
        Mailbox.parse(text)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("Ada.Lovelace@Example.COM", "Ada.Lovelace@example.com"),
        ('"Ada"@example.com', "Ada@example.com"),
        ('"A\\da"@example.com', "Ada@example.com"),
        ('"Ada Lovelace"@Example.com', '"Ada Lovelace"@example.com'),
        ('"ada..l"@example.com', '"ada..l"@example.com'),
        ("josé@bücher.example", "josé@xn--bcher-kva.example"),
        ("jose\u0301@example.com", "jose\u0301@example.com"),
        ("ada+news@example.com", "ada+news@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
    ],
)
def test_the_wire_form_is_what_the_client_wrote(text, wire):
    assert Mailbox.parse(text).wire == wire


def test_an_address_literal_is_taken_only_where_it_is_allowed():
    assert Mailbox.parse("ada@[192.0.2.1]", literals=True).wire == "ada@[192.0.2.1]"
    assert Mailbox.parse("ada@[IPv6:2001:DB8::1]", literals=True).domain == "[ipv6:2001:db8::1]"
    with pytest.raises(MailboxError):
        Mailbox.parse("ada@[example.com]", literals=True)


def test_only_a_local_part_can_need_smtputf8():
    assert Mailbox.parse("josé@example.com").needs_smtputf8
    assert not Mailbox.parse("ada@例子.中国").needs_smtputf8


def test_the_parts_make_the_whole():
    mailbox = Mailbox.parse('"Ada Lovelace"@例子.中国')
    assert (mailbox.local_part, mailbox.domain) == ('"Ada Lovelace"', "xn--fsqu00a.xn--fiqs8s")
    assert f"{mailbox.local_part}@{mailbox.domain}" == str(mailbox)


def test_254_octets_are_a_mailbox_and_255_are_not():
    domain = ".".join(["b" * 60] * 3) + ".example.com"
    longest = "a" * (253 - len(domain)) + "@" + domain
    assert len(Mailbox.parse(longest).wire) == 254
    with pytest.raises(MailboxError):
        Mailbox.parse(f"a{longest}")


@pytest.mark.parametrize("domain", ["Example.COM", "例子.中国", "xn--fsqu00a.xn--fiqs8s", "faß.example", "a-b.example"])
def test_an_a_label_is_its_own_a_label(domain):
    assert a_label(a_label(domain)) == a_label(domain)


@given(st.text())
def test_any_text_is_a_mailbox_or_a_mailbox_error(text):
    try:
        mailbox = Mailbox.parse(text)
    except MailboxError:
        return
    assert Mailbox.parse(mailbox.wire) == mailbox


ATOMS = st.text("abcXYZ019!#$%&'*+-/^_`{|}~éßΣ張", min_size=1, max_size=8)
LABELS = st.from_regex(r"[a-zA-Z]([a-zA-Z0-9-]{0,6}[a-zA-Z])?", fullmatch=True).filter(lambda label: label[2:4] != "--")


@given(st.lists(ATOMS, min_size=1, max_size=3), st.lists(LABELS, min_size=2, max_size=4))
def test_the_wire_form_keeps_the_key_and_reads_as_itself(atoms, labels):
    mailbox = Mailbox.parse(f"{'.'.join(atoms)}@{'.'.join(labels)}")
    again = Mailbox.parse(mailbox.wire)
    assert again == mailbox
    assert mailbox.local_part == ".".join(atoms)


@given(st.lists(ATOMS, min_size=1, max_size=3))
def test_quotes_that_are_not_needed_change_nothing(atoms):
    local_part = ".".join(atoms)
    assert Mailbox.parse(f'"{local_part}"@example.com') == Mailbox.parse(f"{local_part}@example.com")


@given(ATOMS)
def test_case_never_makes_another_mailbox(atom):
    assert Mailbox.parse(f"{atom}@example.com").key == Mailbox.parse(f"{atom.upper()}@example.com").key


@pytest.mark.parametrize(
    ("domain", "other", "is_below"),
    [
        ("example.com", "example.com", True),
        ("mail.example.com", "example.com", True),
        ("a.b.example.com", "example.com", True),
        ("myexample.com", "example.com", False),
        ("example.com", "mail.example.com", False),
        ("example.com.cn", "example.com", False),
    ],
)
def test_a_domain_is_below_another_from_label_to_label(domain, other, is_below):
    assert is_at_or_below(domain, other) == is_below
    assert (other in upwards(domain)) == is_below


def test_upwards_ends_at_two_labels():
    assert list(upwards("a.mail.example.com")) == ["a.mail.example.com", "mail.example.com", "example.com"]
