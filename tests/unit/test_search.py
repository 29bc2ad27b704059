"""Records are found by what people have in hand, and any change to them is found by `verify`."""

import sqlite3
from contextlib import closing
from datetime import date

import pytest

from relay.errors import RecordsUnavailable
from relay.keys import new_keys, rotated
from relay.mail.mailbox import mask
from relay.records import chain, search
from relay.records.append import Records
from relay.records.collected import addressee_named
from relay.records.facts import received_record
from relay.records.kinds import Kind
from relay.records.reading import Reader
from relay.records.search import Query, found_by_id, verify
from tests.support.records import (
    KEYS,
    NOW,
    a_first_try,
    a_message,
    a_record,
    a_refusal,
    a_submission,
    an_id,
    journal,
    opened,
    permitted,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.db"


def received(records: Records, number: int, *recipients: str):
    submission = a_submission(number, recipients)
    rulings = [permitted(recipient) for recipient in submission.recipients]
    return received_record(submission, a_message(), rulings, submission.policy, a_first_try(submission), records.person)


def seqs(reader: Reader, **query):
    return [entry.seq for entry in search.search(reader, Query(**query))]


async def test_records_are_found_by_id_mailbox_kind_and_time(path):
    with opened(path) as records:
        await records.append(received(records, 1, "ada@example.org"))
        await records.append(received(records, 2, "bob@example.org", "ada@example.org"))
        await records.append(a_record(1, Kind.FINISHED, NOW + 60))
        await records.append(a_record(3, Kind.POLICY, NOW - 60))
        reader = records.reader
        assert seqs(reader) == [4, 1, 2, 3]
        assert seqs(reader, id=an_id(2)) == [2]
        assert seqs(reader, id=an_id(9)) == []
        assert seqs(reader, mailbox="ada@example.org") == [1, 2]
        assert seqs(reader, mailbox="bob@example.org") == [2]
        assert seqs(reader, mailbox="bob@example.org", id=an_id(1)) == []
        assert seqs(reader, kinds=frozenset({Kind.FINISHED, Kind.POLICY})) == [4, 3]
        assert seqs(reader, since=NOW, until=NOW + 60) == [1, 2]
        assert seqs(reader, mailbox="ada@example.org", since=NOW + 1) == []
        assert [record.kind for record in found_by_id(reader, an_id(1))] == [Kind.RECEIVED]


async def test_an_old_key_generation_still_finds_its_records(path):
    newer = rotated(rotated(KEYS, "records", date(2026, 12, 1)), "addresses", date(2026, 12, 1))
    with opened(path) as records:
        await records.append(received(records, 1, "ada@example.org"))
    with opened(path, newer) as records:
        await records.append(received(records, 2, "ada@example.org"))
        assert seqs(records.reader, mailbox="ada@example.org") == [1, 2]
        for entry in search.search(records.reader, Query()):
            assert [records.reader.reveal(person) for person in entry.record.people] == ["news@example.com", "ada@example.org"]
    with Reader(path, KEYS) as reader:
        assert seqs(reader, mailbox="ada@example.org") == [1]


async def test_addresses_are_shown_under_the_right_keys_only(path):
    with opened(path) as records:
        await records.append(received(records, 1, "ada@example.org"))
    assert b"ada@" not in path.read_bytes()
    with Reader(path, new_keys(date(2026, 1, 1))) as reader:
        [entry] = search.search(reader, Query())
        assert [reader.reveal(person) for person in entry.record.people] == ["", ""]
        assert seqs(reader, mailbox="ada@example.org") == []


async def test_a_refusal_by_link_is_found_by_the_address_that_nobody_recorded(path):
    with opened(path) as records:
        await journal(records, 7, a_refusal("ada@example.org"))
        assert seqs(records.reader, mailbox="ada@example.org") == [1]
        assert seqs(records.reader, mailbox="bob@example.org") == []


async def test_the_address_behind_a_token_comes_from_its_submission(path):
    with opened(path) as records:
        await records.append(received(records, 1, "bob@example.org", "ada@example.org"))
        digest = KEYS.addresses.digest("ada@example.org")
        found = addressee_named(records.reader, an_id(1), digest)
        assert found
        assert KEYS.records.open(found.person.sealed, b"address") == b"ada@example.org"
        assert (found.at, found.sender, found.mailbox) == (NOW, "news@example.com", "ada@example.org")
        assert addressee_named(records.reader, an_id(1), KEYS.addresses.digest("eve@example.org")) is None
        assert addressee_named(records.reader, an_id(2), digest) is None


async def test_a_search_over_many_pages_yields_each_record_once(path, monkeypatch):
    monkeypatch.setattr(search, "_PAGE", 7)
    with opened(path) as records:
        await records.append_many([a_record(n, at=NOW + n % 5) for n in range(100)])
        found = seqs(records.reader)
        assert sorted(found) == list(range(1, 101))
        times = [entry.record.at for entry in search.search(records.reader, Query())]
        assert times == sorted(times)


async def test_each_record_names_its_place_in_the_chain(path):
    with opened(path) as records:
        await records.append_many([a_record(1), a_record(2)])
        first, second = search.search(records.reader, Query())
        assert first.previous == chain.first_link(records.reader.chain)
        assert second.previous == first.hash == chain.following(first.previous, first.body)


@pytest.mark.parametrize(
    ("mailbox", "shown"),
    [
        ("ada@example.org", "a***@example.org"),
        ("a@b.cn", "a***@b.cn"),
        ("张伟@example.cn", "张***@example.cn"),
        ("wang", "w***"),
        ("", "***"),
    ],
)
def test_a_masked_address_shows_one_character_and_the_domain(mailbox, shown):
    assert mask(mailbox) == shown


def test_records_that_do_not_exist_cannot_be_read(path):
    with pytest.raises(RecordsUnavailable):
        Reader(path, KEYS)
    assert not path.exists()
    path.touch()
    with pytest.raises(RecordsUnavailable, match="holds no records"):
        Reader(path, KEYS)


# Verification --------------------------------------------------------------------------------------------------------

TAMPERING = {
    "body": ("UPDATE records SET body = replace(body, '\"number\":3', '\"number\":9') WHERE seq = 3", 3, "hash"),
    "hash": ("UPDATE records SET hash = zeroblob(32) WHERE seq = 3", 3, "hash"),
    "body as octets": ("UPDATE records SET body = CAST(body AS BLOB) WHERE seq = 3", 3, "hash"),
    "id": ("UPDATE records SET id = 'x' || id WHERE seq = 3", 3, "columns"),
    "kind": ("UPDATE records SET kind = 'late' WHERE seq = 3", 3, "columns"),
    "at": ("UPDATE records SET at = at + 1 WHERE seq = 3", 3, "columns"),
    "seq": ("UPDATE records SET seq = 30 WHERE seq = 3", 3, "missing"),
    "removed": ("DELETE FROM records WHERE seq = 3", 3, "missing"),
    "first removed": ("DELETE FROM records WHERE seq = 1", 1, "missing"),
    "put before the first": ("INSERT INTO records SELECT 0, id, kind, at, body, hash FROM records WHERE seq = 1", 0, "begin"),
    "swapped": (
        "UPDATE records SET body = (SELECT o.body FROM records o WHERE o.seq = 7 - records.seq) WHERE seq IN (3, 4)", 3, "hash"
    ),
    "person forgotten": ("DELETE FROM people WHERE seq = 6", 6, "lacks"),
    "person added": ("INSERT INTO people VALUES (x'00', 4)", 4, "does not name"),
    "person of no record": ("INSERT INTO people VALUES (x'00', 0)", 0, "does not name"),
    "chain id": ("UPDATE meta SET value = 'other' WHERE name = 'chain'", 1, "hash"),
    "triggers": ("DROP TRIGGER people_stay", 0, "triggers"),
}  # fmt: skip


@pytest.fixture
async def six(path):
    """A chain of six records; the last one has people."""
    with opened(path) as records:
        await records.append_many([a_record(n) for n in range(1, 6)])
        await records.append(received(records, 6, "ada@example.org"))
    return path


def tampered(path, statement):
    """Do what somebody with the file and a shell can do: lift the triggers, change, put them back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        guards = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        for name in guards:
            connection.execute(f"DROP TRIGGER {name}")
        if statement.startswith("DROP TRIGGER"):
            del guards[statement.removeprefix("DROP TRIGGER ")]
        else:
            connection.execute(statement)
        for sql in guards.values():
            connection.execute(sql)


@pytest.mark.parametrize(("statement", "seq", "why"), TAMPERING.values(), ids=TAMPERING.keys())
async def test_any_change_is_found_and_named(six, statement, seq, why):
    tampered(six, statement)
    with Reader(six, KEYS) as reader:
        broken = verify(reader).broken
    assert broken is not None
    assert broken.seq == seq
    assert why in broken.why


async def test_a_rewritten_record_with_its_own_new_hash_breaks_at_the_next(six):
    with closing(sqlite3.connect(six)) as connection:
        rows = dict(connection.execute("SELECT seq, hash FROM records"))
        body = connection.execute("SELECT body FROM records WHERE seq = 3").fetchone()[0].replace('"number":3', '"number":9')
    forged = chain.following(rows[2], body)
    tampered(six, f"UPDATE records SET body = '{body}', hash = x'{forged.hex()}' WHERE seq = 3")
    with Reader(six, KEYS) as reader:
        assert verify(reader).broken == search.Broken(
            4, "its hash does not follow from its text and the hash before: one of the two was changed"
        )


async def test_a_cut_off_end_is_found_by_who_noted_the_head(six):
    with Reader(six, KEYS) as reader:
        noted = verify(reader)
    head = (noted.count, noted.head.hex())
    with Reader(six, KEYS) as reader:
        assert verify(reader, noted=head).broken is None
        assert verify(reader, noted=(6, "00")).broken == search.Broken(6, "its hash is not the one that was noted")
    tampered(six, "DELETE FROM records WHERE seq = 6")
    tampered(six, "DELETE FROM people WHERE seq = 6")
    with Reader(six, KEYS) as reader:
        assert verify(reader).broken is None
        broken = verify(reader, noted=head).broken
    assert broken == search.Broken(6, "the record that was noted is gone; the last one is 5")


async def test_damaged_pages_are_named_and_not_raised(path):
    with opened(path) as records:
        await records.append_many([a_record(n, filler="x" * 3000) for n in range(200)])
    octets = bytearray(path.read_bytes())
    half = len(octets) // 8192 * 4096
    octets[half : half + 8192] = b"\xa5" * 8192
    path.write_bytes(octets)
    with Reader(path, KEYS) as reader:
        found = verify(reader)
    assert found.broken is not None


async def test_progress_is_told_page_by_page(path, monkeypatch):
    monkeypatch.setattr(search, "_VERIFY_PAGE", 10)
    told = []
    with opened(path) as records:
        await records.append_many([a_record(n) for n in range(25)])
        verify(records.reader, lambda done, total: told.append((done, total)))
    assert told == [(10, 25), (20, 25), (25, 25)]


def test_an_empty_chain_holds(path):
    with opened(path) as records:
        found = verify(records.reader)
        assert (found.count, found.broken) == (0, None)
        assert found.head == chain.first_link(records.reader.chain)


async def test_verifying_while_others_append_takes_no_harm(path):
    with opened(path) as records:
        await records.append(a_record(1))
        with Reader(path, KEYS) as reader:
            await records.append_many([a_record(n) for n in range(2, 50)])
            assert verify(reader).broken is None
