"""`relay explain` as people and scripts use it, beside a running service and where none ever ran."""

import itertools
import json
import re

import pytest

from tests.support.corpus import corpus
from tests.support.fixtures import an_upstream
from tests.support.leaving import upstream_table
from tests.support.line import LineHouse
from tests.support.service import ACCOUNTS, NEWS, OFFICE, WHOLE_DOMAIN, Relay, message
from tests.support.upstream import RecordingUpstream

GONE = "gone@example.org"

upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@pytest.fixture(scope="module")
def relay(tmp_path_factory, upstream):
    with Relay(tmp_path_factory.mktemp("relay"), upstream, auth=WHOLE_DOMAIN) as relay:
        added = relay.command("suppress", "add", GONE, "--reason", "hard_bounce", "--note", "a test")
        assert added.returncode == 0, added.stderr
        yield relay


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "mail.eml"
        path.write_bytes(data)
        return path

    return write


def test_a_permitted_message_shows_every_rule_and_the_copy(relay, write):
    run = relay.command("explain", write(message()), "--to", "ada@example.org")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Stream: newsletter (marketing, enforce)\n")
    assert "ada@example.org: permit" in run.stdout
    for rule in ("suppression", "ownership", "one-from", "header-structure", "mass-disclosure", "attachment-types"):
        assert f"ok base/{rule}\n" in run.stdout
    assert "base/mass-disclosure-service: not asked (purpose)\n      input: purposes = service, notice\n" in run.stdout
    assert "    DKIM-Signature: v=1; a=rsa-sha256;" in run.stdout
    assert "    List-Unsubscribe-Post: List-Unsubscribe=One-Click" in run.stdout


def test_every_rule_shows_the_law_behind_it_asked_or_not(relay, write):
    path = write(message())
    english, chinese = (relay.command("explain", path, "--to", GONE, lang=lang).stdout for lang in ("en", "zh"))
    for name, text in (("cite", english), ("出处", chinese)):
        lines = text.splitlines()
        shown_rules = [number for number, line in enumerate(lines) if re.match(r"  (?:✗|✓|ok|-) [a-z-]+/[a-z-]+\b", line)]
        assert len(shown_rules) > 6
        for number in shown_rules:
            shown = itertools.takewhile(lambda line: line.startswith("      "), lines[number + 1 :])
            assert any(line.startswith(f"      {name}") for line in shown), lines[number]
        asked = rf"^  (?:✗|✓|ok) base/([a-z-]+).*\n(?:      (?!{name}).*\n)*      {name}[:：] ?(.+)$"
        cited = re.findall(asked, text, re.MULTILINE)
        assert ("suppression", "SAMR Order 37 Art 16; PIPL Art 15, 47; 15 USC 7704(a)(4); GDPR Art 21(3)") in cited
        assert ("one-from", "RFC 5322 section 3.6.2; Google and Yahoo sender requirements") in cited
    (told,) = json.loads(relay.command("explain", path, "--to", GONE, "--json").stdout)
    rules = {rule["rule"]: rule for rule in told["rules"]}
    assert rules["base/suppression"]["text"]["zh"] == "收件人已退订，或在禁发名单中"
    assert (rules["base/one-from"]["text"], rules["base/one-from"]["cite"][:8]) == (None, "RFC 5322")
    assert rules["base/mass-disclosure-service"]["why_zh"] == "用途不符"


