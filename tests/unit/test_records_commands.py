"""`relay records` and `relay evidence`: what people type, read and script."""

import asyncio
import io
import re
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from relay.answer import ReportFate, Result, Standing
from relay.cli.evidence import evidence
from relay.cli.main import root
from relay.cli.opening import open_all
from relay.cli.records import records
from relay.errors import RecordsUnavailable
from relay.mail.reply import reply
from relay.records.facts import finished_record, received_record
from relay.records.suppressed import suppressed_record
from relay.service.policies import PolicyArchive, read_folder
from tests.support.records import NOW, a_first_try, a_message, a_refusal, a_submission, an_id, permitted, rejected

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f"""
hostname = "relay.example.com"
data_dir = "data"
policies = "{ROOT / "policies"}"
[[listen]]
name = "s"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "m"
addresses = ["127.0.0.1:1"]
[records]
min_free = "1"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A node that took one mail: Ada had unsubscribed, Bob got it."""
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RELAY_LANG", "en")

    async def fill() -> None:
        async with open_all(None) as opened:
            person = opened.records.person
            entry = a_refusal("ada@example.org", NOW - 60, opened.keys)
            await opened.store.suppress(entry)
            archive = PolicyArchive(opened.config.data_path)
            files = read_folder(opened.config.policies_path)
            policy = archive.keep(files)
            archive.put_in_force(policy, NOW - 86_400, "Li Na", "spring review")
            later = archive.keep({**files, "organisation.toml": files["organisation.toml"] + b"# reviewed\n"})
            archive.put_in_force(later, NOW + 3600, "Wang Min", "another set")
            submission = a_submission(1, ["ada@example.org", "bob@example.com"])
            ada, bob = submission.recipients
            await opened.records.append(suppressed_record(an_id(2), NOW - 60, entry, "recipient"))
            rulings = [rejected(ada), permitted(bob)]
            await opened.records.append(
                received_record(submission, a_message(), rulings, policy, a_first_try(submission), person)
            )
            outcomes = [
                Result(ada, Standing.REFUSED, reply(550, "7.1", "No"), rule="base/suppression"),
                Result(bob, Standing.DELIVERED, reply(250, "0.0", "OK"), upstream="m", upstream_text="250 queued", cleared=41),
            ]
            await opened.records.append_many(
                finished_record(submission, outcomes, ReportFate.NOT_NEEDED, reply(250, "0.0", "OK"), NOW + 86_400, person)
            )

    asyncio.run(fill())
    return tmp_path


