"""docs/data names everything that is stored, and docs/controls only commands that work; both in two languages."""

import asyncio
import re
import shlex
import sqlite3
import time
from contextlib import chdir, closing
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest
from click.testing import CliRunner
from redis import Redis

from relay.answer import ReportFate, Result, Standing
from relay.cli.main import root
from relay.cli.opening import open_all
from relay.mail.reply import reply
from relay.policy.cases.reputation import Feedback, Measure, Pause
from relay.policy.cases.transfers import Category, Crossing
from relay.policy.consents.consent import Details
from relay.policy.suppressions.suppression import Reason
from relay.records.facts import finished_record, received_record
from relay.service.policies import PolicyArchive
from relay.stores.adaptations import Adaptation, Kind, Scope
from relay.stores.ledger import Closing, Opening
from tests.support import stores
from tests.support.beginner import begin
from tests.support.held import LEASE, OWNER, held_copy, held_message, hold, lane
from tests.support.netease import NetEase
from tests.support.records import a_first_try, a_message, a_submission, permitted
from tests.support.stores import ADA, BOB, EVE, START, charge, consent, die_before, digest, first_try, new_redis, refusal

DOCS = Path(__file__).resolve().parents[2] / "docs"
LANGUAGES = {"en": "", "zh": ".zh"}
HEADS = {
    "files": ("Files of a node", "节点上的文件"),
    "relay.db": ("Tables of relay.db", "relay.db 的表"),
    "records.db": ("Tables of records.db", "records.db 的表"),
    "redis": ("Keys in Redis", "Redis 中的键"),
}


def guide(name, language):
    return (DOCS / f"{name}{LANGUAGES[language]}.md").read_text("utf-8")


