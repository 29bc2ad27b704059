"""`relay init`: what each answer is told, what is written, and that nothing is ever written over."""

import asyncio
import itertools
import os
import shutil
import ssl
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli.init.answers import QUESTIONS, AnswerError, read_answers
from relay.cli.init.cards import cards
from relay.cli.init.files import plan, write, write_new
from relay.cli.inspection import inspect
from relay.cli.main import root
from relay.config import load_config
from relay.errors import ConfigurationError
from relay.keys import load_keys
from relay.policy.sets.parse import parse_policies
from relay.policy.telling.show import examples_left
from relay.service.assembly import load_signers
from relay.service.policies import read_folder
from tests.support.beginner import ANSWERS, begin, relay, write_answers

TODAY = date(2026, 11, 21), datetime(2026, 11, 21, tzinfo=UTC)
KNOWN = {"domain": "qingshan.test", "account": "news@qingshan.test"}
QUESTION = {question.key: question for question in QUESTIONS}


def looked_at(folder):
    """What `relay check` finds without asking the provider."""
    return asyncio.run(inspect(load_config(str(folder / "config.toml"))))


def test_there_are_ten_questions():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize(
    ("key", "answer", "zh", "en"),
    [
        ("provider", "gmail", "没有名为", "there is no provider"),
        ("provider", "ses", "连同地址填写", "write its address too"),
        ("provider", "netease smtp", "主机:端口", "HOST:PORT"),
        ("domain", "not a domain", "不是域名", "is not a domain"),
        ("domain", "localhost", "不是域名", "is not a domain"),
        ("account", "news", "不是邮箱地址", "write one as in"),
        ("account", "news@other.test", "不在域名", "is not in qingshan.test"),
        ("legal_name", "", "一行文字", "one line"),
        ("legal_name", "a\nb", "一行文字", "one line"),
        ("postal_address", "x" * 301, "300", "300"),
        ("privacy_url", "http://www.qingshan.test", "不是 https", "is not an https"),
        ("refusal_mailbox", "nobody", "不是邮箱地址", "write one as in"),
        ("listener", "relay.qingshan.test", "主机:端口", "HOST:PORT"),
        ("listener", "relay.qingshan.test:99999", "主机:端口", "HOST:PORT"),
        ("public_url", "http://www.qingshan.test", "https", "https"),
        ("public_url", f"https://www.qingshan.test/{'x' * 100}", "100", "100"),
        ("held_passwords", "maybe", "yes（是）或 no（否）", "write yes or no"),
    ],
)
def test_a_wrong_answer_is_told_what_to_write(key, answer, zh, en):
    with pytest.raises(AnswerError) as fault:
        QUESTION[key].read(answer, KNOWN)
    assert zh in fault.value.zh
    assert en in fault.value.en


@pytest.mark.parametrize(
    ("key", "answer", "field", "value"),
    [
        ("provider", "netease", "upstream", ("smtp.qiye.163.com:465", "smtp.qiye.163.com:994")),
        ("provider", "TENCENT", "upstream", ("smtp.exmail.qq.com:465",)),
        ("provider", "tencent hwsmtp.exmail.qq.com:465", "upstream", ("hwsmtp.exmail.qq.com:465",)),
        ("provider", "mail.qingshan.test:587", "upstream", ("mail.qingshan.test:587",)),
        ("domain", "@Qingshan.TEST", "domain", "qingshan.test"),
        ("domain", "青山.test", "domain", "xn--rht138k.test"),
        ("account", "News@qingshan.test", "login", "news@qingshan.test"),
        ("account", "news@qingshan.test AKIAQINGSHAN", "login", "AKIAQINGSHAN"),
        ("legal_name", "青山", "legal_name", ("青山", "青山")),
        ("listener", "[2001:db8::1]:465", "listener", "[2001:db8::1]:465"),
        ("public_url", "无", "public_url", ""),
        ("public_url", "https://www.qingshan.test/mail/", "public_url", "https://www.qingshan.test/mail"),
        ("held_passwords", "Yes", "seals_passwords", True),
        ("held_passwords", "否", "seals_passwords", False),
    ],
)
def test_a_right_answer_is_taken(key, answer, field, value):
    assert QUESTION[key].read(answer, KNOWN)[field] == value


def test_a_file_of_answers_is_told_every_fault_at_once(tmp_path):
    path = write_answers(tmp_path, domain="nowhere", privacy_url="www", legal_name=None, colour="blue")
    with pytest.raises(ConfigurationError) as fault:
        read_answers(path)
    assert "colour: there is no such question" in str(fault.value)
    path = write_answers(tmp_path, domain="nowhere", privacy_url="www", legal_name=None)
    with pytest.raises(ConfigurationError) as fault:
        read_answers(path)
    assert [line.split(": ")[1] for line in str(fault.value).splitlines()] == ["domain", "legal_name", "privacy_url"]


