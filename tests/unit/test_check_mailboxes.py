"""`relay check` and the mailboxes: a good login, a wrong one, a server that opens nothing, none at all, one that is silent."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from relay.cli import check_mailboxes
from relay.cli.findings import Findings
from relay.config import parse_config
from tests.support.dovecot import Dovecot
from tests.support.findings import names_no_place
from tests.support.policies import shipped_files
from tests.unit.test_imap import Server

CONFIG = """\
hostname = "relay.example.com"
policies = "policies"
[[listen]]
name = "submission"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "netease"
provider = "{provider}"
addresses = ["127.0.0.1:25"]
"""
ACCOUNT = """
[[account]]
identity = "{who}@example.com"
upstream = "netease"
password_file = "secret"
imap = "127.0.0.1:{port}"
{tls}
"""
PLAIN = 'imap_tls = "none"'
WHOLE = 'identities = ["news@example.com"], listeners = [], sender_domains = []'


async def found(folder, *accounts, provider="netease", password="secret"):
    """What is found about accounts, each with (port, how TLS is used)."""
    secret = folder / "secret"
    secret.write_text(password)
    secret.chmod(0o600)
    tables = [ACCOUNT.format(who=f"news{number}", port=port, tls=tls) for number, (port, tls) in enumerate(accounts)]
    config = parse_config((CONFIG.format(provider=provider) + "".join(tables)).encode(), "config.toml", folder)
    findings = Findings()
    await check_mailboxes.look(config, findings)
    assert [text for both in findings.faults + findings.to_do for text in both if names_no_place(text)] == []
    return findings


@asynccontextmanager
async def listening(handler):
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot() as server:
        yield server


async def test_every_mailbox_that_opens_is_named(tmp_path, dovecot):
    over_tls = (dovecot.tls_port, f'imap_ca_file = "{dovecot.ca_file}"')
    findings = await found(tmp_path, over_tls, (dovecot.port, PLAIN))
    assert [en.partition(":")[0] for _, en in findings.fine] == [
        "mailbox netease (127.0.0.1",
        "mailbox netease-2 (127.0.0.1",
    ]
    assert findings.faults == []


@pytest.mark.parametrize(("provider", "guide"), [("netease", "netease"), ("generic", "mailbox")])
async def test_a_wrong_password_names_its_remedy(tmp_path, dovecot, provider, guide):
    findings = await found(tmp_path, (dovecot.port, PLAIN), provider=provider, password="wrong")
    [(zh, en)] = findings.faults
    assert "客户端授权码" in zh
    assert "IMAP 服务已开启" in zh
    assert f"docs/{guide}.zh.md" in zh
    assert "the server refuses the login" in en
    assert "IMAP 服务已开启" in en
    assert f"docs/{guide}.md" in en
    assert "wrong" not in zh + en
    assert not findings.unreachable


async def test_a_mailbox_that_the_provider_does_not_open(tmp_path):
    class Unsafe(Server):
        capabilities = "IMAP4rev1"

    async with listening(Unsafe()) as port:
        findings = await found(tmp_path, (port, PLAIN))
    [(zh, en)] = findings.faults
    assert "Unsafe Login" in en
    assert "IMAP 服务已开启" in zh


async def test_a_server_that_is_not_there(tmp_path, dovecot):
    findings = await found(tmp_path, (9, PLAIN), (dovecot.port, PLAIN))
    [(_, en)] = findings.faults
    assert "cannot be read, so refusals by mail take no effect" in en
    assert findings.unreachable
    assert len(findings.fine) == 1, "one that fails says nothing about the others"


async def test_a_certificate_that_nobody_trusts(tmp_path, dovecot):
    [(_, en)] = (await found(tmp_path, (dovecot.tls_port, ""))).faults
    assert "the certificate cannot be trusted" in en
    assert "imap_ca_file" in en


async def test_a_file_of_authorities_that_is_missing(tmp_path, dovecot):
    [(_, en)] = (await found(tmp_path, (dovecot.tls_port, 'imap_ca_file = "nowhere.pem"'))).faults
    assert en.startswith("imap_ca_file nowhere.pem: No such file")


@pytest.mark.parametrize(
    ("change", "unread"),
    [
        (("", ""), ["news@example.com"]),
        (('identities = ["news@example.com"]', 'identities = ["news1@example.com"]'), []),
        (('identities = ["news@example.com"]', 'identities = ["news0@example.com", "news7@example.com"]'), ["news7@example.com"]),
        ((WHOLE, 'sender_domains = ["example.com"]'), []),
    ],
)
async def test_marketing_whose_bounces_nobody_reads_is_named(tmp_path, dovecot, change, unread):
    policies(tmp_path, change)
    findings = await found(tmp_path, (dovecot.port, PLAIN), (dovecot.port, PLAIN))
    assert findings.faults == []
    assert [(zh.count(who), en.count(who)) for zh, en in findings.to_do for who in unread] == [(1, 1)] * len(unread)
    assert len(findings.to_do) == bool(unread)
    for zh, en in findings.to_do:
        assert en.startswith(
            "streams/newsletter.toml: bounces and complaints are not read and count nowhere: set imap in [[account]]"
        )
        assert en.endswith("see docs/mailbox.md")
        assert zh.startswith("streams/newsletter.toml：退信与投诉无人读取")
        assert zh.endswith("见 docs/mailbox.zh.md")


async def test_without_any_mailbox_a_stream_of_a_whole_domain_is_named_too(tmp_path):
    policies(tmp_path, (WHOLE, 'sender_domains = ["example.com"]'))
    [(_, en)] = (await found(tmp_path)).to_do
    assert "set imap in [[account]] of config.toml (@example.com)" in en


def policies(folder, change):
    """The shipped files, with one text of the newsletter's changed."""
    for name, octets in shipped_files().items():
        path = folder / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = octets.decode()
        assert name != "streams/newsletter.toml" or change[0] in text
        path.write_text(text.replace(*change) if name == "streams/newsletter.toml" else text, "utf-8")


async def test_a_server_that_says_nothing_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(check_mailboxes, "SECONDS", 0.2)

    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async with listening(silent) as port:
        [(_, en)] = (await found(tmp_path, (port, PLAIN))).faults
    assert "no answer within 0.2 seconds" in en
