"""What a recipient is told about a refusal is what was written down, whatever happens to it afterwards."""

import pytest

from relay.doors.refusals import Offer, Refusals
from relay.errors import RecordsUnavailable, StoreUnavailable
from relay.policy.suppression import ORGANISATION
from relay.render.token import UnsubscribeToken
from tests.support.records import KEYS, NOW, an_id, opened
from tests.support.stores import new_sqlite

DIGEST = KEYS.addresses.digest("ada@example.org")
OFFER = Offer(UnsubscribeToken(DIGEST, 1, b"news", True, an_id(1)), ORGANISATION, None, None)


@pytest.fixture
def records(tmp_path):
    with opened(tmp_path / "records.db") as records:
        yield records


@pytest.fixture
async def store(tmp_path):
    opened = await new_sqlite(tmp_path, lambda: NOW)
    yield opened
    await opened.aclose()


def refusals(records, store):
    return Refusals(KEYS, records, lambda: store, lambda: None, clock=lambda: NOW, entropy=bytes)


async def test_a_refusal_takes_effect_in_the_store_at_once(records, store):
    await refusals(records, store).refuse(OFFER, "page")
    ((entry,),) = await store.find([(DIGEST,)])
    assert (entry.origin, entry.at) == ("page", NOW)
    assert records.pending([DIGEST]) == []


async def raising(fault):
    raise fault


@pytest.mark.parametrize("part", ["store", "records"])
async def test_what_fails_after_it_was_written_down_does_not_unsay_it(records, store, monkeypatch, part):
    if part == "store":
        monkeypatch.setattr(store, "suppress", lambda _: raising(StoreUnavailable("unreachable", "down")))
    else:
        monkeypatch.setattr(records, "applied", lambda _: raising(RecordsUnavailable("busy")))
    await refusals(records, store).refuse(OFFER, "one_click")
    assert [entry.origin for entry in records.pending([DIGEST])] == ["one_click"]


async def test_what_was_not_written_down_is_said(records, store, monkeypatch):
    monkeypatch.setattr(records, "journal_refusal", lambda *_: raising(RecordsUnavailable("no space")))
    with pytest.raises(RecordsUnavailable):
        await refusals(records, store).refuse(OFFER, "one_click")
    assert await store.find([(DIGEST,)]) == [()]
