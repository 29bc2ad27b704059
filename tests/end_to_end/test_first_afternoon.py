"""From an empty folder to the first compliant newsletter, in four commands, before an upstream that behaves like NetEase."""

import json
import re
import smtplib
import urllib.request
from pathlib import Path

import pytest

from tests.support.afternoon import MAIL, NEWS, PASSWORD, Afternoon
from tests.support.mail_dkim import verify_all
from tests.support.netease import NetEase
from tests.support.wheel_venv import pip_install_with_libraries

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory):
    with NetEase(NEWS, PASSWORD) as upstream:
        afternoon = Afternoon(tmp_path_factory.mktemp("afternoon"), upstream)
        try:
            yield afternoon.live()
        finally:
            afternoon.end()


def test_four_commands_are_enough(afternoon):
    assert len(afternoon.typed) == 4
    assert [command.split()[:2] for command in afternoon.typed] == [
        ["pip", "install"], ["relay", "init"], ["relay", "check"], ["relay", "serve"],
    ]  # fmt: skip


@pytest.mark.parametrize("document", ["install.md", "install.zh.md"])
def test_they_are_the_four_that_the_documents_give(afternoon, document):
    text = (ROOT / "docs" / document).read_text("utf-8")
    block = re.search(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ").partition("#")[0].split()[:2] for line in block[1].splitlines() if line.startswith("$ ")]
    assert commands == [command.split()[:2] for command in afternoon.typed]


def test_after_the_questions_the_start_and_the_mailbox_are_left_to_do(afternoon):
    assert afternoon.initialised.returncode == 0, afternoon.initialised.stderr
    assert afternoon.checked.returncode == 1, afternoon.checked.stdout
    local = f"config.toml [unsubscribe]: base_url = http://127.0.0.1:{afternoon.public}: recipients cannot open it"
    listed = re.findall(r"^ +\d+\. (.*)$", afternoon.checked.stdout, re.MULTILINE)
    unread = (
        "streams/newsletter.toml: bounces and complaints are not read and count nowhere: set imap in [[account]] of"
        f" config.toml ({NEWS}), see docs/mailbox.md"
    )
    assert [text.partition(";")[0] for text in listed] == [
        local,  # as the test has no https
        "the first `relay serve` makes the store",
        unread,  # as nobody gave a password to keep
    ]
    assert "✗" not in afternoon.checked.stdout


@pytest.mark.timeout(1200)  # pip alone may take ten minutes
def test_an_empty_environment_gets_every_library_by_itself(tmp_path):
    """Nothing is borrowed: pip takes what pyproject.toml asks for from its index, and the first mail leaves."""
    with NetEase(NEWS, PASSWORD) as upstream:
        alone = Afternoon(tmp_path, upstream, install=pip_install_with_libraries)
        try:
            alone.live()
            assert alone.run("relay --version").stdout.startswith("relay, version ")
            listed = json.loads(alone.run("pip list --format json").stdout)
            assert {"compliance-relay", "aiosmtpd", "pydantic", "hiredis"} <= {package["name"] for package in listed}
            paths = alone.run("python -c 'import sys; print(*sys.path)'").stdout.split()
            own = [path for path in paths if path.endswith(("site-packages", "dist-packages"))]
            assert own == [str(path) for path in tmp_path.glob("venv/lib/*/site-packages")]
            assert alone.send(["ada@reader.test"], MAIL) == {}
            assert [copy.recipients for copy in upstream.accepted] == [["ada@reader.test"]]
        finally:
            alone.end()


def test_the_first_newsletter_arrives_compliant(afternoon):
    before = len(afternoon.upstream.accepted)
    assert afternoon.send(["ada@reader.test", "bob@reader.test"], MAIL) == {}
    copies = afternoon.upstream.accepted[before:]
    assert sorted(copy.recipients for copy in copies) == [["ada@reader.test"], ["bob@reader.test"]]
    assert {copy.identity for copy in copies} == {NEWS} == {copy.reverse_path for copy in copies}
    assert {afternoon.upstream.sessions[copy.session - 1].tls for copy in copies} == {"TLSv1.3"}
    card = afternoon.initialised.stdout
    name, record = re.search(r"name: +(relay1\._domainkey\S+)", card)[1], re.search(r"value: (v=DKIM1\S* .*)", card)[1]
    for found in verify_all([copy.data for copy in copies], {name: record}):
        assert [(one.domain, one.result) for one in found] == [("qingshan.test", "pass")]
    for copy in copies:
        assert f"List-Unsubscribe: <http://127.0.0.1:{afternoon.public}/u/".encode() in copy.data
        assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in copy.data
    assert afternoon.upstream.violations == []


def test_the_script_of_the_guide_sends(afternoon, monkeypatch):
    """As it stands in docs/clients.md, with this relay's host, port and account."""
    (script,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/clients.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for theirs, ours in (
        ('"relay.example.com", 465', f'"127.0.0.1", {afternoon.port}'),
        ("news@example.com", NEWS),
        ("the 授权码", PASSWORD),
    ):
        assert theirs in script
        script = script.replace(theirs, ours)
    monkeypatch.chdir(afternoon.folder)
    before = len(afternoon.upstream.accepted)
    exec(compile(script, "docs/clients.md", "exec"), {})
    assert [copy.recipients for copy in afternoon.upstream.accepted[before:]] == [["ada@example.org"]]


def test_what_netease_would_refuse_is_refused_before_it(afternoon):
    before = len(afternoon.upstream.deliveries)
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        afternoon.send(["ada@reader.test"], MAIL.replace(NEWS.encode(), b"boss@qingshan.test"), sender="boss@qingshan.test")
    assert refused.value.smtp_code == 553
    with pytest.raises(smtplib.SMTPDataError) as refused_later:
        afternoon.send(["ada@reader.test"], MAIL.replace(NEWS.encode(), b"boss@qingshan.test"))
    assert refused_later.value.smtp_code == 550
    assert len(afternoon.upstream.deliveries) == before


def test_who_unsubscribed_is_named_in_a_report_that_netease_takes(afternoon):
    before = len(afternoon.upstream.accepted)
    afternoon.send(["cyd@reader.test"], MAIL)
    url = re.search(rb"List-Unsubscribe: <([^>]+)>", afternoon.upstream.accepted[before].data)[1].decode()
    with urllib.request.urlopen(url, b"List-Unsubscribe=One-Click", timeout=30) as answer:
        assert answer.status == 200
    before = len(afternoon.upstream.accepted)
    afternoon.send(["cyd@reader.test", "dan@reader.test"], MAIL)
    after = {tuple(copy.recipients): copy for copy in afternoon.upstream.accepted[before:]}
    assert set(after) == {(NEWS,), ("dan@reader.test",)}
    assert after[NEWS,].reverse_path == NEWS
    assert b"multipart/report" in after[NEWS,].data


def test_the_public_address_is_tried_and_suppresses_nobody(afternoon):
    before = afternoon.run("relay suppress list --json").stdout
    done = afternoon.run("relay check --public")
    assert "/u/check is answered by this relay" in done.stdout
    assert "takes one-click refusals" in done.stdout
    assert "privacy_url: https://127.0.0.1:9/privacy cannot be opened" in done.stdout
    assert "✗" not in done.stdout
    assert afternoon.run("relay suppress list --json").stdout == before


def test_the_second_init_writes_nothing(afternoon):
    before = {path: path.read_bytes() for path in afternoon.folder.rglob("*.toml")}
    assert afternoon.run("relay init --answers answers.toml --private-ca").returncode == 1
    assert {path: path.read_bytes() for path in afternoon.folder.rglob("*.toml")} == before


def test_the_certificate_is_renewed_while_the_relay_runs(afternoon):
    old = (afternoon.folder / "tls/relay.crt").read_bytes()
    done = afternoon.run("relay tls private-ca")
    assert done.returncode == 0, done.stderr
    assert (afternoon.folder / "tls/relay.crt").read_bytes() != old
    assert afternoon.send(["eve@reader.test"], MAIL) == {}
