"""docs/rules.md: every rule of every shipped pack, with its law and an example each way."""

import re
import tomllib

import pytest

from relay.cli.rule_book import _Examples, chinese, english
from relay.policy.detectors import PERSONAL, SECRETS
from tests.support.policies import shipped_files

RULES = [
    (name.removeprefix("packs/").removesuffix(".toml"), table)
    for name, octets in shipped_files().items()
    if name.startswith("packs/")
    for table in tomllib.loads(octets.decode()).get("rule", [])
]


@pytest.mark.parametrize(("book", "text", "fix"), [(english, "text", "fix"), (chinese, "text_zh", "fix_zh")])
def test_every_rule_stands_in_the_book_with_its_law(book, text, fix):
    sections = re.split(r"^##+ ", book(), flags=re.MULTILINE)
    by_name = {section.partition("\n")[0]: section for section in sections}
    assert len(RULES) > 100
    for pack, table in RULES:
        section = by_name[f"{pack}/{table['id']}"]
        assert table["cite"] in section
        assert table[text] in section
        assert table[fix] in section
        assert section.count("\n- ") == 5


def test_every_rule_of_a_pack_says_why_and_what_to_do_in_both_languages():
    for pack, table in RULES:
        missing = {"cite", "text", "text_zh", "fix", "fix_zh"} - table.keys()
        assert not missing, f"{pack}/{table['id']}"


def test_every_pack_says_what_it_rests_on_and_until_when():
    for name, octets in shipped_files().items():
        if name.startswith("packs/") and name != "packs/base.toml":
            pack = tomllib.loads(octets.decode())["pack"]
            assert pack["sources"], name
            assert pack["reviewed_on"] < pack["expires_on"], name
            for key in ("title", "penalty"):
                assert pack[key]["zh"], name
                assert pack[key]["en"].isascii(), name


def test_a_rule_without_an_example_is_named():
    examples = _Examples({"tests/x.toml": {"case": [{"name": "a", "expect": "reject", "objects": ["x/one"]}]}})
    assert examples.shown("x/one", "objects") == ""
    with pytest.raises(KeyError, match="names x/one in passes"):
        examples.shown("x/one", "passes")


def test_an_example_shows_what_the_case_writes_and_no_more():
    case = {
        "name": "a", "each": ["b", "c"], "expect": "reject", "objects": ["x/one"],
        "subject": "Sp\u200bring {}", "fields": {"X": "1|2"},
        "cc": ["a", "b", "c", "d"], "phase": "rcpt",
    }  # fmt: skip
    shown = _Examples({"tests/x.toml": {"case": [case]}}).shown("x/one", "objects")
    assert shown == ('`subject = "Sp\\u200bring b"`, `fields = { X = "1|2" }`, `cc = ["a", "b", "c", … (4)]`, `phase = "rcpt"`')


@pytest.mark.parametrize("book", [english, chinese])
def test_the_false_positives_of_every_kind_stand_in_the_book(book):
    rows = [line for line in book().splitlines() if re.search(r"\| [0-9,]{7,} × ", line)]
    assert {kind for line in rows for kind in re.findall(r"\(`([a-z-]+)`\)", line)} == PERSONAL.keys() | SECRETS.keys()
    assert any("(`us-ssn`)" in line and "(89 %)" in line for line in rows)


def test_the_chinese_book_is_set_in_chinese():
    """Colons, full stops and conjunctions of Chinese between Chinese words; examples and what laws are called aside."""
    text = re.sub(r"`[^`]*`", "x", chinese())
    assert re.findall(r".{0,9}(?:[\u4e00-\u9fff][:;] |。 (?!\|)|[A-Z]或|或 [\u4e00-\u9fff]).{0,9}", text) == []
