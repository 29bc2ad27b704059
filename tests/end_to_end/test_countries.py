"""The country that the consent ledger knows: which rules are asked, what is done to the copy, what is on record and told."""

import json
import re
import shutil
from contextlib import ExitStack

import pytest

from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.consents.consent import Details
from relay.records.consents import Said, new_event
from relay.records.kinds import Kind
from relay.records.search import Query, search
from tests.support.courier import CourierHouse
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.policies import word_rule
from tests.support.redis_server import RedisServer
from tests.support.service import NEWS, SHOP, message

upstream = an_upstream()

JI, UWE, ANY = "ji@mail.example", "uwe@mail.example", "any@mail.example"
MARCH = 1_772_366_400.0  # the first of March 2026, at noon
LAW = (
    '[pack]\nversion = "1"\n[applies]\nany = [{ recipient = "KR" }]\n'
    '[[duty]]\nid = "label"\ndo = "label"\nlabel = "KR"\n'
    '[[rule]]\nid = "nobody-there"\ncheck = "domains"\ndeny = ["denied.example"]\n' + word_rule("forbidden")
)
PACKS = (r"(?m)^packs = .*", 'packs = ["base", "law"]')
POLICY = {
    "streams/newsletter.toml": [PACKS],
    "streams/receipts.toml": [PACKS],
    "organisation.toml": [(r"(?m)^unknown_recipient = .*", 'unknown_recipient = ["US"]')],
}
AT_RCPT = POLICY | {"streams/newsletter.toml": [PACKS, (r"(?m)^refusals = .*", 'refusals = "rcpt"')]}


def a_house(folder, upstream, kind=LineHouse, *, policy=None, **options):
    house = kind(folder, upstream, policy=policy or POLICY, **options)
    house.relay.write_policy("packs/law.toml", LAW)
    return house


def record(house, address: str, country: str, at: float = MARCH, event: str = "granted") -> None:
    """The ledger learns where somebody is, as `relay consent add --country` has it."""
    said = Said(event, "service", "contract", at, "told us", "Wang", Details(country=country), {})
    told = new_event(house.line.keys, Mailbox.parse(address), said, at)
    assert house.run(house.line.store.record_consents([told])) == 1


def subjects(upstream) -> dict[str, str]:
    """What each recipient got; reports left out."""
    return {
        address: Message.parse(one.data).subject
        for one in upstream.accepted
        if one.recipients != [NEWS]
        for address in one.recipients
    }


def rulings(house, *kinds: Kind) -> list[dict]:
    found = search(house.line.records.reader, Query(kinds=frozenset(kinds)))
    return [ruling for entry in found for ruling in entry.record.facts.get("rulings", ())]


@pytest.mark.parametrize("login", [NEWS, SHOP])
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_stream_that_asks_for_no_consent_knows_the_country_by_the_same_question(tmp_path, upstream, kind, login):
    """Of three with one mailbox provider each is under a law of their own, and whoever is alike shares a copy."""
    with ExitStack() as stack:
        store = kind if kind == "sqlite" else stack.enter_context(RedisServer(tmp_path / "redis")).url
        house = stack.enter_context(a_house(tmp_path / "line", upstream, store=store))
        line = house.line
        assert not any(line.policy.stream(name).asks_consent for name in ("newsletter", "receipts"))
        record(house, JI, "KR")
        record(house, UWE, "DE")
        asked = {name: spied(line.store, name) for name in ("open_submission", "look_up", "consents", "find")}
        reply = house.send(login, [JI, UWE, ANY], message(sender=login, subject="Spring"))
        assert reply.code == 250, str(reply)
        assert subjects(upstream) == {JI: "(광고) Spring", UWE: "Spring", ANY: "Spring"}
        assert len(asked["open_submission"]) == 1
        assert asked["consents"] == asked["find"] == []
        assert [(ruling["action"], ruling.get("residence")) for ruling in rulings(house, Kind.RECEIVED)] == [
            ("permit", {"countries": ["KR"], "at": MARCH}),
            ("permit", {"countries": ["DE"], "at": MARCH}),
            ("permit", None),
        ]
        if login == SHOP:  # whose copies are not told apart by an unsubscribe link
            assert sorted(sorted(one.recipients) for one in upstream.accepted) == [[ANY, UWE], [JI]]


