"""`relay policy replay`: what another set would have said of the mail on record, and what it cannot say."""

import json
import shutil
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.corpus import corpus
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse, author_domains
from tests.support.policies import word_rule
from tests.support.service import NEWS, OFFICE, SHOP, message

GONE = "gone@example.org"
RULES = """
[[rule]]
id = "elsewhere"
check = "domains"
deny = ["blocked.example"]
action = "warn"
[[rule]]
id = "explicit"
check = "explicit-label"
""" + word_rule("forbidden")
POLICY = {"streams/newsletter.toml": [(r"\Z", lambda _: RULES)]}
SINCE = ("--since", "2026-01-01")

upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def house(upstream, tmp_path_factory):
    """Four recipients of two newsletters: one is gone, one is warned about; the second newsletter has a word."""
    with LineHouse(tmp_path_factory.mktemp("line"), upstream, policy=POLICY) as house:
        assert house.relay.command("suppress", "add", GONE, "--reason", "hard_bounce").returncode == 0
        folder = house.relay.folder / "policies"
        assert house.relay.command("policy", "apply", folder, "--reason", "the first").returncode == 0
        people = ["ada@example.org", GONE, "bob@blocked.example", "lei@mail.example.cn"]
        house.send(NEWS, people, message())
        house.send(NEWS, people, message(subject="Something forbidden"))
        yield house


@pytest.fixture
def other(house, tmp_path):
    """A set that differs from the one in force: a text of newsletter.toml, or more of it."""

    def other(*changes: tuple[str, str], more: str = ""):
        folder = tmp_path / "policies"
        shutil.copytree(house.relay.folder / "policies", folder)
        path = folder / "streams" / "newsletter.toml"
        text = path.read_text("utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text + more, "utf-8")
        return folder

    return other


def replayed(house, folder, *more: str):
    run = house.relay.command("policy", "replay", *(more or SINCE), "--set", folder, "--json")
    assert run.returncode in (0, 1), run.stderr
    told = json.loads(run.stdout)
    changes = {(one["then"], one["now"], one["rule"]): one["recipients"] for one in told["changes"]}
    assert (run.returncode == 1) == bool(changes or told["untaken"])
    return told, changes


def unasked(told):
    return {one["rule"]: (one["why"]["en"], one["recipients"]) for one in told["not_replayable"]}


def test_the_same_set_changes_nothing(house, other):
    told, changes = replayed(house, other())
    assert (told["recipients"], changes, told["not_replayable"], told["undecided"]) == (8, {}, [], 0)


def test_a_rule_about_the_envelope_is_asked_again(house, other):
    blocked, chinese = 'deny = ["blocked.example"]', 'deny = ["*.example.cn"]'
    told, changes = replayed(house, other((blocked, chinese), ('action = "warn"', 'action = "reject"')))
    assert changes == {
        ("warn", "permit", None): 1,  # bob, of the first newsletter
        ("permit", "reject", "newsletter/elsewhere"): 1,  # lei
    }
    assert not told["not_replayable"]


def test_a_rule_that_weighs_otherwise_says_what_it_said(house, other):
    _, changes = replayed(house, other(('words = ["forbidden"]\naction = "reject"', 'words = ["forbidden"]\naction = "warn"')))
    assert changes == {("reject", "warn", None): 3}


def test_an_override_and_shadow_mode_count(house, other):
    _, changes = replayed(house, other(('mode = "enforce"', 'mode = "shadow"')))
    assert changes == {("reject", "warn", None): 3}, "but not who is gone"


def test_a_new_rule_about_the_text_is_named_and_counted(house, other):
    told, changes = replayed(house, other(more=word_rule("spring", "no-spring")))
    assert changes == {}
    assert unasked(told) == {"newsletter/no-spring": ("it is new, and reads what is not recorded", 3)}
    assert told["undecided"] == 3


def test_a_rule_that_looks_for_something_else_is_named(house, other):
    told, changes = replayed(house, other(('words = ["forbidden"]', 'words = ["forbidden", "spring"]')))
    why = "what it looks for changed, and it reads what is not recorded"
    assert unasked(told) == {"newsletter/no-word": (why, 6)}
    assert changes == {("reject", "permit", None): 2, ("reject", "warn", None): 1}


def test_a_stream_that_says_otherwise_of_itself_is_named(house, other):
    told, changes = replayed(house, other(("adult = false", "adult = true")))
    assert not changes
    assert {rule: recipients for rule, (_, recipients) in unasked(told).items()} == {"newsletter/explicit": 3}


def test_a_sender_whom_no_stream_takes_is_counted(house, other):
    told, _ = replayed(house, other((NEWS, "other@example.com")))
    assert told["untaken"] == 8


def test_only_the_asked_days_count(house, other):
    told, _ = replayed(house, other(), "--since", "2020-01-01", "--until", "2020-12-31")
    assert told["recipients"] == 0


def test_the_last_hour_of_a_day_of_25_hours_belongs_to_it(upstream, tmp_path):
    zone = ZoneInfo("America/New_York")
    policy = {"organisation.toml": [('time_zone = "[^"]*"', 'time_zone = "America/New_York"')]}
    late = datetime(2026, 11, 1, 23, 30, tzinfo=zone).timestamp()
    with LineHouse(tmp_path, upstream, policy=policy, clock=lambda: late) as house:
        folder = house.relay.folder / "policies"
        assert house.send(NEWS, ["ada@example.org"], message()).code == 250
        days = [replayed(house, folder, "--since", day, "--until", day)[0]["recipients"] for day in ("2026-11-01", "2026-11-02")]
    assert days == [1, 0]


def test_people_are_told_in_sentences(house, other):
    folder = other(('action = "warn"', 'action = "reject"'), more=word_rule("spring", "no-spring"))
    run = house.relay.command("policy", "replay", *SINCE, "--set", folder)
    assert run.returncode == 1
    assert ", 8 recorded recipients: 1 would get another verdict\n" in run.stdout
    assert "        1  newsletter: warn → reject  newsletter/elsewhere\n" in run.stdout
    assert "2 verdicts could still change by rules that cannot be asked again:\n" in run.stdout
    assert "        2  newsletter/no-spring: it is new, and reads what is not recorded\n" in run.stdout


def test_a_wrong_date_is_2(house):
    assert house.relay.command("policy", "replay", "--since", "yesterday").returncode == 2


@pytest.mark.parametrize("refusals", ["report", "rcpt"])
def test_the_set_in_force_says_again_what_it_said_of_the_whole_corpus(upstream, tmp_path, refusals):
    """Nothing that was decided by the line is told otherwise from the records."""
    changed = {
        "streams/newsletter.toml": [("refusals = .*", lambda _: f'refusals = "{refusals}"'), *POLICY["streams/newsletter.toml"]]
    }
    domains = author_domains(data for _, data in corpus())
    with LineHouse(tmp_path, upstream, domains=domains, policy=changed) as house:
        folder = house.relay.folder / "policies"
        assert house.relay.command("suppress", "add", GONE, "--reason", "hard_bounce").returncode == 0
        assert house.relay.command("policy", "apply", folder, "--reason", "the first").returncode == 0
        for _, data in corpus():
            for login in (NEWS, OFFICE, SHOP):
                house.send(login, ["ada@example.org", GONE, "bob@blocked.example"], data)
        told, changes = replayed(house, folder)
    assert told["recipients"] > 100
    assert (changes, told["not_replayable"], told["erased"], told["untaken"]) == ({}, [], 0, 0)
