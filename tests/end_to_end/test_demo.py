"""`relay demo` as newcomers run it: it holds what it promises, says so in both languages, and leaves nothing behind."""

import os
import re
import signal
import smtplib
import sqlite3
import ssl
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli import demo
from relay.cli.demo import story
from relay.cli.demo import upstream as provider
from relay.cli.demo.client import compose, send, visible
from relay.cli.demo.stage import Stage
from relay.cli.main import root
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
ULID = r"[0-9A-HJKMNP-TV-Z]{26}"


def start(folder, *options, **variables):
    """The demo in a process of its own: no terminal, nowhere to write but `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "RELAY_"))}
    environment |= {"TMPDIR": str(folder), "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "HTTP_PROXY": "http://127.0.0.1:9"}
    environment |= variables
    return subprocess.Popen(
        [sys.executable, "-m", "relay", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=environment,
    )


def left_over(folder):
    """Command lines of running processes that name the folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            lines.append(words)
    return lines


def found(pattern, text):
    """What the groups of the pattern hold, or the only group."""
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert match, f"nothing fits {pattern} in:\n{text}"
    groups = match.groups()
    return groups[0] if len(groups) == 1 else groups


def told(folder, *options, **variables):
    process = start(folder, *options, **variables)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()
    assert not left_over(folder)
    assert not list(folder.iterdir())
    return output.decode()


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return told(tmp_path_factory.mktemp("en"), "demo", LANG="C")


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    return told(tmp_path_factory.mktemp("zh"), "demo", LANG="zh_CN.UTF-8")


# What it shows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_it_shows_what_it_promises(language, request):
    output = request.getfixturevalue(language)
    assert re.search(r"^\+ DKIM-Signature: v=1; a=rsa-sha256;", output, re.MULTILINE)
    assert re.search(r"^\+ List-Unsubscribe: <http://127\.0\.0\.1:\d+/u/\S+>$", output, re.MULTILINE)
    assert re.search(r"^\+ List-Unsubscribe-Post: List-Unsubscribe=One-Click$", output, re.MULTILINE)
    assert re.search(r"^  Subject: News from Example$", output, re.MULTILINE)
    assert re.search(rf"^    250 2\.0\.0 {ULID}, 1 delivered, 0 held, 0 left out$", output, re.MULTILINE)
    assert re.search(r"^    550-5\.7\.1 \[base/suppression\] ", output, re.MULTILINE)
    assert re.search(rf"^    550 5\.7\.1 http://127\.0\.0\.1:\d+/r/{ULID}$", output, re.MULTILINE)
    assert re.search(r"^    450-4\.7\.1 \[limit\] .* try again in \d+ s$", output, re.MULTILINE)
    assert "  │ 收件人已退订" in output  # the help page has both languages
    assert "  │ This recipient has unsubscribed" in output
    assert 'relay_suppressions_total{origin="one_click",reason="unsubscribe"} 1.0' in output
    assert output.count("✓") == 5
    assert "✗" not in output


def test_chapters_are_told_in_the_language_of_the_locale(english, chinese):
    assert [line[:2] for line in english.splitlines() if re.match(r"\d\. ", line)] == [f"{n}." for n in range(1, 8)]
    assert english.rstrip().endswith("✓ All of it held.")
    assert chinese.rstrip().endswith("✓ 以上全部成立。")
    assert "The recipient unsubscribes with one click" in english
    assert "收件人一键退订" in chinese
    assert not re.search(r"^\d\. .*[\u4e00-\u9fff]", english, re.MULTILINE)
    assert all(re.search(r"[\u4e00-\u9fff]", line) for line in chinese.splitlines() if re.match(r"\d\. ", line))


# The READMEs show a real run -----------------------------------------------------------------------------------------


def masked(line):
    """The line without what differs from run to run."""
    for pattern, name in (
        (rf"\b{ULID}\b", "ID"),
        (r"\w{3}, +\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ?[+-]\d\d:?\d\d", "TIME"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"/u/[\w-]+", "/u/TOKEN"),
        (r"\bt=\d+", "t=TIME"),
        (r"\bb=[\w+/=]+", "b=SIGNATURE"),
        (r"\d+ s$", "N s"),
        (r"\d+ (records|条记录)", r"N \1"),
        (r"TLSv1\.\d \w+", "TLS"),
    ):
        line = re.sub(pattern, name, line)
    return line.rstrip()


@pytest.mark.parametrize(("readme", "language"), [("README.md", "english"), ("README.zh-CN.md", "chinese")])
def test_the_readme_shows_a_real_run(readme, language, request):
    text = (ROOT / readme).read_text("utf-8")
    block = found(r"<!-- demo -->\n```console\n\$ make demo\n(.*?)```\n<!-- /demo -->", text).splitlines()
    told = [masked(line) for line in request.getfixturevalue(language).splitlines() if line.strip()]
    shown = [line for line in block if line.strip()]
    assert len(shown) > 25
    place, is_left_out = 0, False
    for line in shown:
        if line in ("...", "+ ..."):
            is_left_out = True
            continue
        wanted = masked(line)
        if is_left_out and wanted in told[place:]:
            place = told.index(wanted, place)
        assert told[place] == wanted, f"{readme} shows what the demo does not say here: {line}"
        place, is_left_out = place + 1, False


