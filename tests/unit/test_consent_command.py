"""`relay consent`: what goes in, what comes out, what a withdrawal stops, and that an order of rows means nothing."""

import asyncio
import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest

from relay.cli.consent import consent
from relay.cli.keys import keys
from relay.cli.opening import open_all
from relay.cli.suppress import suppress
from relay.mail.mailbox import Mailbox
from relay.policy.consents.consent import Details
from relay.records.consents import MOST_EVENTS, Said, new_event
from relay.records.kinds import Kind
from relay.stores.consent_formats import OWN_COLUMNS
from relay.stores.formats import is_formula
from tests.support.suppressing import Relay, relays_on_both_stores

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
NEWS = "marketing:newsletter"
SHANGHAI = ZoneInfo("Asia/Shanghai")

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
    assert standing["expires_on"] == "2099-01-01"  # the last day on which it stands
    assert relay.json("show", ADA, "--for", "marketing", code=1)["for"]["lacks"] == f"given for {NEWS}, not marketing"
    assert relay.json("show", BOB) == {"current": [], "country": None, "events": [], "for": None}
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
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--at", "0001-01-01T00:00:00+14:00"), "1970 to 8999"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--expires-at", "9999-12-31T23:59:59.9999999Z"), "leave it out"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--expires-at", "9999-12-31"), "1970 to 8999"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--relation-at", "2099-01-01"), "has not come yet"),
        (("withdraw", ADA, "--evidence", "x", "--at", "1969-12-01"), "1970 to 8999"),
        (("add", ADA, "--to", NEWS), "--evidence"),
        (("withdraw", ADA), "--evidence"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--event", "withdrawn"), "--event"),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--country", "UK"), 'country: "UK" is no country of ISO 3166-1'),
        (("add", ADA, "--to", NEWS, "--evidence", "x", "--country", "Germany"), "the United Kingdom is GB"),
    ],
)
def test_what_cannot_be_recorded_is_named(small, words, said):
    assert said in small(*words, code=2).output


# Where they are


def test_where_somebody_is_was_said_last_and_a_withdrawal_takes_it_not_back(relay):
    relay("add", ADA, "--to", NEWS, "--evidence", "form", "--country", "kr", "--at", "2026-03-01T10:00:00+08:00")
    assert relay.json("show", ADA)["country"]["countries"] == ["KR"]
    relay(
        "add",
        ADA,
        "--to",
        "service",
        "--basis",
        "contract",
        "--evidence",
        "moved",
        "--country",
        "DE",
        "--at",
        "2026-05-01T20:00:00+08:00",
    )
    relay("add", ADA, "--to", NEWS, "--evidence", "old card", "--country", "US", "--at", "2026-01-01")
    relay("withdraw", ADA, "--evidence", "called us")
    found = relay.json("show", ADA)
    assert (found["country"]["countries"], found["country"]["said"][:10]) == (["DE"], "2026-05-01")
    assert {event["country"] for event in found["events"]} == {"KR", "DE", "US", ""}
    assert "country: DE (said 2026-05-01" in relay("show", ADA).output
    assert "所在国家：DE（2026-05-01" in relay("show", ADA, lang="zh").output
    assert "country" not in relay("show", BOB).output


def test_countries_come_in_by_a_list_and_go_out_with_an_export(relay, tmp_path):
    listed = relay.file("list.csv", f"email,country\n{ADA},KR\n{BOB},\n{EVE},de\n")
    options = ("--to", NEWS, "--at", "2026-01-01", "--evidence", "fair")
    assert relay.json("import", listed, *options, "--country", "FR")["new"] == 3
    assert [relay.json("show", one)["country"]["countries"] for one in (ADA, BOB, EVE)] == [["KR"], ["FR"], ["DE"]]
    whole = relay("export", "--out", "-", "--addresses").stdout
    assert {row["address"]: row["country"] for row in rows(whole)} == {ADA: "KR", BOB: "FR", EVE: "DE"}
    assert relay.json("import", relay.file("back.csv", whole))["new"] == 0
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Relay(tmp_path / "elsewhere", group=consent)
    assert elsewhere.json("import", elsewhere.file("whole.csv", whole))["new"] == 3
    assert without_places(elsewhere.json("show", ADA)) == without_places(relay.json("show", ADA))
    assert elsewhere.json("show", EVE)["country"] == relay.json("show", EVE)["country"]


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


