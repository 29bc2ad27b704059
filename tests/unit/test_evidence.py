"""Evidence: complete, readable in both languages, checkable, the same for the same material, and no more than the letter asks."""

import hashlib
import io
import re
import zipfile
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import orjson
import pytest

from relay.answer import ReportFate, Result, Standing
from relay.keys import new_keys
from relay.mail.reply import reply
from relay.policy.suppression import Reason
from relay.records.evidence import History, Material, build_evidence, policy_hashes
from relay.records.facts import finished_record, lifted_record, received_record, suppressed_record
from relay.records.reading import Reader
from relay.records.search import Query, search
from relay.stores.contracts import ConsentEvent
from tests.support.records import (
    GONE,
    KEYS,
    NOW,
    a_first_try,
    a_message,
    a_refusal,
    a_submission,
    an_id,
    opened,
    permitted,
    rejected,
)

ZONE = ZoneInfo("Asia/Shanghai")
SETS = {"0123456789abcdef": {"organisation.toml": b'country = "CN"\n', "streams/newsletter.toml": b'purpose = "marketing"\n'}}
RECORDED = "2026-11-18 19:06:40+08:00"
SAID_LAST = "2026-11-18 19:06:10+08:00"


@pytest.fixture
async def records(tmp_path):
    """One mail to Ada, who had unsubscribed, and Bob, who got it; and how Ada's refusal was lifted."""
    with opened(tmp_path / "records.db") as records:
        submission = a_submission(1, ["ada@example.org", "bob@example.com.cn"])
        ada, bob = submission.recipients
        rulings = [rejected(ada, replace(GONE, text="Gone <script>")), permitted(bob)]
        await records.append(
            received_record(submission, a_message(), rulings, "0123456789abcdef", a_first_try(submission), records.person)
        )
        outcomes = [
            Result(ada, Standing.REFUSED, reply(550, "7.1", "[base/suppression] Gone"), rule="base/suppression"),
            Result(
                bob, Standing.DELIVERED, reply(250, "0.0", "OK"), upstream="netease", upstream_text="250 Mail OK queued as x1"
            ),
        ]
        await records.append_many(
            finished_record(submission, outcomes, ReportFate.DELIVERED, reply(250, "0.0", "OK"), NOW + 2, records.person)
        )
        refusal = a_refusal("ada@example.org", NOW - 60)
        await records.append(suppressed_record(an_id(2), NOW - 60, refusal, "recipient"))
        lifted = lifted_record(
            an_id(3), NOW + 60, digest=refusal.digest, sealed=refusal.sealed, scope="organisation", reason=Reason.UNSUBSCRIBE,
            by="Wang Min", consent=None, note="",
        )  # fmt: skip
        await records.append(lifted)
        yield records


def material(records, subject="ada@example.org", mailbox="ada@example.org", **changes):
    query = Query(mailbox=mailbox) if mailbox else Query(id=subject)
    consent = ConsentEvent(an_id(4), b"d", b"s", "granted", NOW + 50, NOW + 60, "by telephone, 18 November", "Wang Min")
    history = History("ada@example.org", [a_refusal("ada@example.org", NOW - 60, again_at=NOW - 30)], [consent])
    facts = {"policy_sets": SETS, "histories": [history], "legal_name": {"zh": "示例公司", "en": "Example Ltd"}, **changes}
    return Material(subject, mailbox, NOW + 3600, ZONE, list(search(records.reader, query)), **facts)