def named(language, chapter):
    """What stands in the first column of a chapter's table."""
    head = HEADS[chapter][language == "zh"]
    part = guide("data", language).split(f"## {head}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE))


def commands(name, language):
    """In the order of the page: the console blocks, or the cells of a table."""
    text = guide(name, language)
    return re.findall(r"^\$ relay (.+)$", text, re.MULTILINE) + re.findall(r"\| `relay ([^`]+)` \|", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An afternoon's node whose service was started once: Ada had one mail, then was taken off; a message waits to be judged."""
    folder = tmp_path_factory.mktemp("guide")
    with NetEase("news@qingshan.test", "secret") as upstream:
        _begin(folder, upstream)
        yield folder


def _begin(folder, upstream):
    begin(folder, "--private-ca", provider=f"netease {upstream.address}", ca_file=upstream.ca_file)
    (folder / "backups").mkdir()
    (folder / "message.eml").write_bytes(b"From: news@qingshan.test\r\nTo: ada@example.org\r\nSubject: News\r\n\r\nHello\r\n")

    async def start():
        async with open_all(str(folder / "config.toml")) as opened:
            policy = PolicyArchive(opened.config.data_path).in_force()
            mail = a_submission(1, ["ada@example.org"])
            (ada,) = mail.recipients
            person = opened.records.person
            await opened.records.append(
                received_record(mail, a_message(), [permitted(ada)], str(policy), a_first_try(mail), person)
            )
            sent = Result(ada, Standing.DELIVERED, reply(250, "0.0", "OK"), upstream="netease", upstream_text="250 queued")
            last = reply(250, "0.0", "OK")
            await opened.records.append_many(finished_record(mail, [sent], ReportFate.NOT_NEEDED, last, mail.at + 2, person))
            await hold(opened.store, held_message(), [held_copy(held_message(), "ada")])

    run(folder, 'policy apply policies --reason "first"')
    asyncio.run(start())
    run(folder, "suppress add ada@example.org --reason manual")


def run(folder, command):
    if command.startswith("evidence"):
        (folder / "ada.zip").unlink(missing_ok=True)  # of another page: it is written over nothing
    with chdir(folder):
        return CliRunner().invoke(root, ["--lang", "en", *shlex.split(command)], catch_exceptions=False)


@pytest.mark.parametrize("name", ["data", "controls"])
def test_both_languages_have_the_same_headings_commands_and_rows(name):
    english, chinese = guide(name, "en"), guide(name, "zh")
    for pattern in (r"^(#{1,6}) ", r"^(\|)", r"^(- )", r"^\| (?:`([^`]+)`|(A\.\d+\.\d+))"):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, chinese, re.MULTILINE)
    assert commands(name, "en") == commands(name, "zh") != []
    assert f"({name}.zh.md)" in english
    assert f"({name}.md)" in chinese


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("database", ["relay.db", "records.db"])
def test_every_table_is_named_and_no_other(folder, language, database):
    with closing(sqlite3.connect(folder / "data" / database)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert named(language, database) == {table for table in tables if not table.startswith("sqlite_")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_file_is_named_and_no_other(folder, language):
    with_their_databases = re.compile(r".*(\.lock|-wal|-shm)")
    found = {f"{path.name}/" if path.is_dir() else path.name for path in (folder / "data").iterdir()}
    assert named(language, "files") == {name for name in found if not with_their_databases.fullmatch(name)}


async def keys_of(server):
    """The kinds of keys that a store in use has."""
    store = await new_redis(server.url, None)
    try:
        await store.suppress(refusal(ADA))
        await store.suppress(refusal(EVE, Reason.HARD_BOUNCE, expires_at=START + 10**9))
        await store.lift([ADA], "organisation", refusal().reason, consent(said=Details(country="KR").dump()), "")
        key = digest("a message")
        await store.open_submission(key, Opening(first_try(), 86400.0, [BOB]))
        await store.clear(key, first_try().submission_id, [stores.request(BOB, charge(5)), stores.request(EVE)], 60.0, 3600.0)
        abroad = Crossing(2026, Category.ORDINARY, time.time() + 86400.0)
        await store.clear(
            digest("another"), first_try(2).submission_id, [replace(stores.request(ADA), crossing=abroad)], 60.0, 3600.0
        )
        await store.finish(key, [replace(stores.delivered(EVE), stream="news")])
        answered, known = digest("an answered one"), first_try(3).submission_id
        await store.open_submission(answered, Opening(first_try(3), 86400.0, [ADA]))
        await store.finish(answered, [stores.delivered(ADA, "", known)])
        await store.close(answered, Closing(known, remember=900.0))
        pause = Pause("offers", START, "Wang Min", Measure.MANUAL, "wrong prices", "wrong prices")
        await store.pause(pause)
        await store.resume("offers")
        await store.pause(pause)
        await store.note_sending("news", "2026-11-21")
        await store.note([Feedback("news", Measure.COMPLAINTS, first_try().submission_id, BOB, time.time())])
        await store.adapt(Adaptation(digest("a rest"), Kind.REST, "up", Scope.UPSTREAM, b"", time.time(), time.time() + 900.0))
        await hold_some(store, time.time())
        await hold_many(server)
    finally:
        await store.aclose()
    with closing(Redis.from_url(server.url)) as redis:
        names = [bytes(name) for name in redis.scan_iter()]
    assert all(name.startswith(b"{relay}:") for name in names)
    return {name.decode(errors="replace").removeprefix("{relay}:").partition(":")[0] for name in names}


async def hold_some(store, now):
    """One lane has its turn, one sleeps, one rests."""
    message = held_message(expires_at=now + 86400.0)
    in_turn = [held_copy(message, who, due_at=now - 60.0) for who in ("ada", "bob")]
    later = held_copy(message, "eve", lane("later"), due_at=now + 3600.0)
    await hold(store, message, [*in_turn, later], credentials=(OWNER, b"sealed", now + 3600.0))
    await store.claim(1, LEASE)
    await store.update_held([], {lane("resting"): now + 3600.0})


async def hold_many(server):
    """More than fit into one step: their node is gone before they have places of their own."""
    message = held_message(2)
    copies = [held_copy(message, who) for who in range(101)]
    await die_before(server.url, None, "unfold", lambda dying: hold(dying, message, copies))


async def test_every_redis_key_is_named_and_no_other(redis_server):
    redis_server.command("FLUSHALL")
    kinds = await keys_of(redis_server)
    for language in LANGUAGES:
        assert named(language, "redis") == kinds


# What ends with 1 on such a machine: something was found that a person should know.
FINDS = {
    "check": "Still to do:",
    "explain message.eml": "base/suppression",
    "suppress check ada@example.org": "ada@example.org",
}


@pytest.mark.parametrize("name", ["data", "controls"])
def test_every_command_runs(folder, name):
    for command in commands(name, "en"):
        done = run(folder, command)
        assert done.exit_code == (command in FINDS), f"{command}: {done.output}"
        assert FINDS.get(command, "") in done.output
        assert done.output.strip(), command


def test_every_finding_is_of_a_command_in_the_documents():
    assert FINDS.keys() <= {command for name in ("data", "controls") for command in commands(name, "en")}


def test_what_the_page_promises_of_each_command_is_what_it_shows(folder):
    for command in commands("data", "en"):
        run(folder, command)
    assert "objection" in run(folder, "suppress check ada@example.org").output
    assert "ada@example.org" in run(folder, "records search ada@example.org --addresses").output
    with ZipFile(folder / "ada.zip") as archive:
        held = orjson.loads(archive.read("evidence.json"))
    assert {"received", "finished"} <= {record["kind"] for record in held["records"]}
    assert [history["mailbox"] for history in held["histories"]] == ["ada@example.org"]
    assert "deleted" in run(folder, "policy show").output  # what is not done is said
    assert "first" in run(folder, "records search --kind policy").output
