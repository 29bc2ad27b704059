"""`relay consent`: what goes in, what comes out, what a withdrawal stops, and that an order of rows means nothing."""

import csv
import hashlib
import io
import json
from itertools import permutations

import pytest

from relay.cli.consent import consent
from relay.cli.suppress import suppress
from relay.records.kinds import Kind
from relay.stores.consent_formats import OWN_COLUMNS
from relay.stores.formats import is_formula
from tests.support.suppressing import Relay, relays_on_both_stores

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
NEWS = "marketing:newsletter"

on_both = relays_on_both_stores()


@pytest.fixture
def relay(on_both):
    on_both.group = consent
    return on_both


@pytest.fixture
def small(tmp_path):
    return Relay(tmp_path, group=consent)


def suppressions(relay, address=ADA):
    """What stops mail to the address: reason and scope."""
    relay.group = suppress
    try:
        found = json.loads(
            relay("check", address, "--json", code=1 if relay("check", address, code=None).exit_code else 0).stdout
        )
        return [(row["reason"], row["scope"]) for row in found[address] if row["in_force"]]
    finally:
        relay.group = consent


def rows(text: str):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


# Adding and looking


def test_what_was_recorded_is_shown_with_its_proof(relay):
    words = relay.file("words.txt", "我同意接收新闻邮件")
    relay(
        "add", "Ada@Example.COM", "--to", NEWS, "--evidence", "网页表单", "--by", "Wang Min", "--source", "form",
        "--source-ref", "https://example.com/join", "--method", "checkbox", "--statement", "unticked", "--text", words,
        "--notice-version", "2026-1", "--ip", "192.0.2.9", "--age-band", "adult", "--expires-at", "2099-01-01",
    )  # fmt: skip
    found = relay.json("show", ADA, "--for", NEWS)
    (event,) = found["events"]
    assert (event["event"], event["purpose"], event["basis"], event["evidence"]) == ("granted", NEWS, "explicit", "网页表单")
    assert event["text_sha256"] == hashlib.sha256("我同意接收新闻邮件".encode()).hexdigest()
    assert event["lacks"] == []
    assert "192.0.2.9" not in json.dumps(found)
    assert relay.json("show", ADA, "--origin")["events"][0]["ip"] == "192.0.2.9"
    assert found["for"] == {"purpose": NEWS, "consent": event["id"], "lacks": ""}
    (standing,) = found["current"]
    assert (standing["purpose"], standing["ended"]) == (NEWS, None)
    assert standing["expires_on"] in ("2098-12-31", "2099-01-01")  # as the zone of this machine has it
    assert relay.json("show", ADA, "--for", "marketing", code=1)["for"]["lacks"] == f"given for {NEWS}, not marketing"
    assert relay.json("show", BOB) == {"current": [], "events": [], "for": None}
    (facts,) = relay.facts(Kind.CONSENT)
    assert (facts["consent_id"], facts["purpose"], facts["by"], facts["lacks"]) == (event["id"], NEWS, "Wang Min", [])


def test_what_was_recorded_is_shown_to_people_in_both_languages(small):
    small("add", ADA, "--to", NEWS, "--evidence", "by telephone")
    shown = small("show", ADA).output
    assert "stands" in shown
    assert "by telephone" in shown
    small("withdraw", ADA, "--evidence", "by telephone")
    assert "结束" in small("show", ADA, lang="zh").output
    assert "no consent stands (withdrawn on" in small("show", ADA, "--for", NEWS, code=1).output
    assert "nothing in the ledger" in small("show", BOB).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", ADA, "--to", "Marketing", "--evidence", "x"), "no purpose"),
        (("add", "ada", "--to", NEWS, "--evidence", "x"), '"ada"'),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--at", "2099-01-01"), "has not come yet"),
        (("add", ADA, "--to", NEWS), "--evidence"),
        (("withdraw", ADA), "--evidence"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--event", "withdrawn"), "--event"),
    ],
)
def test_what_cannot_be_recorded_is_named(small, words, said):
    assert said in small(*words, code=2).output


# Withdrawing


