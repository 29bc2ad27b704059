"""`relay suppress`: what goes in, what comes out, and what a refusal takes to be lifted."""

import asyncio
import csv
import hashlib
import io
import json
import os
import time
from datetime import datetime, timedelta

import pytest

from relay.cli.opening import open_all
from relay.errors import ConfigurationError, StoreUnavailable
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.kinds import Kind, Record
from relay.stores.formats import OWN_COLUMNS, is_formula
from relay.stores.sqlite import SQLiteStore
from tests.support.ports import free_port
from tests.support.suppressing import Relay, a_small_relay, relays_on_both_stores

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"


relay = relays_on_both_stores()
small = a_small_relay()


# Adding and looking


def test_added_is_found_by_any_spelling(relay):
    relay("add", "Ada@Example.COM", "--reason", "manual", "--note", "她打过电话", "--by", "Wang Min")
    (row,) = relay.json("check", ADA, code=1)[ADA]
    assert (row["reason"], row["scope"], row["note"], row["origin"]) == ("manual", ORGANISATION, "她打过电话", "cli")
    assert row["stops"] == ["marketing"]
    assert relay.json("check", BOB) == {BOB: []}
    assert "on the list already" in relay("add", ADA, "--reason", "manual").output
    (facts,) = relay.facts(Kind.SUPPRESSED)
    assert (facts["reason"], facts["by"], facts["note"]) == ("manual", "Wang Min", "她打过电话")
    (row,) = relay.json("check", ADA, code=1)[ADA]
    (applied,) = relay.facts(Kind.APPLIED)
    assert (applied["number"], applied["in_flight"]) == (row["number"], row["in_flight"]) == (1, [])


def test_an_entry_says_which_mail_it_stops(small):
    small("add", ADA, "--reason", "legal")
    small("add", BOB, "--reason", "hard_bounce", "--expires", "180d")
    assert small.json("check", ADA, code=1)[ADA][0]["stops"] == ["marketing", "service", "correspondence"]
    (row,) = small.json("check", BOB, code=1)[BOB]
    assert row["stops"] == ["marketing", "service", "correspondence", "notice"]
    ends = datetime.fromisoformat(row["expires_at"]) - datetime.now().astimezone()
    assert timedelta(days=179) < ends < timedelta(days=181)


def test_a_stream_must_be_there(small):
    small("add", ADA, "--reason", "unsubscribe", "--stream", "newsletter")
    assert small.json("check", ADA, code=1)[ADA][0]["scope"] == "stream:newsletter"
    assert "newsleter" in small("add", ADA, "--reason", "unsubscribe", "--stream", "newsleter", code=2).output


@pytest.mark.parametrize(
    "words",
    [
        ("add", "not an address", "--reason", "manual"),
        ("add", ADA, "--reason", "complaint", "--expires", "180d"),
        ("add", ADA, "--reason", "hard_bounce", "--expires", "soon"),
        ("add", ADA),
        ("check", "nobody"),
        ("lift", ADA, "--consent", "form", "--at", "tomorrow"),
        ("lift", ADA, "--consent", "form", "--at", "2099-01-01"),
        ("import", "missing.csv"),
    ],
)
def test_what_cannot_be_meant_is_said_in_both_languages(small, words):
    english, chinese = small(*words, code=2).output, small(*words, code=2, lang="zh").output
    assert english
    assert "Traceback" not in english + chinese


def test_the_list_counts_and_shows(relay):
    relay("add", ADA, BOB, "--reason", "manual")
    relay("add", EVE, "--reason", "complaint", "--stream", "newsletter")
    shown = relay.json("list")
    assert {(c["reason"], c["scope"]): c["count"] for c in shown["counts"]} == {
        ("manual", ORGANISATION): 2, ("complaint", "stream:newsletter"): 1,
    }  # fmt: skip
    assert {row["address"] for row in shown["entries"]} == {ADA, BOB, EVE}
    assert [row["address"] for row in relay.json("list", "--reason", "complaint")["entries"]] == [EVE]
    assert [row["address"] for row in relay.json("list", "--stream", "newsletter")["entries"]] == [EVE]
    assert len(relay.json("list", "--limit", "1")["entries"]) == 1
    assert ADA in relay("list").output


