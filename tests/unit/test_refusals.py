"""A refusal by link: on disk before the 200, in the store as soon as there is one."""

import asyncio
import os
from dataclasses import replace
from datetime import date

import pytest

from relay.doors import background
from relay.doors import refusals as refusals_module
from relay.doors.refusals import Refusals
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.keys import rotated
from relay.policy.suppressions.suppression import ORGANISATION, Reason, Suppression
from relay.records.facts import received_record
from relay.records.search import found_by_id
from relay.render.token import UnsubscribeToken, make_token, stream_number
from tests.support.policies import a_policy
from tests.support.records import KEYS, a_first_try, a_message, a_submission, has_all_keys, permitted

ADA = "ada@example.org"
DIGEST = KEYS.addresses.digest(ADA)


class Memory:
    """The part of a store that takes refusals; `fault` is raised, `never` never answers."""

    def __init__(self):
        self.entries = []
        self.fault: Exception | None = None
        self.never = False

    async def suppress(self, entry):
        await self._answer()
        self.entries.append(entry)
        return True

    async def history(self, digests):
        await self._answer()
        return [entry for entry in self.entries if entry.digest in digests], []

    async def _answer(self):
        if self.fault:
            raise self.fault
        if self.never:
            await asyncio.Event().wait()

    async def suppress_many(self, entries):
        return sum([await self.suppress(entry) for entry in entries])

    async def find(self, recipients):
        await self._answer()
        return [tuple(entry for entry in self.entries if entry.digest in digests) for digests in recipients]


@pytest.fixture
def store():
    return Memory()


@pytest.fixture
def refusals(records, store, clock):
    policy = a_policy()
    return Refusals(KEYS, records, lambda: store, lambda: policy, has_all_keys, clock=clock, entropy=os.urandom)


def a_token(stream="newsletter", *, whole=True, digest=DIGEST, submission="01JD6Z4M0Q8V7KX3T5N2C9R1BF", key=KEYS.tokens.keys[0]):
    generation = KEYS.addresses.keys[0].number
    return make_token(UnsubscribeToken(digest, generation, stream_number(stream), whole, submission), key)


def test_what_a_token_offers(refusals):
    assert refusals.read(a_token()).scope == ORGANISATION
    narrow = refusals.read(a_token(whole=False))
    assert (narrow.scope, narrow.stream.name) == ("stream:newsletter", "newsletter")


def test_a_token_of_a_stream_that_is_gone_refuses_everything(refusals):
    """Its stream cannot be named any more; doubt refuses more, never less."""
    offer = refusals.read(a_token("autumn-2024", whole=False))
    assert (offer.scope, offer.stream) == (ORGANISATION, None)


def test_a_token_of_a_stream_that_is_no_longer_for_marketing_refuses_everything(records, store, clock):
    """A refusal of that stream alone would stop nothing any more."""
    policy = a_policy(changes={"streams/receipts.toml": ('purpose = "service"', 'purpose = "marketing"')})
    in_force = [a_policy(), policy]
    refusals = Refusals(KEYS, records, lambda: store, lambda: in_force[-1], has_all_keys, clock=clock, entropy=os.urandom)
    narrow = refusals.read(a_token("receipts", whole=False))
    in_force.pop()
    wide = refusals.read(a_token("receipts", whole=False))
    assert narrow
    assert wide
    assert (narrow.scope, wide.scope) == ("stream:receipts", ORGANISATION)


async def test_a_wider_choice_than_the_tokens_takes_effect(refusals, store):
    offer = refusals.read(a_token(whole=False))
    await refusals.refuse(offer, "page")
    await refusals.refuse(replace(offer, scope=ORGANISATION), "page")
    assert [entry.scope for entry in store.entries] == ["stream:newsletter", ORGANISATION]


@pytest.mark.parametrize(
    "text",
    ["", "x", a_token()[:-1], a_token() + "A", a_token()[:-2] + "AA", "中文", a_token().lower()],
    ids=["empty", "one-letter", "cut", "longer", "another-end", "chinese", "lower-case"],
)
def test_what_is_not_ours_offers_nothing(refusals, text):
    assert refusals.read(text) is None


def test_another_relays_token_offers_nothing(refusals):
    assert refusals.read(a_token(key=KEYS.held.keys[0])) is None


async def test_only_a_token_with_an_unknown_key_may_be_new_and_the_store_is_not_asked(records, clock):
    """Anybody can write 75 characters with the number of such a key."""
    asked = []

    async def lacks_keys():
        asked.append(1)
        return True

    def store():
        raise AssertionError("the store was asked")

    refusals = Refusals(KEYS, records, store, a_policy, lacks_keys, clock=clock, entropy=os.urandom)
    assert not await refusals.may_be_new(a_token()[:-2] + "AA")
    assert not asked
    newer = rotated(KEYS, "tokens", date(2027, 11, 21)).tokens.keys[0]
    assert await refusals.may_be_new(a_token(key=newer))
    assert asked == [1]


async def test_the_refusal_is_in_the_journal_and_the_store(refusals, records, store, clock):
    await refusals.refuse(refusals.read(a_token()), "one_click")
    (entry,) = store.entries
    assert (entry.digest, entry.scope, entry.reason, entry.origin, entry.at) == (
        DIGEST, ORGANISATION, Reason.UNSUBSCRIBE, "one_click", clock(),
    )  # fmt: skip
    assert records.pending([DIGEST]) == []
    assert len(records.journalled(0, 0, 10)) == 1


