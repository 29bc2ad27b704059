"""relay backup and restore: everything or nothing, store and keys together, into an empty place only."""

import asyncio
import io
import os
import shutil
import stat
import tarfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner

from relay.cli import archive
from relay.cli.backup import backup, restore
from relay.errors import ConfigurationError, StoreUnavailable
from relay.keys import load_keys, new_keys, save_keys
from relay.policy.cases.transfers import Category, Crossing
from relay.records.append import Records
from relay.records.kinds import Kind
from relay.records.reading import Reader
from relay.records.search import Query, search, verify
from relay.stores.held import NEVER, HeldUpdate, Why
from relay.stores.ledger import Cleared
from relay.stores.opening import load_or_create_keys, open_store, read_store_name
from tests.contract.test_opening import TODAY, config_with
from tests.support.held import OWNER, held_copy, held_message, hold
from tests.support.small import SMALL_CONFIG
from tests.support.stores import ADA, BOB, EVE, digest, first_try, refusal, request


@click.group()
@click.option("--config")
def root(config):
    """As the command line hangs the commands up."""


root.add_command(backup)
root.add_command(restore)


@pytest.fixture
def place(tmp_path):
    """A node with a refusal, a chain of records and one policy set."""
    tmp_path.joinpath("config.toml").write_text(SMALL_CONFIG)
    config = config_with("sqlite", tmp_path)

    async def live():
        keys = load_or_create_keys(config, TODAY)
        store = await open_store(config, keys, time.time)
        await store.suppress(refusal())
        await store.aclose()
        Records.open(config.data_path / "records.db", keys, 0, time.time).close()

    asyncio.run(live())
    kept = config.data_path / "policies" / "sets" / "0011" / "streams"
    kept.mkdir(parents=True)
    kept.joinpath("news.toml").write_text("purpose = 'marketing'\n")
    config.data_path.joinpath("policies", "history.jsonl").write_text("{}\n")
    return config


def run(config, *words):
    return CliRunner(env={"RELAY_LANG": "en"}).invoke(root, ["--config", f"{config.folder}/config.toml", *map(str, words)])


def backed_up(config):
    out = config.path("backup.tar")
    result = run(config, "backup", out)
    assert result.exit_code == 0, result.output
    return out


def content(config) -> dict[str, bytes]:
    folder = config.data_path
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} if folder.exists() else {}


def lose(config):
    shutil.rmtree(config.data_path)


async def is_refused(config) -> bool:
    store = await open_store(config, load_keys(config.keys_path), time.time)
    (found,) = await store.find([(ADA,)])
    await store.aclose()
    return found == (refusal(),)


def test_what_was_backed_up_comes_back_whole(place):
    before = content(place)
    out = backed_up(place)
    lose(place)
    result = run(place, "restore", out)
    assert result.exit_code == 0, result.output
    after = content(place)
    for name in ("keys.toml", "store.id", "records.id", "policies/history.jsonl", "policies/sets/0011/streams/news.toml"):
        assert after[name] == before[name]
    assert asyncio.run(is_refused(place))
    assert not list(place.data_path.glob(".restoring*"))


def test_whose_data_left_the_country_comes_back_so_that_nobody_counts_twice(place):
    year = datetime.now(UTC).year  # of one that is over for a while it is forgotten who was counted

    def leave(who):
        crossing = Crossing(year, Category.ORDINARY, time.time() + 86400.0)

        async def clear():
            store = await open_store(place, load_keys(place.keys_path), time.time)
            asked = [replace(request(who), crossing=crossing)]
            (answer,) = await store.clear(digest(os.urandom(4)), first_try().submission_id, asked, 60.0, 3600.0)
            await store.aclose()
            assert isinstance(answer, Cleared)
            return answer.persons

        return asyncio.run(clear())

    assert (leave(BOB), leave(EVE)) == (1, 2)
    out = backed_up(place)
    lose(place)
    assert run(place, "restore", out).exit_code == 0
    assert (leave(EVE), leave(digest("another"))) == (0, 3)


def test_a_restore_is_recorded_in_the_same_chain(place):
    out = backed_up(place)
    lose(place)
    assert run(place, "restore", out).exit_code == 0
    reader = Reader(place.data_path / "records.db", load_keys(place.keys_path))
    (entry,) = list(search(reader, Query(kinds=frozenset({Kind.OPENED}))))
    verdict = verify(reader)
    reader.close()
    assert entry.record.facts["store"] == "sqlite"
    assert entry.record.facts["why"].startswith("restored from backup.tar, made at ")
    assert not verdict.broken


