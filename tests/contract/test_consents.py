"""Every store keeps the consent ledger alike: events are added and nothing else, and whoever withdrew is not cleared."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import StoreUnavailable
from relay.policy.consents.consent import Details, Ground
from relay.policy.consents.needs import Needs, grant_for
from relay.policy.suppressions.suppression import ORGANISATION, Reason, stream_scope
from relay.stores.ledger import Cleared, Opening, Refused, Withdrawn
from relay.stores.sqlite import SQLiteStore
from tests.support.stores import ADA, BOB, EVE, META, START, consent, digest, first_try, new_sqlite, refusal, request

MAIL = digest("submission")
NEWS = "marketing:news"
TODAY = datetime.fromtimestamp(START, UTC).date()


async def of(store, *digests):
    (found,) = await store.consents([digests])
    return found


def ground(at=START - 10, purpose=NEWS):
    return Ground("cn-marketing/consent", purpose, consent().id, at, "explicit")


async def clear(store, *asked):
    first = first_try()
    await store.open_submission(MAIL, Opening(first, 3600.0))
    return await store.clear(MAIL, first.submission_id, asked, 30.0, 3600.0)


async def test_of_an_unknown_mailbox_there_is_no_consent(store):
    assert await store.consents([(ADA,), (BOB,)]) == [(), ()]
    assert await store.consents([]) == []


async def test_an_event_comes_back_whole(store):
    said = Details(source="form", source_ref="https://example.com/订阅", statements=("unticked",), relation_at=START).dump()
    event = consent(evidence="网页表单", purpose="share:Partner", basis="separate", said=said)
    assert await store.record_consents([event]) == 1
    assert await of(store, ADA) == (event,)
    assert (await store.history([ADA]))[1] == [event]


async def test_each_recipient_gets_its_own_events_in_the_order_in_which_they_were_said(store):
    old = digest("old generation of ada")
    events = [consent(ADA, START - 5, 1), consent(EVE, START - 9, 2), consent(old, START - 50, 3), consent(ADA, START - 70, 4)]
    assert await store.record_consents(events) == 4
    found = await store.consents([(EVE,), (BOB,), (ADA, old)])
    assert [[event.at for event in one] for one in found] == [[START - 9], [], [START - 70, START - 50, START - 5]]


async def test_the_same_id_twice_is_one_event_and_the_first_stays(store):
    assert await store.record_consents([consent(), consent()]) == 1
    assert await store.record_consents([consent(evidence="something else"), consent(event="withdrawn")]) == 0
    assert await of(store, ADA) == (consent(),)


async def test_an_id_names_an_event_of_one_mailbox_only(store):
    """Or a form that counts its subscriptions for each list would lose the withdrawal of somebody else."""
    assert await store.record_consents([consent(ADA), consent(BOB, event="withdrawn")]) == 2
    assert await store.record_consents([consent(EVE, event="objected"), consent(BOB, event="withdrawn")]) == 1
    found = await store.consents([(ADA,), (BOB,), (EVE,)])
    assert [[(one.id, one.event, one.number) for one in events] for events in found] == [
        [(consent().id, "granted", 0)], [(consent().id, "withdrawn", 1)], [(consent().id, "objected", 2)],
    ]  # fmt: skip
    assert len([event async for event in store.export_consents()]) == 3


async def test_many_events_are_added(store):
    events = [consent(digest(n % 700), START - n, n) for n in range(1500)]
    assert await store.record_consents(events) == 1500
    found = await store.consents([(digest(n),) for n in range(701)])
    assert [len(one) for one in found] == [3] * 100 + [2] * 600 + [0]
    assert {event.id async for event in store.export_consents()} == {event.id for event in events}


async def test_a_lifting_is_an_event_of_the_ledger_too(store):
    await store.suppress(refusal(at=START - 100))
    await store.lift([ADA], ORGANISATION, Reason.UNSUBSCRIBE, consent(purpose="marketing"), "")
    assert await of(store, ADA) == (consent(purpose="marketing"),)


async def test_a_consent_lifts_no_refusal_by_itself(store):
    """Law 6: only the lifting does, and it needs a later one."""
    await store.suppress(refusal(at=START - 100))
    await store.record_consents([consent(purpose="marketing")])
    assert len((await store.find([(ADA,)]))[0]) == 1


async def test_the_ledger_is_told_when_a_submission_is_opened_if_it_is_asked_for(store):
    await store.record_consents([consent(BOB)])
    people = [(ADA,), (BOB,)]
    entry = await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people, with_consents=True))
    assert [one.consents for one in entry.found] == await store.consents(people) == [(), (consent(BOB),)]
    entry = await store.open_submission(MAIL, Opening(first_try(), 60.0, asked=people))
    assert [one.consents for one in entry.found] == [(), ()]


@pytest.mark.parametrize("event", ["withdrawn", "objected"])
@pytest.mark.parametrize(
    ("told", "at", "stands"),
    [
        (NEWS, START - 11, True),  # the grant is later
        (NEWS, START - 10, False),  # at the same moment the end wins
        (NEWS, START - 9, False),
        ("marketing", START - 9, False),
        ("marketing:news:weekly", START - 9, False),
        ("marketing:offers", START - 9, True),
        ("market", START - 9, True),
    ],
)
async def test_whoever_withdrew_since_is_not_cleared(store, event, told, at, stands):
    await store.record_consents([consent(), consent(at=at, number=2, purpose=told, event=event)])
    asked = [replace(request(ADA), grounds=(ground(START - 20, "other"), ground())), request(BOB)]
    first, second = await clear(store, *asked)
    assert isinstance(second, Cleared)
    assert first == (Cleared("") if stands else Withdrawn(ground()))


async def test_an_end_under_another_generation_of_the_key_binds(store):
    old = digest("old generation of ada")
    await store.record_consents([consent(), consent(old, START - 5, 2, event="withdrawn")])
    asked = replace(request(ADA), suppression_digests=(ADA, old), grounds=(ground(),))
    assert await clear(store, asked) == [Withdrawn(ground())]


async def test_a_refusal_is_named_before_a_withdrawal(store):
    await store.suppress(refusal())
    await store.record_consents([consent(at=START - 5, number=2, event="withdrawn")])
    (answer,) = await clear(store, replace(request(ADA), grounds=(ground(),)))
    assert isinstance(answer, Refused)


async def test_nobody_is_cleared_above_the_number_of_the_end_of_their_consent(store):
    """Leaves and withdrawals at the same time, in whatever order the store takes them."""
    people = [digest(n) for n in range(12)]
    await store.record_consents([consent(who, number=n) for n, who in enumerate(people)])
    keys = [digest(f"mail {n}") for n in range(12)]
    for number, key in enumerate(keys):
        await store.open_submission(key, Opening(first_try(number), 3600.0))

    async def leave(number):
        asked = replace(request(people[number]), grounds=(ground(),))
        return (await store.clear(keys[number], first_try(number).submission_id, [asked], 30.0, 3600.0))[0]

    async def end(number):
        event = consent(people[number], START - 1, 100 + number, event="withdrawn")
        await store.record_consents([event])

    answers = await asyncio.gather(*(work(n) for n in range(12) for work in ((leave, end) if n % 2 else (end, leave))))
    cleared = [one for one in answers if one is not None]
    for who, answer in zip(people, cleared, strict=True):
        ((end_number,),) = [[event.number for event in one if event.is_ending] for one in await store.consents([(who,)])]
        assert isinstance(answer, Withdrawn) or answer.number < end_number
        assert end_number > 0


async def test_events_that_end_nothing_take_no_number(store):
    await store.record_consents([consent(), consent(number=2, event="requested"), consent(number=3, event="notice_sent")])
    assert [event.number for event in await of(store, ADA)] == [0, 0, 0]
    await store.record_consents([consent(number=4, event="withdrawn"), consent(BOB, number=5, event="objected")])
    numbers = [event.number for who in (ADA, BOB) for event in await of(store, who) if event.is_ending]
    assert numbers == [1, 1]
    await store.suppress(refusal(EVE, scope=stream_scope("news")))
    assert (await store.find([(EVE,)]))[0][0].number == 2


EXAMPLES = count(1000)
EVENTS = st.lists(
    st.builds(
        lambda at, event, purpose, number: (at, event, purpose, number),
        st.integers(-5, 5),
        st.sampled_from(["granted", "confirmed", "withdrawn", "objected", "renewed", "requested"]),
        st.sampled_from(["marketing", NEWS, "marketing:offers"]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=7,
    unique_by=lambda one: one[3],
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=EVENTS, data=st.data())
async def test_what_stands_does_not_depend_on_the_order_of_recording(store, told, data):
    """A person's events in any order and any parts: the same view, and the one that a withdrawal has the last word in."""
    tag = next(EXAMPLES)
    views = []
    for turn in range(2):
        who = digest(f"{tag} {turn}")
        events = [
            consent(who, START + 86400 * at, tag * 100 + turn * 10 + number, event=event, purpose=purpose)
            for at, event, purpose, number in told
        ]
        shuffled = data.draw(st.permutations(events)) if turn else events
        for event in shuffled:
            await store.record_consents([event])
        (found,) = await store.consents([(who,)])
        answer = grant_for(found, Needs(NEWS), TODAY.replace(year=TODAY.year + 1))
        views.append(answer if isinstance(answer, str) else (answer.at, answer.event, answer.purpose))
    assert views[0] == views[1]
    grants = [at for at, event, purpose, _ in told if event in ("granted", "confirmed") and purpose != "marketing:offers"]
    ends = [at for at, event, purpose, _ in told if event in ("withdrawn", "objected") and purpose != "marketing:offers"]
    assert isinstance(views[0], tuple) == bool(grants and max(grants) > max(ends, default=-99))


