"""What the text of a link says of where it leads, on texts that we wrote."""

from pathlib import Path

import pytest

from relay.policy.words.destinations import destinations, may_name_any
from tests.unit.test_content_checks import details, html
from tests.unit.test_placeholders import sentences

MISMATCH = 'check = "links"\nfaults = ["mismatch"]'


def leading_elsewhere(text: str) -> list[str]:
    return details(MISMATCH, html(f'<a href="https://elsewhere.example.org/r">{text}</a>'))


def test_texts_that_name_where_they_do_not_lead():
    misleading = sentences("misleading")
    assert len(set(misleading)) == len(misleading) >= 30
    assert [text for text in misleading if not leading_elsewhere(text)] == []


def test_ordinary_texts_are_left_alone():
    ordinary = sentences("linked")
    assert len(set(ordinary)) == len(ordinary) >= 60
    assert [text for text in ordinary if leading_elsewhere(text)] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("visit www.bank.com now", ["www.bank.com"]),
        ("Visit www.a.com or go to b.org", ["www.a.com", "b.org"]),
        ("HTTPS://Bank.com/x", ["bank.com"]),
        (" www.bank.example ", ["www.bank.example"]),
        ("visit www.bank.com@evil.example", []),
        ("visit www.bank.com_x", []),
        ("visit a.com " * 20, ["a.com"] * 5),
        ("visit www.bank.com" + " x" * 300, []),
        ("no address", []),
    ],
)
def test_what_a_text_names(text, named):
    assert destinations(text) == named


def test_no_text_that_names_one_is_passed_over_at_the_first_look():
    assert all(may_name_any(text) for text in sentences("misleading"))
    assert not may_name_any("Read more.\nShop the sale. It ends on Sunday.")


@pytest.mark.parametrize(("name", "head"), [("policies.md", "| texts |"), ("policies.zh.md", "| 文本 |")])
def test_the_rates_in_the_documents_are_these(name, head):
    """Those of template fields too; that nothing is wrong, the tests of both say."""
    document = (Path(__file__).resolve().parents[2] / "docs" / name).read_text("utf-8")
    rows = [line.strip("|").split("|")[1:] for line in document[document.index(head) :].split("\n\n")[0].splitlines()[2:]]
    counts = [len(sentences(one)) for one in ("unfilled", "bracketed", "misleading", "linked")]
    assert [(int(count), int(wrong)) for count, wrong in rows] == [(count, 0) for count in counts]