def spied(store, name: str) -> list[tuple]:
    """Every question of that name from outside the store."""
    asked: list[tuple] = []
    original = getattr(store, name)

    def asking(*arguments, **options):
        asked.append(arguments)
        return original(*arguments, **options)

    setattr(store, name, asking)
    return asked


def test_a_rule_of_a_law_is_asked_of_whoever_is_recorded_there(tmp_path, upstream):
    with a_house(tmp_path, upstream) as house:
        record(house, JI, "KR")
        house.send(NEWS, [JI, ANY], message(subject="Something forbidden"))
        assert subjects(upstream) == {ANY: "Something forbidden"}
        assert [ruling["action"] for ruling in rulings(house, Kind.RECEIVED)] == ["reject", "permit"]


@pytest.mark.parametrize("country", ["KR", "DE"])
def test_at_rcpt_the_same_country_counts(tmp_path, upstream, country):
    with a_house(tmp_path, upstream, policy=AT_RCPT) as house:
        denied = "ji@denied.example"
        record(house, denied, country)
        reply = house.send(NEWS, [denied], message())
        assert (reply.code, reply.rule) == ((550, "law/nobody-there") if country == "KR" else (250, ""))
        (ruling,) = rulings(house, Kind.REFUSED, Kind.RECEIVED)
        assert ruling["residence"]["countries"] == [country]


def test_what_was_learnt_while_a_copy_was_held_binds_it_and_is_on_record_before_it_leaves(tmp_path, upstream):
    with a_house(tmp_path, upstream, CourierHouse) as house:
        upstream.fault("RCPT", "450 4.2.1 later")
        assert "0 delivered, 2 held" in str(house.send(NEWS, [JI, ANY], message(subject="Spring")))
        assert [ruling.get("residence") for ruling in rulings(house, Kind.RECEIVED)] == [None, None]
        record(house, JI, "KR", house.clock.now)
        upstream.faults.clear()
        house.turn(90)
        house.wait_empty()
        assert subjects(upstream) == {JI: "(광고) Spring", ANY: "Spring"}
        (judged,) = rulings(house, Kind.JUDGED)
        assert (judged["action"], judged["residence"]["countries"]) == ("permit", ["KR"])


def test_what_is_held_is_refused_where_the_law_of_the_country_that_was_learnt_refuses_it(tmp_path, upstream):
    with a_house(tmp_path, upstream, CourierHouse) as house:
        upstream.fault("RCPT", "450 4.2.1 later")
        house.send(NEWS, [JI], message(subject="Something forbidden"))
        record(house, JI, "KR", house.clock.now)
        upstream.faults.clear()
        house.turn(90)
        house.wait_empty()
        assert subjects(upstream) == {}
        assert [ruling["action"] for ruling in rulings(house, Kind.JUDGED)] == ["reject"]


# What people are told -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path, upstream):
    with a_house(tmp_path / "line", upstream) as house:
        record(house, JI, "KR")
        record(house, "min@mail.example.de", "KR")
        applied = house.relay.command("policy", "apply", house.relay.folder / "policies", "--reason", "first")
        assert applied.returncode == 0, applied.stderr
        yield house


@pytest.fixture
def mail(tmp_path):
    path = tmp_path / "mail.eml"
    path.write_bytes(message(subject="Something forbidden"))
    return path


