"""A store that lost its data, or is not the one we wrote, permits nobody: every operation says so."""

from dataclasses import replace

import pytest

from relay.errors import StoreUnavailable
from relay.policy.suppressions.suppression import ORGANISATION, Reason
from relay.stores.entries import row_of
from relay.stores.held import Holding, Why
from relay.stores.ledger import Closing, Opening
from tests.support.held import LANE, OWNER, ROOM, done, held_copy, held_message
from tests.support.stores import ADA, META, charge, consent, delivered, digest, first_try, refusal, request

MAIL = digest("submission")
OTHER_STORE = replace(META, store_id="01JST0RE999999999999999999")
NEW_KEYS = replace(META, fingerprints=frozenset({"addresses:1:ffffffffffffffff", "tokens:1:eeeeeeeeeeeeeeee"}))
LATER_KEYS = replace(META, fingerprints=META.fingerprints | {"addresses:2:0123456789abcdef"})

OPERATIONS = {
    "check": lambda s: s.check(),
    "find": lambda s: s.find([(ADA,)]),
    "look_up": lambda s: s.look_up([(ADA,)]),
    "suppress": lambda s: s.suppress(refusal()),
    "suppress_many": lambda s: s.suppress_many([refusal()]),
    "suppress_rows": lambda s: s.suppress_rows([row_of(refusal())]),
    "lift": lambda s: s.lift([ADA], ORGANISATION, Reason.MANUAL, None, "note"),
    "history": lambda s: s.history([ADA]),
    "export": lambda s: anext(s.export()),
    "count": lambda s: s.count(),
    "consents": lambda s: s.consents([(ADA,)]),
    "record_consents": lambda s: s.record_consents([consent()]),
    "export_consents": lambda s: anext(s.export_consents()),
    "reserve": lambda s: s.reserve([charge(1)], 30.0),
    "settle": lambda s: s.settle("00" * 12),
    "refund": lambda s: s.refund("00" * 12),
    "open_submission": lambda s: s.open_submission(MAIL, Opening(first_try(), 60.0)),
    "rows": lambda s: s.rows(MAIL),
    "clear": lambda s: s.clear(MAIL, first_try().submission_id, [request()], 30.0, 3600.0),
    "finish": lambda s: s.finish(MAIL, [delivered(ADA)]),
    "close": lambda s: s.close(MAIL, Closing("")),
    "hold": lambda s: s.hold(
        MAIL, Holding(held_message(), [held_copy(held_message(), "ada")], {ADA: "450 later"}, max_octets=ROOM)
    ),
    "claim": lambda s: s.claim(10, 600.0),
    "held_message": lambda s: s.held_message(held_message().id),
    "update_held": lambda s: done(s, held_copy(held_message(), "ada")),
    "held_copies": lambda s: s.held_copies(None, 10),
    "free_owner": lambda s: s.free_owner(OWNER, Why.AUTHENTICATION),
    "wake_lane": lambda s: s.wake_lane(LANE),
    "held_totals": lambda s: s.held_totals(),
    "keep_credentials": lambda s: s.keep_credentials(OWNER, b"sealed", 4e9),
    "credentials_of": lambda s: s.credentials_of(OWNER),
    "drop_credentials": lambda s: s.drop_credentials(OWNER, b"sealed"),
    "note_sending": lambda s: s.note_sending("news", "2026-11-21"),
    "sending_days": lambda s: s.sending_days(["news"]),
    "transferred": lambda s: s.transferred(2026, [ADA]),
    "transfer_years": lambda s: s.transfer_years(),
}


async def reason(store, operation: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await OPERATIONS[operation](store)
    return caught.value.reason


async def test_a_store_that_is_what_it_should_be_answers(store):
    await store.check()
    assert store.name in ("sqlite", "redis")


async def test_a_second_process_with_the_same_knowledge_sees_the_same(another):
    one, two = await another(META), await another(META)
    await one.suppress(refusal())
    assert await two.find([(ADA,)]) == [(refusal(),)]


@pytest.mark.parametrize("meta", [OTHER_STORE, NEW_KEYS], ids=["foreign", "keys"])
async def test_whoever_expects_another_store_or_has_other_keys_is_not_let_in(another, meta):
    with pytest.raises(StoreUnavailable) as caught:
        await another(meta)
    assert caught.value.reason == ("foreign" if meta is OTHER_STORE else "keys")


async def test_a_process_with_more_keys_is_let_in(another):
    await (await another(LATER_KEYS)).check()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_generation_that_we_lack_stops_every_operation(another, operation):
    """Another node has rotated its keys: digests under its new key are unreadable here."""
    ours, theirs = await another(META), await another(LATER_KEYS)
    await theirs.extend(LATER_KEYS.fingerprints)
    assert await reason(ours, operation) == "keys"
    await theirs.check()


async def test_generations_are_only_ever_added(another):
    theirs = await another(LATER_KEYS)
    await theirs.extend(LATER_KEYS.fingerprints)
    await theirs.extend(META.fingerprints)
    assert (await theirs.meta()).fingerprints == LATER_KEYS.fingerprints
    assert (await theirs.meta()).store_id == META.store_id


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_store_that_was_let_go_answers_nothing(store, operation):
    await store.suppress(refusal())
    await store.aclose()
    assert await reason(store, operation)


async def test_letting_go_twice_is_no_fault(store):
    await store.aclose()
    await store.aclose()


async def test_what_was_acknowledged_outlives_the_process(another):
    one = await another(META)
    await one.suppress(refusal())
    await one.open_submission(MAIL, Opening(first_try(), 60.0))
    await one.aclose()
    two = await another(META)
    assert await two.find([(ADA,)]) == [(refusal(),)]
    assert (await two.open_submission(MAIL, Opening(first_try(2), 60.0))).first == first_try(1)