def run(command, *arguments: str):
    result = CliRunner().invoke(root, [command.name, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def found(*arguments: str) -> list[str]:
    lines = run(records, "search", "--json", *arguments).stdout.splitlines()
    return [orjson.loads(line)["kind"] for line in lines]


def test_records_are_searched_by_what_one_has_in_hand(folder):
    assert found() == ["suppressed", "received", "finished"]
    assert found(an_id(1)) == found(an_id(1).lower()) == ["received", "finished"]
    assert found("Ada@Example.org") == ["suppressed", "received", "finished"]
    assert found("bob@example.com", "--kind", "received") == ["received"]
    assert found("--kind", "received", "--kind", "suppressed") == ["suppressed", "received"]
    assert found("--until", "2026-11-18") == ["suppressed", "received"]
    assert found("--since", "2026-11-19") == ["finished"]
    assert found("--since", "2026-11-18T19:06:40+08:00", "--until", "2026-11-18T19:06:41") == ["received"]
    assert found("eve@example.org") == []


def test_addresses_are_masked_unless_asked_for(folder):
    masked = run(records, "search", "ada@example.org").output
    assert "a***@example.org" in masked
    assert "ada@" not in masked
    assert "base/suppression (reject)" in masked
    assert "250 queued" in masked
    assert "2026-11-18T19:06:40.000+08:00" in masked
    assert "ada@example.org" in run(records, "search", "ada@example.org", "--addresses").output


def test_chinese_names_decisions_and_outcomes_in_chinese(folder):
    chinese = run(records, "search", "--lang", "zh", "--addresses").output
    assert "ada@example.org: 拒绝  base/suppression (拒绝)\n" in chinese
    assert "bob@example.com: 准许\n" in chinese
    assert "ada@example.org: 未发送：有规则不允许  550 5.7.1 No\n" in chinese
    assert "bob@example.com: 已送达上游服务器  250 queued  #41\n" in chinese
    assert "bob@example.com: delivered  250 queued  #41\n" in run(records, "search", "--lang", "en", "--addresses").output


def test_a_search_has_a_limit_and_says_so(folder):
    result = run(records, "search", "--limit", "1", "--json")
    assert len(result.stdout.splitlines()) == 1
    assert "--limit shows more" in result.stderr
    assert "No records were found." in run(records, "search", "eve@example.org").output
    assert "没有找到记录" in run(records, "search", "eve@example.org", "--lang", "zh").output


@pytest.mark.parametrize("arguments", [["not an address"], ["--since", "yesterday"], ["--kind", "sent"], ["--limit", "0"]])
def test_what_cannot_be_meant_is_a_usage_fault(folder, arguments):
    assert run(records, "search", *arguments).exit_code == 2


def test_verify_prints_a_head_that_can_be_checked_later(folder):
    result = run(records, "verify")
    assert result.exit_code == 0
    head = result.output.split()[-1]
    assert head.startswith("3:")
    assert run(records, "verify", "--head", head).exit_code == 0
    assert run(records, "verify", "--head", "4:00").exit_code == 1
    assert run(records, "verify", "--head", "x").exit_code == 2
    assert orjson.loads(run(records, "verify", "--json").output)["broken"] is None


def test_verify_names_what_was_changed(folder):
    with closing(sqlite3.connect(folder / "data" / "records.db")) as connection, connection:
        (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'records_stay_as_written'").fetchone()
        connection.execute("DROP TRIGGER records_stay_as_written")
        connection.execute("UPDATE records SET body = replace(body, '192.0.2.7', '192.0.2.8') WHERE seq = 2")
        connection.execute(trigger)
    result = run(records, "verify")
    assert result.exit_code == 1
    assert "Record 2 is broken" in result.output
    assert "第 2 条记录有问题" in run(records, "verify", "--lang", "zh").output
    assert orjson.loads(run(records, "verify", "--json").stdout)["broken"]["seq"] == 2


def test_records_that_are_not_there_are_not_made(folder):
    (folder / "data" / "records.db").unlink()
    result = CliRunner().invoke(records, ["search"])
    assert isinstance(result.exception, RecordsUnavailable)
    assert not (folder / "data" / "records.db").exists()


def edited(folder, old: str, new: str) -> None:
    """The folder that config.toml names from now on has this change, which nobody has applied."""
    shutil.copytree(ROOT / "policies", folder / "policies")
    facts = folder / "policies" / "organisation.toml"
    text = facts.read_text("utf-8")
    assert old in text
    facts.write_text(text.replace(old, new), "utf-8")
    config = (folder / "config.toml").read_text("utf-8")
    (folder / "config.toml").write_text(config.replace(f"{ROOT / 'policies'}", "policies"), "utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [("Asia/Shanghai", "America/New_York"), ("Example Company", "Another Company"), ("country", "county")],
    ids=["time zone", "name", "broken"],
)
def test_pages_go_by_the_set_in_force_not_by_the_folder(folder, old, new):
    edited(folder, old, new)
    result = run(evidence, "ada@example.org", "--out", str(folder / "letter.zip"))
    assert result.stderr == ""
    with zipfile.ZipFile(folder / "letter.zip") as archive:
        document = orjson.loads(archive.read("evidence.json"))
        assert "2026-11-18 19:06:40" in archive.read("index.en.html").decode()
    assert document["legal_name"]["en"].startswith("Example Company")
    assert "2026-11-18T19:06:40.000+08:00" in run(records, "search", "ada@example.org").output
    assert run(records, "report", "--month", "2026-11", "--out", str(folder / "out")).exit_code == 0
    assert "Example Company" in (folder / "out" / "relay-report-2026-11.en.html").read_text("utf-8")


def test_a_set_in_force_that_was_altered_is_named(folder):
    for kept in (folder / "data" / "policies" / "sets").glob("*/organisation.toml"):
        kept.write_text("# gone\n")
    result = run(records, "search", "ada@example.org")
    assert "2026-11-18T11:06:40.000+00:00" in result.stdout
    assert "times are in UTC, the organisation is not named" in result.stderr
    assert "the kept policy set was altered; apply your policies again" in result.stderr


def test_evidence_is_written_with_history_and_policy_set(folder):
    out = folder / "letter.zip"
    result = run(evidence, "ada@example.org", "--out", str(out))
    assert result.exit_code == 0
    assert "3 records" in result.output
    with zipfile.ZipFile(io.BytesIO(out.read_bytes())) as archive:
        names = archive.namelist()
        english = archive.read("index.en.html").decode()
        document = orjson.loads(archive.read("evidence.json"))
        sums = archive.read("SHA256SUMS").decode()
    assert {name.split("/", 2)[-1] for name in names} >= {"index.zh.html", "evidence.json", "SHA256SUMS", "organisation.toml"}
    (policy,) = {name.split("/")[1] for name in names if name.startswith("policy-sets/")}
    assert {f"policy-sets/{policy}/{name}" for name in ("packs/base.toml", "policy.en.txt", "policy.zh.txt")} <= set(names)
    (applied,) = document["policy_sets"][0]["applied"]
    assert (applied["by"], applied["reason"]) == ("Li Na", "spring review")
    assert applied["until"] == "2026-11-18 20:06:40+08:00"
    assert "Li Na: spring review" in english
    assert "another set" not in english
    listed = {line.split("  ")[1] for line in sums.splitlines()}
    assert listed == set(names) - {"SHA256SUMS"}
    assert "ada@example.org" in english
    assert "bob@example.com" not in english
    assert document["histories"][0]["suppressions"][0]["reason"] == "unsubscribe"
    assert [path.name for path in folder.iterdir() if "part" in path.name] == []


def test_evidence_on_a_message_takes_the_history_of_every_recipient(folder):
    out = folder / "letter.zip"
    shown = orjson.loads(run(evidence, an_id(1), "--out", str(out), "--json").output)
    assert shown == {"file": str(out), "records": 2, "octets": out.stat().st_size}
    with zipfile.ZipFile(out) as archive:
        document = orjson.loads(archive.read("evidence.json"))
    assert [history["mailbox"] for history in document["histories"]] == ["ada@example.org", "bob@example.com"]


@pytest.mark.parametrize(
    ("words", "inside"),
    [
        (["--since", "2026-11-19"], ["finished"]),
        (["--until", "2026-11-18"], ["suppressed", "received"]),
        (["--since", "2026-11-18T19:06:40+08:00", "--until", "2026-11-18"], ["received"]),
    ],
)
def test_evidence_holds_what_lies_in_the_time_asked_for_and_nothing_else(folder, words, inside):
    out = folder / "letter.zip"
    assert run(evidence, "ada@example.org", *words, "--out", str(out)).exit_code == 0
    with zipfile.ZipFile(out) as archive:
        held = orjson.loads(archive.read("evidence.json"))["records"]
        pages = [archive.read(f"index.{language}.html").decode() for language in ("en", "zh")]
    assert [record["kind"] for record in held] == inside
    for page in pages:
        assert re.findall('id="record-([0-9]+)"', page) == [str(record["seq"]) for record in held]


def test_evidence_on_nothing_writes_no_file(folder):
    out = folder / "letter.zip"
    assert run(evidence, "ada@example.org", "--until", "2020-01-01", "--out", str(out)).exit_code == 1
    assert run(evidence, "nonsense", "--out", str(out)).exit_code == 2
    assert not out.exists()


def test_evidence_is_written_over_nothing(folder):
    out = folder / "letter.zip"
    out.write_bytes(b"what was handed to the court")
    done = run(evidence, "ada@example.org", "--out", str(out))
    assert (done.exit_code, "letter.zip exists and is not overwritten" in done.output) == (1, True)
    assert out.read_bytes() == b"what was handed to the court"


def test_evidence_that_nobody_could_read_asks_for_a_shorter_time(folder, monkeypatch):
    monkeypatch.setattr("relay.cli.evidence.MOST_RECORDS", 2)
    result = run(evidence, "ada@example.org", "--out", str(folder / "letter.zip"))
    assert result.exit_code == 1
    assert "--since" in result.output