def test_answers_with_a_default_may_be_left_out(tmp_path):
    path = write_answers(tmp_path, "provider", "account", "privacy_url", "refusal_mailbox", "listener", "public_url")
    answers = read_answers(path)
    assert answers.profile.name == "netease"
    assert answers.account == answers.refusal_mailbox == "news@qingshan.test"
    assert answers.privacy_url == "https://www.qingshan.test/privacy"
    assert answers.port == 465
    assert answers.public_url == ""


def test_what_is_written_can_be_used_as_it_is(tmp_path):
    begin(tmp_path, "--private-ca", password="secret")
    config = load_config(str(tmp_path / "config.toml"))
    assert config.listen[0].address == "0.0.0.0:465"
    assert config.hostname == "relay.qingshan.test"
    assert config.upstream[0].addresses == ("smtp.qiye.163.com:465", "smtp.qiye.163.com:994")
    assert config.http.help_url == "http://relay.qingshan.test:8027"
    assert load_signers(config).domains == ("qingshan.test",)
    assert load_keys(config.keys_path).fingerprints
    assert config.secret(config.account[0].password_file).read_text() == "secret\n"
    policy = parse_policies(read_folder(config.policies_path))
    assert examples_left(policy) == []
    assert policy.organisation.legal_name.en == "Qingshan Technology Ltd."
    assert policy.organisation.refusal_mailbox == "tuiding@qingshan.test"
    stream = policy.stream("newsletter")
    assert stream.match.identities == ("news@qingshan.test",)
    assert stream.unsubscribe.one_click


def test_passwords_of_waiting_mail_are_kept_only_when_asked_for_and_their_keys_apart(tmp_path):
    (tmp_path / "no").mkdir()
    begin(tmp_path / "no")
    config = load_config(str(tmp_path / "no/config.toml"))
    assert (config.auth.held_credentials, config.keys_path) == ("none", tmp_path / "no/data/keys.toml")
    (tmp_path / "yes").mkdir()
    begin(tmp_path / "yes", held_passwords="yes", account="news@qingshan.test AKIAQINGSHAN")
    config = load_config(str(tmp_path / "yes/config.toml"))
    assert (config.auth.held_credentials, config.keys_path) == ("sealed", tmp_path / "yes/keys/keys.toml")
    assert config.auth.senders == {"akiaqingshan": ("@qingshan.test",)}
    assert load_keys(config.keys_path).held
    assert oct(config.keys_path.stat().st_mode & 0o777) == "0o600"


def test_the_comments_of_the_policies_stay(tmp_path):
    begin(tmp_path)
    for name in ("organisation.toml", "streams/newsletter.toml", "packs/base.toml"):
        shipped = Path(__file__).resolve().parents[2].joinpath("policies", name).read_text("utf-8").splitlines()
        written = (tmp_path / "policies" / name).read_text("utf-8").splitlines()
        changed = [line.split(" = ")[0] for line, ours in zip(shipped, written, strict=True) if line != ours]
        assert not any(key.startswith("#") for key in changed)
        assert len(changed) <= 5


def test_streams_that_are_not_used_yet_lie_there_as_examples(tmp_path):
    begin(tmp_path)
    streams = tmp_path / "policies" / "streams"
    names = {path.name for path in streams.iterdir()}
    assert names == {"newsletter.toml", "receipts.toml.example", "correspondence.toml.example"}
    (streams / "receipts.toml.example").rename(streams / "receipts.toml")
    organisation = tmp_path / "policies" / "organisation.toml"
    organisation.write_text(organisation.read_text("utf-8").replace('["newsletter"]', '["newsletter", "receipts"]'), "utf-8")
    assert len(parse_policies(read_folder(tmp_path / "policies")).streams) == 2


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_secrets_are_for_their_owner_alone(tmp_path):
    begin(tmp_path, "--private-ca", password="secret")
    secret = [
        tmp_path / name
        for name in (
            "data/keys.toml", "dkim/qingshan.test.relay1.pem", "secrets/news@qingshan.test", "tls/ca.key", "tls/relay.key",
            "config.toml",
        )
    ]  # fmt: skip
    assert {oct(path.stat().st_mode & 0o777) for path in secret} == {"0o600"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_as_root_a_file_belongs_to_whom_its_folder_belongs_to(tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir()
    os.chown(folder, 0, 12345)
    write_new(folder / "relay.key", b"key", 0o640)
    write_new(folder / "ca.key", b"key", 0o600)
    found = [((folder / name).stat().st_gid, oct((folder / name).stat().st_mode & 0o777)) for name in ("relay.key", "ca.key")]
    assert found == [(12345, "0o640"), (12345, "0o600")]


@pytest.mark.parametrize("there", ["config.toml", "policies/packs/base.toml", "data/keys.toml", "data/store.id"])
def test_nothing_is_written_over(tmp_path, there):
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = relay(tmp_path, "init", "--answers", write_answers(tmp_path))
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "move them away" in done.stderr
    assert path.read_text("utf-8") == "mine"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "answers.toml"])