def journalled(relay, address):
    """A one-click refusal that the store does not have yet."""

    async def journal():
        async with open_all(str(relay.folder / "config.toml")) as opened:
            entry = Suppression(opened.keys.addresses.digest(address), ORGANISATION, Reason.UNSUBSCRIBE, "one_click", time.time())
            await opened.records.journal_refusal(Record(Kind.SUPPRESSED, "0" * 26, entry.at), entry)

    asyncio.run(journal())


def test_a_journalled_refusal_is_shown_before_the_store_has_it(small):
    journalled(small, ADA)
    assert small.json("check", ADA, code=1)[ADA][0]["origin"] == "one_click"
    out = small.folder / "out.csv"
    small("clean", small.file("in.csv", f"{ADA}\n{BOB}\n"), "--out", out)
    assert out.read_text() == f"{BOB}\n"


# Lifting


def test_a_refusal_is_lifted_only_by_a_consent(relay):
    relay("add", ADA, "--reason", "unsubscribe")
    assert "only a later consent" in relay("lift", ADA, "--reason", "she is a good customer", code=2).output
    early = (datetime.now().astimezone() - timedelta(days=1)).isoformat()
    assert "later than the refusal" in relay("lift", ADA, "--consent", "form", "--at", early, code=2).output
    assert relay.json("check", ADA, code=1)[ADA]
    relay("lift", ADA, "--consent", "signed form, 2026-11-21, shop in Suzhou", "--by", "Wang Min")
    assert relay.json("check", ADA) == {ADA: []}
    (facts,) = relay.facts(Kind.LIFTED)
    assert (facts["reason"], facts["by"]) == ("unsubscribe", "Wang Min")
    assert facts["consent"]["evidence"] == "signed form, 2026-11-21, shop in Suzhou"
    (row,) = relay.json("check", ADA, "--history")[ADA]
    assert row["lifted_by"] == facts["consent"]["id"]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_refusal_that_waits_in_the_journal_is_not_lifted_by_an_older_consent(small, is_known):
    if is_known:
        small("import", small.file("list.csv", f"{ADA}\n"), "--reason", "unsubscribe", "--at", "2026-01-01T00:00")
    journalled(small, ADA)
    result = small("lift", ADA, "--consent", "form", "--at", "2026-02-01T00:00", code=2)
    assert "later than the refusal" in result.output
    (row,) = small.json("check", ADA, code=1)[ADA]
    assert (row["again_at"] is not None) == is_known
    small("lift", ADA, "--consent", "by telephone, today")
    assert small.json("check", ADA) == {ADA: []}


def test_adding_again_is_remembered(small):
    small("add", ADA, "--reason", "objection")
    before = datetime.now().astimezone()
    assert small.json("add", ADA, "--reason", "objection") == {ADA: False}
    small("lift", ADA, "--consent", "form", "--at", before.isoformat(), code=2)
    assert len(small.json("check", ADA, "--history", code=1)[ADA]) == 1
    assert len(small.facts(Kind.SUPPRESSED)) == 1


def test_a_refusal_that_is_said_again_during_the_lifting_stays(small, monkeypatch):
    lift = SQLiteStore.lift

    async def late(store, digests, scope, reason, *rest):
        await store.suppress(Suppression(digests[0], scope, reason, "page", time.time()))
        return await lift(store, digests, scope, reason, *rest)

    monkeypatch.setattr(SQLiteStore, "lift", late)
    small("add", ADA, "--reason", "unsubscribe")
    assert "must be later than the refusal" in small("lift", ADA, "--consent", "by telephone", code=2).output
    assert small.json("check", ADA, code=1)[ADA][0]["in_force"]
    assert small.facts(Kind.LIFTED) == []