def test_every_rule_shows_what_it_looked_at(relay, write):
    """The facts once with their meaning, then with each rule those that it read, its parameters, and its answer."""
    data = message(subject="Offers", extra='Content-Disposition: attachment; filename="offer.pdf"\r\n')
    english, chinese = (relay.command("explain", write(data), "--to", GONE, lang=lang).stdout for lang in ("en", "zh"))
    assert f"  octets of the whole message (message.size): {len(data)}\n" in english
    assert f"  整封邮件的字节数（message.size）：{len(data)}\n" in chinese
    for said in (f"who logged in (sender.identity): {NEWS}", "the mailbox in Sender (message.sender): none"):
        assert f"  {said}\n" in english
    assert "  the decoded subject (message.subject): Offers\n" in english
    assert re.search(
        r"✗ base/suppression: reject: .*\n"
        r"      input: recipient.suppressions = \[hard_bounce \(the address is invalid\), all streams, the command line, "
        r"\d{4}-\d\d-\d\d [^,]+, a test\]; stream.name = newsletter; stream.purpose = marketing; stream.bound_by = .+\n"
        r"      cite: SAMR .+\n      → Remove",
        english,
    )
    assert re.search(
        r"base/suppression：拒绝：.*\n      依据：recipient.suppressions = \[hard_bounce \(地址无效\), 所有邮件流, 命令行, ",
        chinese,
    )
    assert re.search(rf"\n\n{GONE}: reject\n  550[ -]5\.1\.1 .*\n(.+\n)+\nThe message:\n", english)
    assert "ok base/mass-disclosure\n      input: message.addressees = 1; visible_at_most = 1\n" in english
    assert "✓ base/mass-disclosure：无异议\n      依据：message.addressees = 1；visible_at_most = 1\n" in chinese
    attachments = english.partition("ok base/attachment-types\n")[2].partition("\n")[0]
    assert "{name: offer.pdf, extension: pdf, media_type: text/plain}; message.parts_complete = yes; extensions = " in attachments
    assert attachments.endswith(" … (39)")


def test_chinese_output_is_chinese(relay, write):
    """Actions and why a rule was not asked; what stays English is a name that one types, or goes on the wire."""
    data = message(subject="Offers\x1b[2J", body="Hello\x1b[2J\r\n")
    said = relay.command("explain", write(data), "--to", "ada@example.org", lang="zh").stdout
    assert "邮件流：newsletter（营销，强制执行）" in said
    assert "ada@example.org：准许\n" in said
    assert "- base/mass-disclosure-service：未询问（用途不符）\n" in said
    assert "  正文：11 字节，7bit；开头 1 行：\n    Hello\\x1b[2J\n" in said
    assert "    Subject: Offers\\x1b[2J\n" in said
    assert "\x1b" not in said  # nothing that a terminal would obey
    assert not re.search("permit|not asked|（purpose）|octets|input:", said)


def test_the_copy_that_would_leave_has_a_body(tmp_path_factory, write):
    """Encoded anew for the upstream server, shown with size and encoding, and written whole: what is then delivered."""
    folder = tmp_path_factory.mktemp("encoding")
    with (
        RecordingUpstream() as upstream,
        LineHouse(folder, upstream, upstreams=upstream_table(upstream, name="netease", provider="netease")) as house,
    ):
        data = message(body="Größe\r\n" + "y" * 1200 + "\r\n", extra="Content-Transfer-Encoding: 8bit\r\n")
        path = write(data)
        assert house.send(NEWS, ["ada@example.org"], data).is_positive
        options = ("--to", "ada@example.org")
        run = house.relay.command("explain", path, *options, "--eml", folder / "copy.eml")
        copy = (folder / "copy.eml").read_bytes()
        body = copy.partition(b"\r\n\r\n")[2]
        again = house.relay.command("explain", path, *options, "--eml", folder / "copy.eml")
        several = house.relay.command("explain", path, *options, "--to", "bob@example.net", "--eml", folder / "two.eml", "--json")
    assert run.returncode == 0, run.stderr
    assert (
        f"the body: {len(body):,} octets, quoted-printable, encoded anew for the upstream server; its first lines" in run.stdout
    )
    assert "\n    Gr=C3=B6=C3=9Fe\n" in run.stdout
    assert body == upstream.accepted[0].data.partition(b"\r\n\r\n")[2]
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in copy
    assert f"written to {folder / 'copy.eml'}" in run.stdout
    assert (again.returncode, (folder / "copy.eml").read_bytes()) == (2, copy)
    assert "exists and is not overwritten" in again.stderr
    ada, bob = json.loads(several.stdout)
    assert (ada["upstream"], ada["body"]["octets"], ada["body"]["transfer_encodings"], ada["body"]["encoded_anew"]) == (
        "netease", len(body), ["quoted-printable"], True,
    )  # fmt: skip
    assert ada["body"]["first_lines"][0] == "Gr=C3=B6=C3=9Fe"
    for number, one in enumerate((ada, bob), 1):
        assert one["eml"] == str(folder / f"two-{number}.eml")
        written = (folder / f"two-{number}.eml").read_bytes()
        assert written.partition(b"\r\n\r\n")[0].decode() + "\r\n\r\n" == one["header"]
        assert (folder / f"two-{number}.eml").stat().st_mode & 0o777 == 0o600
    assert not (folder / "two.eml").exists()


