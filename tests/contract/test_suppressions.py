"""Every store keeps the same promises about who must not be written to."""

import asyncio
from dataclasses import replace
from operator import itemgetter
from random import Random

import pytest

from relay.policy.suppressions.suppression import ORGANISATION, REFUSALS, Reason, stream_scope
from relay.stores.entries import row_of
from tests.support.stores import ADA, BOB, EVE, START, consent, digest, refusal

NEWS = stream_scope("news")


async def only(store, *digests):
    (found,) = await store.find([digests])
    return found


async def test_an_unknown_mailbox_is_known_not_to_be_suppressed(store):
    assert await store.find([(ADA,), (BOB,)]) == [(), ()]


async def test_nobody_asked_for_is_nobody_found(store):
    assert await store.find([]) == []


async def test_a_recorded_entry_comes_back_whole(store):
    entry = refusal(
        ADA, Reason.HARD_BOUNCE, scope=NEWS, origin="import:ses", sealed=b"\x00\xffsealed", note="550 no such user 用户不存在",
        expires_at=START + 60,
    )  # fmt: skip
    assert await store.suppress(entry)
    assert await only(store, ADA) == (entry,)


async def test_each_recipient_gets_its_own_answer_in_order(store):
    await store.suppress(refusal(ADA))
    await store.suppress(refusal(EVE, Reason.LEGAL))
    found = await store.find([(EVE,), (BOB,), (ADA,), (EVE,)])
    assert [[s.reason for s in one] for one in found] == [[Reason.LEGAL], [], [Reason.UNSUBSCRIBE], [Reason.LEGAL]]


async def test_an_entry_of_any_generation_is_found(store):
    await store.suppress(refusal(digest("old generation of ada")))
    assert len(await only(store, ADA, digest("old generation of ada"))) == 1


async def test_the_gravest_reason_comes_first(store):
    for reason in (Reason.MANUAL, Reason.UNSUBSCRIBE, Reason.LEGAL, Reason.HARD_BOUNCE, Reason.COMPLAINT):
        await store.suppress(refusal(ADA, reason))
    assert [s.reason for s in await only(store, ADA)] == [
        Reason.LEGAL, Reason.COMPLAINT, Reason.UNSUBSCRIBE, Reason.HARD_BOUNCE, Reason.MANUAL,
    ]  # fmt: skip


async def test_scopes_and_reasons_are_entries_of_their_own(store):
    assert await store.suppress(refusal(ADA, scope=ORGANISATION))
    assert await store.suppress(refusal(ADA, scope=NEWS))
    assert await store.suppress(refusal(ADA, Reason.COMPLAINT, scope=NEWS))
    assert len(await only(store, ADA)) == 3


async def test_the_earliest_entry_stays_in_force(store):
    assert await store.suppress(refusal(ADA, at=START - 50, origin="page"))
    assert not await store.suppress(refusal(ADA, at=START - 10, origin="cli"))
    assert not await store.suppress(refusal(ADA, at=START - 90, origin="import:ses"))
    assert [s.origin for s in await only(store, ADA)] == ["page"]


async def test_an_entry_remembers_when_it_was_said_last(store):
    assert await store.suppress(refusal(ADA, at=START - 50))
    for at in (START - 50, START - 90):
        await store.suppress(refusal(ADA, at=at))
    assert [s.again_at for s in await only(store, ADA)] == [None]
    for at in (START - 10, START - 20):
        assert not await store.suppress(refusal(ADA, at=at))
    assert await store.suppress_many([refusal(ADA, at=START - 15), refusal(BOB, at=START - 70, again_at=START - 60)]) == 1
    assert [(s.at, s.again_at, s.last_at) for s in await only(store, ADA)] == [(START - 50, START - 10, START - 10)]
    assert [(s.at, s.last_at) for s in await only(store, BOB)] == [(START - 70, START - 60)]


async def test_the_same_refusal_twice_is_one(store):
    assert [await store.suppress(refusal()), await store.suppress(refusal())] == [True, False]


async def test_of_many_at_once_exactly_one_is_new(store):
    answers = await asyncio.gather(*(store.suppress(refusal(at=START - n)) for n in range(20)))
    assert sum(answers) == 1