def test_a_backup_is_for_its_owner_only_and_leaves_nothing_beside_it(place):
    out = backed_up(place)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(path.name for path in out.parent.iterdir()) == ["backup.tar", "config.toml", "data"]


def test_a_backup_does_not_write_over_another(place):
    out = backed_up(place)
    before = out.read_bytes()
    result = run(place, "backup", out)
    assert (result.exit_code, out.read_bytes()) == (1, before)
    assert "exists and is not overwritten" in result.output


def test_there_must_be_something_to_back_up(tmp_path):
    tmp_path.joinpath("config.toml").write_text(SMALL_CONFIG)
    result = run(config_with("sqlite", tmp_path), "backup", tmp_path / "backup.tar")
    assert result.exit_code == 1
    assert "has no store yet" in result.output
    assert not tmp_path.joinpath("backup.tar").exists()


def test_store_and_keys_that_do_not_belong_together_are_no_backup(place):
    place.keys_path.unlink()
    save_keys(place.keys_path, new_keys(TODAY))
    result = run(place, "backup", place.path("backup.tar"))
    assert isinstance(result.exception, StoreUnavailable)
    assert result.exception.reason == "keys"
    assert not place.path("backup.tar").exists()


def test_a_restore_writes_over_nothing(place):
    out = backed_up(place)
    before = content(place)
    result = run(place, "restore", out)
    assert result.exit_code == 1
    assert "is not empty" in result.output
    assert content(place) == before


async def test_a_backup_of_a_store_under_load_is_of_one_moment(place):
    keys = load_keys(place.keys_path)
    store = await open_store(place, keys, time.time)
    await store.suppress_many([refusal(digest(n)) for n in range(3000)])
    stop = False

    async def pairs(lane):
        number = 0
        while not stop:
            number += 1
            await store.suppress_many([refusal(digest((lane, number, side))) for side in ("left", "right")])

    load = [asyncio.ensure_future(pairs(lane)) for lane in range(4)]
    result = await asyncio.to_thread(run, place, "backup", place.path("backup.tar"))
    stop = True
    await asyncio.gather(*load)
    await store.aclose()
    assert result.exit_code == 0, result.output
    lose(place)
    assert (await asyncio.to_thread(run, place, "restore", place.path("backup.tar"))).exit_code == 0
    store = await open_store(place, keys, time.time)
    (total,) = (await store.count()).values()
    assert total >= 3001
    assert total % 2 == 1  # ADA, the first three thousand, and pairs: never half of one
    await store.aclose()


def octets_of(tar, member):
    content = tar.extractfile(member)
    assert content is not None
    return content.read()


def altered(out, change):
    """The archive with its members changed: a list of (name, octets)."""
    with tarfile.open(out) as tar:
        members = [(member.name, octets_of(tar, member)) for member in tar]
    with tarfile.open(out, "w") as tar:
        for name, octets in change(members):
            member = tarfile.TarInfo(name)
            member.size = len(octets)
            tar.addfile(member, io.BytesIO(octets))