# It fails when something does not hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("altered", [b"newsletter", b"a=rsa-sha256"])
def test_an_altered_octet_fails_the_demo(altered, monkeypatch):
    def taken(identity, recipients, data, real=provider.Taken):
        return real(identity, recipients, data.replace(altered, altered.swapcase()))

    monkeypatch.setattr(provider, "Taken", taken)
    result = CliRunner().invoke(root, ["--lang", "en", "demo"])
    assert result.exit_code == 1
    assert re.search(r"^✗ ", result.output, re.MULTILINE)
    assert "All of it held" not in result.output


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A stage after the story was told on it."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        assert story.tell(stage)
        yield stage


def tamper(stage, monkeypatch):
    with closing(sqlite3.connect(stage.data_path / "records.db")) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute("UPDATE records SET body = replace(body, 'delivered', 'Delivered') WHERE seq = 5").rowcount


def fill_the_minute(stage, monkeypatch):
    """Of the story's own three some may be a minute ago by now."""
    while send(stage, "zed@example.org", compose("zed@example.org")).code == 250:
        pass


BROKEN = {
    "_delivered": (lambda stage, patch: None, "was not accepted"),  # she has unsubscribed
    "_signed": (
        lambda stage, patch: stage.provider.taken.append(provider.Taken(stage.login, (), b"From: a@b.example\r\n\r\n")),
        "does not verify",
    ),
    "_unsubscribed": (lambda stage, patch: None, "suppressed somebody"),  # somebody is suppressed before the POST
    "_refused": (lambda stage, patch: patch.setattr(story, "fetch", lambda url: (404, "")), "the help page was answered 404"),
    "_limited": (fill_the_minute, "bob@example.org"),
    "_counted": (lambda stage, patch: patch.setattr(story, "fetch", lambda url: (200, "")), "has no relay_submissions_total"),
    "_recorded": (tamper, "the chain is broken"),
}


@pytest.mark.parametrize("chapter", BROKEN)
def test_every_chapter_notices_when_its_promise_does_not_hold(chapter, played, monkeypatch):
    breaking, said = BROKEN[chapter]
    breaking(played, monkeypatch)
    with pytest.raises(story.Broken, match=said):
        getattr(story, chapter)(played)


# --keep, and its end -------------------------------------------------------------------------------------------------


class Kept:
    """A demo that goes on running, after it said what to type."""

    def __init__(self, folder):
        self.folder = folder
        self.process = start(folder, "--lang", "en", "demo", "--keep")
        self.said = ""
        while "Ctrl-C ends it." not in self.said:
            line = self.process.stdout.readline().decode()
            assert line, self.said
            self.said += line

    def field(self, name):
        return found(rf"^  {name}[^:\n]*: ([^\n]*)$", self.said)

    def end(self, number):
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=120)
        return output.decode()


def test_kept_it_takes_mail_from_what_it_said_and_ends_on_ctrl_c(tmp_path):
    kept = Kept(tmp_path)
    host, port = found(r"^(.+), port (\d+), SSL/TLS$", kept.field("outgoing server"))
    context = ssl.create_default_context(cafile=kept.field("certificate"))
    with smtplib.SMTP_SSL(host, int(port), context=context, timeout=60) as client:
        client.login(kept.field("user name"), kept.field("password"))
        with pytest.raises(smtplib.SMTPDataError, match="base/suppression"):
            client.sendmail(kept.field("user name"), ["ada@example.org"], compose("ada@example.org"))
    assert "wait a minute before your first" in kept.said
    command = found(r"^  (\S+ -m relay --config \S+) records search$", kept.said).split()
    searched = subprocess.run(
        [*command, "records", "search", "--kind", "suppressed"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert "unsubscribe" in searched.stdout
    assert list(tmp_path.iterdir())
    output = kept.end(signal.SIGINT)
    assert kept.process.returncode == 0, output
    assert "Traceback" not in output
    assert not left_over(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_over_when_it_is_ended_from_outside(number, tmp_path):
    kept = Kept(tmp_path)
    assert left_over(tmp_path)
    kept.end(number)
    wait_until(lambda: not left_over(tmp_path))
    wait_until(lambda: not list(tmp_path.iterdir()))


def test_what_arrives_is_kept_as_a_file_and_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RELAY_LANG", "en")
    with Stage(tmp_path) as stage:
        waiting = threading.Thread(target=demo._wait, args=(stage, 0))
        waiting.start()
        assert send(stage, "zoe@example.org", compose("zoe@example.org")).code == 250
        file = stage.folder / "arrived-1.eml"
        wait_until(lambda: file.exists() and file.stat().st_size == stage.provider.taken[0].size)
        assert file.read_bytes() == stage.provider.taken[0].data
    waiting.join(60)
    assert f"octets for zoe@example.org: {file}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        ("{}/bin/relay", ["relay"]),  # as a shell that finds it on PATH calls it
        ("{}/.venv/bin/relay", ["{}/.venv/bin/relay"]),
        ("{}/relay/__main__.py", [sys.executable, "-m", "relay"]),
    ],
)
def test_the_hints_name_the_program_as_it_was_called(called, typed, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "relay"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "argv", [called.format(tmp_path), "demo", "--keep"])
    assert demo._program() == [word.format(tmp_path) for word in typed]


# Small parts ---------------------------------------------------------------------------------------------------------


def test_a_page_is_read_as_people_see_it():
    page = '<title>no</title><style>p {}</style><a href="?lang=zh" hreflang="zh-CN">no</a>'
    page += "<h1>One</h1>\n<p>two\n words <b>bold</b> (x)</p><dl><dt>a</dt><dd> </dd></dl>"
    assert visible(page) == ["One", "two words bold (x)", "a"]