async def test_many_entries_are_recorded_in_one_step(store):
    await store.suppress(refusal(digest(7)))
    entries = [refusal(digest(n % 900), origin="import:csv") for n in range(1000)]
    assert await store.suppress_many(entries) == 899
    found = await store.find([(digest(n),) for n in range(901)])
    assert [len(one) for one in found] == [1] * 900 + [0]
    assert found[7][0].origin == "one_click"


async def test_no_entries_are_no_work(store):
    assert await store.suppress_many([]) == 0
    assert await store.suppress_rows([]) == 0


async def test_rows_of_any_number_are_recorded(store):
    known = refusal(digest(7), at=START - 50)
    await store.suppress(known)
    fresh = refusal(digest(8), Reason.HARD_BOUNCE, scope=NEWS, sealed=b"\x00\xff", note="550 用户不存在", expires_at=START + 60)
    entries = [refusal(digest(n % 3000), at=START - 70, origin="import:csv") for n in range(3500) if n not in (8, 3008)]
    rows = sorted((row_of(entry) for entry in (*entries, fresh)), key=itemgetter(0))
    assert await store.suppress_rows(rows) == 2999
    assert await store.suppress_rows(rows) == 0
    found = await store.find([(digest(n),) for n in range(3001)])
    assert [len(one) for one in found] == [1] * 3000 + [0]
    assert (found[7], found[8]) == ((known,), (fresh,))


async def test_a_row_that_ends_by_itself_must_be_a_bounce(store):
    with pytest.raises(ValueError, match="expire"):
        await store.suppress_rows([row_of(refusal(BOB)), row_of(refusal(ADA, expires_at=START + 60))])
    assert await store.find([(ADA,), (BOB,)]) == [(), ()]


@pytest.mark.parametrize("seed", range(8))
async def test_rows_change_what_entries_one_by_one_would(store, clock, seed, monkeypatch):
    """Whatever is known already: nothing, in force, said again, lifted, expired, or in force once more."""
    monkeypatch.setattr("relay.stores.sqlite.suppressions._TOGETHER", 7)
    random = Random(seed)

    def said(person):
        reason, at = random.choice((Reason.MANUAL, Reason.HARD_BOUNCE)), START + random.randrange(-90, 90)
        ends = START + random.randrange(1, 99) if reason is Reason.HARD_BOUNCE and random.random() < 0.7 else None
        again = at + random.randrange(99) if random.random() < 0.3 else None
        return refusal(digest(person), reason, at=at, expires_at=ends, again_at=again)

    def of(world, who):
        return digest((world, who))

    before, entries = [said(n % 9) for n in range(12)], [said(n % 12) for n in range(40)]
    for world in "ab":
        for entry in before:
            await store.suppress(replace(entry, digest=of(world, entry.digest)))
        for person in range(5):
            for reason in (Reason.MANUAL, Reason.HARD_BOUNCE):
                await store.lift([of(world, digest(person))], ORGANISATION, reason, None, "mistake")
    clock.pass_(50)
    one_by_one = sum([await store.suppress(replace(entry, digest=of("a", entry.digest))) for entry in entries])
    assert await store.suppress_rows([row_of(replace(entry, digest=of("b", entry.digest))) for entry in entries]) == one_by_one
    for person in range(12):
        histories = [(await store.history([of(world, digest(person))]))[0] for world in "ab"]
        a, b = ([replace(entry, digest=b"") for entry in history] for history in histories)
        assert a == b


async def test_a_hard_bounce_expires(store, clock):
    await store.suppress(refusal(ADA, Reason.HARD_BOUNCE, expires_at=START + 60))
    clock.pass_(59)
    assert len(await only(store, ADA)) == 1
    clock.pass_(1)
    assert await only(store, ADA) == ()
    history, _ = await store.history([ADA])
    assert len(history) == 1


async def test_an_expired_entry_makes_way_for_a_new_one_but_not_for_itself(store, clock):
    bounce = refusal(ADA, Reason.HARD_BOUNCE, expires_at=START + 60)
    await store.suppress(bounce)
    clock.pass_(61)
    assert not await store.suppress(bounce)
    assert await store.suppress(refusal(ADA, Reason.HARD_BOUNCE, at=START + 61, expires_at=START + 120))
    assert len(await only(store, ADA)) == 1


