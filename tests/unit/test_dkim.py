"""`relay dkim`: keys that nobody overwrites or reads, records to publish, signatures verified offline."""

import json
import os
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from dns.exception import Timeout
from dns.resolver import NXDOMAIN

import relay.cli.dkim as module
from relay.cli.dkim import dkim, signatures
from relay.cli.output import understand_language
from relay.render.copy import render_copy
from relay.render.signing import load_signer
from tests.support.mail_dkim import dns_records
from tests.support.signing import a_message, ed25519_key, ed25519_signer, octets, pem_of, prepared, recipient, rsa_key, rsa_signer

BOTH = (rsa_signer(), ed25519_signer())
KEYS = [part for name, value in dns_records(BOTH).items() for part in ("--key", f"{name}={value}")]

# RFC 8463 appendix A: a message that others signed, with the key they published.
RFC_8463 = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    b"\r\n"
    b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
)
RFC_8463_KEY = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@click.group()
def main() -> None:
    """Stands for the command with its options."""


main.add_command(dkim)
understand_language(main)


def run(*arguments: str | Path, stdin: bytes = b"", lang: str = "en") -> Result:
    return CliRunner().invoke(main, ["--lang", lang, "dkim", *map(str, arguments)], input=stdin)


def a_signed_message() -> bytes:
    return octets(render_copy(prepared(a_message("Subject: Hello"), signers=BOTH), [recipient()]))


# keygen ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "rsa-sha256"), ("ed25519", "ed25519-sha256")])
def test_a_new_key_signs_and_its_record_is_printed(tmp_path, kind, algorithm):
    out = tmp_path / "example.com.s1.pem"
    result = run("keygen", "--domain", "Example.COM", "--selector", "s1", "--out", out, "--type", kind)
    assert result.exit_code == 0, result.output
    signer = load_signer(out.read_bytes(), "example.com", "s1")
    assert signer.algorithm == algorithm
    ((name, value),) = dns_records([signer]).items()
    assert name in result.output
    assert value in result.output
    assert f'domain = "example.com"\nselector = "s1"\nkey_file = "{out}"' in result.output
    assert ("beside an RSA key" in result.output) == (kind == "ed25519")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")
def test_nobody_else_reads_a_new_key(tmp_path):
    before = os.umask(0)
    try:
        run("keygen", "--domain", "example.com", "--selector", "s1", "--out", tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path):
    out = tmp_path / "key.pem"
    out.write_bytes(b"precious")
    result = run("keygen", "--domain", "example.com", "--selector", "s1", "--out", out)
    assert result.exit_code == 1
    assert "is not overwritten" in result.stderr
    assert out.read_bytes() == b"precious"


def test_a_folder_that_is_missing_is_named(tmp_path):
    result = run("keygen", "--domain", "example.com", "--selector", "s1", "--out", tmp_path / "absent" / "key.pem", lang="zh")
    assert result.exit_code == 2
    assert f"没有目录 {tmp_path / 'absent'}" in result.stderr


@pytest.mark.parametrize(
    ("domain", "selector"), [("localhost", "s1"), ("exa mple.com", "s1"), ("example.com", "s 1"), ("example.com", "-")]
)
def test_a_name_that_dns_cannot_have_is_a_usage_fault(tmp_path, domain, selector):
    result = run("keygen", "--domain", domain, "--selector", selector, "--out", tmp_path / "key.pem")
    assert result.exit_code == 2
    assert not (tmp_path / "key.pem").exists()


def test_an_internationalised_domain_is_published_as_a_label(tmp_path):
    result = run("keygen", "--domain", "例子.com", "--selector", "s1", "--out", tmp_path / "key.pem", lang="zh")
    assert "s1._domainkey.xn--fsqu00a.com" in result.output
    assert "请在 DNS 中发布" in result.output


# dns -------------------------------------------------------------------------------------------------------------------


def a_configuration(folder: Path, *tables: str) -> Path:
    path = folder / "config.toml"
    head = (
        'hostname = "relay.example.com"\n[[listen]]\nname = "s"\naddress = "127.0.0.1:0"\ntls = "none"\n'
        '[[upstream]]\nname = "u"\naddresses = ["mx.example.com:465"]\n'
    )
    path.write_text(head + "".join(tables), "utf-8")
    return path


def a_table(selector: str) -> str:
    return f'[[dkim]]\ndomain = "example.com"\nselector = "{selector}"\nkey_file = "{selector}.pem"\n'


def test_every_table_has_its_record(tmp_path):
    (tmp_path / "s1.pem").write_bytes(pem_of(rsa_key()))
    (tmp_path / "e1.pem").write_bytes(pem_of(ed25519_key()))
    config = a_configuration(tmp_path, a_table("s1"), a_table("e1"))
    shown = run("dns", "--config", config)
    assert shown.exit_code == 0, shown.output
    assert all(value in shown.output for value in dns_records(BOTH).values())
    assert json.loads(run("dns", "--config", config, "--json").output) == [
        {"name": name, "type": "TXT", "value": value} for name, value in dns_records(BOTH).items()
    ]


