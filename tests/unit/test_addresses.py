"""Address lists are read strictly: one mailbox that everybody sees, or a fault that counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.parts.addresses import AddressList, parse_address_list


def read(text: str | bytes) -> tuple[list[str], int]:
    found = parse_address_list(text.encode() if isinstance(text, str) else text)
    return [mailbox.wire for mailbox in found.mailboxes], found.faults


@pytest.mark.parametrize(
    ("text", "wires"),
    [
        ("", []),
        ("ada@example.com", ["ada@example.com"]),
        ("<ada@example.com>", ["ada@example.com"]),
        ("Ada Lovelace <ada@example.com>", ["ada@example.com"]),
        ("Ada L. Lovelace <ada@example.com>", ["ada@example.com"]),
        ('"Lovelace, Ada" <ada@example.com>', ["ada@example.com"]),
        ('"Ada \\"the first\\" <x@y.example>" <ada@example.com>', ["ada@example.com"]),
        ('"bob@example.org" <ada@example.com>', ["ada@example.com"]),
        ("ada@example.com <ada@example.com>", ["ada@example.com"]),
        ("Ada@Example.com\t< ada@example.com>", ["ada@example.com"]),
        ("[JIRA] Ada <ada@example.com>", ["ada@example.com"]),
        ("张三 <zhang@example.com>", ["zhang@example.com"]),
        ("=?gbk?B?1cXI/Q==?= <zhang@example.com>", ["zhang@example.com"]),
        ("Ada <ada@例子.中国>", ["ada@xn--fsqu00a.xn--fiqs8s"]),
        ("Ada < ada@example.com >", ["ada@example.com"]),
        ("ada@example.com (Ada (the first) \\) programmer)", ["ada@example.com"]),
        ("(Ada) <ada@example.com> (work)", ["ada@example.com"]),
        ('"ada lovelace"@example.com', ['"ada lovelace"@example.com']),
        ('Ada <"ada@home"@example.com>', ['"ada@home"@example.com']),
        ("ada@example.com, bob@example.org", ["ada@example.com", "bob@example.org"]),
        ("Ada <ada@example.com>,\tBob <bob@example.org>,", ["ada@example.com", "bob@example.org"]),
        ("undisclosed-recipients:;", []),
        (
            "Team A: ada@example.com, Bob <bob@example.org>;, carol@example.org",
            ["ada@example.com", "bob@example.org", "carol@example.org"],
        ),
        ('"Team: A": ada@example.com;', ["ada@example.com"]),
    ],
)
def test_what_everybody_reads_alike_is_read(text, wires):
    assert read(text) == (wires, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Ada",
        "ada@localhost",
        "ada@example.com bob@example.org",
        "ada@example.com <eve@example.net>",
        "ada@example.com (x) eve@example.net <ada@example.com>",
        "ada@example.com;",
        "Ada (eve@example.net) ada@example.com x",
        "<ada@example.com> Ada",
        "<ada@example.com> <eve@example.net>",
        "Ada <>",
        "Ada <ada@example.com",
        "Ada ada@example.com>",
        '"Ada <ada@example.com>',
        "Ada (ada@example.com",
        "Ada) <ada@example.com>",
        "ada(work)@example.com",
        "<ada(work)@example.com>",
        "ada @example.com",
        "<@hub.example:ada@example.com>",
        "<@hub.example,@b.example:ada@example.com>",
        "Ada\\ <ada@example.com>",
        "=?utf-8?q?ada=40example.com?=",
        "<=?utf-8?q?ada?=@example.com>",
        "=?utf-8?q?Love_<ada?= <ada@example.com>",
        "ada@hub.example@example.com",
        "<ada@example.com\u200b>",
    ],
)
def test_what_readers_see_differently_is_a_fault(text):
    mailboxes, faults = read(text)
    assert (mailboxes, faults) == ([], 1)


@pytest.mark.parametrize(
    ("text", "wires", "faults"),
    [
        ("=?utf-8?q?Lovelace,_Ada?= <ada@example.com>", ["ada@example.com"], 1),
        ("ada@example.com; bob@example.org", ["bob@example.org"], 1),
        ("ada@example.com; bob@example.org; Carol <carol@example.org>;", [], 3),
        ("Team: ada@example.com", ["ada@example.com"], 1),
        ("mailto:ada@example.com", ["ada@example.com"], 1),
        ("a: b: ada@example.com;", [], 1),
        ("ada@example.com, nobody, bob@example.org", ["ada@example.com", "bob@example.org"], 1),
        ('ada@example.com, "bob@example.org, carol@example.org', ["ada@example.com"], 2),
    ],
)
def test_a_fault_hides_no_neighbour(text, wires, faults):
    assert read(text) == (wires, faults)


def test_undeclared_octets_may_stand_in_a_name_but_not_in_an_address():
    assert read("张三".encode("gbk") + b" <zhang@example.com>") == (["zhang@example.com"], 0)
    assert read(b'"\xc4\xe3" <zhang@example.com>') == (["zhang@example.com"], 0)
    assert read(b"Zhang <zh\xe4ng@example.com>") == ([], 1)


def test_a_group_is_told_apart():
    assert parse_address_list(b"Team: ada@example.com;").has_group
    assert not parse_address_list(b"Ada <ada@example.com>").has_group


def test_a_list_has_a_bound():
    found = parse_address_list(b"a@example.com," * 20_000)
    assert len(found.mailboxes) <= 10_001
    assert len(found.mailboxes) + found.faults == 20_000


@given(st.text(alphabet=' \t"<>()[]:;,\\@.=?aB1é张', max_size=60) | st.binary(max_size=60))
def test_any_value_is_a_list(value):
    found = parse_address_list(value.encode() if isinstance(value, str) else value)
    assert isinstance(found, AddressList)
    assert found.faults >= 0


@given(
    st.lists(
        st.sampled_from(["ada@example.com", "Bob <bob@example.org>", '"C, D" <c@example.net>', "(x) d@example.net"]), max_size=8
    )
)
def test_every_entry_of_a_clean_list_is_read(entries):
    mailboxes, faults = read(", ".join(entries))
    assert (len(mailboxes), faults) == (len(entries), 0)
