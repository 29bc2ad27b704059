"""Whoever removes or exchanges a file under a running relay stops the mail, not the law; what comes back lets it flow."""

from datetime import date
from pathlib import Path

import pytest

from relay.keys import load_keys, new_keys, save_keys
from tests.support.fixtures import an_upstream
from tests.support.journey import readiness
from tests.support.trusting import is_open, is_shut, open_relay

upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream):
    with open_relay(tmp_path_factory.mktemp("lost"), upstream) as relay:
        yield relay


@pytest.mark.parametrize(("name", "reason"), [("relay.db", "store: empty"), ("records.db", "records: ")])
def test_a_database_that_is_removed(relay, upstream, name, reason):
    here, away = relay.data / name, relay.folder / name
    here.rename(away)
    assert is_shut(relay, upstream, reason)
    away.rename(here)
    relay.wait(lambda: is_open(relay, upstream))


def test_a_store_id_that_is_damaged(relay, upstream):
    """A relay that starts like this answers 451 and says why, as one that runs does; it goes on when the file is back."""
    path = relay.data / "store.id"
    known = path.read_bytes()
    path.write_bytes(known[: len(known) // 2])
    relay.restart()
    assert is_shut(relay, upstream, "store: foreign")
    path.write_bytes(known)
    relay.wait(lambda: is_open(relay, upstream))


def _swapped(path):
    save_keys(path, new_keys(date(2026, 11, 1)))


def _damaged(path):
    path.write_text("[[addresses]]")


@pytest.mark.parametrize("spoil", [_swapped, _damaged, Path.unlink], ids=["another", "damaged", "removed"])
def test_a_key_file_that_is_spoilt_under_a_running_relay(relay, upstream, spoil):
    path = relay.data / "keys.toml"
    before = path.read_bytes()
    spoil(path)
    relay.wait(lambda: "store: keys" in readiness(relay)[1])
    relay.wait(lambda: all(f"worker-{number}: store keys" in readiness(relay)[1] for number in (1, 2)))
    assert is_shut(relay, upstream, "store: keys")
    path.write_bytes(before)
    path.chmod(0o600)
    relay.wait(lambda: is_open(relay, upstream))


def test_a_generation_that_is_taken_out_under_a_running_relay(relay, upstream):
    path = relay.data / "keys.toml"
    before = load_keys(path)
    assert relay.command("keys", "rotate", "addresses").returncode == 0
    relay.wait(lambda: is_open(relay, upstream))
    rotated = load_keys(path)
    save_keys(path, before)
    relay.wait(lambda: all(f"worker-{number}: store keys" in readiness(relay)[1] for number in (1, 2)))
    assert is_shut(relay, upstream, "store: keys")
    save_keys(path, rotated)
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
