"""The words by which people find the way out, and where they stand."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.page.unsubscribing import WORDS, leads_out, lines_of_words, may_lead_out, places_of_words, says_unsubscribe

_ANY = re.compile("|".join(map(re.escape, sorted(WORDS, key=len, reverse=True))))
_MIXED = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from([" ", "\n", "un", "opt", "manage ", "退", "de"])), max_size=12
)


@given(_MIXED.map("".join))
def test_of_words_that_overlap_the_first_and_longest_counts(text):
    assert places_of_words(text) == [match.span() for match in _ANY.finditer(text)]


@given(_MIXED.map("".join))
def test_a_text_that_says_it_has_lines_that_say_it(text):
    assert says_unsubscribe(text) == bool(lines_of_words(text)) == bool(_ANY.search(text))


def test_a_line_of_words_is_cut_at_its_ends():
    text = "First line\nTo unsubscribe click HERE.\nLast line"
    assert lines_of_words(text) == "To unsubscribe click HERE."
    assert lines_of_words("x" * 500 + "UNSUBSCRIBE" + "y" * 500) == "x" * 120 + "UNSUBSCRIBE" + "y" * 120


@pytest.mark.parametrize(
    ("shown", "href", "leads"),
    [
        ("Unsubscribe", "https://a.example/1", True),
        ("点此退订", "https://a.example/1", True),
        ("Settings", "https://a.example/Preferences?id=1", True),
        ("Shop", "https://a.example/1", False),
        ("Shop", "https://a.example/" + "x" * 500 + "unsub", False),
    ],
)
def test_a_link_leads_out_by_its_text_or_its_address(shown, href, leads):
    assert leads_out(shown, href) is leads


@given(
    st.lists(
        st.tuples(st.sampled_from(["Shop", "here", "Unsubscribe", "退订", "点此", ""]), st.sampled_from(["/a", "/unsub", "/B"]))
    )
)
def test_of_many_links_those_are_told_that_lead_out_or_stand_beside_words(links):
    expected = [n for n, (shown, href) in enumerate(links) if shown in ("here", "点此") or leads_out(shown, href)]
    assert [*may_lead_out(links)] == expected
