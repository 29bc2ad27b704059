"""`relay upstream`: what is adapted in both languages, pause and resume on record, replies that no profile knows."""

import asyncio
import time
from datetime import date

import orjson
import pytest
from click.testing import CliRunner

from relay.cli.inspection import inspect
from relay.cli.main import root
from relay.cli.opening import open_all
from relay.config import load_config
from relay.records.append import Records
from relay.records.kinds import Kind as RecordKind
from relay.records.kinds import Record
from relay.records.search import Query, search
from relay.records.unread import UnreadReply, unread_replies
from relay.stores.adaptations import NEVER, Adaptation, Kind, Scope
from relay.stores.opening import load_or_create_keys, open_store
from relay.upstream.profile import is_known, load_profiles
from tests.support.installation import Installation
from tests.support.stores import digest

WHY = ("--reason", "the list was bought", "--by", "Wang Min")


@pytest.fixture
def place(tmp_path):
    return Installation(tmp_path)


def run(place, *words, lang="en", code=0):
    done = CliRunner().invoke(root, ["--config", str(place.config), "--lang", lang, "upstream", *words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def inside(place, work):
    """Let `work` use the store and the records."""

    async def doing():
        config = load_config(str(place.config))
        keys = load_or_create_keys(config, date(2026, 1, 1))
        store = await open_store(config, keys, time.time)
        records = Records.open(config.data_path / "records.db", keys, 0, time.time)
        try:
            return await work(store, records)
        finally:
            await records.aclose()
            await store.aclose()

    return asyncio.run(doing())


def adapt(place, *made):
    async def work(store, records):
        sealed = records.person("news@acme-mail.cn").sealed
        for kind, scope, seconds, value, login in made:
            now = time.time()
            name = sealed if scope is Scope.IDENTITY else b""
            await store.adapt(
                Adaptation(
                    digest((kind, scope)), kind, "up", scope, name, now, now + seconds, value, login, "throttle", "451 MI:SFQ"
                )
            )

    inside(place, work)


def on_record(place):
    async def work(store, records):
        found = search(records.reader, Query(kinds=frozenset({RecordKind.ADAPTED})))
        return [entry.record.facts for entry in found]

    return inside(place, work)


def test_nothing_is_adapted_at_first(place):
    assert "nothing is adapted" in run(place, "status")
    assert orjson.loads(run(place, "status", "--json")) == [{"upstream": "up", "adapted": []}]


def test_status_says_what_since_when_why_until_when(place):
    adapt(
        place,
        (Kind.REST, Scope.IDENTITY, 900, 0, b"1234"),
        (Kind.RATE, Scope.UPSTREAM, 7800, 30, b""),
        (Kind.RECIPIENTS, Scope.UPSTREAM, 86400, 20, b""),
    )
    shown = run(place, "status")
    assert "not asked for a time (the login news@acme-mail.cn) (this password was refused): since 20" in shown
    assert "a lower rate: 30 a minute (the whole upstream): since 20" in shown
    assert "fewer recipients a mail: 20 (the whole upstream)" in shown
    assert shown.count("because: too much or too fast: 451 MI:SFQ (by relay)") == 3
    assert "降低速率：30 位/分钟（整个上游）" in run(place, "status", lang="zh")
    ((one,),) = [row["adapted"][:1] for row in orjson.loads(run(place, "status", "--json"))]
    assert (one["kind"], one["value"], one["said"]) == ("rate", 30, "451 MI:SFQ")


def test_a_pause_and_its_end_are_on_record(place):
    assert "is paused; other mail leaves" in run(place, "pause", "up", *WHY)
    assert "paused already" in run(place, "pause", "up", *WHY, code=1)
    assert "until somebody resumes it" in run(place, "status")
    assert "ended 1 adaptation." in run(place, "resume", "up", *WHY)
    assert "is not paused" in run(place, "resume", "up", *WHY, code=1)
    assert [(one["kind"], one["ended"], one["by"], one["class"]) for one in on_record(place)] == [
        ("pause", "", "Wang Min", "manual"),
        ("pause", "person", "Wang Min", "manual"),
    ]
    assert on_record(place)[1]["reason"] == "the list was bought"


def test_resume_ends_the_rest_when_it_is_asked_to(place):
    adapt(place, (Kind.REST, Scope.IDENTITY, 900, 0, b""), (Kind.RATE, Scope.UPSTREAM, 7800, 30, b""))
    run(place, "resume", "up", *WHY, code=1)
    assert "已结束 2 项调整" in run(place, "resume", "up", "--all", *WHY, lang="zh")
    assert "nothing is adapted" in run(place, "status")


async def test_relay_check_names_a_pause(place):
    def paused(texts):
        return [text for text in texts if "paused" in text]

    findings = await inspect(load_config(str(place.config)))
    assert paused(en for _, en in findings.to_do) == []
    async with open_all(str(place.config)) as opened:
        pause = Adaptation(digest("p"), Kind.PAUSE, "up", Scope.UPSTREAM, b"", time.time(), NEVER, said="554 HL:IPB")
        await opened.store.adapt(pause)
    findings = await inspect(load_config(str(place.config)))
    (text,) = paused(en for _, en in findings.to_do)
    assert text.startswith("marketing by the upstream up is paused: relay upstream status says why")


@pytest.mark.parametrize("words", [("pause", "up"), ("pause", "up", "--reason", " "), ("pause", "other", *WHY)])
def test_a_reason_and_a_name_that_there_is_are_wanted(place, words):
    said = run(place, *words, code=2)
    assert "reason" in said or 'no [[upstream]] "other"; there are up' in said


def finished(number, *outcomes):
    facts = {"outcomes": [{"upstream": "up", "earlier": False, "upstream_text": text} for text in outcomes]}
    return Record(RecordKind.FINISHED, f"01HZZZZZZZZZZZZZZZZZZZZZ{number:02d}", time.time(), (), facts)


TEXTS = [
    "550 5.7.1 Policy violation 4711ab3 for m***@example.org",
    "550 5.7.1 Policy violation 9902cd1 for m***@example.org",
    "451 4.3.2 Grumpy today",  # an outage, by its enhanced status code
    "451 Grumpy today",
    "550 5.1.1 no such user",
    "250 2.0.0 queued",
    "",
]


def test_replies_that_no_profile_knows_are_counted_without_what_differs_each_time():
    generic = load_profiles()["generic"]
    records = [finished(1, *TEXTS), finished(2, TEXTS[0])]
    found = unread_replies(records, lambda _, *reply: is_known(generic, *reply), 10)
    assert found == [
        (UnreadReply("up", 550, "5.7.1", "Policy violation # for m***@example.org"), 3),
        (UnreadReply("up", 451, "", "Grumpy today"), 1),
    ]
    earlier = Record(
        RecordKind.FINISHED, "x", 0.0, (), {"outcomes": [{"upstream": "up", "earlier": True, "upstream_text": TEXTS[3]}]}
    )
    assert unread_replies([earlier], lambda *_: False, 10) == []


def test_replies_are_read_from_the_records(place):
    assert "No reply of the last 30 days is unknown" in run(place, "replies")

    async def work(store, records):
        await records.append_many([finished(1, *TEXTS)])

    inside(place, work)
    rows = orjson.loads(run(place, "replies", "--days", "7", "--json"))
    assert [(row["count"], row["code"]) for row in rows] == [(2, 550), (1, 451)]
    assert "     2  up  550 5.7.1  Policy violation #" in run(place, "replies")
