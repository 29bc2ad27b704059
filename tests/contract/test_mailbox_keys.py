"""A refusal under one spelling of a mailbox binds every spelling of it, and nobody else, on every store."""

from datetime import date

import pytest

from relay.keys import new_keys
from relay.mail.mailbox import Mailbox
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.stores.ledger import Cleared, ClearRequest, Opening, Refused
from tests.support.mailboxes import DIFFERENT, EQUAL
from tests.support.stores import digest, first_try, refusal

ADDRESSES = new_keys(date(2026, 11, 21)).addresses


async def clearance(store, spelling: str):
    """What `clear` says to a copy for this spelling."""
    mailbox = Mailbox.parse(spelling)
    digests = ADDRESSES.digests(mailbox.key)
    asked = ClearRequest(digests[0], digests, (ORGANISATION,), frozenset(Reason))
    await store.open_submission(digest(spelling), Opening(first_try(), 60.0))
    (answer,) = await store.clear(digest(spelling), first_try().submission_id, [asked], 30.0, 3600.0)
    return answer


def test_the_table_is_long_enough():
    assert len(EQUAL) + len(DIFFERENT) >= 20


@pytest.mark.parametrize(("refused", "written"), EQUAL)
async def test_one_mailbox_in_two_spellings_is_refused(store, refused, written):
    await store.suppress(refusal(ADDRESSES.digest(Mailbox.parse(refused).key)))
    (found,) = await store.find([ADDRESSES.digests(Mailbox.parse(written).key)])
    assert len(found) == 1
    assert type(await clearance(store, written)) is Refused


@pytest.mark.parametrize(("refused", "written"), DIFFERENT)
async def test_another_mailbox_is_not(store, refused, written):
    await store.suppress(refusal(ADDRESSES.digest(Mailbox.parse(refused).key)))
    (found,) = await store.find([ADDRESSES.digests(Mailbox.parse(written).key)])
    assert found == ()
    assert type(await clearance(store, written)) is Cleared
