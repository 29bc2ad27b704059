"""What addresses of links give away, and the tokens that only look like it."""

from datetime import date
from random import Random

import pytest

from relay.policy.detectors import linked
from relay.policy.detectors.linked import linked_addresses, linked_numbers, may_be_linked

UNTIL = date(2026, 11, 22)
ID = "11010519491231002X"


def numbers(rest: str) -> list[str]:
    return [hit.kind for hit in linked_numbers(rest, UNTIL)]


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ("/u/13812345678", "cn-mobile"),
        ("/u/13812345678/orders?x=1", "cn-mobile"),
        ("/?tel=13812345678", "cn-mobile"),
        ("/?userPhone=%2B8613812345678", "cn-mobile"),
        ("/?mobile_no=138-1234-5678", "cn-mobile"),
        ("/?%E6%89%8B%E6%9C%BA=13812345678", "cn-mobile"),
        ("/?a=1;phone=13812345678", "cn-mobile"),
        ("/x#phone=13812345678", "cn-mobile"),
        ("/x#/user/13812345678", "cn-mobile"),
        (f"/{ID}", "cn-id"),
        (f"/?q={ID.lower()}", "cn-id"),
        (f"/#{ID}", "cn-id"),
        ("/?sfz=441900197001010010", "cn-id"),
        ("/?bankCard=6222021234567890128", "bank-card"),
        ("/?iban=DE89370400440532013000", "iban"),
        ("/?ssn=123-45-6789", "us-ssn"),
        ("/?passport=E12345678", "cn-passport"),
    ],
)
def test_a_number_that_stands_alone_and_is_called_what_it_is(rest, kind):
    assert numbers(rest) == [kind]
    assert may_be_linked(rest)


@pytest.mark.parametrize(
    "rest",
    [
        "/13812345678",
        "/?order=13812345678",
        "/?t=1795314600&id=13812345678",
        "/?hotel=13812345678",
        "/?u=a13812345678",
        "/?u=13812345678f",
        "/u/13812345678.jpg",
        "/u/138123456789",
        "/?u=%2531%2533812345678",  # encoded twice
        f"/x{ID}",
        f"/{ID}y",
        "/?id=441900197001010010",
        "/?id=6222021234567890128",
        "/?card=6222021234567890129",
        "/?uscc=91350100M000100Y43",
        "/20261122103000123456",
        "/?",
        "",
    ],
)
def test_a_number_that_is_a_token_is_none(rest):
    assert numbers(rest) == []


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("/u/ada@people.example", {"ada@people.example"}),
        ("/?e=Ada%40People.example&x=1", {"ada@people.example"}),
        ("/?url=https%3A%2F%2Fa.example%2F%3Fe%3Dada@people.example", {"ada@people.example"}),
        ("/?to=ada@people.example,bob@people.example", {"ada@people.example", "bob@people.example"}),
        ("#ada@people.example", {"ada@people.example"}),
        ("/?e=ada%2540people.example", set()),  # encoded twice
        ("/@ada.lovelace/posts", set()),
        ("/@ada@people.example", set()),
        ("/npm/vue@3.2.1/dist/vue.js", set()),
        ("/logo@2x.png", set()),
        ("/maps/@39.9,116.3,15z", set()),
    ],
)
def test_addresses_in_links(rest, found):
    assert linked_addresses(rest) == found
    assert may_be_linked(rest) or not found


def test_random_tokens_are_told_at_the_first_look(monkeypatch):
    """No detector is asked about letters and digits."""
    monkeypatch.setattr(linked, "personal_data", lambda text, until: pytest.fail(text))
    random = Random(6)
    tokens = [f"{random.getrandbits(128):032x}" for _ in range(2000)]
    assert not may_be_linked("\n".join(f"/r/{token}?t=a{token}#{token}" for token in tokens))
    assert [numbers(f"/r/{token}?t=a{token}#{token}") for token in tokens] == [[]] * len(tokens)