def test_who_withdraws_is_suppressed_at_once(relay):
    relay("add", ADA, BOB, "--to", "marketing", "--evidence", "form", "--at", "2026-01-01")
    relay("withdraw", ADA, "--evidence", "called us", "--by", "Wang Min")
    relay("withdraw", BOB, "--from", NEWS, "--objection", "--evidence", "a letter")
    assert suppressions(relay) == [("unsubscribe", "organisation")]
    assert suppressions(relay, BOB) == [("objection", "stream:newsletter")]
    assert relay.json("show", ADA)["current"][0]["ended"]
    assert relay.json("show", BOB, "--for", "marketing:offers")["for"]["consent"]
    assert "objected on" in relay.json("show", BOB, "--for", NEWS, code=1)["for"]["lacks"]
    assert [facts["event"] for facts in relay.facts(Kind.CONSENT)] == ["granted", "granted", "withdrawn", "objected"]
    assert [facts["reason"] for facts in relay.facts(Kind.SUPPRESSED)] == ["unsubscribe", "objection"]
    assert len(relay.facts(Kind.APPLIED)) == 2


def test_a_purpose_without_mail_of_its_own_suppresses_nobody(small):
    small("add", ADA, "--to", "share:Partner", "--evidence", "form")
    small("withdraw", ADA, "--from", "share:Partner", "--evidence", "called us")
    assert suppressions(small) == []


def test_a_later_consent_lifts_a_refusal_only_when_it_is_asked_to(relay):
    relay("withdraw", ADA, "--evidence", "called us", "--at", "2026-02-01")
    kept = relay("add", ADA, "--to", "marketing", "--evidence", "form", "--at", "2026-03-01", code=1).output
    assert "--lift" in kept
    assert suppressions(relay) == [("unsubscribe", "organisation")]
    relay("add", ADA, "--to", "marketing", "--evidence", "form", "--at", "2026-01-31", "--lift", code=1)
    relay("add", ADA, "--to", NEWS, "--evidence", "form", "--at", "2026-03-01", "--lift", code=1)  # not wide enough
    relay("add", ADA, "--to", "marketing", "--evidence", "form", "--event", "renewed", "--lift")  # revives nothing
    assert suppressions(relay) == [("unsubscribe", "organisation")]
    relay("add", ADA, "--to", "marketing", "--evidence", "form", "--at", "2026-03-02", "--lift")
    assert suppressions(relay) == []
    (lifted,) = relay.facts(Kind.LIFTED)
    assert lifted["consent"]["evidence"] == "form"


# Lists

HISTORY = (
    f"{ADA},granted,marketing,2026-01-01",
    f"{ADA},withdrawn,{NEWS},2026-02-01",
    f"{BOB},withdrawn,marketing,2026-02-01",
    f"{BOB},granted,marketing,2026-03-01",
    f"{EVE},confirmed,{NEWS},2026-01-05",
)


def test_the_order_of_the_rows_means_nothing(tmp_path):
    seen = set()
    for number, order in enumerate(list(permutations(HISTORY))[::17]):
        (tmp_path / str(number)).mkdir()
        relay = Relay(tmp_path / str(number), group=consent)
        relay("import", relay.file("list.csv", "\n".join(("email,event,purpose,at", *order))), "--evidence", "list of 2026")
        stands = [relay("show", who, "--for", NEWS, code=None).exit_code for who in (ADA, BOB, EVE)]
        assert stands == [1, 0, 0]
        seen.add(str([suppressions(relay, who) for who in (ADA, BOB, EVE)]))
    assert seen == {"[[('unsubscribe', 'stream:newsletter')], [], []]"}