NO_AGREEMENT = (
    ("--basis", "legitimate_interest"), ("--basis", "inferred"), ("--basis", "contract"), ("--basis", "legal"),
    ("--basis", "published_address"), ("--basis", "soft_opt_in"), ("--basis", "implied_purchase"), ("--basis", "implied_inquiry"),
    ("--source", "purchased"), ("--source", "scraped"), ("--source", "generated"), ("--source", "shared"),
)  # fmt: skip
"""By none of these has the person said that they want mail again."""


def test_what_nobody_agreed_to_answers_no_refusal(small):
    """Law 6: a purchase, an interest that somebody weighed, or a bought address is no consent of the one who refused."""
    small("withdraw", ADA, "--evidence", "called us", "--at", "2026-02-01")
    for way in NO_AGREEMENT:
        told = small("add", ADA, "--to", "marketing", "--evidence", "x", "--at", "2026-03-01", "--lift", *way, code=1).output
        assert "the person agreed" in told, way
    assert suppressions(small) == [("unsubscribe", "organisation")]
    for number, basis in enumerate(("explicit", "separate", "guardian"), 2):
        small("withdraw", ADA, "--evidence", "called us", "--at", f"2026-03-0{number}T10:00")
        small("add", ADA, "--to", "marketing", "--evidence", "x", "--at", f"2026-03-0{number}T11:00", "--lift", "--basis", basis)
        assert suppressions(small) == []


@pytest.mark.parametrize("way", NO_AGREEMENT)
def test_who_withdrew_and_agreed_to_nothing_since_is_suppressed_by_a_list(small, way):
    table = f"email,event,purpose,at\n{ADA},withdrawn,marketing,2026-02-01\n{BOB},withdrawn,marketing,2026-02-01\n"
    small("import", small.file("ends.csv", table + f"{BOB},granted,marketing,2026-03-01\n"), "--evidence", "list")
    later = small.file("later.csv", f"email,event,purpose,at\n{ADA},granted,marketing,2026-03-01\n")
    small("import", later, "--evidence", "list", *way)
    small("import", small.file("again.csv", table), "--evidence", "list")
    assert suppressions(small) == [("unsubscribe", "organisation")]
    assert suppressions(small, BOB) == []


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


def test_an_evening_in_the_zone_of_the_organisation_ends_what_was_given_before_it(relay):
    """A list has no zones: 22:00 in it is 22:00 in Shanghai, as it is at the command line, whatever this machine's zone."""
    relay("add", ADA, BOB, "--to", NEWS, "--evidence", "a form", "--at", "2026-03-01T20:00")
    relay("import", relay.file("list.csv", f"email,event,purpose,at\n{ADA},withdrawn,{NEWS},2026-03-01 22:00\n"))
    relay("import", relay.file("list2.csv", f"email,event,purpose,at\n{BOB},withdrawn,{NEWS},2026/3/1 19:00\n"))
    assert relay.json("show", ADA, "--for", NEWS, code=1)["for"]["lacks"]
    assert suppressions(relay) == [("unsubscribe", "stream:newsletter")]
    assert relay.json("show", BOB, "--for", NEWS)["for"]["consent"]
    (granted, *_) = relay.json("show", ADA)["events"]
    assert datetime.fromisoformat(granted["at"]) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("at", ["2026-03-01", "2026/3/1", "2026年3月1日"])
def test_a_withdrawal_of_which_only_the_day_is_known_ends_what_was_given_on_that_day(relay, at):
    relay("add", ADA, BOB, "--to", NEWS, "--evidence", "a form", "--at", "2026-03-01T09:00")
    relay("import", relay.file("list.csv", f"email,event,purpose,at\n{ADA},withdrawn,{NEWS},{at}\n"))
    relay("withdraw", BOB, "--from", NEWS, "--evidence", "a call", "--at", at)
    for who in (ADA, BOB):
        assert relay.json("show", who, "--for", NEWS, code=1)["for"]["lacks"]
        assert suppressions(relay, who) == [("unsubscribe", "stream:newsletter")]