def test_in_a_folder_with_the_sources_the_shipped_policies_are_replaced(tmp_path):
    shipped = Path(__file__).resolve().parents[2] / "policies"
    shutil.copytree(shipped, tmp_path / "policies")
    begin(tmp_path)
    policy = parse_policies(read_folder(tmp_path / "policies"))
    assert policy.organisation.legal_name.en == "Qingshan Technology Ltd."
    assert not (tmp_path / "policies/streams/receipts.toml").exists()
    assert (tmp_path / "policies/streams/receipts.toml.example").exists()


def test_a_shipped_policy_is_put_back_when_the_rest_cannot_be_written(tmp_path):
    shipped = Path(__file__).resolve().parents[2] / "policies"
    shutil.copytree(shipped, tmp_path / "policies")
    (tmp_path / "dkim").write_text("not a folder")
    done = relay(tmp_path, "init", "--answers", write_answers(tmp_path))
    assert done.returncode == 3
    assert "nothing was kept" in done.stderr
    for path in shipped.rglob("*.toml"):
        assert (tmp_path / "policies" / path.relative_to(shipped)).read_bytes() == path.read_bytes()


def test_what_was_written_before_a_fault_is_removed_again(tmp_path, monkeypatch):
    answers = read_answers(write_answers(tmp_path))
    planned = plan(answers, tmp_path / "config.toml", *TODAY, private_ca=True)
    calls = itertools.count()

    def failing(*arguments):
        if next(calls) == 6:
            raise PermissionError(13, "Permission denied", "there")
        write_new(*arguments)

    monkeypatch.setattr("relay.cli.init.files.write_new", failing)
    with pytest.raises(PermissionError):
        write(planned)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["answers.toml"]


def unsubscribing(folder):
    unsubscribe = parse_policies(read_folder(folder / "policies")).stream("newsletter").unsubscribe
    return unsubscribe.one_click, unsubscribe.mailto


def test_without_a_public_address_people_unsubscribe_by_mail(tmp_path):
    told = begin(tmp_path, public_url="none", password="secret")
    for said in ("one_click = false and mailto = true", "Gmail", "Yahoo", "imap.qiye.163.com:993"):
        assert said in told
    assert unsubscribing(tmp_path) == (False, True)
    assert load_config(str(tmp_path / "config.toml")).account[0].imap == "imap.qiye.163.com:993"
    assert (tmp_path / "secrets/news@qingshan.test").read_text() == "secret\n"


@pytest.mark.parametrize(
    "answers",
    [
        {"password": ""},
        {"provider": "mail.qingshan.test:465", "password": "secret"},
        {"provider": "ses email-smtp.eu-west-1.amazonaws.com:465", "account": "news@qingshan.test AKIAQINGSHAN"},
    ],
    ids=["no password", "no mailbox known", "login is no mailbox"],
)
def test_without_a_mailbox_either_nothing_is_promised(tmp_path, answers):
    told = begin(tmp_path, public_url="none", **answers)
    assert "one_click = false and mailto = false" in told
    assert unsubscribing(tmp_path) == (False, False)
    (said,) = [en for _, en in looked_at(tmp_path).to_do if "no unsubscribing" in en]
    assert "no unsubscribing, neither one-click nor by mail: Gmail" in said
    assert "docs/unsubscribe-url.md" in said


def test_another_mailbox_server_can_be_named(tmp_path):
    begin(tmp_path, provider="mail.qingshan.test:465", public_url="none", password="secret", imap="mail.qingshan.test:993")
    assert load_config(str(tmp_path / "config.toml")).account[0].imap == "mail.qingshan.test:993"
    assert unsubscribing(tmp_path) == (False, True)
    with pytest.raises(ConfigurationError, match=r"imap: .*HOST:PORT"):
        read_answers(write_answers(tmp_path, imap="mail.qingshan.test"))


