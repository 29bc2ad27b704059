"""Domains that look like others, and those that only look foreign."""

import pytest

from relay.policy.words.lookalike import is_look_alike, site_of, unicode_host


@pytest.mark.parametrize(
    "host", ["xn--80ak6aa92e.com", "\u0430pple.com", "g\u043e\u043egle.com", "\u0131cloud.com", "shop.\u0430\u0435\u043e.net"]
)
def test_what_reads_as_latin_is_a_look_alike(host):
    assert is_look_alike(host)


@pytest.mark.parametrize(
    "host",
    [
        "qq.com",
        "münchen.de",
        "例え.jp",
        "网易163.cn",
        "ゲームCLUB.jp",
        "пример.рф",
        "сос.рф",
        "ελλάδα.gr",
        "xn--bcher-kva.example",
        "xn--a.com",
    ],
)
def test_a_language_of_its_own_is_none(host):
    assert not is_look_alike(host)


def test_a_label_that_cannot_be_decoded_stays_as_it_is():
    assert unicode_host("XN--99999999999.com") == "xn--99999999999.com"
    assert unicode_host("xn--80ak6aa92e.com") == "аррӏе.com"


@pytest.mark.parametrize(
    ("host", "site"),
    [("a.b.example.com", "example.com"), ("example.com", "example.com"), ("www.shop.co.uk", "shop.co.uk"), ("co.uk", "co.uk"),
     ("www.shop.com.cn.", "shop.com.cn"), ("x.shop.de", "shop.de"), ("a.me.uk", "me.uk")],
)  # fmt: skip
def test_the_site_of_a_host(host, site):
    assert site_of(host) == site
