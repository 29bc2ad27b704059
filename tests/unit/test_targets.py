"""Where an address leads, as browsers read it."""

import pytest

from relay.mail.page.targets import Target, as_ascii, target_of


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("https://www.Example.com/paths?u=1&v=2#s", Target("https", "www.example.com", "/paths?u=1&v=2#s")),
        ("http://example.com.", Target("http", "example.com")),
        ("https://example.com:8443/x", Target("https", "example.com", "/x")),
        ("HTTPS://example.com", Target("https", "example.com")),
        (" https://exam\nple.com/ ", Target("https", "example.com", "/")),
        ("https:\\\\example.com\\x?y", Target("https", "example.com", "/x?y")),
        ("https://example.com\\@evil.example/", Target("https", "example.com", "/@evil.example/")),
        ("https://bank.example@evil.example/", Target("https", "evil.example", "/", "bank.example")),
        ("//example.com/x", Target("https", "example.com", "/x")),
        ("https://[2001:db8::1]:80/", Target("https", "[2001:db8::1]:80", "/")),
        ("mailto:ada@example.com?subject=x", Target("mailto", "", "ada@example.com?subject=x")),
        ("java\tscript:alert(1)", Target("javascript", "", "alert(1)")),
        ("data:text/html,x", Target("data", "", "text/html,x")),
        ("#top", Target("", "", "#top")),
        ("/x?y", Target("", "", "/x?y")),
        ("", Target("", "")),
        ("https://例え.jp/", Target("https", "例え.jp", "/")),
    ],
)
def test_where_an_address_leads(address, target):
    assert target_of(address) == target


def test_only_the_beginning_of_an_address_is_looked_at():
    assert len(target_of("https://example.com/?" + "x" * 100_000).rest) < 5000


def test_scripts_are_known():
    assert target_of("javascript:x").is_script
    assert not target_of("https://example.com/").is_script


def test_a_host_is_told_in_ascii():
    assert as_ascii("\u0430pple.com") == "\\u0430pple.com"
