"""Charts that a phone, a printer and a screen reader can show."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.records.monthly.charts import WIDTH, Column, bar_chart, column_chart, nice_ceiling

SVG = "{http://www.w3.org/2000/svg}"
labels = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=80)
columns = st.lists(st.builds(Column, labels, st.tuples(st.integers(0, 10**9), st.integers(0, 9))), max_size=31)


def bars(picture, its_class):
    root = ElementTree.fromstring(picture)
    return [
        {key: float(value) for key, value in rect.attrib.items() if key != "class"}
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") == its_class
    ]


@pytest.mark.parametrize("chart", [column_chart, bar_chart])
@given(columns, labels)
def test_any_numbers_and_labels_make_a_picture_that_names_itself(chart, rows, title):
    root = ElementTree.fromstring(chart("x", title, "what it shows", rows, ("a", "b")))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "x-title x-desc"
    assert (root[0].tag, root[0].get("id"), root[0].text or "") == (f"{SVG}title", "x-title", title)
    assert (root[1].tag, root[1].text) == (f"{SVG}desc", "what it shows")
    height = float(root.attrib["viewBox"].split()[3])
    for rect in root.iter(f"{SVG}rect"):
        assert -0.1 <= float(rect.attrib["x"]) <= float(rect.attrib["x"]) + float(rect.attrib["width"]) <= WIDTH + 4
        assert float(rect.attrib["y"]) + float(rect.attrib["height"]) <= height + 0.1


def test_columns_stack_upwards_in_proportion():
    picture = column_chart("x", "t", "d", [Column("1", (60, 20)), Column("2", (30, 0))], ("a", "b"))
    (tall, short), (top,) = bars(picture, "a"), bars(picture, "b")
    assert tall["height"] == pytest.approx(2 * short["height"], abs=0.2)
    assert top["height"] == pytest.approx(tall["height"] / 3, abs=0.2)
    assert top["y"] + top["height"] == pytest.approx(tall["y"], abs=0.2)


def test_bars_lie_one_behind_the_other_and_little_is_seen():
    picture = bar_chart("x", "t", "d", [Column("one", (1000, 1)), Column("two", (500, 0))], ("a", "b"))
    (first, second), (last,) = bars(picture, "a"), bars(picture, "b")
    assert first["width"] == pytest.approx(2 * second["width"], rel=0.01)
    assert last["x"] == pytest.approx(first["width"], abs=0.2)
    assert last["width"] >= 1
    assert ">1,001<" in picture


@given(st.integers(0, 10**12))
def test_the_scale_ends_at_a_round_number_not_far_above(highest):
    ceiling = nice_ceiling(highest)
    assert ceiling >= max(highest, 1)
    assert ceiling <= max(2.5 * highest, 1)
    assert str(ceiling).rstrip("0") in ("1", "2", "4", "5")