_BY_ID = """
DROP TABLE consents;
CREATE TABLE consents (
    id TEXT NOT NULL PRIMARY KEY, digest BLOB NOT NULL, sealed BLOB NOT NULL, event TEXT NOT NULL, at REAL NOT NULL,
    recorded_at REAL NOT NULL, evidence TEXT NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX consents_of ON consents (digest);
CREATE TRIGGER consents_stay BEFORE DELETE ON consents BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER consents_stay_as_they_are BEFORE UPDATE ON consents BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
_SINCE = """
ALTER TABLE consents ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN basis TEXT NOT NULL DEFAULT 'explicit';
ALTER TABLE consents ADD COLUMN said TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
"""


@pytest.mark.parametrize("since", ["", _SINCE])
async def test_a_ledger_in_which_an_id_had_one_mailbox_is_kept_whole(tmp_path, clock, since):
    await (await new_sqlite(tmp_path, clock)).aclose()
    db = sqlite3.connect(tmp_path / "relay.db")
    db.executescript(_BY_ID + since)
    rows = [
        (f"01JOLD{n:04d}", digest(n % 7), b"s", "withdrawn" if n % 2 else "granted", 5.0 + n, 6.0, "x", "me") for n in range(50)
    ]
    told = "id, digest, sealed, event, at, recorded_at, evidence, by"
    db.executemany(f"INSERT INTO consents ({told}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.commit()
    db.close()
    for _ in range(2):  # the second time there is nothing to do
        store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
        try:
            found = [event async for event in store.export_consents()]
            assert sorted((e.id, e.digest, e.sealed, e.event, e.at, e.recorded_at, e.evidence, e.by) for e in found) == rows
        finally:
            await store.aclose()
    store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
    try:
        assert await store.record_consents([replace(consent(EVE), id="01JOLD0000"), replace(found[0], event="objected")]) == 1
        with pytest.raises(StoreUnavailable, match="append-only"):
            await store._writer.run(lambda db, now: db.execute("DELETE FROM consents"))
    finally:
        await store.aclose()


async def test_a_ledger_of_an_earlier_version_is_read_and_its_consents_name_no_purpose(tmp_path, clock):
    """They were written when a refusal was lifted; they permit nothing new."""
    await (await new_sqlite(tmp_path, clock)).aclose()
    db = sqlite3.connect(tmp_path / "relay.db")
    db.executescript(_BY_ID)
    db.execute("INSERT INTO consents VALUES ('01JOLD', ?, x'00', 'granted', 5.0, 6.0, 'by telephone', 'Wang Min')", (ADA,))
    db.commit()
    db.close()
    store = SQLiteStore.open(tmp_path / "relay.db", META, clock=clock)
    try:
        (found,) = await of(store, ADA)
        assert (found.id, found.evidence, found.purpose, found.details) == ("01JOLD", "by telephone", "", Details())
        assert grant_for([found], Needs(NEWS), TODAY) == "given for no named purpose, not marketing:news"
        assert await store.record_consents([consent()]) == 1
    finally:
        await store.aclose()
