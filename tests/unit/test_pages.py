"""The pages in two languages: the reader's first, both whole, every fact escaped."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.doors.pages import languages, page

EVIL = "<script>alert('1')</script>&\"'{{ 7*7 }}"
NAME = {"zh": "示例公司", "en": "Example"}


@pytest.mark.parametrize(
    ("accepted", "first"),
    [
        ("", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9", "en"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("en;q=0, zh;q=0", "zh"),
        ("de-DE,de", "zh"),
        ("de,en;q=0.3", "en"),
        ("EN", "en"),
        ("en;q=nonsense", "en"),
        (",;,;q=,=", "zh"),
        ("en" * 5000, "en"),
    ],
)
def test_the_readers_language_comes_first(accepted, first):
    assert languages(accepted)[0] == first


@given(st.text())
def test_any_wish_gets_both_languages(accepted):
    assert sorted(languages(accepted)) == ["en", "zh"]


def offer(**changes):
    return {"legal_name": NAME, "privacy_url": "https://example.com/privacy", "stream": "newsletter", "whole": True} | changes


class _Outline(HTMLParser):
    """The elements that are open when the document ends, and all there were."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text):
    parser = _Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.seen


@pytest.mark.parametrize("template", ["unsubscribe.html", "unsubscribed.html"])
@pytest.mark.parametrize("whole", [True, False])
def test_pages_are_well_formed_and_whole_without_anything_loaded(template, whole):
    elements = outline(page(template, "en", **offer(whole=whole)))
    assert [facts["lang"] for tag, facts in elements if tag in ("html", "section")] == ["en", "en", "zh-CN"]
    assert {tag for tag, _ in elements}.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert all("onclick" not in facts and "onload" not in facts for _, facts in elements)


def test_the_form_posts_the_pair_to_where_it_came_from():
    elements = outline(page("unsubscribe.html", "zh", **offer()))
    forms = [facts for tag, facts in elements if tag == "form"]
    assert forms == [{"method": "post"}] * 2
    inputs = [(facts["name"], facts["value"]) for tag, facts in elements if tag == "input"]
    assert inputs == [("List-Unsubscribe", "One-Click"), ("via", "page")] * 2


def test_a_page_says_what_is_refused():
    assert "任何营销邮件" in page("unsubscribe.html", "zh", **offer())
    assert "“newsletter”邮件" in page("unsubscribe.html", "zh", **offer(whole=False))
    assert "no more marketing mail" in page("unsubscribed.html", "en", **offer())
    assert "no more “newsletter” mail" in page("unsubscribed.html", "en", **offer(whole=False))


@pytest.mark.parametrize("template", ["unsubscribe.html", "unsubscribed.html"])
def test_facts_are_escaped(template):
    text = page(template, "zh", **offer(legal_name={"zh": EVIL, "en": EVIL}, stream=EVIL, whole=False))
    assert "<script" not in text
    assert "{{ 7*7 }}" in text
    outline(text)


def test_without_a_privacy_url_there_is_no_link():
    assert not re.search("<a ", page("unsubscribed.html", "zh", **offer(privacy_url="")))


def test_a_fact_that_is_missing_is_a_fault_not_a_gap():
    with pytest.raises(Exception, match="legal_name"):
        page("unsubscribe.html", "zh")