def test_a_withdrawal_from_a_clock_that_is_ahead_counts_from_now(relay):
    """A grant of tomorrow can be told again tomorrow; who was refused today must not be written to today."""
    ahead = (datetime.now(UTC) + timedelta(hours=8)).isoformat()
    table = f"email,event,purpose,at\n{ADA},withdrawn,{NEWS},{ahead}\n{BOB},granted,{NEWS},{ahead}\n"
    assert relay.json("import", relay.file("list.csv", table), code=1)["rejected"] == 1
    (event,) = relay.json("show", ADA)["events"]
    assert datetime.fromisoformat(event["at"]) <= datetime.now(UTC)
    assert suppressions(relay) == [("unsubscribe", "stream:newsletter")]
    assert relay.json("show", BOB)["events"] == []
    relay("withdraw", BOB, "--evidence", "a call", "--at", datetime.now(SHANGHAI).date().isoformat())
    assert suppressions(relay, BOB) == [("unsubscribe", "organisation")]


def test_who_agreed_again_stays_free_when_an_old_list_comes_in_after_a_rotation(relay):
    """The ledger has the later consent under the digest of an older key."""
    relay("import", relay.file("list.csv", "\n".join(("email,event,purpose,at", *HISTORY))))
    assert suppressions(relay, BOB) == []
    relay.group = keys
    relay("rotate", "addresses")
    relay.group = consent
    relay("import", relay.file("old.csv", f"email,event,purpose,at\n{BOB},withdrawn,marketing,2026-02-01\n"))
    assert suppressions(relay, BOB) == []
    assert relay.json("show", BOB, "--for", NEWS)["for"]["consent"]


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
        "email,event,purpose,at,basis,source,statements,text_sha256,age_band,country\n"
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
        f"{BOB},granted,{NEWS},2026-01-01,explicit,{'f' * 600}\n"
        f"{BOB},granted,{NEWS},2026-01-01,explicit,form,,,,UK\n",
    )
    rejects = tmp_path / "rejects.csv"
    told = small("import", file, "--rejects", rejects, code=1)
    assert "1 rows" in told.output
    assert "13 bad" in told.output
    bad = rows(rejects.read_text("utf-8-sig"))
    assert [row["line"] for row in bad] == [str(n) for n in range(3, 16)]
    assert (bad[-1]["row"], "the United Kingdom is GB" in bad[-1]["why"]) == ("UK", True)
    assert small.json("show", BOB)["events"] == []
    assert len(small.json("show", ADA)["events"]) == 1


def test_an_id_that_names_two_events_is_a_fault_of_the_later_row(relay):
    """Or a withdrawal that is called like the grant would be passed over as known."""
    head = "id,email,event,purpose,at\n"
    grant, end = f"sub-17,{ADA},granted,{NEWS},2026-01-01\n", f"sub-17,{ADA},withdrawn,{NEWS},2026-02-01\n"
    others = f"sub-17,{BOB},granted,{NEWS},2026-01-01\n"
    for tries in range(2):
        file = relay.file("list.csv", head + grant + end + others)
        told = relay.json("import", file, code=1)
        assert (told["rows"], told["new"], told["rejected"]) == (2, 0 if tries else 2, 1)
    shown = relay("import", relay.file("end.csv", head + end), code=1).output
    assert "names another event" in shown
    assert suppressions(relay) == []
    assert [one["event"] for one in relay.json("show", ADA)["events"]] == ["granted"]


def test_what_a_mailbox_has_too_much_of_is_named_and_withdrawals_are_taken(small):
    lines = [f"{ADA},granted,{NEWS},2026-01-01,{n}" for n in range(MOST_EVENTS + 2)]
    end = f"{ADA},withdrawn,{NEWS},2026-02-01,called us"
    file = small.file(
        "list.csv", "\n".join(("email,event,purpose,at,evidence", *lines, end, f"{BOB},granted,{NEWS},2026-01-01,x"))
    )
    told = small.json("import", file, code=1)
    assert (told["rows"], told["new"], told["rejected"], told["refused"]) == (MOST_EVENTS + 2, MOST_EVENTS + 2, 2, 1)
    full = small("add", ADA, "--to", NEWS, "--evidence", "form", code=1)
    assert f"{MOST_EVENTS} events" in full.output
    small("withdraw", ADA, "--evidence", "called us again")
    assert len(small.json("show", ADA)["events"]) == MOST_EVENTS + 2