def listed(members, name, octets=b"x"):
    """The same archive with one more file that its list knows too."""
    manifest = orjson.loads(dict(members)["backup.json"])
    manifest["files"][name] = {"size": len(octets), "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    return [("backup.json", orjson.dumps(manifest)), *members[1:], (name, octets)]


# Held mail


MESSAGES = [held_message(number, 40_000) for number in range(3)]


async def holding(config, work):
    """Do something with the store, as a worker would."""
    store = await open_store(config, load_keys(config.keys_path), time.time)
    try:
        return await work(store)
    finally:
        await store.aclose()


async def hold_three(store):
    """One message waits for its time, one for a report, one for a login that is kept."""
    login = (OWNER, b"the sealed login of ada", time.time() + 3600)
    kinds: tuple[dict[str, Any], ...] = (
        {"due_at": 0.0},
        {"why": Why.REPORT, "due_at": 0.0},
        {"why": Why.AUTHENTICATION, "due_at": NEVER},
    )
    for message, facts in zip(MESSAGES, kinds, strict=True):
        lives = replace(message, expires_at=time.time() + 3600)
        await hold(store, lives, [held_copy(lives, "ada", **facts), held_copy(lives, "bob", **facts)], credentials=login)


def held_part(config):
    return asyncio.run(holding(config, hold_three))


def test_held_mail_comes_back_and_waits_for_a_person_since_it_may_have_left_meanwhile(place):
    held_part(place)
    out = backed_up(place)
    lose(place)
    result = run(place, "restore", out)
    assert result.exit_code == 0, result.output
    assert "4 held copies wait for a person" in result.output

    async def look(store):
        copies = await store.held_copies(None, 10)
        assert [(copy.why, copy.due_at == NEVER) for copy in copies] == [
            (Why.RULE, True), (Why.RULE, True), (Why.REPORT, False), (Why.REPORT, False), (Why.RULE, True), (Why.RULE, True),
        ]  # fmt: skip
        assert [(await store.held_message(message.id)).body for message in MESSAGES] == [m.body for m in MESSAGES]
        totals = await store.held_totals()
        assert (dict(totals.copies), totals.octets) == ({Why.RULE: 4, Why.REPORT: 2}, 120_000)
        assert {copy.why for copy in await store.claim(10, 600.0)} == {Why.REPORT}
        assert await store.update_held([HeldUpdate(copies[0], replace(copies[0], due_at=0.0))]) == 1
        assert [copy.recipient for copy in await store.claim(10, 600.0)] == [copies[0].recipient]

    asyncio.run(holding(place, look))


async def hold_until_now(store):
    message = replace(held_message(50), expires_at=time.time())
    await hold(store, message, [held_copy(message, "ada", due_at=0.0)])


def test_held_mail_of_an_old_backup_waits_for_a_person_too_and_nobody_is_told_that_it_failed(place):
    asyncio.run(holding(place, hold_until_now))
    out = backed_up(place)
    lose(place)
    assert run(place, "restore", out).exit_code == 0

    async def look(store):
        assert await store.claim(10, 600.0) == []
        ((copy,), kept) = await store.held_copies(None, 10), await store.held_message(held_message(50).id)
        assert (copy.why, copy.due_at) == (Why.RULE, NEVER)
        assert kept.expires_at > time.time() + 4 * 86400

    asyncio.run(holding(place, look))


def test_a_backup_holds_no_login(place):
    held_part(place)
    out = backed_up(place)
    assert b"the sealed login" not in out.read_bytes()
    lose(place)
    assert run(place, "restore", out).exit_code == 0

    async def login(store):
        return await store.credentials_of(OWNER)

    assert asyncio.run(holding(place, login)) is None


async def hold_and_forget_many(store):
    """Many logins were in custody, and what waited for them has left."""
    copies = []
    for number in range(300):
        message = replace(held_message(100 + number, 8), expires_at=time.time() + 3600)
        owner = digest(f"owner {number}")
        login = (owner, b"the sealed login of ada" * 10, time.time() + 3600)
        await hold(store, message, [held_copy(message, "ada", owner=owner)], credentials=login)
        copies += await store.held_copies(None, 10, message.id)
    assert await store.update_held([HeldUpdate(copy, None) for copy in copies]) == 300


def test_a_backup_holds_no_login_that_was_forgotten_before(place):
    asyncio.run(holding(place, hold_and_forget_many))
    out = backed_up(place)
    with tarfile.open(out) as archive:
        found = archive.extractfile(next(name for name in archive.getnames() if name.endswith("relay.db")))
        assert found is not None
        assert b"the sealed login" not in found.read()


def test_what_leaves_while_the_backup_is_made_is_not_in_it(place, monkeypatch):
    held_part(place)
    copy_database = archive.copy_database

    def copy_then_leave(source, target, progress):
        copy_database(source, target, progress)
        if source.name == "relay.db":
            asyncio.run(holding(place, leave))

    async def leave(store):
        for copy in await store.held_copies(None, 10, MESSAGES[0].id):
            await store.update_held([HeldUpdate(copy, None)])

    monkeypatch.setattr(archive, "copy_database", copy_then_leave)
    out = backed_up(place)
    lose(place)
    assert run(place, "restore", out).exit_code == 0

    async def kept(store):
        return [copy.message for copy in await store.held_copies(None, 10)], (await store.held_totals()).octets

    assert asyncio.run(holding(place, kept)) == ([m.id for m in MESSAGES[1:] for _ in "ab"], 80_000)


def test_a_body_that_is_lost_is_named_by_the_backup_and_missed_after_the_restore(place):
    held_part(place)
    lost = next(place.data_path.joinpath("held").glob(f"{MESSAGES[2].id}*"))
    lost.unlink()
    out = place.path("backup.tar")
    result = run(place, "backup", out)
    assert result.exit_code == 0
    assert f"{lost} is missing" in result.output
    lose(place)
    assert run(place, "restore", out).exit_code == 0

    async def miss(store):
        with pytest.raises(StoreUnavailable, match="is missing"):
            await store.held_message(MESSAGES[2].id)

    asyncio.run(holding(place, miss))


CHANGES = {
    "a file is missing": lambda members: [m for m in members if m[0] != "store.id"],
    "a file was altered": lambda members: [(n, o + b" " if n == "keys.toml" else o) for n, o in members],
    "the list is missing": lambda members: members[1:],
    "the list is damaged": lambda members: [("backup.json", b"{}"), *members[1:]],
    "the list is no list": lambda members: [("backup.json", b"[1]"), *members[1:]],
    "another format": lambda members: [("backup.json", members[0][1].replace(b'"format": 1', b'"format": 2')), *members[1:]],
    "a file more": lambda members: [*members, ("extra", b"x")],
    "a file that leads out": lambda members: listed(members, "../outside"),
    "a file that leads out through a folder": lambda members: listed(members, "policies/../../outside"),
    "an absolute file": lambda members: listed(members, "/tmp/outside"),
    "another store's name": lambda members: [
        ("backup.json", members[0][1].replace(b'"store_id": "0', b'"store_id": "1')),
        *members[1:],
    ],
    "a body beside the folder": lambda members: listed(members, "held/../outside"),
    "nothing": lambda members: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_is_not_as_it_was_written_puts_nothing_in_place(place, change):
    out = backed_up(place)
    altered(out, CHANGES[change])
    lose(place)
    result = run(place, "restore", out)
    assert result.exit_code == 1, result.output
    assert "cannot be used" in result.output
    assert content(place) == {}
    assert not place.path("outside").exists()


def test_an_archive_that_was_cut_off_puts_nothing_in_place(place):
    out = backed_up(place)
    whole = out.read_bytes()
    lose(place)
    for size in (0, 100, len(whole) // 2):
        out.write_bytes(whole[:size])
        assert run(place, "restore", out).exit_code == 1
        assert content(place) == {}


def test_a_link_in_an_archive_is_not_followed(place, tmp_path):
    out = backed_up(place)
    with tarfile.open(out) as tar:
        members = [(member, octets_of(tar, member)) for member in tar]
    with tarfile.open(out, "w") as tar:
        for member, octets in members:
            if member.name == "store.id":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(octets))
    lose(place)
    assert run(place, "restore", out).exit_code == 1
    assert content(place) == {}


def with_keys_elsewhere(config):
    path = config.path("config.toml")
    path.write_text(SMALL_CONFIG + '[keys]\nfile = "elsewhere/keys.toml"\n')
    return config.model_copy(update={"keys": config.keys.model_copy(update={"file": "elsewhere/keys.toml"})})


def test_keys_go_where_the_configuration_wants_them(place):
    out = backed_up(place)
    keys = load_keys(place.keys_path)
    lose(place)
    moved = with_keys_elsewhere(place)
    assert run(moved, "restore", out).exit_code == 0
    assert load_keys(moved.keys_path) == keys
    assert not place.data_path.joinpath("keys.toml").exists()


def test_other_keys_in_that_place_are_not_overwritten(place):
    out = backed_up(place)
    lose(place)
    moved = with_keys_elsewhere(place)
    others = new_keys(TODAY)
    save_keys(moved.keys_path, others)
    result = run(moved, "restore", out)
    assert isinstance(result.exception, ConfigurationError)
    assert load_keys(moved.keys_path) == others
    assert content(moved) == {}


def test_a_backup_of_another_kind_of_store_is_refused(place):
    out = backed_up(place)
    lose(place)
    place.path("config.toml").write_text(SMALL_CONFIG + '[store]\nurl = "redis://127.0.0.1:1/0"\n')
    result = run(place, "restore", out)
    assert isinstance(result.exception, ConfigurationError)
    assert content(place) == {}


def test_a_node_with_redis_backs_up_what_is_local_and_says_so(place):
    name = read_store_name(place.data_path)
    assert name is not None
    place.data_path.joinpath("store.id").write_bytes(orjson.dumps({"store_id": name.store_id, "kind": "redis"}))
    for file in place.data_path.glob("relay.db*"):
        file.unlink()
    place.path("config.toml").write_text(SMALL_CONFIG + '[store]\nurl = "redis://127.0.0.1:1/0"\n')
    out = place.path("backup.tar")
    result = run(place, "backup", out)
    assert result.exit_code == 0
    assert "What is in Redis is not in this file" in result.output
    lose(place)
    result = run(place, "restore", out)
    assert result.exit_code == 0, result.output
    assert "restore Redis before you start the relay" in result.output
    assert {"store.id", "keys.toml", "records.db"} <= set(content(place))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_root_does_not_touch_the_folder_of_the_service(place):
    os.chown(place.data_path, 12345, -1)
    result = run(place, "backup", place.path("backup.tar"))
    assert isinstance(result.exception, ConfigurationError)
    assert "sudo -u" in str(result.exception)