def test_the_same_list_twice_adds_nothing(relay):
    file = relay.file("list.csv", "\n".join(("email,event,purpose,at", *HISTORY)))
    counted = relay.json("import", file, "--dry-run")
    assert (counted["rows"], counted["new"], counted["refused"]) == (5, 5, 0)
    assert relay.json("show", ADA)["events"] == []
    first = relay.json("import", file)
    assert (first["rows"], first["new"], first["refused"], first["events"]) == (
        5, 5, 1, {"granted": 2, "withdrawn": 2, "confirmed": 1},
    )  # fmt: skip
    second = relay.json("import", file)
    assert (second["rows"], second["new"], second["refused"]) == (5, 0, 0)
    assert [facts["new"] for facts in relay.facts(Kind.CONSENT)] == [5, 0]
    assert relay.facts(Kind.CONSENT)[0]["file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_list_of_bare_addresses_takes_the_rest_from_the_options(relay):
    file = relay.file("list.txt", f"{ADA}\n{BOB}\n")
    relay(
        "import", file, "--to", NEWS, "--at", "2026-01-01", "--evidence", "fair of 2026", "--source", "paper", "--signer", "Ada",
        "--statement", "unticked",
    )  # fmt: skip
    (event,) = relay.json("show", BOB, "--origin")["events"]
    assert (event["source"], event["signer"], event["statements"], event["evidence"]) == (
        "paper",
        "Ada",
        ["unticked"],
        "fair of 2026",
    )


def test_bad_rows_are_named_and_the_others_are_taken(small, tmp_path):
    file = small.file(
        "list.csv",
        "email,event,purpose,at,basis,source,statements,text_sha256,age_band\n"
        f"{ADA},granted,{NEWS},2026-01-01,explicit,form,unticked,{'ab' * 32},adult\n"
        f"no address,granted,{NEWS},2026-01-01\n"
        f"{BOB},agreed,{NEWS},2026-01-01\n"
        f"{BOB},granted,News Letter,2026-01-01\n"
        f"{BOB},granted,{NEWS},some day\n"
        f"{BOB},granted,{NEWS},2099-01-01\n"
        f"{BOB},granted,{NEWS},\n"
        f"{BOB},granted,{NEWS},2026-01-01,because\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,bought\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,form,ticked\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,form,,abc\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,form,,,old\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,{'f' * 600}\n",
    )
    rejects = tmp_path / "rejects.csv"
    told = small("import", file, "--rejects", rejects, code=1)
    assert "1 rows" in told.output
    assert "12 bad" in told.output
    assert [row["line"] for row in rows(rejects.read_text("utf-8-sig"))] == [str(n) for n in range(3, 15)]
    assert small.json("show", BOB)["events"] == []
    assert len(small.json("show", ADA)["events"]) == 1


def test_an_empty_list_is_no_success(small):
    assert "no rows" in small("import", small.file("list.csv", ""), code=1).output


def test_an_export_hides_who_it_is_and_comes_back(relay, tmp_path):
    relay(
        "add", ADA, "--to", NEWS, "--evidence", "=HYPERLINK(evil)", "--ip", "192.0.2.9", "--source-ref", "+cmd", "--by", "@Wang",
        "--statement", "unticked", "--relation-at", "2026-01-01",
    )  # fmt: skip
    relay("withdraw", ADA, "--evidence", "called us")
    shown = relay.json("show", ADA, "--origin")
    masked = relay("export", "--out", "-").stdout
    assert ADA not in masked
    assert "192.0.2.9" not in masked
    assert [(row["address"], row["masked"], row["event"]) for row in rows(masked)] == [
        ("", "a***@example.com", "granted"), ("", "a***@example.com", "withdrawn"),
    ]  # fmt: skip
    whole = relay("export", "--out", "-", "--addresses").stdout
    assert [row["address"] for row in rows(whole)] == [ADA, ADA]
    for text in (masked, whole):
        assert not any(is_formula(cell) for row in csv.reader(io.StringIO(text)) for cell in row)
        again = relay.json("import", relay.file("back.csv", text))
        assert (again["rows"], again["new"], again["rejected"]) == (2, 0, 0)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Relay(tmp_path / "elsewhere", group=consent)
    assert elsewhere.json("import", elsewhere.file("whole.csv", whole))["new"] == 2
    assert without_places(elsewhere.json("show", ADA, "--origin")) == without_places(shown)
    assert suppressions(elsewhere) == [("unsubscribe", "organisation")]
    assert elsewhere.json("import", elsewhere.file("masked.csv", masked), code=1)["rejected"] == 2  # keys of another relay


def without_places(shown):
    """The commit sequence is each store's own."""
    return [{**event, "number": 0} for event in shown["events"]]


def test_an_export_to_a_file_has_the_columns_that_are_documented(small, tmp_path):
    out = tmp_path / "consents.csv"
    small("export", "--out", out)
    assert out.read_text("utf-8-sig").strip().split(",") == list(OWN_COLUMNS)
    assert out.stat().st_mode & 0o077 == 0
