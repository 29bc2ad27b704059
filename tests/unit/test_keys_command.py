"""`relay keys rotate`: a new generation, or none where it would part this node from the store."""

import asyncio
import sqlite3
from datetime import date

import pytest
from click.testing import CliRunner

from relay.cli import keys as command
from relay.cli.main import root
from relay.cli.opening import open_all
from relay.config import load_config
from relay.keys import load_keys, new_keys, save_keys
from relay.records.kinds import Kind
from relay.records.search import Query, search
from tests.support.small import SMALL_CONFIG

ANOTHER = frozenset({"addresses:2:ffffffffffffffff"})


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The key file of a node that has a store."""
    (tmp_path / "config.toml").write_text(SMALL_CONFIG)
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RELAY_LANG", "en")

    async def open_once():
        async with open_all(None) as opened:
            await opened.store.check()

    asyncio.run(open_once())
    return load_config(None).keys_path


def rotate(ring="addresses"):
    return CliRunner().invoke(root, ["keys", "rotate", ring, "--by", "Wang Min"])


def of_the_store():
    async def ask():
        async with open_all(None) as opened:
            kept = search(opened.records.reader, Query(kinds=frozenset({Kind.KEYS})))
            return (await opened.store.meta()).fingerprints, [found.record.facts["by"] for found in kept]

    return asyncio.run(ask())


@pytest.mark.parametrize("ring", ["addresses", "tokens", "records", "held"])
def test_the_new_generation_is_in_the_file_the_store_and_the_records(path, ring):
    before = load_keys(path)
    done = rotate(ring)
    assert (done.exit_code, "takes it up by itself" in done.output) == (0, True), done.output
    after = load_keys(path)
    assert getattr(after, ring).keys[1:] == getattr(before, ring).keys
    assert of_the_store() == (after.fingerprints, ["Wang Min"])


def test_who_rotated_is_on_record_although_nobody_said_so(path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "limei")
    assert CliRunner().invoke(root, ["keys", "rotate", "tokens"]).exit_code == 0
    assert of_the_store()[1] == ["limei"]


def test_a_node_that_lacks_the_newest_keys_makes_none(path):
    async def elsewhere():
        async with open_all(None) as opened:
            await opened.store.extend(ANOTHER)

    asyncio.run(elsewhere())
    before = path.read_bytes()
    done = rotate()
    assert done.exit_code == 4
    assert path.read_bytes() == before


def test_of_two_nodes_that_rotate_at_once_one_takes_its_generation_back(path, monkeypatch):
    before = load_keys(path)

    def slow(place, keys):
        """Another node's generation reaches the store while ours is written."""
        if keys != before:
            db = sqlite_of(path)
            known = db.execute("SELECT fingerprints FROM meta").fetchone()[0]
            db.execute("UPDATE meta SET fingerprints = ?", ("\n".join(sorted({*known.split(), *ANOTHER})),))
            db.commit()
            db.close()
        save_keys(place, keys)

    monkeypatch.setattr(command, "save_keys", slow)
    done = rotate()
    assert done.exit_code == 4, done.output
    assert load_keys(path) == before


def test_a_store_that_goes_away_meanwhile_gets_the_generation_when_it_is_back(path, monkeypatch):
    name = path.with_name("store.id")
    known = name.read_bytes()

    def interrupted(place, keys):
        save_keys(place, keys)
        name.write_bytes(b"damaged")

    monkeypatch.setattr(command, "save_keys", interrupted)
    done = rotate()
    assert (done.exit_code, "when the store is back" in done.output) == (0, True), done.output
    name.write_bytes(known)
    assert of_the_store()[0] == load_keys(path).fingerprints
    assert len(load_keys(path).addresses.keys) == 2


def test_a_swapped_key_file_is_not_built_upon(path):
    other = new_keys(date(2026, 11, 1))
    save_keys(path, other)
    assert rotate().exit_code == 4
    assert load_keys(path) == other


def sqlite_of(path):
    return sqlite3.connect(path.with_name("relay.db"))