async def test_an_expired_entry_makes_way_for_an_older_one_that_has_not(store, clock):
    await store.suppress(refusal(ADA, Reason.HARD_BOUNCE, at=START - 10, expires_at=START + 60))
    clock.pass_(61)
    assert await store.suppress(refusal(ADA, Reason.HARD_BOUNCE, at=START - 500))
    assert [s.expires_at for s in await only(store, ADA)] == [None]


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.HARD_BOUNCE}))
async def test_nothing_but_a_hard_bounce_may_expire(store, reason):
    with pytest.raises(ValueError, match="expire"):
        await store.suppress(refusal(ADA, reason, expires_at=START + 60))
    with pytest.raises(ValueError, match="expire"):
        await store.suppress_many([refusal(BOB), refusal(ADA, reason, expires_at=START + 60)])
    assert await store.find([(ADA,), (BOB,)]) == [(), ()]


@pytest.mark.parametrize("reason", [Reason.HARD_BOUNCE, Reason.MANUAL, Reason.MANUAL_ALL])
async def test_what_an_admin_or_a_server_said_is_lifted_with_a_note(store, reason):
    await store.suppress(refusal(ADA, reason))
    assert await store.lift([ADA], ORGANISATION, reason, None, "the server was repaired")
    assert await only(store, ADA) == ()
    ((entry,), consents) = await store.history([ADA])
    assert (entry.lifted_at, entry.lifted_by, consents) == (START, "reason: the server was repaired", [])


@pytest.mark.parametrize("reason", sorted(REFUSALS))
async def test_a_refusal_is_lifted_by_a_later_consent_only(store, reason):
    await store.suppress(refusal(ADA, reason, at=START - 100))
    for given in (None, consent(at=START - 100), consent(at=START - 101)):
        with pytest.raises(ValueError, match="consent"):
            await store.lift([ADA], ORGANISATION, reason, given, "please")
    assert len(await only(store, ADA)) == 1
    assert await store.lift([ADA], ORGANISATION, reason, consent(at=START - 99), "")
    assert await only(store, ADA) == ()


async def test_lifting_writes_the_consent_into_the_history(store):
    await store.suppress(refusal())
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    ((entry,), consents) = await store.history([ADA])
    assert consents == [consent()]
    assert (entry.lifted_at, entry.lifted_by) == (START, consent().id)


async def test_consents_are_told_in_the_order_in_which_they_were_given(store, clock):
    """Not in the order in which somebody wrote them down."""
    later, earlier = consent(at=START - 10, number=1), replace(consent(at=START - 50, number=2), recorded_at=START + 60)
    await store.suppress(refusal())
    assert await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, later, "")
    await store.suppress(refusal(ADA, scope=NEWS))
    clock.pass_(60)
    assert await store.lift([ADA], NEWS, Reason.UNSUBSCRIBE, earlier, "")
    assert (await store.history([ADA]))[1] == [earlier, later]


async def test_lifting_what_is_not_in_force_changes_nothing(store):
    assert not await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    await store.suppress(refusal(ADA, scope=NEWS))
    assert not await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    assert not await store.lift([ADA], NEWS, Reason.COMPLAINT, consent(), "")
    assert len(await only(store, ADA)) == 1
    assert (await store.history([ADA]))[1] == []


