"""`relay streams`: the thresholds that it shows are those that the relay acts by."""

import re

import orjson
import pytest
from click.testing import CliRunner

from relay.cli.main import root
from relay.policy.deciding.thresholds import PAUSABLE
from relay.policy.suppressions.suppression import Purpose
from tests.support.installation import Installation


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("streams"))


def run(place, *words, lang="en"):
    done = CliRunner().invoke(root, ["--config", str(place.config), "--lang", lang, "streams", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("key", ["complaints", "hard_bounces"])
def test_only_what_may_pause_a_stream_is_given_to_machines(place, key):
    rows = orjson.loads(run(place, "--json"))
    assert {row["purpose"] in PAUSABLE for row in rows} == {True, False}
    for row in rows:
        assert row[key]["warn"].endswith("%")
        assert (row[key]["pause"] is not None) == (Purpose(row["purpose"]) in PAUSABLE)


@pytest.mark.parametrize(
    ("lang", "pauses", "warns"),
    [
        ("en", "(warn 0.1%, pause 0.3%)", "(warn 0.1%, never pauses)"),
        ("zh", "（告警 0.1%，暂停 0.3%）", "（告警 0.1%，从不暂停）"),
    ],
)
def test_people_read_which_rates_only_warn(place, lang, pauses, warns):
    shown = run(place, lang=lang)
    newsletter, letters = (_lines(shown, stream) for stream in ("newsletter", "correspondence"))
    assert (pauses in newsletter, warns in newsletter) == (True, False)
    assert (pauses in letters, warns in letters) == (False, True)


def _lines(shown, stream):
    """What is said of one stream: its name stands at the margin, all else is indented."""
    return re.search(rf"^{stream} .*\n((?:  .*\n)+)", shown, re.MULTILINE)[1]
