"""Whoever removes or exchanges a file under a running relay stops the mail, not the law; what comes back lets it flow."""

from datetime import date

import pytest

from relay.keys import load_keys, new_keys, save_keys
from tests.support.trusting import is_open, is_shut, trusting_relay
from tests.support.upstream import RecordingUpstream


@pytest.fixture(scope="module")
def upstream():
    with RecordingUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream):
    with trusting_relay(tmp_path_factory.mktemp("lost"), upstream) as relay:
        assert is_open(relay, upstream)
        yield relay


@pytest.mark.parametrize(("name", "reason"), [("relay.db", "store: removed"), ("records.db", "records: ")])
def test_a_database_that_is_removed(relay, upstream, name, reason):
    here, away = relay.data / name, relay.folder / name
    here.rename(away)
    assert is_shut(relay, upstream, reason)
    away.rename(here)
    relay.wait(lambda: is_open(relay, upstream))


def test_a_key_file_that_is_another_one(relay, upstream):
    path = relay.data / "keys.toml"
    before = load_keys(path)
    save_keys(path, new_keys(date(2026, 11, 1)))
    relay.restart()
    assert is_shut(relay, upstream, "store: keys")
    save_keys(path, before)
    relay.restart()
    assert is_open(relay, upstream)


def test_a_key_generation_that_was_taken_out(relay, upstream):
    path = relay.data / "keys.toml"
    before = load_keys(path)
    assert relay.command("keys", "rotate", "addresses").returncode == 0
    rotated = load_keys(path)
    relay.restart()
    assert is_open(relay, upstream)
    save_keys(path, before)
    relay.restart()
    assert is_shut(relay, upstream, "store: keys")
    save_keys(path, rotated)
    relay.restart()
    assert is_open(relay, upstream)