def test_of_a_past_mail_there_is_no_copy(relay, tmp_path):
    run = relay.command("explain", "01JCZ5W3YV8Q2M4N6P8R0T2V4X", "--eml", tmp_path / "copy.eml")
    assert run.returncode == 2
    assert "the relay keeps no message, so there is no copy to write" in run.stderr
    assert not (tmp_path / "copy.eml").exists()


def test_a_refusal_names_rule_remedy_and_reply_in_both_languages(relay, write):
    path = write(message(f"ada@example.org, {GONE}"))
    english, chinese = (relay.command("explain", path, lang=lang) for lang in ("en", "zh"))
    assert english.returncode == chinese.returncode == 1
    for said in (english.stdout, chinese.stdout):
        assert "  550 5.7.1 [base/mass-disclosure] " in said
        assert "/r/" not in said  # nothing is recorded, so there is no page to name
    assert f"{GONE}: reject" in english.stdout
    assert "base/suppression: reject: This recipient has unsubscribed or must not be written to (hard_bounce)" in english.stdout
    assert "-> Remove the address" in english.stdout.replace("→", "->")
    assert "邮件流：newsletter" in chinese.stdout
    assert "收件人已退订，或在禁发名单中" in chinese.stdout
    assert "请将该地址从名单中删除" in chinese.stdout


def test_machines_get_json(relay, write):
    run = relay.command("explain", write(message()), "--json", "--to", "ada@example.org", "--to", GONE, "--to", "ADA@example.org")
    assert run.returncode == 1
    ada, gone = json.loads(run.stdout)
    assert (ada["recipient"], ada["action"], ada["reply"], ada["impossible"]) == ("ada@example.org", "permit", None, "")
    assert "\r\nList-Unsubscribe-Post: " in ada["header"]
    assert (gone["action"], gone["header"]) == ("reject", None)
    suppression = next(rule for rule in gone["rules"] if rule["rule"] == "base/suppression")
    assert suppression["asked"]
    assert suppression["input"]["facts"]["recipient.suppressions"][0]["reason"] == "hard_bounce"
    sizes = [rule["input"] for rule in ada["rules"] if rule["rule"] == "base/mass-disclosure"]
    assert sizes == [{"facts": {"message.addressees": 1}, "parameters": {"visible_at_most": 1}}]
    assert (ada["facts"]["sender.identity"], ada["facts"]["message.recipients"]) == (NEWS, 2)
    assert (ada["body"]["first_lines"], ada["body"]["encoded_anew"], gone["body"]) == (["Hello"], False, None)
    assert (suppression["action"], suppression["detail"]) == ("reject", "hard_bounce")
    assert gone["reply"][0].startswith("550 5.1.1 [base/suppression] ")


def test_a_message_that_nobody_can_take_says_why(relay, write):
    run = relay.command("explain", write(b"no header here\r\n\r\ntext\r\n"), "--to", "ada@example.org")
    assert run.returncode == 1
    assert "[base/header-structure] the message does not start with a header field" in run.stderr
    run = relay.command("explain", write(b"\0"), lang="zh")
    assert run.returncode == 1
    assert "邮件头格式不合规" in run.stderr