async def test_the_journal_comes_first(refusals, records, store, monkeypatch):
    order = []
    journal, suppress = records.journal_refusal, store.suppress

    async def journalling(*arguments):
        await journal(*arguments)
        order.append("journal")

    async def suppressing(entry):
        order.append("store")
        return await suppress(entry)

    monkeypatch.setattr(records, "journal_refusal", journalling)
    monkeypatch.setattr(store, "suppress", suppressing)
    await refusals.refuse(refusals.read(a_token()), "one_click")
    assert order == ["journal", "store"]


@pytest.mark.parametrize("fault", [StoreUnavailable("unreachable", "down"), ZeroDivisionError("a fault of ours"), None])
async def test_while_the_store_is_away_it_binds_from_the_journal(refusals, records, store, monkeypatch, fault):
    monkeypatch.setattr(refusals_module, "IN_TIME_SECONDS", 0.01)
    store.fault, store.never = fault, fault is None
    await refusals.refuse(refusals.read(a_token()), "page")
    (pending,) = records.pending([DIGEST])
    assert (pending.origin, pending.scope) == ("page", ORGANISATION)


async def test_without_records_it_is_not_confirmed(refusals, records, store):
    offer = refusals.read(a_token())
    records.close()
    for _ in range(2):
        with pytest.raises(RecordsUnavailable):
            await refusals.refuse(offer, "one_click")
    assert store.entries == []


async def test_the_address_is_looked_for_once_and_kept_sealed(refusals, records, store, monkeypatch):
    submission = a_submission(1, [f"someone{number}@example.org" for number in range(5)] + [ADA])
    rulings = [permitted(recipient) for recipient in submission.recipients]
    message = a_message()
    await records.append(received_record(submission, message, rulings, "0" * 16, a_first_try(submission), records.person))
    offer = refusals.read(a_token(submission=submission.id))
    found = await refusals.refuse(offer, "page")
    assert KEYS.records.open(store.entries[0].sealed, b"address") == ADA.encode()
    monkeypatch.setattr(background, "addressee_named", lambda *_: pytest.fail("looked for once more"))
    assert (await refusals.background(offer, found)).recipient == "a***@example.org"


async def test_an_address_that_the_store_knows_is_not_looked_for(refusals, records, store, clock):
    sealed = KEYS.records.seal(ADA.encode(), b"address")
    store.entries.append(Suppression(DIGEST, ORGANISATION, Reason.UNSUBSCRIBE, "page", clock() - 9, sealed))
    await refusals.refuse(refusals.read(a_token()), "one_click")
    assert store.entries[-1].sealed == sealed
    assert len(records.journalled(0, 0, 10)) == 1


async def test_on_another_node_the_address_stays_unknown(refusals, store):
    await refusals.refuse(refusals.read(a_token()), "one_click")
    assert store.entries[0].sealed == b""


async def test_the_record_names_the_recipient_as_the_one_who_did_it_and_the_mail_that_was_refused(refusals, records):
    submission = a_submission().id
    await refusals.refuse(refusals.read(a_token(submission=submission)), "one_click")
    (row,) = records.reader.read("SELECT id FROM records WHERE kind = 'suppressed'")
    (record,) = found_by_id(records.reader, row[0])
    assert (record.facts["by"], record.facts["submission"]) == ("recipient", submission)


@pytest.mark.parametrize("fault", [StoreUnavailable("unreachable", "down"), None])
async def test_whoever_posts_one_link_again_and_again_fills_no_disk(refusals, records, store, clock, fault):
    store.fault = fault
    offer = refusals.read(a_token())
    for _ in range(200):
        await refusals.refuse(offer, "one_click")
        clock.pass_(60)
    assert records.reader.read("SELECT count(*) FROM records") == [(1,)]
    [(_, entry)] = records.journalled(0, 0, 100)
    assert entry.last_at == clock() - 60  # each counts: only a consent later than the last one lifts it


async def test_an_outage_of_the_store_adds_one_record_to_one_link(refusals, records, store, clock):
    offer = refusals.read(a_token())
    for outage in range(3):
        for fault in (StoreUnavailable("unreachable", "down"), None):
            store.fault = fault
            for _ in range(10):
                clock.pass_(1)
                await refusals.refuse(offer, "one_click")
        assert records.pending([DIGEST]) == []
        assert records.reader.read("SELECT count(*) FROM records") == [(outage + 1,)]


async def test_those_who_post_at_once_are_written_in_two_turns(refusals, records, monkeypatch):
    """The first one's, and then one for all who came while it was written."""
    calls = []
    journal = records.journal_refusal

    async def journalling(*arguments):
        calls.append(arguments)
        await journal(*arguments)

    monkeypatch.setattr(records, "journal_refusal", journalling)
    offer = refusals.read(a_token())
    await asyncio.gather(*(refusals.refuse(offer, "one_click") for _ in range(50)))
    assert len(calls) == 2
    await refusals.refuse(offer, "one_click")
    assert len(calls) == 3


async def test_a_writing_that_failed_serves_nobody(refusals, records):
    offer = refusals.read(a_token())
    records.close()
    told = await asyncio.gather(*(refusals.refuse(offer, "one_click") for _ in range(5)), return_exceptions=True)
    assert [type(fault) for fault in told] == [RecordsUnavailable] * 5


async def test_one_recipients_haste_does_not_hide_another_refusal(refusals, records):
    await refusals.refuse(refusals.read(a_token(whole=False)), "one_click")
    await refusals.refuse(refusals.read(a_token()), "one_click")
    await refusals.refuse(refusals.read(a_token(digest=KEYS.addresses.digest("bob@example.org"))), "one_click")
    assert len(records.journalled(0, 0, 100)) == 3