def test_anything_else_is_lifted_with_a_reason(relay):
    relay("add", ADA, "--reason", "hard_bounce")
    assert "--reason" in relay("lift", ADA, "--consent", "form", code=2).output
    relay("lift", ADA, "--reason", "the mailbox is back")
    assert relay.json("check", ADA) == {ADA: []}
    (facts,) = relay.facts(Kind.LIFTED)
    assert (facts["consent"], facts["note"]) == (None, "the mailbox is back")


def test_what_was_not_asked_for_stays(small):
    small("add", ADA, "--reason", "unsubscribe")
    small("add", ADA, "--reason", "complaint", "--stream", "newsletter")
    small("add", ADA, "--reason", "manual")
    lifted = small.json("lift", ADA, "--only", "complaint", "--consent", "by telephone")["lifted"]
    assert [row["reason"] for row in lifted] == ["complaint"]
    partly = json.loads(small("lift", ADA, "--consent", "by telephone", "--json", code=1).stdout)
    assert ([r["reason"] for r in partly["lifted"]], [r["reason"] for r in partly["left"]]) == (["unsubscribe"], ["manual"])
    assert [row["reason"] for row in small.json("check", ADA, code=1)[ADA]] == ["manual"]


def test_nothing_to_lift_is_a_finding(small):
    assert "nothing on the list" in small("lift", ADA, "--consent", "form", code=1).output


# Import


