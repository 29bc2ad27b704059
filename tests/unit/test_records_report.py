"""`relay records report`: a month on one page and in a table, true, complete, and without anybody's address."""

import asyncio
import csv
import io
import re
import shutil
import sqlite3
import tracemalloc
from collections import Counter
from contextlib import chdir, closing
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from relay.cli.main import root
from relay.cli.opening import open_all
from relay.keys import load_keys
from relay.policy.suppressions.suppression import Reason
from relay.records.facts import policy_record
from relay.records.monthly.counts import Month
from relay.records.reading import Reader
from relay.records.search import Query, search
from tests.support.months import ZONE, a_node
from tests.support.records import a_refusal, an_id, journal

START = datetime(2026, 10, 1, tzinfo=ZONE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("month")
    asyncio.run(a_node(folder, START))
    return folder


@pytest.fixture
def node(made, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path / "node")
    return tmp_path / "node"


def report(folder, *arguments, lang="en"):
    with chdir(folder):
        return CliRunner().invoke(root, ["--lang", lang, "records", "report", *arguments], catch_exceptions=False)


def written(folder, month="2026-10", lang="en"):
    done = report(folder, "--month", month, "--out", "out", lang=lang)
    assert done.exit_code == 0, done.output
    name = Path(folder, "out", f"relay-report-{month}.{lang}")
    return name.with_suffix(f".{lang}.html").read_text("utf-8"), table(name.with_suffix(f".{lang}.csv"))


def table(path):
    return [tuple(row) for row in csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig")))][1:]


def numbers(rows, section):
    return {(row, column): int(value) for key, row, column, value in rows if key == section and value.isdigit()}


class Page(HTMLParser):
    """What a page would load, and what stands in it."""

    def __init__(self, text):
        super().__init__()
        self.loads: list[str | None] = []
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.loads += [
            value for name, value in attrs if name in ("src", "href", "action", "data", "srcset", "poster", "xlink:href")
        ]

    def handle_data(self, data):
        self.words.append(data)


def facts(folder):
    with chdir(folder):
        done = CliRunner().invoke(
            root, ["records", "search", "--json", "--limit", "100000", "--since", "2026-10-01", "--until", "2026-10-31"]
        )
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_the_numbers_are_those_of_the_records(made):
    _, rows = written(made)
    records = facts(made)
    outcomes = [(r["facts"]["stream"], o) for r in records if r["kind"] == "finished" for o in r["facts"]["outcomes"]]
    found = numbers(rows, "recipients_by_stream")
    for stream in ("newsletter", "receipts", "correspondence"):
        mine = [outcome for name, outcome in outcomes if name == stream]
        assert found[stream, "Delivered"] == sum(o["state"] == "delivered" for o in mine) > 0
        assert found[stream, "Refused by the server"] == sum(o["state"] == "refused" and not o["rule"] for o in mine)
        assert found[stream, "Messages"] == sum(r["kind"] == "received" and r["facts"]["stream"] == stream for r in records)
    assert found["receipts", "Refused by a rule"] == 1  # at RCPT
    by_day = numbers(rows, "recipients_by_day")
    assert sum(n for (_, column), n in by_day.items() if column == "Delivered") == found["Total", "Delivered"]
    rules = Counter(o["rule"] for _, o in outcomes if o["rule"])
    assert numbers(rows, "refusals_by_rule")["base/suppression", "Refused"] == rules["base/suppression"] + 1
    assert numbers(rows, "limits_met")["newsletter: recipient domain qq.com 20/minute", "Times"] == rules["limit"] > 0
    refusals = [r for r in records if r["kind"] == "suppressed" and r["facts"]["by"] == "recipient"]
    ages = numbers(rows, "unsubscribe_age")
    assert sum(ages.values()) == len(refusals) > 10
    assert min(ages["within 1 hour", "Times"], ages["within 1 day", "Times"], ages["within 7 days", "Times"]) > 0
    bounces = [r["facts"] for r in records if r["kind"] == "collected" and r["facts"]["what"] == "bounce"]
    returned = numbers(rows, "bounces_and_complaints")
    assert returned["newsletter", "Bounces"] == len(bounces)
    assert returned["newsletter", "Address is dead"] == sum(f["gone"] for f in bounces)
    assert returned["Total", "Complaints"] == 1
    share = f"{1 / found['newsletter', 'Delivered']:.2%}"
    assert ("bounces_and_complaints", "newsletter", "Complaint rate", share) in rows


def test_both_languages_say_the_same_numbers(made):
    english, rows = written(made)
    chinese, zeilen = written(made, lang="zh")
    assert [(section, value) for section, _, _, value in rows if value.isdigit()] == [
        (section, value) for section, _, _, value in zeilen if value.isdigit()
    ]
    assert 'lang="zh-CN"' in chinese
    assert "按规则统计的拒绝" in chinese
    assert "Refusals by rule" in english
    assert Page(english).tags == Page(chinese).tags
    assert not re.search("[\u4e00-\u9fff]", "".join(Page(english).words)), "Chinese in the English page"


def test_the_page_needs_nothing_from_outside_and_runs_nothing(made):
    for lang in ("zh", "en"):
        text, _ = written(made, lang=lang)
        page = Page(text)
        assert page.loads == []
        assert not page.tags.keys() & {"script", "link", "iframe", "img", "object", "form"}
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
        assert page.tags["svg"] == page.tags["title"] - 1 == page.tags["desc"] == 4
        assert page.tags["svg"] <= page.tags["caption"]


def test_nobodys_address_is_in_it(made):
    local_parts = {person.partition("@")[0] for record in facts(made) for person in record["people"]}
    assert local_parts
    for lang in ("zh", "en"):
        text, rows = written(made, lang=lang)
        for shown in (re.sub("<style>.*?</style>", "", text, flags=re.DOTALL), repr(rows)):
            assert "@" not in shown
            assert not re.search(r"person\d+\.|\b(ada|eve|qa|qb|wang)\b(?! Min)", shown)
        assert "***" in text  # what an administrator typed


def test_policy_changes_and_relaxed_rules_say_who_why_and_until_when(made):
    text, rows = written(made)
    changes = [value for section, _, column, value in rows if section == "policy_changes"]
    assert "Wang Min" in changes
    assert any("laxer: newsletter: base/attachment-types is turned down to warn until 2026-11-20" in value for value in changes)
    relaxed: dict[str, dict[str, str]] = {row: {} for section, row, _, _ in rows if section == "relaxed_rules"}
    for section, row, column, value in rows:
        if section == "relaxed_rules":
            relaxed[row][column] = value
    assert relaxed["base/attachment-types"]["By"] == "Wang Min"
    assert relaxed["base/attachment-types"]["Until"] == "2026-11-20"
    assert int(relaxed["base/attachment-types"]["Used"]) > 0
    assert relaxed["base/mass-*"]["How"].endswith("(2 mailboxes)")
    assert relaxed["every rule"]["Stream"] == "receipts"
    assert "2026-10-10 08:20+08:00" in text


def test_what_was_adapted_to_upstreams_is_counted(made):
    _, rows = written(made)
    counted = [(row, value) for section, row, _, value in rows if section == "adaptations"]
    assert counted == [("netease: marketing paused", "1"), ("netease: not asked for a time", "1")]
    text, _ = written(made, month="2026-06")
    assert "This node adapted to no upstream" in text


def test_pauses_say_who_when_why_and_by_which_threshold(made):
    _, rows = written(made)
    pauses: dict[str, dict[str, str]] = {row: {} for section, row, _, _ in rows if section == "pauses"}
    for section, row, column, value in rows:
        if section == "pauses":
            pauses[row][column] = value
    by_relay, resumed, by_hand = pauses.values()
    assert next(iter(pauses)) == "2026-10-30 20:00+08:00"
    assert (by_relay["Stream"], by_relay["Event"], by_relay["By"]) == ("newsletter", "A stream was paused", "the relay")
    assert by_relay["Threshold"] == "the threshold for hard bounces"
    assert by_relay["Reason"] == "hard bounces 5.25% (63 of 1200 recipients in 7 days), over 5%"
    numbers = [by_relay[column] for column in ("Recipients decided on", "Hard bounces", "Complaints")]
    assert numbers == ["1200", "63", "1"]
    assert resumed["Event"] == "A stream was resumed (paused since 2026-10-30 20:00+08:00)"
    assert (resumed["By"], resumed["Reason"]) == ("Wang Min", "list deleted, says ***")
    assert (by_hand["Stream"], by_hand["Threshold"], by_hand["By"]) == ("receipts", "none: by hand", "Li Na")
    page, zeilen = written(made, lang="zh")
    said = {value for section, _, _, value in zeilen if section == "pauses"}
    assert {"系统", "硬退信率阈值", "人工", "硬退信率 5.25%（7 天内 1200 位收件人中 63 位），超过 5%"} <= said
    assert "邮件流的暂停与恢复" in page
    text, _ = written(made, month="2026-06")
    assert "This node paused or resumed no stream in this month." in text


def test_it_says_which_records_it_covers_and_that_their_chain_holds(made):
    text, rows = written(made)
    about = {row: value for section, row, _, value in rows if section == "about"}
    with Reader(made / "data" / "records.db", load_keys(made / "data" / "keys.toml")) as reader:
        assert reader.chain in about["Chain of records"]
    assert about["Node"].startswith("relay.example.com: the records of this node only")
    assert "the chain of hashes holds" in about["Integrity"]
    assert about["Period"].startswith("2026-10-01 00:00+08:00 – 2026-11-01 00:00+08:00 (Asia/Shanghai)")
    assert about["Records of the month"].startswith(f"{len(facts(made)):,} ")
    assert 'class="alarm"' not in text


def test_a_broken_chain_is_said_on_the_page_and_by_the_exit_code(node):
    with closing(sqlite3.connect(node / "data" / "records.db")) as db:
        db.execute("DROP TRIGGER records_stay_as_written")
        db.execute("UPDATE records SET body = replace(body, 'delivered', 'refused') WHERE seq = 3")
        db.commit()
    done = report(node, "--month", "2026-10", "--out", "out")
    assert done.exit_code == 1
    assert "the report says so" in done.stderr
    text = (node / "out" / "relay-report-2026-10.en.html").read_text("utf-8")
    assert 'class="alarm"' in text
    assert "Do not rely on these numbers" in text


def test_a_month_without_mail_is_told_as_such(made):
    text, rows = written(made, month="2026-06")
    assert "No mail passed through this node in this month." in text
    assert "No rule was relaxed in this month." in text
    assert "No policy set was in force in this month." in text
    assert "<svg" not in text
    assert ("figures", "Recipients delivered", "", "0") in rows
    assert ("figures", "Complaint rate", "", "–") in rows


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-00", "October", "2026-1", "1999-12", "2026-10-01", "２０２６-10", "9999-12", "2200-01"]
)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_month_that_cannot_be_meant_is_refused_with_a_remedy(made, month, lang):
    done = report(made, "--month", month, lang=lang)
    assert done.exit_code == 2
    assert re.search(r"20\d\d-(0[1-9]|1[0-2])", done.output.replace(f"{month} ", "")), "it names one that can be asked for"


def test_the_file_can_be_named_and_what_cannot_be_a_report_is_refused(made, tmp_path):
    assert report(made, "--month", "2026-10", "--out", str(tmp_path / "october.html")).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["october.csv", "october.html"]
    for wrong in ("october.pdf", "missing.d"):
        assert report(made, "--month", "2026-10", "--out", str(tmp_path / wrong)).exit_code == 2
    done = report(made, "--month", "2026-10", "--out", str(tmp_path / "a" / "b"), "--json")
    assert orjson.loads(done.stdout)["intact"] is True
    assert len(list((tmp_path / "a" / "b").iterdir())) == 2


def test_without_records_there_is_no_report(tmp_path, made):
    shutil.copy(made / "config.toml", tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(made / "data" / "keys.toml", tmp_path / "data")
    assert report(tmp_path, "--month", "2026-10").exit_code == 4


def test_a_spreadsheet_runs_nothing_of_it_and_the_page_shows_it_as_text(node):
    async def write():
        async with open_all(str(node / "config.toml")) as opened:
            at = START.timestamp() + 60
            evil = {"reason": "=HYPERLINK(1)", "by": "<script>alert(1)</script>"}
            await opened.records.append(
                policy_record(an_id(1, at), at, policy_hash="0" * 16, previous="", laxer=0, shadow=(), **evil)
            )

    asyncio.run(write())
    text, rows = written(node)
    assert ("policy_changes", "2026-10-01 00:01+08:00", "Reason", "'=HYPERLINK(1)") in rows
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert "&lt;script&gt;" in text
    assert "This set or the one before is no longer kept" in text
    assert (node / "out" / "relay-report-2026-10.en.csv").read_bytes().startswith(b"\xef\xbb\xbfsection,")


def test_how_soon_the_store_had_a_refusal_and_what_still_waits(node):
    async def write():
        async with open_all(str(node / "config.toml")) as opened:
            at = START.timestamp() + 60
            for number, mailbox in enumerate(("ada@example.org", "bob@example.org")):
                entry = a_refusal(mailbox, at + number * 3600, opened.keys, reason=Reason.UNSUBSCRIBE)
                await journal(opened.records, number, entry)
            await opened.records.applied(opened.records.take_pending(1))

    asyncio.run(write())
    text, rows = written(node)
    assert ("time_to_effect", "longer", "Times", "1") in rows  # weeks later: the clock of this test is the real one
    assert "1 refusals still wait for the store, the oldest since 2026-10-01 01:01+08:00." in text


def peak_of(folder):
    """Octets that counting the records of a node needs at most, and how many records there are."""
    with Reader(folder / "data" / "records.db", load_keys(folder / "data" / "keys.toml")) as reader:
        tracemalloc.start()
        month = Month(ZONE)
        for entry in search(reader, Query()):
            month.add(entry.record, entry.seq)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, month.records.total()


def test_a_big_month_needs_no_more_memory_than_a_small_one(made, tmp_path):
    asyncio.run(a_node(tmp_path, START, mails=120, each=4))
    (small, few), (big, many) = peak_of(made), peak_of(tmp_path)
    assert many > 8 * few
    assert big < 1.5 * small