def test_explain_says_who_told_the_country_in_both_languages(asked, mail):
    people = [word for address in (JI, "min@mail.example.de", ANY) for word in ("--to", address)]
    english, chinese = (asked.relay.command("explain", mail, *people, lang=lang).stdout for lang in ("en", "zh"))
    shown = re.findall(r"recipient\.countries_from\): (.*)", english)
    assert shown == [
        "KR (consent of 2026-03-01)",
        "DE (the address), KR (consent of 2026-03-01)",
        "US (nobody said it: organisation default)",
    ]
    assert re.findall(r"recipient\.countries_from）：(.*)", chinese) == [
        "KR（2026-03-01 的同意记录）",
        "DE（邮箱域名）、KR（2026-03-01 的同意记录）",
        "US（无人说明：取本单位默认值）",
    ]
    told = json.loads(asked.relay.command("explain", mail, "--to", JI, "--json").stdout)[0]["facts"]
    assert told["recipient.countries"] == ["KR"]
    (teller,) = told["recipient.countries_from"]
    assert (teller["by"], teller["countries"], teller["at"][:10]) == ("consent", ["KR"], "2026-03-01")


def test_explain_says_it_of_what_is_on_record_too(asked):
    """As it was then: what the ledger learnt since is not in it."""
    asked.send(NEWS, [JI, ANY], message(subject="Something forbidden"))
    record(asked, ANY, "KR", MARCH + 86400)
    (entry,) = search(asked.line.records.reader, Query(kinds=frozenset({Kind.RECEIVED})))
    english, chinese = (asked.relay.command("explain", entry.record.id, lang=lang).stdout for lang in ("en", "zh"))
    assert "law of: KR (consent of 2026-03-01)\n" in english
    assert "law of: US (nobody said it: organisation default)\n" in english
    assert "适用的法律：KR（2026-03-01 的同意记录）\n" in chinese
    assert "✗ law/no-word" in english
    assert "- law/no-word: not asked (does not apply: only recipients in KR)" in english


def test_a_dry_run_takes_the_country_of_the_list_and_says_what_the_ledger_lacks(asked, mail, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"email,Country\n{JI},KR\n{UWE},kr\n{ANY},\nbob@mail.example,Korea\n", "utf-8")
    run = asked.relay.command("send", "--dry-run", mail, "--to", listed)
    assert run.returncode == 1
    verdicts = {line.split()[1]: line.split()[0] for line in run.stdout.splitlines() if "@" in line}
    assert verdicts == {JI: "reject", UWE: "reject", ANY: "permit", "bob@mail.example": "permit"}
    assert "Of 1 recipient only the list knows the country" in run.stdout
    assert "list.csv, line 5: country is no country of ISO 3166-1" in run.stderr
    assert "名单里，同意台账中没有" in asked.relay.command("send", "--dry-run", mail, "--to", listed, lang="zh").stdout
    told = json.loads(asked.relay.command("send", "--dry-run", mail, "--to", listed, "--json").stdout)
    rows = [(one["recipient"], one["countries"], one["presumed"]) for one in told["recipients"]]
    assert rows == [
        (JI, ["KR"], False), (UWE, ["KR"], True), (ANY, ["US"], False), ("bob@mail.example", ["US"], False),
    ]  # fmt: skip
    assert (told["presumed"], told["bad_rows"]) == (1, 1)
    assert asked.send(NEWS, [UWE], message(subject="Something forbidden")).code == 250  # the line does not know it


def test_a_replay_asks_by_the_country_of_the_time(asked, tmp_path):
    """Which the record has: what the ledger learns later changes nothing that was decided before."""
    asked.send(NEWS, [JI, ANY], message(subject="Spring"))
    record(asked, ANY, "KR", MARCH + 86400)
    record(asked, JI, "DE", MARCH + 86400)
    stricter = tmp_path / "policies"
    shutil.copytree(asked.relay.folder / "policies", stricter)
    law = stricter / "packs" / "law.toml"
    law.write_text(law.read_text("utf-8").replace("denied.example", "mail.example"), "utf-8")
    for folder, changes in ((asked.relay.folder / "policies", []), (stricter, [("permit", "reject", "law/nobody-there", 1)])):
        run = asked.relay.command("policy", "replay", "--since", "2026-01-01", "--set", folder, "--json")
        told = json.loads(run.stdout)
        assert told["recipients"] == 2, run.stderr
        assert [(one["then"], one["now"], one["rule"], one["recipients"]) for one in told["changes"]] == changes