async def test_lifting_reaches_the_entries_of_every_generation(store):
    old = digest("old generation of ada")
    await store.suppress(refusal(old))
    await store.suppress(refusal(ADA))
    assert await store.lift([ADA, old], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    assert await only(store, ADA, old) == ()


async def test_a_consent_that_is_too_old_for_one_entry_lifts_none(store):
    old = digest("old generation of ada")
    await store.suppress(refusal(old, at=START - 100))
    await store.suppress(refusal(ADA, at=START - 10))
    with pytest.raises(ValueError, match="consent"):
        await store.lift([old, ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(at=START - 50), "")
    assert len(await only(store, ADA, old)) == 2


async def test_an_old_import_never_revives_what_was_lifted(store, clock):
    await store.suppress(refusal(at=START - 100))
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    clock.pass_(1000)
    for at in (START - 200, START - 100, consent().at):
        assert not await store.suppress(refusal(at=at, origin="import:csv"))
    assert await store.suppress_many([refusal(at=consent().at, origin="import:csv")]) == 0
    assert await only(store, ADA) == ()


@pytest.mark.parametrize("reason", sorted(REFUSALS))
async def test_a_refusal_between_the_consent_and_the_lifting_counts_when_it_comes_late(store, clock, reason):
    """It waited in the journal of some node while an admin lifted the one before on the word of an older consent."""
    await store.suppress(refusal(ADA, reason, at=START - 100))
    await store.lift([ADA], ORGANISATION, reason, consent(at=START - 50), "")
    clock.pass_(30)
    late = refusal(ADA, reason, at=START - 49)
    assert await store.suppress(late)
    assert await only(store, ADA) == (late,)


async def test_a_refusal_that_was_said_again_needs_a_consent_after_the_last_time(store):
    for at in (START - 100, START - 20, START - 60):
        await store.suppress(refusal(ADA, at=at))
    for at in (START - 50, START - 20):
        with pytest.raises(ValueError, match="consent"):
            await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(at=at), "")
    assert await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(at=START - 19), "")
    assert not await store.suppress(refusal(ADA, at=START - 20))
    assert await only(store, ADA) == ()


async def test_what_was_lifted_without_a_consent_stays_lifted_for_all_that_was_said_before(store, clock):
    await store.suppress(refusal(ADA, Reason.MANUAL, at=START - 100))
    await store.lift([ADA], ORGANISATION, Reason.MANUAL, None, "mistake")
    clock.pass_(30)
    for at in (START - 50, START):
        assert not await store.suppress(refusal(ADA, Reason.MANUAL, at=at))
    assert await store.suppress(refusal(ADA, Reason.MANUAL, at=START + 1))


async def test_nothing_is_said_again_of_what_is_lifted(store, clock):
    await store.suppress(refusal(at=START - 100))
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    await store.suppress(refusal(at=START - 60))
    ((entry,), _) = await store.history([ADA])
    assert (entry.again_at, entry.consented_at) == (None, consent().at)


async def test_a_refusal_after_the_consent_is_in_force_again_and_both_are_history(store, clock):
    await store.suppress(refusal(at=START - 100))
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(), "")
    clock.pass_(10)
    again = refusal(at=START + 5, origin="page")
    assert await store.suppress(again)
    assert await only(store, ADA) == (again,)
    history, _ = await store.history([ADA])
    assert [(s.at, s.lifted_at) for s in history] == [(START - 100, START), (START + 5, None)]


async def test_history_is_oldest_first_and_of_this_mailbox_only(store):
    await store.suppress(refusal(ADA, Reason.MANUAL, at=START - 5))
    await store.suppress(refusal(ADA, Reason.LEGAL, at=START - 50))
    await store.suppress(refusal(BOB))
    history, _ = await store.history([ADA])
    assert [s.at for s in history] == [START - 50, START - 5]
    assert await store.history([EVE]) == ([], [])


async def test_every_entry_is_exported_once(store):
    await store.suppress_many([refusal(digest(n)) for n in range(2500)])
    await store.suppress(refusal(ADA, Reason.MANUAL))
    await store.lift([ADA], ORGANISATION, Reason.MANUAL, None, "mistake")
    exported = [entry async for entry in store.export()]
    assert {e.digest for e in exported} == {ADA, *(digest(n) for n in range(2500))}
    assert len(exported) == 2501
    assert [e.lifted_by for e in exported if e.digest == ADA] == ["reason: mistake"]


async def test_an_empty_store_exports_nothing(store):
    assert [entry async for entry in store.export()] == []


async def test_counts_are_of_entries_in_force(store, clock):
    await store.suppress(refusal(ADA))
    await store.suppress(refusal(BOB))
    await store.suppress(refusal(BOB, Reason.COMPLAINT, scope=NEWS))
    await store.suppress(refusal(EVE, Reason.HARD_BOUNCE, expires_at=START + 5))
    await store.suppress(refusal(EVE, Reason.MANUAL))
    await store.lift([EVE], ORGANISATION, Reason.MANUAL, None, "mistake")
    clock.pass_(10)
    counted = {key: n for key, n in (await store.count()).items() if n}
    assert counted == {("unsubscribe", ORGANISATION): 2, ("complaint", NEWS): 1}
