"""Lists of consents that a careless hand made: what nobody can tell apart becomes a fault, never a consent."""

from datetime import UTC

import pytest

from relay.stores.consent_formats import Defaults, Told, read_consents
from relay.stores.tables import Fault

DEFAULTS = Defaults(UTC, purpose="marketing", at=5.0, evidence="fair")  # what --to, --at and --evidence say


def read(text, defaults=DEFAULTS):
    return list(read_consents([text.encode()], defaults))


@pytest.mark.parametrize("heading", ["address,event,event", "address,Event,EVENT", "email,at,event,event", "email,email"])
@pytest.mark.parametrize("row", ["ada@example.org,withdrawn,granted", "ada@example.org,withdrawn,"])
def test_of_two_columns_of_one_name_neither_counts(heading, row):
    (fault,) = read(f"{heading}\n{row}\n")
    assert isinstance(fault, Fault)
    assert (fault.line, "two columns" in fault.en, "同名" in fault.zh) == (1, True, True)


def test_columns_that_mean_nothing_here_may_have_one_name():
    (told,) = read("address,note,note,event\nada@example.org,a,b,withdrawn\n")
    assert told.event == "withdrawn"


def test_columns_without_names_are_no_consents():
    """A withdrawal in a column that nobody named would be read as what --event says: granted."""
    (fault,) = read("ada@example.org,withdrawn,2026-01-02\nbob@example.org,withdrawn,2026-01-02\n")
    assert isinstance(fault, Fault)
    assert (fault.line, fault.row, "no names" in fault.en) == (1, "ada@example.org", True)


@pytest.mark.parametrize("text", ["ada@example.org\nbob@example.org\n", "ada@example.org,\nbob@example.org,\n"])
def test_bare_addresses_need_no_name(text):
    assert [told.address for told in read(text)] == ["ada@example.org", "bob@example.org"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("status", "unsubscribed"),
        ("Status", "Bounced"),
        ("Subscription Status", "pending"),
        ("status", "a word of theirs"),
        ("unsubscribed_at", "2026-03-01 10:00:00"),
        ("Opted Out", "TRUE"),
        ("Accepts Marketing", "no"),
        ("订阅状态", "已退订"),
        ("是否退订", "是"),
        ("是否同意", "否"),
    ],
)
@pytest.mark.parametrize("event", ["", "granted", "confirmed"])
def test_who_left_the_list_they_came_from_is_no_consent(column, cell, event):
    """The first row of a subscriber list says it in a column of its own, whatever --event or `event` says."""
    bad, good = read(f"email,event,{column}\nada@example.org,{event},{cell}\nbob@example.org,{event},\n")
    assert isinstance(bad, Fault)
    assert (bad.line, bad.row) == (2, "ada@example.org")
    assert f'says "{cell}"' in bad.en
    assert "relay suppress import" in bad.en
    assert f"“{cell}”" in bad.zh
    assert good.address == "bob@example.org"


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("status", "Subscribed"),
        ("status", "active"),
        ("unsubscribed_at", "0000-00-00 00:00:00"),
        ("opt_out", "false"),
        ("accepts_marketing", "yes"),
        ("订阅状态", "已订阅"),
        ("是否退订", "否"),
        ("city", "unsubscribed"),
    ],
)
def test_who_is_still_on_it_is_one(column, cell):
    (told,) = read(f"email,{column}\nada@example.org,{cell}\n")
    assert told.event == "granted"


def test_a_withdrawal_needs_no_other_word():
    (told,) = read("email,event,status\nada@example.org,withdrawn,unsubscribed\n")
    assert told.event == "withdrawn"


def test_json_of_another_system_is_read_in_the_same_way():
    bad, good = read('[{"email": "ada@example.org", "optedOut": true}, {"email": "bob@example.org", "optedOut": false}]')
    assert isinstance(bad, Fault)
    assert good.address == "bob@example.org"


def test_a_row_with_more_cells_than_columns_is_bad_and_the_others_are_taken():
    bad, good = read("address,at,evidence\nada@example.org,2026-01-01,fair, withdrawn\nbob@example.org,2026-01-01,fair,\n")
    assert isinstance(bad, Fault)
    assert (bad.line, "more cells" in bad.en) == (2, True)
    assert (good.address, good.evidence) == ("bob@example.org", "fair")


def test_a_word_that_json_says_twice_is_bad():
    bad, good = read('[{"email": "ada@example.org", "event": "withdrawn", "Event": "granted"}, {"email": "bob@example.org"}]')
    assert isinstance(bad, Fault)
    assert "twice" in bad.en
    assert isinstance(good, Told)
