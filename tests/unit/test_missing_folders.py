"""A file that is to be written into a folder that is not there: every command says so in the same words."""

import pytest
from click.testing import CliRunner

from relay.cli.main import root
from tests.support.installation import Installation

WRITERS = {
    "backup": ("backup", "nowhere/today.backup"),
    "evidence": ("evidence", "ada@example.org", "--out", "nowhere/ada.zip"),
    "dkim keygen": ("dkim", "keygen", "--domain", "example.com", "--selector", "s2", "--out", "nowhere/s2.pem"),
    "suppress export": ("suppress", "export", "--out", "nowhere/refusals.csv"),
    "suppress clean": ("suppress", "clean", "list.csv", "--out", "nowhere/clean.csv"),
    "its bad rows": ("suppress", "clean", "list.csv", "--out", "clean.csv", "--rejects", "nowhere/bad.csv"),
    "bad rows of an import": ("suppress", "import", "list.csv", "--reason", "manual", "--rejects", "nowhere/bad.csv"),
    "records report": ("records", "report", "--month", "2026-10", "--out", "nowhere/october.html"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Installation(tmp_path_factory.mktemp("folders"))
    (place.folder / "list.csv").write_text("email\nada@example.org\n", "utf-8")
    return place


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_is_missing_is_named_and_not_made(place, words, lang, monkeypatch):
    monkeypatch.chdir(place.folder)
    done = CliRunner().invoke(root, ["--config", str(place.config), "--lang", lang, *words], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (2, {"en": "there is no folder nowhere\n", "zh": "没有目录 nowhere\n"}[lang])
    left = {path.name for path in place.folder.iterdir()}
    assert not [name for name in left if "nowhere" in name or "part" in name or "backup" in name]
