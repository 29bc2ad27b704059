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
from relay.mail.incoming.letters import LetterKind
from relay.mail.reply import reply
from relay.policy.consents.consent import ConsentEvent
from relay.policy.consents.residence import Residence
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import set_hash
from relay.policy.suppressions.suppression import Reason
from relay.policy.telling.show import show
from relay.records.evidence import History, Material, build_evidence, policy_hashes
from relay.records.facts import collected_record, finished_record, received_record
from relay.records.reading import Reader
from relay.records.returned import returned_texts
from relay.records.rulebook import Applied, KeptSet, Rulebook
from relay.records.search import Query, search
from relay.records.suppressed import applied_record, lifted_record, suppressed_record
from relay.upstream.profile import ReplyClass
from tests.support.policies import shipped_files, word_rule
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

_RULES = "".join(
    f'{word_rule("offer", name)}recipient_domains = ["{domain}"]\ncite = "Law Art 7"\n'
    for name, domain in (("only-there", "example.org"), ("nowhere", "example.net"))
)
FILES = {
    name: octets + _RULES.encode() * (name == "streams/newsletter.toml")
    for name, octets in shipped_files().items()
    if not name.startswith("tests/")  # whose people have the names of these, and are invented too
}
SET = set_hash(FILES)
SETS = {
    SET: KeptSet(
        FILES, [Applied(NOW - 86_400, NOW + 60, "Li Na", "spring review"), Applied(NOW + 3000, None, "Wang Min", "back")]
    )
}
OLD = {"organisation.toml": b'country = "CN"\n'}  # of a format that is no longer read
RECORDED = "2026-11-18 19:06:40+08:00"
SAID_LAST = "2026-11-18 19:06:10+08:00"


