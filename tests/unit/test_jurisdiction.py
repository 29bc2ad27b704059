"""Whose law an address tells of by its last label, in whatever script that is."""

import pytest

from relay.mail.mailbox import Mailbox
from relay.policy.cases.jurisdiction import Source, Told, countries_told, jurisdictions_of, tellers
from relay.policy.consents.residence import Residence
from relay.policy.telling.whose_law import whose_law

UNKNOWN = frozenset({"ZZ"})


@pytest.mark.parametrize(
    ("address", "countries"),
    [
        ("ada@example.cn", {"CN"}), ("ada@example.co.uk", {"GB"}), ("ada@example.com", UNKNOWN), ("ada@example.io", UNKNOWN),
        ("ada@example.eu", {"EU", "ZZ"}), ("ada@例子.中国", {"CN"}), ("ada@例子.中國", {"CN"}), ("ada@例子.香港", {"HK"}),
        ("ada@例子.台灣", {"TW"}), ("ada@예.한국", {"KR"}), ("ada@пример.рф", {"RU"}), ("ada@example.xn--fiqs8s", {"CN"}),
        ("ada@example.भारत", {"IN"}), ("ada@example.新加坡", {"SG"}), ("ada@example.公司", UNKNOWN), ("ada@example.ελ", {"GR"}),
        ("ada@example.re", {"RE", "FR"}), ("ada@example.gp", {"GP", "FR"}), ("ada@example.ax", {"AX", "FI"}),
        ("ada@example.ευ", {"EU", "ZZ"}), ("ada@example.ею", {"EU", "ZZ"}), ("ada@example.su", UNKNOWN),
    ],
)  # fmt: skip
def test_the_last_label_tells_the_country(address, countries):
    assert jurisdictions_of(Mailbox.parse(address).domain, UNKNOWN) == countries


IN_MARCH = 1_772_323_200.0


@pytest.mark.parametrize(
    ("address", "recorded", "countries"),
    [
        ("ji@gmail.com", {"KR"}, {"KR"}), ("ji@example.co.kr", {"KR"}, {"KR"}),
        ("ji@example.de", {"KR"}, {"DE", "KR"}),  # strictest wins: either law may protect them
        ("ji@example.re", {"KR"}, {"RE", "FR", "KR"}), ("ji@gmail.com", {"KR", "DE"}, {"KR", "DE"}),
        ("ji@gmail.com", set(), UNKNOWN), ("ji@example.io", {"GB"}, {"GB"}),
        ("ji@example.eu", {"FR"}, {"FR"}), ("ji@example.eu", {"GB"}, {"EU", "GB"}), ("ji@example.eu", {"IT", "US"}, {"IT", "US"}),
    ],
)  # fmt: skip
def test_what_is_recorded_counts_with_what_the_address_tells(address, recorded, countries):
    """And what the organisation assumes counts only where neither says anything."""
    domain = Mailbox.parse(address).domain
    assert jurisdictions_of(domain, UNKNOWN, frozenset(recorded)) == countries
    assert countries_told(domain, frozenset(recorded)) == set(countries) - UNKNOWN


@pytest.mark.parametrize(
    ("address", "residence", "en", "zh"),
    [
        ("ji@gmail.com", None, "ZZ (nobody said it: organisation default)", "ZZ（无人说明：取本单位默认值）"),
        ("ji@example.kr", None, "KR (the address)", "KR（邮箱域名）"),
        (
            "ji@example.eu", None,
            "EU (the address); ZZ (nobody said it: organisation default)", "EU（邮箱域名）；ZZ（无人说明：取本单位默认值）",
        ),
        (
            "ji@example.eu", Residence(frozenset({"FR"}), IN_MARCH),
            "EU (the address); FR (consent of 2026-03-01)", "EU（邮箱域名）；FR（2026-03-01 的同意记录）",
        ),
        ("ji@gmail.com", Residence(frozenset({"KR"}), IN_MARCH), "KR (consent of 2026-03-01)", "KR（2026-03-01 的同意记录）"),
        (
            "ji@example.re", Residence(frozenset({"KR", "DE"}), IN_MARCH),
            "FR, RE (the address); DE, KR (consent of 2026-03-01)", "FR、RE（邮箱域名）；DE、KR（2026-03-01 的同意记录）",
        ),
        (
            "ji@gmail.com", Residence(frozenset({"KR"}), IN_MARCH, is_presumed=True),
            "KR (the list, not the consent ledger)", "KR（名单所写，同意台账中没有）",
        ),
    ],
)  # fmt: skip
def test_who_told_it_is_said_in_both_languages(address, residence, en, zh):
    domain = Mailbox.parse(address).domain
    assert whose_law(tellers(domain, UNKNOWN, residence)) == (en, zh)


def test_where_nobody_tells_and_nothing_is_assumed_there_is_none():
    assert tellers("example.com", frozenset(), None) == (Told(Source.DEFAULT, frozenset()),)
    assert whose_law(tellers("example.com", frozenset(), None))[0] == "none (nobody said it: organisation default)"
