"""`relay policy` and `relay schema` against the running relay."""

import json
import shutil

import pytest

from tests.support.fixtures import a_relay, an_upstream
from tests.support.policies import word_rule
from tests.support.service import ACCOUNTS, NEWS, message
from tests.support.terminal import LANGUAGES, Terminal

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_officer_puts_a_set_in_force_and_reads_it_back(relay, language, tmp_path):
    officer = Terminal(relay, language)
    word = f"forbidden{language}"
    draft = tmp_path / "draft"
    shutil.copytree(relay.folder / "policies", draft)
    stream = draft / "streams" / "newsletter.toml"
    stream.write_text(stream.read_text("utf-8") + word_rule(word, f"no-{word}"), "utf-8")

    def reply():
        return relay.send(NEWS, ["ada@example.org"], message(subject=f"This is {word}"))

    assert reply()[0] == 250
    why = officer.choose("投诉太多", "too many complaints")
    said = officer.run("policy", "apply", draft, "--reason", why, "--by", "Wang Min", quiet=True)  # it quotes the files
    assert f"no-{word}" in said
    assert str(relay.folder / "policies") in said  # a start applies that folder: the officer is told so
    relay.wait(lambda: reply()[0] == 550)
    assert f"[newsletter/no-{word}]" in reply()[1]

    assert officer.choose("没有变化", "nothing changed") in officer.run("policy", "apply", draft, "--reason", "again", quiet=True)
    shown = officer.run("policy", "show")
    assert "Wang Min" in shown
    assert word in shown
    assert officer.choose("系统不会自动删除任何数据", "the relay deletes nothing by itself") in shown
    assert officer.json("policy", "show")["switch"]["by"] == "Wang Min"

    laxer = officer.run("policy", "apply", relay.folder / "policies", "--reason", "back", quiet=True)
    assert officer.choose("[放宽]", "[laxer]") in laxer
    relay.wait(lambda: reply()[0] == 250)
    assert why in officer.run("records", "search", "--kind", "policy", quiet=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_set_is_named_and_changes_nothing(relay, language, tmp_path):
    officer = Terminal(relay, language)
    before = officer.json("policy", "show")["switch"]["hash"]
    draft = tmp_path / "draft"
    shutil.copytree(relay.folder / "policies", draft)
    stream = draft / "streams" / "newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace('mode = "enforce"', 'mode = "enforced"'), "utf-8")
    said = officer.run("policy", "apply", draft, "--reason", "typing error", code=3, quiet=True)
    assert "streams/newsletter.toml" in said
    assert "mode" in said
    assert "shadow" in said  # what was expected
    officer.run("policy", "apply", draft, code=2, quiet=True)  # without --reason; click's own words
    officer.run("policy", "apply", draft, "--reason", " ", code=2)
    officer.run("policy", "show", "--at", "yesterday", code=2)
    officer.run("policy", "show", "--at", "2020-01-01", code=1)
    assert officer.json("policy", "show")["switch"]["hash"] == before


@pytest.mark.parametrize("kind", ["organisation", "pack", "stream"])
def test_the_schema_names_what_the_shipped_files_use(relay, kind):
    schema = json.loads(Terminal(relay, "en").run("schema", kind, quiet=True))
    wanted = {"organisation": "time_zone", "stream": "purpose", "pack": "pack"}
    assert wanted[kind] in schema["properties"]
