"""Lists of any length go in, through and out in the same memory, and whoever waits for them sees how far they are."""

import pytest

from tests.support.lists import a_node, lines_of, write_list
from tests.support.memory import peak_of
from tests.support.terminal import screen

FEW, MANY = 75_000, 300_000
MIB = 2**20


def peaks(folder, rows):
    """The peak of each command on a node of its own: import, clean (half of the list is suppressed), export."""
    config = a_node(folder)
    refused = write_list(folder / "refused.csv", range(rows))
    sent = write_list(folder / "sent.csv", range(rows // 2, rows // 2 + rows))
    kept, written = folder / "kept.csv", folder / "written.csv"
    found = {
        "import": peak_of(config, "suppress", "import", refused, "--reason", "unsubscribe"),
        "clean": peak_of(config, "suppress", "clean", sent, "--out", kept),
        "export": peak_of(config, "suppress", "export", "--out", written),
    }
    assert lines_of(kept) == rows // 2 + 1
    assert lines_of(written) == rows + 1
    return found


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """`python -m benchmarks.suppression` does the same with millions."""
    few, many = peaks(tmp_path / "few", FEW), peaks(tmp_path / "many", MANY)
    grown = {verb: (many[verb] - few[verb]) / MIB for verb in few}
    assert max(grown.values()) < 24, grown  # one small object a row would be more
    assert max(many.values()) < 160 * MIB


@pytest.fixture
def node(tmp_path):
    write_list(tmp_path / "list.csv", range(3))
    return a_node(tmp_path)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_person_sees_how_far_it_is(node, language):
    folder = node.parent
    shown = screen(node, "suppress", "import", folder / "list.csv", "--reason", "unsubscribe", lang=language)
    assert all(part in shown for part in ("list.csv", "━", "100%")), shown
    shown = screen(node, "suppress", "clean", folder / "list.csv", "--out", folder / "kept.csv", lang=language)
    assert all(part in shown for part in ("list.csv", "━", "100%")), shown
    shown = screen(node, "suppress", "export", "--out", folder / "all.csv", lang=language)
    assert all(part in shown for part in ("all.csv", "━", "3/?")), shown
    shown = screen(node, "suppress", "export", "--in-force", "--out", folder / "all.csv", lang=language)
    assert all(part in shown for part in ("all.csv", "━", "3/3")), shown


def test_nothing_is_drawn_between_the_rows(node):
    folder = node.parent
    screen(node, "suppress", "import", folder / "list.csv", "--reason", "unsubscribe", "--dry-run")
    for words in (["clean", folder / "list.csv", "--out", "-"], ["export", "--out", "-"]):
        shown = screen(node, "suppress", *words)
        assert ("customer-1@example.com" in shown) == (words[0] == "clean")
        assert "━" not in shown
        assert "\x1b" not in shown