def test_with_a_public_address_the_mailbox_is_left_for_later(tmp_path):
    begin(tmp_path, password="secret")
    assert load_config(str(tmp_path / "config.toml")).account[0].imap == ""
    assert '\n# imap = "imap.qiye.163.com:993"\n' in (tmp_path / "config.toml").read_text("utf-8")
    assert unsubscribing(tmp_path) == (True, False)


def test_the_password_that_a_mailbox_needs_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["", "qingshan.test", "", "青山", "杭州", "", "", "127.0.0.1:2465", "none", "", "hush-hush"]
    done = CliRunner().invoke(root, ["--lang", "en", "init"], input="\n".join(typed) + "\n")
    assert done.exit_code == 0, done.output
    assert "the relay reads the mailbox of news@qingshan.test (imap.qiye.163.com:993)" in done.output
    assert "hush-hush" not in done.output
    assert unsubscribing(tmp_path) == (False, True)


def test_the_server_of_an_unknown_providers_mailbox_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["mail.qingshan.test:465", "qingshan.test", "", "青山", "杭州", "", "", "127.0.0.1:2465", "none", ""]
    typed += ["mail.qingshan.test", "mail.qingshan.test:993", ""]
    done = CliRunner().invoke(root, ["--lang", "zh", "init"], input="\n".join(typed) + "\n")
    assert done.exit_code == 0, done.output
    assert "“mail.qingshan.test”不是“主机:端口”" in done.output
    assert unsubscribing(tmp_path) == (False, False), "Enter for the password leaves the mailbox out"


def test_a_script_that_cannot_be_asked_is_told_what_to_write(tmp_path):
    done = relay(tmp_path, "init", "--answers", write_answers(tmp_path, public_url="none"), stdin="")
    assert done.returncode == 3
    assert 'write password = "..." into the file of answers' in done.stderr
    assert not (tmp_path / "config.toml").exists()


def test_an_account_whose_login_is_no_address(tmp_path):
    begin(
        tmp_path,
        provider="ses email-smtp.eu-west-1.amazonaws.com:465",
        account="news@qingshan.test AKIAQINGSHAN",
        password="secret",
    )
    config = load_config(str(tmp_path / "config.toml"))
    assert config.auth.senders == {"akiaqingshan": ("@qingshan.test",)}
    assert config.account[0].identity == "akiaqingshan"
    assert parse_policies(read_folder(tmp_path / "policies")).stream("newsletter").match.identities == ("akiaqingshan",)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_cards_name_what_the_files_say(tmp_path, monkeypatch, lang):
    monkeypatch.setenv("RELAY_LANG", lang)
    answers = read_answers(write_answers(tmp_path))
    planned = plan(answers, tmp_path / "config.toml", *TODAY, private_ca=True)
    text = cards(answers, planned, private_ca=True)
    for said in (
        "relay1._domainkey.qingshan.test", "v=DKIM1; k=rsa; p=", "include:spf.qiye.163.com", "_dmarc.qingshan.test",
        "v=DMARC1; p=none", "Foxmail", "网易邮箱大师", "Outlook", "Thunderbird", "smtplib.SMTP_SSL", "授权码",
        "location /mail/u/ {", "proxy_pass http://127.0.0.1:8026/u/;", "ssh -N -R", "certutil -addstore", "add-trusted-cert",
    ):  # fmt: skip
        assert said in text, said


def test_a_person_is_asked_until_the_answer_can_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["netease", "nowhere", "qingshan.test", "", "青山", "杭州", "", "", "127.0.0.1:2465", "", "", ""]
    done = CliRunner().invoke(root, ["--lang", "zh", "init"], input="\n".join(typed) + "\n")
    assert done.exit_code == 0, done.output
    assert "“nowhere”不是域名" in done.output
    assert "[news@qingshan.test]" in done.output
    config = tomllib.loads((tmp_path / "config.toml").read_text("utf-8"))
    assert config["listen"][0]["address"] == "127.0.0.1:2465"
    assert config["http"]["help_address"] == "127.0.0.1:8027"


def test_the_password_is_asked_for_without_echo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answers = write_answers(tmp_path)
    done = CliRunner().invoke(root, ["init", "--answers", str(answers), "--keep-password"], input="hush-hush\n")
    assert done.exit_code == 0, done.output
    assert "hush-hush" not in done.output
    assert (tmp_path / "secrets" / ANSWERS["account"]).read_text() == "hush-hush\n"


def test_the_private_ca_vouches_for_the_listener(tmp_path):
    begin(tmp_path, "--private-ca")
    context = ssl.create_default_context(cafile=tmp_path / "tls/ca.crt")
    assert len(context.get_ca_certs()) == 1
    assert len([en for _, en in looked_at(tmp_path).fine if "certificate valid until" in en]) == 1