def test_moments_that_no_calendar_has_are_named_with_their_row_and_column(small, tmp_path):
    """Forever is a usual word of customer lists; recorded, it would have stopped all mail that includes the recipient."""
    moments = [
        ("2026-01-01", "", "9999-12-31T23:59:59.9999999Z"), ("2026-01-01", "", "9999-12-31T23:59:59-05:00"),
        ("2026-01-01", "9999-01-01", ""), ("2026-01-01", "2099-01-01", ""), ("0001-01-01T00:00:00+14:00", "", ""),
    ]  # fmt: skip
    lines = [f"{ADA},{NEWS},implied_purchase,{','.join(one)}" for one in moments]
    file = small.file("list.csv", "\n".join(("email,purpose,basis,at,relation_at,expires_at", *lines)))
    rejects = tmp_path / "rejects.csv"
    small("import", file, "--rejects", rejects, code=1)
    told = [(row["line"], row["why"]) for row in rows(rejects.read_text("utf-8-sig"))]
    names = ["expires_at", "expires_at", "relation_at", "relation_at", "at"]
    assert [(line, why.split()[0]) for line, why in told] == [(str(n), name) for n, name in enumerate(names, 2)]
    assert "leave it out" in told[0][1]
    assert small.json("show", ADA)["events"] == []


def test_a_moment_of_the_year_10000_on_record_is_shown_and_exported(small):
    """An earlier version took it."""

    async def record():
        async with open_all(str(small.folder / "config.toml")) as opened:
            said = Said("granted", NEWS, "explicit", 5.0, "form", "Wang", Details(expires_at=253402300800.0), {})
            await opened.store.record_consents([new_event(opened.keys, Mailbox.parse(ADA), said, 6.0)])

    asyncio.run(record())
    assert small.json("show", ADA, "--for", NEWS)["current"][0]["expires_on"] == "9000-01-01"
    assert "9000-01-01" in small("show", ADA).output
    assert "9000-01-01" in small("export", "--out", "-").stdout


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


def test_what_a_double_opt_in_left_comes_back_from_an_export(relay, tmp_path):
    names = "address,event,purpose,at,evidence,id,request,asked_at,ip,asked_ip,asked_user_agent"
    row = f"{ADA},confirmed,{NEWS},2026-05-04T10:00:00Z,form,01A-confirmed,01A,2026-05-04T09:00:00Z,192.0.2.9,192.0.2.7,Phone"
    assert relay.json("import", relay.file("list.csv", f"{names}\n{row}\n"))["new"] == 1
    shown = relay.json("show", ADA, "--origin")
    (event,) = shown["events"]
    assert (event["request"], event["asked_ip"], event["asked_user_agent"]) == ("01A", "192.0.2.7", "Phone")
    assert event["asked_at"] < event["at"]
    whole = relay("export", "--out", "-", "--addresses").stdout
    assert relay.json("import", relay.file("back.csv", whole))["new"] == 0
    later = whole.replace("2026-05-04T09:00:00", "2026-05-04T08:00:00")
    assert relay.json("import", relay.file("later.csv", later), code=1)["rejected"] == 1  # another event under that id
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Relay(tmp_path / "elsewhere", group=consent)
    elsewhere("import", elsewhere.file("whole.csv", whole))
    assert without_places(elsewhere.json("show", ADA, "--origin")) == without_places(shown)


def without_places(shown):
    """The commit sequence is each store's own."""
    return [{**event, "number": 0} for event in shown["events"]]


def test_an_export_to_a_file_has_the_columns_that_are_documented(small, tmp_path):
    out = tmp_path / "consents.csv"
    small("export", "--out", out)
    assert out.read_text("utf-8-sig").strip().split(",") == list(OWN_COLUMNS)
    assert out.stat().st_mode & 0o077 == 0