def test_an_import_is_counted_recorded_and_in_force(relay):
    path = relay.file("ses.csv", f"{ADA},BOUNCE\nnobody,BOUNCE\n{BOB},COMPLAINT\n{ADA},BOUNCE\n")
    result = relay("import", path, code=1)
    assert "3 rows, 2 new, 1 known, 0 left out, 1 bad" in result.stdout
    assert "line 2" in result.stderr
    assert [row["reason"] for row in relay.json("check", ADA, code=1)[ADA]] == ["hard_bounce"]
    (facts,) = relay.facts(Kind.SUPPRESSED)
    assert (facts["rows"], facts["new"], facts["rejected"], facts["origin"]) == (3, 2, 1, "import:ses")
    assert facts["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    again = relay.json("import", path, code=1)
    assert (again["new"], again["rows"]) == (0, 3)


def test_a_list_without_reasons_needs_one(small):
    path = small.file("plain.txt", f"{ADA}\n{BOB}\n")
    assert "--reason" in small("import", path, code=2).output
    assert small.json("import", path, "--reason", "unsubscribe", "--stream", "newsletter")["new"] == 2
    assert small.json("check", ADA, code=1)[ADA][0]["scope"] == "stream:newsletter"


def test_a_dry_run_counts_and_writes_nothing(small):
    small("add", ADA, "--reason", "complaint")
    path = small.file("ses.csv", f"{ADA},COMPLAINT\n{BOB},COMPLAINT\n")
    assert small.json("import", path, "--dry-run")["new"] == 1
    assert small.json("check", BOB) == {BOB: []}
    assert len(small.facts(Kind.SUPPRESSED)) == 1


def test_an_import_neither_lifts_nor_revives(small):
    """A list from before the consent does not take the consent back; its time is the file's when it says none."""
    small("add", ADA, "--reason", "unsubscribe")
    small("lift", ADA, "--consent", "form")
    path = small.file("old.txt", f"{ADA}\n")
    yesterday = time.time() - 86400
    os.utime(path, (yesterday, yesterday))
    assert small.json("import", path, "--reason", "unsubscribe")["new"] == 0
    assert small.json("check", ADA) == {ADA: []}
    small("add", BOB, "--reason", "complaint")
    own = ",".join(OWN_COLUMNS) + f"\n{BOB},,,organisation,complaint,cli,2020-01-01,,2021-01-01,reason: x,\n"
    assert small.json("import", small.file("own.csv", own))["left_out"] == 1
    assert small.json("check", BOB, code=1)[BOB]


def test_the_first_bad_rows_are_shown_and_all_are_written(small):
    path = small.file("list.csv", "".join(f"=bad{n},BOUNCE\n" for n in range(30)) + f"{ADA},BOUNCE\n")
    result = small("import", path, "--rejects", small.folder / "bad.csv", "--format", "ses", code=1)
    assert result.stderr.count("line ") == 20
    assert "10 more" in result.stderr
    written = list(csv.reader(io.StringIO((small.folder / "bad.csv").read_bytes().decode("utf-8-sig"))))
    assert written[0] == ["line", "why", "row"]
    assert [(row[0], row[2]) for row in written[1:]] == [(str(n + 1), f"'=bad{n}") for n in range(30)]


def test_a_list_may_come_through_a_pipe(small):
    small("import", "-", "--reason", "manual", input=f"{ADA}\n".encode())
    assert small.json("check", ADA, code=1)[ADA]


def test_a_file_without_rows_is_a_finding(small):
    assert "no rows" in small("import", small.file("empty.csv", b""), code=1).output


def test_what_was_written_before_a_fault_is_recorded(small, monkeypatch):
    monkeypatch.setattr("relay.cli.lists.TOGETHER", 2)
    path = small.file("mixed.csv", f"email,reason\n{ADA},complaint\n{BOB},complaint\n{EVE},\n")
    small("import", path, code=2)
    (facts,) = small.facts(Kind.SUPPRESSED)
    assert facts["new"] == 2


# Export and clean


def test_an_export_moves_everything_to_another_store(tmp_path):
    """With the same keys: entries without an address too."""
    old, new = Relay(tmp_path / "old"), Relay(tmp_path / "new")
    for _ in range(2):
        old("add", ADA, "--reason", "complaint", "--note", "=2+2", "--stream", "newsletter")
    (before,) = old.json("check", ADA, code=1)[ADA]

    async def by_link():
        async with open_all(str(old.folder / "config.toml")) as opened:
            entry = Suppression(opened.keys.addresses.digest(BOB), ORGANISATION, Reason.UNSUBSCRIBE, "one_click", 1.7e9)
            await opened.store.suppress(entry)

    asyncio.run(by_link())
    assert "1 of them without an address" in old("export", "--out", old.folder / "list.csv").stderr
    text = (old.folder / "list.csv").read_bytes().decode("utf-8-sig")
    assert {row["note"] for row in csv.DictReader(io.StringIO(text))} == {"'=2+2", ""}
    assert (old.folder / "list.csv").stat().st_mode & 0o077 == 0

    assert new.json("import", old.folder / "list.csv", code=1)["rejected"] == 1  # other keys: the digest says nothing here
    (new.folder / "data" / "keys.toml").unlink()
    for left in (new.folder / "data").iterdir():
        left.unlink()
    (new.folder / "data" / "keys.toml").write_bytes((old.folder / "data" / "keys.toml").read_bytes())
    (new.folder / "data" / "keys.toml").chmod(0o600)
    assert new.json("import", old.folder / "list.csv")["new"] == 2
    (row,) = new.json("check", BOB, code=1)[BOB]
    assert (row["reason"], datetime.fromisoformat(row["at"]).timestamp()) == ("unsubscribe", 1.7e9)
    (row,) = new.json("check", ADA, code=1)[ADA]
    assert (row["note"], row["scope"]) == ("=2+2", "stream:newsletter")
    assert row["again_at"] == before["again_at"] is not None


def test_export_to_stdout_without_what_is_over(small):
    small("add", ADA, BOB, "--reason", "manual")
    small("lift", ADA, "--reason", "mistake")
    both, one = (small("export", "--out", "-", *more).stdout for more in ([], ["--in-force"]))
    assert (both.count("example.com"), one.count("example.com")) == (2, 1)


@pytest.fixture
def full(relay):
    relay("add", ADA, "--reason", "unsubscribe")
    relay("add", BOB, "--reason", "hard_bounce")
    relay("add", EVE, "--reason", "complaint", "--stream", "newsletter")
    return relay


def test_clean_leaves_out_suppressed_and_bad_rows_and_nothing_else(full):
    octets = (
        f"\ufeff姓名;E-Mail;电话\r\nAda;{ADA.upper()};1\r\n王敏;wang@example.com;+86 21\r\nX;nobody;3\r\nBob;{BOB};4".encode()
    )
    out = full.folder / "out.csv"
    result = full("clean", full.file("in.csv", octets), "--out", out, code=1)
    assert out.read_bytes() == "姓名;E-Mail;电话\r\n王敏;wang@example.com;+86 21\r\n".encode()
    assert "3 rows: 1 kept; left out: 2 suppressed, 1 bad" in result.stderr
    assert "line 4" in result.stderr


def test_clean_asks_for_the_purpose_and_the_stream(full):
    path, out = full.file("in.csv", f"{ADA}\n{BOB}\n{EVE}\n"), full.folder / "out.csv"
    for words, kept in [
        ((), [EVE]),
        (("--stream", "newsletter"), []),
        (("--purpose", "service"), [ADA, EVE]),
        (("--purpose", "notice", "--stream", "newsletter"), [ADA, EVE]),
    ]:
        full("clean", path, "--out", out, *words)
        assert out.read_text().split() == kept


def test_clean_keeps_gb18030_as_it_is(small):
    octets = "邮箱,姓名\nwang@example.com,王敏\nli@example.com,=HYPERLINK(1)李\n".encode("gb18030")
    out = small.folder / "out.csv"
    tally = small.json("clean", small.file("in.csv", octets), "--out", out)
    assert out.read_bytes().decode("gb18030").splitlines() == [
        "邮箱,姓名",
        "wang@example.com,王敏",
        "li@example.com,'=HYPERLINK(1)李",
    ]
    assert tally["guarded"] == 1


@pytest.mark.parametrize("cell", ["=1+1", "\t=1+1", '"\t=1+1"', '"\r=1+1"', "+A1", "＝1+1", "+86 21 6888", "-5", "'t Hooft"])
@pytest.mark.parametrize("place", ["heading", "row"])
def test_clean_writes_no_cell_that_an_export_would_guard(small, cell, place):
    heading, name = ("邮箱", cell) if place == "row" else (f"邮箱,{cell}", "x")
    text = f"{heading}\n{ADA},{name}\n" if place == "heading" else f"{heading},姓名\n{ADA},{name}\n"
    out = small.folder / "out.csv"
    tally = small.json("clean", small.file("in.csv", text), "--out", out)
    cells = [cell for row in csv.reader(io.StringIO(out.read_text("utf-8"), newline="")) for cell in row]
    assert not any(map(is_formula, cells))
    assert tally["guarded"] == (out.read_text("utf-8") != text) == is_formula(cell.strip('"'))


def test_clean_takes_the_column_that_is_named(small):
    path = small.file("in.csv", f"sender,recipient\n{ADA},{BOB}\n")
    small("add", ADA, "--reason", "manual")
    assert small.json("clean", path, "--out", small.folder / "a", "--column", "recipient")["kept"] == 1
    assert small.json("clean", path, "--out", small.folder / "a", "--column", "sender")["kept"] == 0
    assert "there are: sender, recipient" in small("clean", path, "--out", small.folder / "b", "--column", "to", code=2).output
    assert not (small.folder / "b").exists()


def test_clean_never_writes_over_its_input(small):
    path = small.file("in.csv", f"{ADA}\n")
    small("clean", path, "--out", path, code=2)
    assert path.read_text() == f"{ADA}\n"


@pytest.mark.parametrize("content", ["nothing here\nat all\n", '{"email": "ada@example.com"}'])
def test_clean_needs_a_table_with_addresses(small, content):
    small("clean", small.file("in.csv", content), "--out", small.folder / "out.csv", code=2)


# What can go wrong


def test_a_store_that_cannot_be_reached_stops_everything(tmp_path):
    relay = Relay(tmp_path, f'[store]\nurl = "redis://127.0.0.1:{free_port()}"\n')
    for words in (["list"], ["check", ADA], ["add", ADA, "--reason", "manual"], ["lift", ADA], ["export", "--out", "-"]):
        with pytest.raises(StoreUnavailable):
            relay(*words)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can own nothing here")
def test_root_leaves_no_files_in_the_services_folder(small):
    (small.folder / "data").mkdir()
    os.chown(small.folder / "data", 12345, 12345)
    with pytest.raises(ConfigurationError, match="sudo -u"):
        small("list")