def unpacked(octets: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(octets)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


class Text(HTMLParser):
    """The visible text of a page, and every address that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag, attrs):
        self._hidden = tag in ("style", "script")
        self.loads += [value for name, value in attrs if name in ("src", "href", "action")]
        assert tag != "script"

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


def text_of(page: bytes) -> tuple[str, list[str]]:
    parser = Text()
    parser.feed(page.decode())
    return re.sub(r"\s+", " ", " ".join(parser.words)), parser.loads


async def test_the_zip_holds_pages_json_policies_and_sums(records):
    files = unpacked(build_evidence(material(records), records.reader))
    assert sorted(files) == [
        "SHA256SUMS",
        "evidence.json",
        "index.en.html",
        "index.zh.html",
        "policy-sets/0123456789abcdef/organisation.toml",
        "policy-sets/0123456789abcdef/streams/newsletter.toml",
    ]
    sums = [line.split("  ") for line in files.pop("SHA256SUMS").decode().splitlines()]
    assert {name: digest for digest, name in sums} == {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    assert files["policy-sets/0123456789abcdef/organisation.toml"] == b'country = "CN"\n'


async def test_a_person_reads_decision_law_outcome_history_and_time(records):
    files = unpacked(build_evidence(material(records), records.reader))
    english, loads = text_of(files["index.en.html"])
    for words in (
        "Example Ltd", "ada@example.org", RECORDED, "base/suppression", "Gone <script>", "15 USC 7704(a)(4)", "192.0.2.7",
        "the recipient unsubscribed", "one_click", "by telephone, 18 November", "Wang Min", "0123456789abcdef",
        "news@example.com", "Said last", SAID_LAST,
    ):  # fmt: skip
        assert words in english
    chinese, _ = text_of(files["index.zh.html"])
    for words in (
        "示例公司", "ada@example.org", RECORDED, "收件人已退订", "15 USC 7704(a)(4)", "判定", "拒绝", "收件人退订",
        "最近一次", SAID_LAST,
    ):  # fmt: skip
        assert words in chinese
    ((entry,),) = (history["suppressions"] for history in orjson.loads(files["evidence.json"])["histories"])
    assert entry["again_at"] == SAID_LAST
    assert all(load.startswith("policy-sets/0123456789abcdef/") for load in loads)
    assert all(load in files for load in loads)


async def test_evidence_on_one_mailbox_does_not_show_the_others(records):
    files = unpacked(build_evidence(material(records), records.reader))
    for name, octets in files.items():
        assert b"bob@example" not in octets, name
    english, _ = text_of(files["index.en.html"])
    assert "Mail OK queued" not in english
    assert "1 other recipients" in english
    document = orjson.loads(files["evidence.json"])
    assert document["records"][1]["people"] == ["news@example.com", "ada@example.org", "b***@example.com.cn"]
    assert document["records"][0]["people"] == ["ada@example.org"]


async def test_evidence_on_a_message_shows_everybody(records):
    files = unpacked(build_evidence(material(records, an_id(1), ""), records.reader))
    english, _ = text_of(files["index.en.html"])
    for words in ("bob@example.com.cn", "ada@example.org", "250 Mail OK queued as x1", "A report told the sender"):
        assert words in english
    assert "other recipients are not listed" not in english


async def test_every_hash_can_be_computed_from_the_json_alone(records):
    document = orjson.loads(unpacked(build_evidence(material(records, an_id(1), ""), records.reader))["evidence.json"])
    assert [record["kind"] for record in document["records"]] == ["received", "finished", "reported"]
    for record in document["records"]:
        computed = hashlib.sha256(bytes.fromhex(record["previous_hash"]) + record["text"].encode()).hexdigest()
        assert computed == record["hash"]
    assert document["records"][0]["previous_hash"] == hashlib.sha256(document["chain"].encode()).hexdigest()
    assert document["policy_sets"] == [{"hash": "0123456789abcdef", "files": ["organisation.toml", "streams/newsletter.toml"]}]


async def test_the_same_material_gives_the_same_octets(records):
    assert build_evidence(material(records), records.reader) == build_evidence(material(records), records.reader)


async def test_without_the_right_keys_no_address_is_shown(records):
    with Reader(records.path, new_keys(date(2026, 1, 1))) as reader:
        found = replace(material(records, an_id(1), ""), histories=())
        for name, octets in unpacked(build_evidence(found, reader)).items():
            assert b"ada@" not in octets, name
            assert b"bob@" not in octets, name


async def test_what_the_archive_lost_is_said(records):
    files = unpacked(build_evidence(material(records, policy_sets={}), records.reader))
    assert "the archive does not have this set" in text_of(files["index.en.html"])[0]


def test_nothing_found_is_a_page_too(tmp_path):
    with opened(tmp_path / "records.db") as records:
        empty = Material("eve@example.org", "eve@example.org", NOW, ZONE, ())
        files = unpacked(build_evidence(empty, records.reader))
        assert "No records were found." in text_of(files["index.en.html"])[0]
        assert policy_hashes(()) == []
        assert KEYS.records.digest("eve@example.org").hex().encode() not in files["evidence.json"]
