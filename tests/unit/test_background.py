"""What a token's page may tell: its own recipient's facts from records, journal and store, never another's."""

import asyncio

import pytest

from relay.doors import background as background_module
from relay.doors.background import background_of
from relay.errors import StoreUnavailable
from relay.ids import new_id, time_of
from relay.policy.consents.consent import ConsentEvent
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.records.facts import received_record
from relay.render.token import UnsubscribeToken, stream_number
from tests.support.fixtures import a_sqlite_store
from tests.support.records import KEYS, NOW, a_first_try, a_message, a_refusal, a_submission, an_id, journal, permitted

ADA, BOB = "ada@example.org", "bob@example.org"


store = a_sqlite_store()


FIRST = an_id(1)


def a_token(recipient=ADA, submission=FIRST):
    return UnsubscribeToken(KEYS.addresses.digest(recipient), 1, stream_number("newsletter"), True, submission)


def a_consent(at=NOW - 86400, event="granted", number=9, evidence="web form"):
    return ConsentEvent(an_id(number), KEYS.addresses.digest(ADA), b"", event, at, NOW, evidence, "Wang Min")


async def sent(records, *recipients):
    submission = a_submission(1, recipients)
    rulings = [permitted(recipient) for recipient in submission.recipients]
    await records.append(received_record(submission, a_message(), rulings, "0" * 16, a_first_try(submission), records.person))


def test_an_id_tells_its_time():
    assert time_of(new_id(1_795_000_000.123, bytes(10))) == 1_795_000_000.123
    assert time_of("7ZZZZZZZZZ" + "0" * 16) == (2**48 - 1) / 1000


async def test_the_mail_is_the_one_the_token_came_with(records, store):
    await sent(records, BOB, ADA)
    found = await background_of(a_token(), KEYS, records, store)
    assert (found.sent_at, found.recipient, found.sender) == (NOW, "a***@example.org", "news@example.com")
    assert (found.consent, found.refused) == (None, {})


async def test_another_recipient_of_the_same_mail_is_told_of_nobody_else(records, store):
    await sent(records, BOB, ADA)
    await store.suppress(a_refusal(BOB))
    found = await background_of(a_token(), KEYS, records, store)
    assert found.refused == {}
    assert (await background_of(a_token("eve@example.org"), KEYS, records, store)).recipient == ""


async def test_a_sender_of_the_mail_is_no_recipient_of_it(records, store):
    """The reverse-path is a person of the record too."""
    await sent(records, ADA)
    assert (await background_of(a_token("news@example.com"), KEYS, records, store)).recipient == ""


async def test_on_another_node_only_the_tokens_own_date_is_known(records, store):
    found = await background_of(a_token(submission=new_id(NOW - 5, bytes(10))), KEYS, records, store)
    assert (found.sent_at, found.recipient, found.sender) == (NOW - 5, "", "")


@pytest.mark.parametrize("known", [True, False], ids=["sent-here", "sent-elsewhere"])
async def test_refusals_in_force_are_told_by_scope_since_the_first(records, store, known):
    if known:
        await sent(records, ADA)
    await store.suppress(a_refusal(at=NOW - 50))
    await store.suppress(a_refusal(at=NOW - 90, reason=Reason.COMPLAINT))
    await store.suppress(a_refusal(at=NOW - 70, scope="stream:newsletter"))
    found = await background_of(a_token(), KEYS, records, store)
    assert found.refused == {ORGANISATION: NOW - 90, "stream:newsletter": NOW - 70}


@pytest.mark.parametrize("reason", [Reason.HARD_BOUNCE, Reason.MANUAL, Reason.MANUAL_ALL])
async def test_what_others_entered_is_no_refusal_of_the_recipients(records, store, reason):
    await store.suppress(a_refusal(reason=reason))
    assert (await background_of(a_token(), KEYS, records, store)).refused == {}


async def test_a_refusal_on_its_way_to_the_store_counts(records, store):
    await journal(records, 77, a_refusal(at=NOW))
    assert (await background_of(a_token(), KEYS, records, store)).refused == {ORGANISATION: NOW}


async def test_a_lifted_refusal_is_over_and_the_consent_that_lifted_it_is_shown(records, store):
    await store.suppress(a_refusal(at=NOW - 200_000))
    digests = KEYS.addresses.digests(ADA)
    assert await store.lift(digests, ORGANISATION, Reason.UNSUBSCRIBE, a_consent(), "")
    found = await background_of(a_token(), KEYS, records, store)
    assert found.refused == {}
    assert found.consent
    assert (found.consent.at, found.consent.evidence) == (NOW - 86400, "web form")


class Answering:
    """A store that answers with this, or never, or not."""

    def __init__(self, consents=(), fault=None, never=False):
        self.consents, self.fault, self.never = list(consents), fault, never

    async def history(self, digests):
        if self.fault:
            raise self.fault
        if self.never:
            await asyncio.Event().wait()
        return [], self.consents


async def test_the_latest_consent_counts_and_nothing_but_consents(records):
    events = [a_consent(NOW - 3), a_consent(NOW - 1, evidence="paper form"), a_consent(NOW - 2), a_consent(NOW, "withdrawn")]
    found = await background_of(a_token(), KEYS, records, Answering(events))
    assert found.consent
    assert found.consent.evidence == "paper form"


@pytest.mark.parametrize(
    "store", [Answering(fault=StoreUnavailable("unreachable", "down")), Answering(fault=ValueError("odd")), Answering(never=True)]
)
async def test_while_the_store_is_away_the_page_is_shown_all_the_same(records, store, monkeypatch, caplog):
    monkeypatch.setattr(background_module, "STORE_SECONDS", 0.01)
    await sent(records, ADA)
    await journal(records, 77, a_refusal(at=NOW))
    found = await background_of(a_token(), KEYS, records, store)
    assert found.recipient == "a***@example.org"
    assert found.refused == {ORGANISATION: NOW}
    assert "without what the store knows" in caplog.text


async def test_without_records_the_page_is_shown_all_the_same(records, store, caplog):
    await sent(records, ADA)
    records.close()
    found = await background_of(a_token(), KEYS, records, store)
    assert (found.sent_at, found.recipient) == (NOW, "")
    assert ADA not in caplog.text