def test_whoever_would_log_in_owns_no_more_than_then(relay, write):
    """The login is asked what it owns, as the door asks: nobody becomes somebody by being named in From."""
    path = write(message(sender="boss@example.com"))
    taken = relay.command("explain", path, "--identity", NEWS, "--from", NEWS)
    assert taken.returncode == 0, taken.stderr + taken.stdout
    foreign = relay.command("explain", path, "--identity", OFFICE, "--from", OFFICE)
    assert foreign.returncode == 1
    assert "[base/ownership]" in foreign.stdout
    foreign = relay.command("explain", path, "--identity", OFFICE)
    assert foreign.returncode == 1
    assert "MAIL FROM would be refused: 553 5.7.1 [base/ownership]" in foreign.stderr


def test_a_sender_for_whom_the_relay_has_no_account(tmp_path, upstream, write):
    table = f'[[upstream]]\nname = "up"\naddresses = ["{upstream.address}"]\ntls = "none"\nauth = "account"\n'
    relay = Relay(tmp_path / "relay", upstreams=table, auth='mode = "users"\nusers_file = "users.toml"\n')
    added = relay.command("users", "add", NEWS, stdin="correct horse battery\n" * 2)
    assert added.returncode == 0, added.stderr
    with relay:
        run = relay.command("explain", write(message()), "--identity", NEWS)
    assert run.returncode == 1
    assert "MAIL FROM would be refused: 451 4.7.0 [account]" in run.stderr


def test_a_sender_whom_no_stream_takes(relay, write):
    run = relay.command("explain", write(message(sender="stranger@example.com")))
    assert run.returncode == 1
    assert "MAIL FROM would be refused: 550 5.7.1 [stream]" in run.stderr


@pytest.mark.parametrize(
    ("data", "arguments", "said"),
    [
        (message("undisclosed-recipients:;"), [], "the message has no recipients: give --to"),
        (message(), ["--to", "nobody"], '"nobody"'),
        (message(), ["--listener", "nowhere"], "there is no [[listen]] named nowhere"),
        (b"From: x\r\n\r\n", [], "no readable From: give --from"),
    ],
)
def test_what_is_missing_is_asked_for(relay, write, data, arguments, said):
    run = relay.command("explain", write(data), *arguments)
    assert run.returncode == 2
    assert said in run.stderr


def test_a_file_that_is_not_there(relay, tmp_path):
    run = relay.command("explain", tmp_path / "missing.eml")
    assert run.returncode == 2
    assert "missing.eml: cannot be read: No such file" in run.stderr


def test_a_refusal_is_explained_by_the_id_of_its_reply(relay):
    code, text = relay.send(OFFICE, [GONE], message(GONE, OFFICE))
    assert code == 550
    refused = re.search(r"/r/([0-9A-Z]{26})", text)[1]
    english, chinese = (relay.command("explain", refused, lang=lang) for lang in ("en", "zh"))
    assert english.returncode == chinese.returncode == 0
    assert "base/suppression" in english.stdout
    assert "Remove the address from your list" in english.stdout
    assert "请将该地址从名单中删除" in chinese.stdout
    assert GONE not in english.stdout
    assert "The relay keeps no message, so no copy can be shown" in english.stdout
    assert "中继不保存邮件" in chinese.stdout
    explained = json.loads(relay.command("explain", refused, "--json").stdout)
    assert explained["id"] == refused
    assert explained["fates"][0]["reasons"][0]["rule"] == "base/suppression"