@pytest.fixture
async def records(tmp_path):
    """One mail to Ada, who had unsubscribed, and Bob, who got it; and how Ada's refusal was lifted."""
    with opened(tmp_path / "records.db") as records:
        submission = a_submission(1, ["ada@example.org", "bob@example.com.cn"])
        ada, bob = submission.recipients
        rulings = [rejected(ada, replace(GONE, text="Gone <script>")), permitted(bob)]
        await records.append(received_record(submission, a_message(), rulings, SET, a_first_try(submission), records.person))
        outcomes = [
            Result(ada, Standing.REFUSED, reply(550, "7.1", "[base/suppression] Gone"), rule="base/suppression"),
            Result(
                bob,
                Standing.DELIVERED,
                reply(250, "0.0", "OK"),
                upstream="netease",
                upstream_text="250 Mail OK queued as x1",
                cleared=8127,
            ),
        ]
        await records.append_many(
            finished_record(submission, outcomes, ReportFate.DELIVERED, reply(250, "0.0", "OK"), NOW + 2, records.person)
        )
        refusal = a_refusal("ada@example.org", NOW - 60)
        await records.append(suppressed_record(an_id(2), NOW - 60, refusal, "recipient"))
        await records.append(applied_record(an_id(2), NOW + 30, replace(refusal, number=8131, in_flight=(an_id(9),))))
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
        *sorted(f"policy-sets/{SET}/{name}" for name in (*FILES, "policy.en.txt", "policy.zh.txt")),
    ]
    sums = [line.split("  ") for line in files.pop("SHA256SUMS").decode().splitlines()]
    assert {name: digest for digest, name in sums} == {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    assert files[f"policy-sets/{SET}/organisation.toml"] == FILES["organisation.toml"]


async def test_a_person_reads_decision_law_outcome_history_and_time(records):
    files = unpacked(build_evidence(material(records), records.reader))
    english, loads = text_of(files["index.en.html"])
    for words in (
        "Example Ltd", "ada@example.org", RECORDED, "base/suppression", "Gone <script>", "15 USC 7704(a)(4)", "192.0.2.7",
        "the recipient unsubscribed", "one_click", "by telephone, 18 November", "Wang Min", SET,
        "news@example.com", "Said last", SAID_LAST, "In force as number 8131", an_id(9),
    ):  # fmt: skip
        assert words in english
    chinese, _ = text_of(files["index.zh.html"])
    for words in (
        "示例公司", "ada@example.org", RECORDED, "收件人已退订", "15 USC 7704(a)(4)", "判定", "拒绝", "收件人退订",
        "最近一次", SAID_LAST, "生效序号 8131", "当时已在途中的邮件",
    ):  # fmt: skip
        assert words in chinese
    everybody = unpacked(build_evidence(material(records, an_id(1), ""), records.reader))
    assert "let leave as number 8127" in text_of(everybody["index.en.html"])[0]
    assert "放行序号：8127" in text_of(everybody["index.zh.html"])[0]
    ((entry,),) = (history["suppressions"] for history in orjson.loads(files["evidence.json"])["histories"])
    assert entry["again_at"] == SAID_LAST
    places = re.findall('id="([^"]+)"', files["index.en.html"].decode())
    assert all(load[1:] in places if load.startswith("#") else load in files for load in loads)


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
    (policy,) = document["policy_sets"]
    assert policy["hash"] == SET
    assert policy["files"] == sorted((*FILES, "policy.en.txt", "policy.zh.txt"))


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
    page = text_of(files["index.en.html"])[0]
    for words in ("the archive does not have this set", "The archive does not say who applied it", "newsletter"):
        assert words in page
    assert "rules were asked" not in page


async def test_a_set_that_is_no_longer_understood_is_there_as_files(records):
    files = unpacked(build_evidence(material(records, policy_sets={SET: KeptSet(OLD)}), records.reader))
    assert files[f"policy-sets/{SET}/organisation.toml"] == OLD["organisation.toml"]
    assert not [name for name in files if name.endswith(".txt")]
    assert "This version cannot read this set" in text_of(files["index.en.html"])[0]
    assert "本版本无法读懂这套策略" in text_of(files["index.zh.html"])[0]


async def test_why_with_what_consent_and_by_which_rules_is_on_the_page(records):
    files = unpacked(build_evidence(material(records), records.reader))
    english, links = text_of(files["index.en.html"])
    for words in (
        "Stream newsletter (Newsletter) Purpose marketing", "agreed to be written to", "base/suppression , base/",
        "In force from 2026-11-17 19:06:40+08:00 until 2026-11-18 19:07:40+08:00, applied by Li Na: spring review",
        "applied by Wang Min: back", "The consent ledger holds what the organisation recorded",
    ):  # fmt: skip
        assert words in english
    chinese, _ = text_of(files["index.zh.html"])
    for words in ("新闻邮件", "用途 营销", "同意接收", "由 Li Na 应用：spring review", "条规则：", "规则的内容与依据"):
        assert words in chinese
    assert f"policy-sets/{SET}/policy.en.txt" in links
    said = files[f"policy-sets/{SET}/policy.en.txt"].decode()
    said_zh = files[f"policy-sets/{SET}/policy.zh.txt"].decode()
    for section in show(parse_policies(FILES), date(2026, 11, 18)):
        assert all(f"  - {sentence.en}\n" in said and f"  - {sentence.zh}\n" in said_zh for sentence in section.sentences)
    assert "As it stood on 2026-11-18:" in said
    assert "2026-11-18 的内容：" in said_zh


async def test_rules_that_were_asked_have_their_words_and_their_law(records):
    found = unpacked(build_evidence(material(records, an_id(1), ""), records.reader))
    document = orjson.loads(found["evidence.json"])
    stream = parse_policies(FILES).stream("newsletter")
    texts = {rule.name: rule for rule in stream.rules}
    asked = {one["rule"]: one["recipients"] for one in document["records"][0]["asked"]}
    assert asked["base/suppression"] == 2
    assert asked["newsletter/only-there"] == 1  # of the two recipients
    assert "newsletter/nowhere" in texts.keys() - asked.keys()
    (policy,) = document["policy_sets"]
    assert {one["rule"] for one in policy["rules"]} == asked.keys()
    for one in policy["rules"]:
        rule = texts[one["rule"]]
        assert (one["text"], one["cite"]) == ({"zh": rule.text_zh, "en": rule.text}, rule.table.cite)
    english, chinese = (text_of(found[f"index.{language}.html"])[0] for language in ("en", "zh"))
    assert "newsletter/only-there (1 recipient)" in english
    assert "newsletter/only-there Not this word Law Art 7" in english
    assert "newsletter/only-there （1 位收件人）" in chinese
    assert "newsletter/only-there 不能使用此词 Law Art 7" in chinese
    assert "newsletter/nowhere" not in english


async def test_the_country_that_the_ledger_knew_is_told_and_the_rules_of_its_law_were_asked(tmp_path):
    stream = "streams/newsletter.toml"
    files = {**FILES, stream: FILES[stream].replace(b'packs = ["base"]', b'packs = ["base", "kr"]')}
    name = set_hash(files)
    with opened(tmp_path / "records.db") as records:
        submission = a_submission(1, ["ada@example.org", "ji@example.org"])
        ada, ji = map(permitted, submission.recipients)
        rulings = [ada, replace(ji, residence=Residence(frozenset({"KR"}), NOW))]
        await records.append(received_record(submission, a_message(), rulings, name, a_first_try(submission), records.person))
        found = unpacked(build_evidence(material(records, an_id(1), "", policy_sets={name: KeptSet(files)}), records.reader))
    record = orjson.loads(found["evidence.json"])["records"][0]
    asked = {one["rule"]: one["recipients"] for one in record["asked"]}
    assert (asked["base/suppression"], asked["kr/consent"]) == (2, 1)
    assert [ruling.get("residence") for ruling in record["facts"]["rulings"]] == [None, {"countries": ["KR"], "at": NOW}]
    english, chinese = (text_of(found[f"index.{language}.html"])[0] for language in ("en", "zh"))
    assert f"Country by the consent ledger: KR ({RECORDED})" in english
    assert f"所在国家（同意台账）: KR ({RECORDED})" in chinese


async def test_a_refusal_and_its_lifting_are_told_in_words(records):
    consent = ConsentEvent(an_id(4), b"d", b"s", "granted", NOW + 50, NOW + 60, "by telephone, 18 November", "Wang Min")
    person = records.person("ada@example.org")
    again = lifted_record(
        an_id(8), NOW + 90, digest=person.digest, sealed=person.sealed, scope="organisation", reason=Reason.OBJECTION,
        by="Li Na", consent=consent, note="",
    )  # fmt: skip
    await records.append(again)
    files = unpacked(build_evidence(material(records), records.reader))
    english, chinese = (text_of(files[f"index.{language}.html"])[0] for language in ("en", "zh"))
    assert "Reason the recipient unsubscribed; scope: organisation; by one-click" in english
    assert "原因 收件人退订；范围：organisation；来源：一键退订" in chinese
    assert "On what consent none was recorded" in english
    assert "依据的同意 没有登记同意" in chinese
    for page in (english, chinese):
        assert "2026-11-18 19:07:30+08:00: by telephone, 18 November" in page


@pytest.mark.parametrize(("lang", "words"), [("en", "No consent is on record."), ("zh", "没有登记任何同意。")])
async def test_that_there_is_no_consent_is_said(records, lang, words):
    refused = History("ada@example.org", [a_refusal("ada@example.org", NOW - 60)], [])
    for history in (refused, History("ada@example.org", [], [])):
        files = unpacked(build_evidence(material(records, histories=[history]), records.reader))
        assert words in text_of(files[f"index.{lang}.html"])[0]
    with_consent = unpacked(build_evidence(material(records), records.reader))
    assert words not in text_of(with_consent[f"index.{lang}.html"])[0]


@pytest.mark.parametrize(
    ("changes", "english", "chinese"),
    [
        (
            {"what": "bounce", "why": "5.1.1 recipient_gone", "gone": True, "effect": "hard_bounce"},
            "Why 5.1.1: there is no such mailbox (the address is invalid for good)",
            "收到的是 退信 原因 5.1.1：没有这个邮箱（地址确已无效） 后果 邮箱被列入禁发名单：地址无效",
        ),
        (
            {"what": "bounce", "why": "4.2.2 throttle", "gone": False, "effect": ""},
            "Why 4.2.2: too much or too fast What followed none: nobody was put on the suppression list",
            "原因 4.2.2：发送过多或过快 后果 没有影响：未列入禁发名单",
        ),
        (
            {"what": "refusal_by_words", "why": "reply", "gone": False, "effect": "objection"},
            "What came back an answer that refuses in words Why an answer in words What followed the mailbox was put",
            "收到的是 用文字表示拒绝的回复 原因 回复邮件 后果 邮箱被列入禁发名单：收件人反对",
        ),
    ],
)
async def test_what_came_back_by_mail_is_told_in_words(records, changes, english, chinese):
    person = records.person("ada@example.org")
    facts = {"mailbox": "netease", "person": person, "submission_id": an_id(1), "stream": "newsletter", "mark": b"m" * 16}
    await records.append(collected_record(an_id(9), NOW + 70, **facts, **changes))
    files = unpacked(build_evidence(material(records), records.reader))
    assert english in text_of(files["index.en.html"])[0]
    assert chinese in text_of(files["index.zh.html"])[0]
    assert "Purpose marketing What came back" in text_of(files["index.en.html"])[0]
    assert f"About the mail {an_id(1)}" in text_of(files["index.en.html"])[0]


def test_every_kind_and_class_of_what_comes_back_has_words():
    kinds = {kind.value for kind in LetterKind} - {"innocent", "notice", "auto_reply"}
    for what in kinds:
        for reply_class in set(ReplyClass) - {ReplyClass.ACCEPTED}:
            said = returned_texts({"what": what, "why": f"550 {reply_class.value}", "gone": False, "effect": ""})
            for language in ("zh", "en"):
                assert said["what"][language] != what
                assert not said["why"][language].endswith(reply_class.value)


def test_words_of_a_set_stand_once_for_the_days_on_which_they_were_the_same():
    override = (
        b'\n[[override]]\nrule = "base/attachment-types"\naction = "warn"\nreason = "fair"\nby = "Li"\nuntil = 2026-11-20\n'
    )
    files = {**FILES, "streams/newsletter.toml": FILES["streams/newsletter.toml"] + override}
    days = {date(2026, 11, day) for day in (18, 19, 23)}
    english = Rulebook(set_hash(files), KeptSet(files)).sentences(days)["policy.en.txt"].decode()
    assert re.findall("^As it stood .*$", english, re.MULTILINE) == [
        "As it stood from 2026-11-18 to 2026-11-19:", "As it stood on 2026-11-23:",
    ]  # fmt: skip
    assert english.index("until 2026-11-20 (Li: fair)") < english.index("on 2026-11-23:") < english.index("ended on 2026-11-20")


def test_nothing_found_is_a_page_too(tmp_path):
    with opened(tmp_path / "records.db") as records:
        empty = Material("eve@example.org", "eve@example.org", NOW, ZONE, ())
        files = unpacked(build_evidence(empty, records.reader))
        assert "No records were found." in text_of(files["index.en.html"])[0]
        assert policy_hashes(()) == []
        assert KEYS.records.digest("eve@example.org").hex().encode() not in files["evidence.json"]
