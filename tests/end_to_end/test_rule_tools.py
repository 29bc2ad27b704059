"""The tools of people who write rules and mail, as they are typed: `policy test`, `lint`, `send --dry-run`."""

import json

import pytest

from tests.support.fixtures import an_upstream
from tests.support.journey import records
from tests.support.line import LineHouse
from tests.support.service import NEWS, message

GONE = "gone@example.org"
upstream = an_upstream(scope="module")


@pytest.fixture(scope="module")
def house(upstream, tmp_path_factory):
    """A relay that has run, with one recipient who is gone."""
    with LineHouse(tmp_path_factory.mktemp("line"), upstream, cases=True) as house:
        assert house.relay.command("suppress", "add", GONE, "--reason", "hard_bounce").returncode == 0
        assert house.send(NEWS, ["first@example.org"], message()).is_positive
        yield house


@pytest.fixture
def mail(tmp_path):
    path = tmp_path / "message.eml"
    path.write_bytes(message())
    return path


@pytest.fixture
def listed(tmp_path):
    def listed(text: str):
        path = tmp_path / "list.csv"
        path.write_text(text, "utf-8")
        return path

    return listed


def test_the_cases_of_the_configured_folder_hold(house):
    run = house.relay.command("policy", "test")
    assert (run.returncode, run.stderr) == (0, "")
    assert "✓ tests/base.toml: " in run.stdout


def test_a_folder_is_compared_with_itself(house):
    folder = house.relay.folder / "policies"
    run = house.relay.command("policy", "diff", folder, folder)
    assert (run.returncode, run.stdout) == (0, "Changes: 0, laxer: 0.\n")


def test_a_message_is_linted_beside_the_relay(house, mail):
    run = house.relay.command("lint", mail)
    assert run.returncode == 0, run.stderr
    assert "(stream newsletter): nothing found" in run.stdout


LIST = f"name,mail\nAda,ada@example.org\nGone,{GONE}\nAda again,ADA@example.org\n"


def test_a_dry_run_tells_every_verdict_and_does_nothing(house, upstream, mail, listed):
    before = records(house.relay), len(upstream.accepted), house.relay.command("suppress", "list").stdout
    run = house.relay.command("send", "--dry-run", mail, "--to", listed(LIST))
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert lines[0].startswith("Stream newsletter, policy set ")
    assert lines[1] == "permit  ada@example.org"
    assert lines[2].startswith(f"reject  {GONE}  base/suppression: This recipient has unsubscribed")
    assert lines[4:6] == ["2 recipients: permit 1, reject 1", "  base/suppression: 1"]
    assert "Nothing was sent or recorded." in lines[6]
    assert (records(house.relay), len(upstream.accepted), house.relay.command("suppress", "list").stdout) == before


def test_a_dry_run_for_machines(house, mail, listed):
    told = json.loads(house.relay.command("send", "--dry-run", mail, "--to", listed(LIST), "--json").stdout)
    assert (told["stream"], told["verdicts"], told["rules"]) == (
        "newsletter",
        {"permit": 1, "reject": 1},
        {"base/suppression": 1},
    )
    assert [(one["recipient"], one["verdict"]) for one in told["recipients"]] == [("ada@example.org", "permit"), (GONE, "reject")]
    assert told["recipients"][1]["reply"][0].startswith("550 5.1.1 [base/suppression]")


def test_everybody_permitted_is_0(house, mail, listed):
    assert house.relay.command("send", "--dry-run", mail, "--to", listed("ada@example.org\nbob@example.net\n")).returncode == 0


def test_what_every_recipient_sees_of_the_others_depends_on_how_it_is_sent(house, mail, listed):
    """A rule about the number of recipients sees one of them where each gets a message of their own."""
    stream = house.relay.folder / "policies" / "streams" / "newsletter.toml"
    before = stream.read_text("utf-8")
    crowd = '\n[[rule]]\nid = "crowd"\nwhen = "message.recipients > 1"\ntext = "Many"\ntext_zh = "多"\n'
    stream.write_text(before + crowd, "utf-8")
    try:
        both = listed("ada@example.org\nbob@example.net\n")
        assert house.relay.command("send", "--dry-run", mail, "--to", both).returncode == 1
        assert house.relay.command("send", "--dry-run", mail, "--to", both, "--separately").returncode == 0
    finally:
        stream.write_text(before, "utf-8")


def test_a_bad_row_is_named_and_is_1(house, mail, listed):
    run = house.relay.command("send", "--dry-run", mail, "--to", listed("ada@example.org\nnobody\n"))
    assert run.returncode == 1
    assert "list.csv, line 2: " in run.stderr


def test_sending_itself_is_not_its_business(house, mail, listed):
    run = house.relay.command("send", mail, "--to", listed("ada@example.org\n"))
    assert run.returncode == 2
    assert "add --dry-run" in run.stderr
