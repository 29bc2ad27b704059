"""Each service's list says the same thing in its own words; what a list does not say is left to the importer."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.stores.formats import OWN_COLUMNS, LeftOut, Listed, guarded, own_row, parts_of
from relay.stores.tables import Fault

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def read_list(chunks, name="auto"):
    return (item for part in parts_of(chunks, name) for item in part.read(UTC))


def read(text: str | bytes, name: str = "auto"):
    """Format names, and per row: address and reason, or why it is none."""
    octets = text.encode() if isinstance(text, str) else text
    items = list(read_list([octets], name))
    return {found for found, _ in items}, [_short(item) for _, item in items]


def _short(item):
    match item:
        case Listed():
            return item.address, item.reason
        case LeftOut():
            return f"left out: {item.en}"
        case Fault():
            return f"line {item.line}: {item.en}"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param(
            "ses", f"{ADA},BOUNCE\n{BOB},COMPLAINT\n", [(ADA, Reason.HARD_BOUNCE), (BOB, Reason.COMPLAINT)], id="ses-csv"
        ),
        pytest.param(
            "ses",
            f'{{"emailAddress":"{ADA}","reason":"BOUNCE"}}\n{{"emailAddress":"{BOB}","reason":"COMPLAINT"}}\n',
            [(ADA, Reason.HARD_BOUNCE), (BOB, Reason.COMPLAINT)],
            id="ses-ndjson",
        ),
        pytest.param(
            "ses",
            json.dumps({"SuppressedDestinationSummaries": [{"EmailAddress": ADA, "Reason": "BOUNCE", "LastUpdateTime": 1.0}]}),
            [(ADA, Reason.HARD_BOUNCE)],
            id="ses-answer",
        ),
        pytest.param(
            "ses-contacts",
            "emailAddress,unsubscribeAll,attributesData,topicPreferences.News\n"
            f'{ADA},true,"{{""a"": 1}}",OPT_IN\n{BOB},false,,OPT_IN\n{EVE},false,,OPT_OUT\n',
            [
                (ADA, Reason.UNSUBSCRIBE),
                "left out: still subscribed",
                "line 4: opted out of news only: import those separately with --stream",
            ],
            id="ses-contacts",
        ),
        pytest.param(
            "mailgun",
            f"address,code,error,created_at,MessageHash\n{ADA},550,No such mailbox,\"Fri, 21 Oct 2011 11:02:55 GMT\",x\n",
            [(ADA, Reason.HARD_BOUNCE)],
            id="mailgun-bounces",
        ),
        pytest.param(
            "mailgun", f"address,tags,created_at\n{ADA},*,2026-03-01 12:00:00 UTC\n", [(ADA, Reason.UNSUBSCRIBE)],
            id="mailgun-unsubscribes",
        ),
        pytest.param("mailgun", f"address,created_at\n{ADA},2026-03-01\n", [(ADA, None)], id="mailgun-complaints"),
        pytest.param(
            "mailgun", json.dumps([{"address": ADA, "tags": ["*"], "created_at": "Sun, 01 Mar 2026 12:00:00 UTC"}]),
            [(ADA, Reason.UNSUBSCRIBE)], id="mailgun-json",
        ),
        pytest.param(
            "sendgrid",
            f"status,reason,email,created\n5.1.1,550 no such user,{ADA},1772366400\n4.2.2,mailbox full,{BOB},1772366400\n",
            [(ADA, Reason.HARD_BOUNCE), "left out: a passing failure (4.2.2)"],
            id="sendgrid-bounces",
        ),
        pytest.param(
            "sendgrid", json.dumps([{"created": 1772366400, "email": ADA, "ip": "192.0.2.1"}]), [(ADA, Reason.COMPLAINT)],
            id="sendgrid-spam-reports",
        ),
        pytest.param("sendgrid", f"email,created\n{ADA},1772366400\n", [(ADA, Reason.UNSUBSCRIBE)], id="sendgrid-unsubscribes"),
        pytest.param(
            "postmark",
            json.dumps({"Suppressions": [
                {"EmailAddress": ADA, "SuppressionReason": "HardBounce", "CreatedAt": "2026-03-01T12:00:00Z"},
                {"EmailAddress": BOB, "SuppressionReason": "SpamComplaint", "Origin": "Recipient"},
                {"EmailAddress": EVE, "SuppressionReason": "ManualSuppression", "Origin": "Recipient"},
                {"EmailAddress": EVE, "SuppressionReason": "ManualSuppression", "Origin": "Admin"},
                {"EmailAddress": EVE, "SuppressionReason": "Sunshine"},
            ]}),
            [
                (ADA, Reason.HARD_BOUNCE), (BOB, Reason.COMPLAINT), (EVE, Reason.UNSUBSCRIBE), (EVE, Reason.MANUAL),
                'line 1: SuppressionReason "Sunshine" is not known',
            ],
            id="postmark",
        ),
        pytest.param("plain", f"{ADA}\n{BOB}\n", [(ADA, None), (BOB, None)], id="plain"),
        pytest.param("plain", f"Nr;Name;E-Mail\n1;Ada;{ADA}\n2;Bob;{BOB}\n", [(ADA, None), (BOB, None)], id="plain-table"),
        pytest.param("plain", f"编号,邮箱地址\n1,{ADA}\n", [(ADA, None)], id="plain-chinese"),
        pytest.param("plain", f"who,what\nx,{ADA}\ny,{BOB}\n", [(ADA, None), (BOB, None)], id="unknown-heading"),
        pytest.param("plain", f"Ada,{ADA}\nBob,{BOB}\n", [(ADA, None), (BOB, None)], id="second-column"),
        pytest.param("plain", f"email,reason\n{ADA},complaint\n{BOB},\n", [(ADA, Reason.COMPLAINT), (BOB, None)], id="reason"),
        pytest.param("plain", f"email,created,name,orders\n{ADA},1772366400,Ada,7\n", [(ADA, None)], id="customers"),
    ],
)  # fmt: skip
def test_each_format_is_told_and_read(name, text, expected):
    assert read(text) == ({name}, expected)


@pytest.mark.parametrize(
    "octets",
    [
        f"{ADA};BOUNCE\r{BOB};COMPLAINT\r".encode(),
        f"\ufeff{ADA},BOUNCE\r\n{BOB},COMPLAINT".encode(),
        f"{ADA}\tbounce\n\n{BOB}\tcomplaint\n".encode("utf-16"),
    ],
    ids=["semicolons-cr", "bom", "utf-16-tabs"],
)
def test_how_a_file_was_saved_does_not_matter(octets):
    assert read(octets) == ({"ses"}, [(ADA, Reason.HARD_BOUNCE), (BOB, Reason.COMPLAINT)])


def test_gb18030_is_read():
    octets = f"姓名,邮箱,备注\n王敏,{ADA},不要再发\n".encode("gb18030")
    assert read(octets) == ({"plain"}, [(ADA, None)])


def test_a_reason_that_is_none_is_a_fault_with_its_line():
    assert read(f"{ADA},BOUNCE\n{BOB},HOLIDAY\n")[1] == [(ADA, Reason.HARD_BOUNCE), "line 2: expected BOUNCE or COMPLAINT"]


def test_the_person_may_know_better():
    assert read(f"{ADA},BOUNCE\n", "plain")[1] == [(ADA, None)]
    assert read(f"{ADA}\n", "sendgrid")[1] == [(ADA, Reason.UNSUBSCRIBE)]


def test_times_and_notes_come_along():
    text = f'address,code,error,created_at\n{ADA},550,"no, never",2026-03-01 12:00:00 UTC\n'
    ((_, item),) = read_list([text.encode()])
    assert item == Listed(2, ADA, Reason.HARD_BOUNCE, NOON, note="550 no, never")


NOTES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r\n"), max_size=20).map(str.strip)
ENTRIES = st.builds(
    Suppression,
    digest=st.binary(min_size=16, max_size=16),
    scope=st.sampled_from([ORGANISATION, "stream:news"]),
    reason=st.sampled_from(Reason),
    origin=st.sampled_from(["cli", "one_click"]),
    at=st.integers(10**9, 2 * 10**9).map(float),
    note=NOTES,
    expires_at=st.none() | st.integers(10**9, 2 * 10**9).map(float),
)


@given(ENTRIES, st.sampled_from(["", ADA, "=cmd@example.com", "'quoted@example.com", "+1@example.com"]))
def test_our_own_export_comes_back_as_it_was(entry, address):
    """Export and import are inverse, whatever stands in the cells."""
    file = io.StringIO()
    csv.writer(file).writerows([OWN_COLUMNS, own_row(entry, address, {"addresses:1:00"})])
    ((name, item),) = read_list([b"\xef\xbb\xbf" + file.getvalue().encode()])
    assert name == "own"
    assert item == Listed(
        2, address, entry.reason, entry.at, entry.scope, entry.note or entry.origin, entry.expires_at, entry.digest,
        frozenset({"addresses:1:00"}),
    )  # fmt: skip


def test_an_entry_that_ends_beyond_all_calendars_is_exported_all_the_same():
    """`--expires 9999999d` is taken, and one entry must not keep the others from being exported."""
    entry = Suppression(b"x" * 16, ORGANISATION, Reason.HARD_BOUNCE, "cli", NOON, expires_at=NOON + 9_999_999 * 86400.0)
    assert own_row(entry, ADA, ())[OWN_COLUMNS.index("expires_at")] == "9000-01-01T00:00:00+00:00"


def test_a_lifted_entry_is_left_out():
    entry = Suppression(b"x" * 16, ORGANISATION, Reason.MANUAL, "cli", NOON, lifted_at=NOON + 1, lifted_by="reason: x")
    file = io.StringIO()
    csv.writer(file).writerows([OWN_COLUMNS, own_row(entry, ADA, ())])
    assert read(file.getvalue())[1] == ["left out: was lifted"]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+A1", "-SUM(A1)", "-1+A1", "+1|x!A0", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", "＝1", "＋A1", "－A1", "＠A1", "'=1"],
)
def test_no_cell_begins_a_formula(cell):
    assert guarded(cell) == f"'{cell}"
    assert guarded(f"x{cell}") == f"x{cell}"


@pytest.mark.parametrize("cell", ["", "-", "-12.5", "+1", "+86 (21) 6888-0000", "王敏", "a=b"])
def test_numbers_and_telephone_numbers_stay_as_they_are(cell):
    assert guarded(cell) == cell