def test_an_id_tells_every_rule_of_its_time_as_a_file_does(relay, write):
    """What was asked, what was not and why, each answer and what it rests on, in both languages."""
    data = message(GONE, OFFICE)
    code, text = relay.send(OFFICE, [GONE], data)
    assert code == 550
    refused = re.search(r"/r/([0-9A-Z]{26})", text)[1]
    (of_file,) = json.loads(relay.command("explain", write(data), "--json", "--identity", OFFICE, "--from", OFFICE).stdout)
    (of_id,) = json.loads(relay.command("explain", refused, "--json").stdout)["fates"]
    answers = {one["rule"]: one for one in of_id["answers"]}
    assert list(answers) == [one["rule"] for one in of_file["rules"]]
    for one in of_file["rules"]:
        answer = answers[one["rule"]]
        said = one["action"] or ("no objection" if one["asked"] else one["why"])
        assert (answer["asked"], answer["answer"]["en"], answer["cite"]) == (one["asked"], said, one["cite"])
    english, chinese = (relay.command("explain", refused, lang=lang).stdout for lang in ("en", "zh"))
    assert "  ✗ base/suppression: reject\n      cite: SAMR Order 37 Art 16" in english
    assert "  - base/header-structure: not asked (phase)\n      cite: RFC 5322" in english
    assert "  ✗ base/suppression：拒绝\n      出处：SAMR Order 37 Art 16" in chinese
    assert "  - base/header-structure：未询问（尚无邮件内容）\n      出处：RFC 5322" in chinese


def test_an_id_that_nobody_gave(relay):
    run = relay.command("explain", "01JCZ5W3YV8Q2M4N6P8R0T2V4X")
    assert run.returncode == 1
    assert "there is no 01JCZ5W3YV8Q2M4N6P8R0T2V4X in this node's records" in run.stderr


def test_the_command_foretells_what_the_service_does(relay, upstream, write):
    """Beside the running service, with its own policy set, store and records; nothing is written."""
    sample = [data for _, data in corpus() if b"@example.com" in data][:40:12]
    assert len(sample) > 2
    for data in sample:
        kept = {path: path.read_bytes() for path in relay.data.glob("*.db")}
        run = relay.command("explain", write(data), "--json", "--identity", NEWS, "--from", NEWS, "--to", "ada@example.org")
        assert {path: path.read_bytes() for path in relay.data.glob("*.db")} == kept
        before = len(upstream.accepted)
        code, text = relay.send(NEWS, ["ada@example.org"], data, options=["BODY=8BITMIME"])
        assert (code == 250) == (run.returncode == 0), (text, run.stderr)
        if code != 250:
            rule = re.search(r"\[[a-z/-]+\]", text)[0]
            assert rule in run.stdout + run.stderr
            continue
        [explained] = json.loads(run.stdout)
        delivered = upstream.accepted[before].data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        assert names(explained["header"]) == names(delivered)


def names(header: str) -> list[str]:
    return re.findall(r"^([!-9;-~]+):", header, re.MULTILINE)


def test_nothing_is_made_where_nothing_ever_ran(tmp_path, upstream, write):
    relay = Relay(tmp_path / "fresh", upstream)
    for subject in (write(message()), "01JCZ5W3YV8Q2M4N6P8R0T2V4X"):
        run = relay.command("explain", subject)
        assert run.returncode == 4
        assert "the relay has never run here" in run.stderr
    assert not relay.data.exists()


def test_a_lost_store_is_not_made_anew(relay, tmp_path, upstream, write):
    with Relay(tmp_path / "lost", upstream) as lost:
        pass
    (lost.data / "relay.db").unlink()
    run = lost.command("explain", write(message()), "--to", "ada@example.org")
    assert run.returncode == 4
    assert "The store cannot be used" in run.stderr
    assert not (lost.data / "relay.db").exists()


def test_no_configuration_is_exit_code_three(tmp_path, relay, write):
    relay_elsewhere = Relay(tmp_path / "wrong", None, upstreams="[[upstream]]\n")
    run = relay_elsewhere.command("explain", write(message()))
    assert run.returncode == 3