def test_without_tables_there_is_nothing_to_publish(tmp_path):
    result = run("dns", "--config", a_configuration(tmp_path))
    assert result.exit_code == 0
    assert "There is no [[dkim]] table" in result.output


@pytest.mark.parametrize("octets", [None, b"no key"])
def test_a_key_file_that_will_not_do_is_named(tmp_path, octets):
    if octets is not None:
        (tmp_path / "s1.pem").write_bytes(octets)
    result = run("dns", "--config", a_configuration(tmp_path, a_table("s1")))
    assert result.exit_code == 3
    assert str(tmp_path / "s1.pem") in result.stderr


# verify ----------------------------------------------------------------------------------------------------------------


def test_good_signatures_verify_without_dns(tmp_path):
    (tmp_path / "message.eml").write_bytes(a_signed_message())
    result = run("verify", tmp_path / "message.eml", *KEYS)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["d=example.com s=s1 a=rsa-sha256: valid", "d=example.com s=e1 a=ed25519-sha256: valid"]


def test_a_message_with_unix_line_ends_verifies_from_stdin():
    result = run("verify", "-", *KEYS, "--json", stdin=a_signed_message().replace(b"\r\n", b"\n"))
    assert result.exit_code == 0
    assert [signature["valid"] for signature in json.loads(result.output)] == [True, True]


def test_a_tampered_message_is_a_finding():
    result = run("verify", "-", *KEYS, stdin=a_signed_message().replace(b"Hello", b"Hullo"), lang="zh")
    assert result.exit_code == 1
    assert result.output.count("无效") == 2


def test_one_good_signature_is_enough():
    result = run("verify", "-", *KEYS[:2], stdin=a_signed_message())
    assert result.exit_code == 0
    assert "a=ed25519-sha256: not valid: there is no public key in DNS" in result.output


def test_a_message_without_a_signature_is_a_finding():
    result = run("verify", "-", stdin=b"From: ada@example.com\r\n\r\n")
    assert result.exit_code == 1
    assert "no DKIM signature" in result.output


@pytest.mark.parametrize(
    "signature", [b"", b"v=1", b"v=1; a=rsa-sha256; b", b"v=1; a=x; b=AAAA; bh=AAAA; d=example.com; h=from; s=s1"]
)
def test_a_broken_signature_is_a_finding_and_no_crash(signature):
    result = run("verify", "-", *KEYS, stdin=b"DKIM-Signature: " + signature + b"\r\nFrom: ada@example.com\r\n\r\n")
    assert result.exit_code == 1
    assert "not valid" in result.output


@pytest.mark.parametrize("record", ["", "v=DKIM1; k=ed25519; p=!", "v=DKIM1; k=ed25519", "v=DKIM1; p=", "k=rsa; p=AAAA", "x"])
def test_a_broken_record_is_a_finding_and_no_crash(record):
    result = run("verify", "-", "--key", f"s1._domainkey.example.com={record}", stdin=a_signed_message())
    assert result.exit_code == 1


def test_what_is_no_message_is_a_finding():
    assert run("verify", "-", stdin=b" leading space\r\n\r\n").exit_code == 1


@pytest.mark.parametrize("key", ["s1.example.com=x", "s1._domainkey.example.com"])
def test_a_key_option_in_another_form_is_a_usage_fault(key):
    assert run("verify", "-", "--key", key, stdin=a_signed_message()).exit_code == 2


def test_without_keys_dns_is_asked(monkeypatch):
    class Answer:
        strings = (b"v=DKIM1; k=rsa; ", dns_records(BOTH)["s1._domainkey.example.com"].rpartition(" ")[2].encode())

    def resolve(name, kind, lifetime):
        if name != "s1._domainkey.example.com":
            raise NXDOMAIN
        return [Answer]

    monkeypatch.setattr(module, "resolve", resolve)
    result = run("verify", "-", "--json", stdin=a_signed_message())
    assert [signature["valid"] for signature in json.loads(result.output)] == [True, False]


def test_dns_that_does_not_answer_is_told_apart(monkeypatch):
    def resolve(name, kind, lifetime):
        raise Timeout

    monkeypatch.setattr(module, "resolve", resolve)
    result = run("verify", "-", stdin=a_signed_message())
    assert result.exit_code == 4
    assert "DNS does not answer" in result.stderr


def test_the_published_example_of_rfc_8463_verifies():
    (found,) = signatures(RFC_8463, lambda name: RFC_8463_KEY if name == "brisbane._domainkey.football.example.com" else None)
    assert found["valid"], found["fault"]
