"""`relay lint`: findings with place and remedy, from files and policies alone."""

import json
import shutil

import pytest
from click.testing import CliRunner

from relay.cli.lint import lint
from tests.support.letters import mail
from tests.support.policies import SHIPPED, word_rule
from tests.support.small import SMALL_CONFIG

NEWS = "Example <news@example.com>"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_text(SMALL_CONFIG)
    shutil.copytree(SHIPPED, tmp_path / "policies")
    stream = tmp_path / "policies" / "streams" / "newsletter.toml"
    stream.write_text(stream.read_text("utf-8") + word_rule("offer"), "utf-8")
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("RELAY_LANG", "en")
    (tmp_path / "mail").mkdir()
    return tmp_path


def write(desk, name="a.eml", **more):
    path = desk / "mail" / name
    path.write_bytes(mail(NEWS, more.pop("subject", "News"), "Hello", to=more.pop("to", "ada@example.org"), **more))
    return path


def run(*arguments):
    return CliRunner().invoke(lint, [str(one) for one in arguments])


def test_a_message_with_nothing_against_it(desk):
    path = write(desk)
    told = run(path)
    assert (told.exit_code, told.stdout) == (0, f"✓ {path} (stream newsletter): nothing found\n")
    assert "relay send --dry-run looks" in told.stderr


def test_a_finding_names_rule_place_remedy_and_law(desk):
    path = write(desk, to="ada@example.org, bob@example.org", subject="A big Offer for you")
    told = run(path)
    assert told.exit_code == 1
    assert told.stdout == (
        f"✗ {path} (stream newsletter): 2 findings\n"
        "  base/mass-disclosure: reject: The message shows its recipients to each other in To or Cc (2 shown, 1 allowed)\n"
        f"    {path}:2: To\n"
        "    → Send one message per recipient, or put the recipients into Bcc\n"
        "    PIPL Art 23; GDPR Art 5(1)(f)\n"
        "  newsletter/no-word: reject: Not this word (offer)\n"
        f"    {path}:3: subject, character 7: A big Offer for you\n"
        "    → Write another one\n"
    )


def test_what_stands_in_a_text_is_found_by_line_and_character(desk):
    """In the text as people see it, whatever its encoding; in hidden text too."""
    stream = desk / "policies" / "streams" / "newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace('packs = ["base"', 'packs = ["base", "content"'), "utf-8")
    text = "尊敬的客户：\n\n您好 {{first_name}}，感谢您的支持。\n"
    path = desk / "mail" / "a.eml"
    path.write_bytes(mail(NEWS, "News", text, to="ada@example.org"))
    (one,) = [one for one in json.loads(run(path, "--json").stdout)[0]["findings"] if one["rule"] == "content/placeholders"]
    (position,) = one["positions"]
    assert (position["where"], position["line"], position["column"], position["in_text"]) == ("text part 1", 3, 4, True)
    decoded = text.replace("\n", "\r\n")
    assert decoded[position["start"] : position["end"]] == "{{first_name}}"
    assert "    text part 1, line 3, character 4: 尊敬的客户： 您好 {{first_name}}，感谢您的支持。\n" in run(path).stdout


def test_who_has_the_message_reads_the_name_of_its_attachment(desk):
    """Records have its number and ending only."""
    stream = desk / "policies" / "streams" / "newsletter.toml"
    stream.write_text(stream.read_text("utf-8").replace('packs = ["base"', 'packs = ["base", "content"'), "utf-8")
    path = write(desk)
    named = b'Content-Disposition: attachment; filename="Ada Lovelace.csv"\r\nMIME-Version'
    path.write_bytes(path.read_bytes().replace(b"MIME-Version", named).replace(b"Hello", b"Hi {{name}}"))
    (one,) = [one for one in json.loads(run(path, "--json").stdout)[0]["findings"] if one["rule"] == "content/placeholders"]
    assert one["detail"] == "{{...}} in attachment 1 (.csv)"
    assert [position["where"] for position in one["positions"]] == ["attachment 1 (.csv) Ada Lovelace.csv"]


def test_machines_get_offsets_and_both_languages(desk):
    path = write(desk, subject="A big Offer for you")
    ((one,),) = [file["findings"] for file in json.loads(run(path, "--json").stdout)]
    assert (one["rule"], one["action"], one["recipients"]) == ("newsletter/no-word", "reject", 1)
    assert one["text"] == {"en": "Not this word", "zh": "不能使用此词"}
    (position,) = one["positions"]
    assert (position["where"], position["line"], position["start"], position["end"]) == ("subject", 3, 6, 11)


def test_a_folder_is_read_whole(desk):
    write(desk, "b.eml")
    write(desk, "c.eml", subject="offer")
    told = json.loads(run(desk / "mail", "--json").stdout)
    assert [(one["file"].rpartition("/")[2], len(one["findings"])) for one in told] == [("b.eml", 0), ("c.eml", 1)]


def test_another_stream_can_judge(desk):
    path = write(desk, subject="offer")
    assert run(path, "--stream", "correspondence").exit_code == 0
    unknown = run(path, "--stream", "letters")
    assert unknown.exit_code == 2
    assert "there is no stream letters; there are newsletter, receipts, correspondence" in unknown.stderr


def test_a_sender_whom_no_stream_takes_is_told_what_to_do(desk):
    path = desk / "mail" / "a.eml"
    path.write_bytes(mail("stranger@example.com", "News", "Hello"))
    told = run(path)
    assert told.exit_code == 1
    assert "no stream takes mail of stranger@example.com: give --stream, or write the account" in told.stderr


def test_octets_that_are_no_message_are_a_finding(desk):
    path = desk / "mail" / "a.eml"
    path.write_bytes(b"From: news@example.com\r\n\0\r\n\r\n")
    told = run(path)
    assert told.exit_code == 1
    assert "base/header-structure: reject: the message has a NUL octet" in told.stdout


def test_the_hour_is_no_finding(desk):
    stream = desk / "policies" / "streams" / "newsletter.toml"
    never = stream.read_text("utf-8").replace('# hours = ["Mon-Fri 09:00-21:00", ', 'hours = ["Mon 09:00-09:01", ')
    assert "\nhours = [" in never
    stream.write_text(never, "utf-8")
    assert run(write(desk)).exit_code == 0


def test_the_author_does_not_stand_in_for_recipients_who_are_not_named(desk):
    """A rule on addresses is asked about those in To and Cc alone."""
    stream = desk / "policies" / "streams" / "newsletter.toml"
    rule = '[[rule]]\nid = "own"\ncheck = "domains"\ndeny = ["example.com", "relay.invalid"]\n'
    stream.write_text(stream.read_text("utf-8") + rule, "utf-8")
    assert run(write(desk, to="undisclosed-recipients:;")).exit_code == 0
    assert "newsletter/own: reject" in run(write(desk, to="boss@example.com")).stdout


def test_a_folder_without_messages_is_told(desk):
    assert run(desk / "mail").exit_code == 2
