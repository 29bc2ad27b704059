"""`relay check`: who is asked about recipients' domains, rules that say nothing because nobody is, servers that do not answer."""

import shutil

import pytest

from relay.cli import check_resolvers
from relay.cli.findings import Findings
from relay.config import parse_config
from tests.support.dns_server import DnsServer
from tests.support.policies import SHIPPED

HEAD = """hostname = "relay.example.com"
policies = "policies"
[[upstream]]
name = "up"
addresses = ["127.0.0.1:25"]
[[listen]]
name = "lan"
address = "127.0.0.1:0"
tls = "none"
"""
OWN = '[[rule]]\nid = "mine"\ncheck = "recipient-domain"\n'


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "policies")
    return tmp_path


def configured(folder, dns=""):
    return parse_config(f"{HEAD}[dns]\n{dns}\n".encode(), "config.toml", folder)


def looked(config):
    findings = Findings()
    check_resolvers.look(config, findings)
    return findings


def add_own_rule(folder):
    stream = folder / "policies" / "streams" / "receipts.toml"
    stream.write_text(stream.read_text("utf-8") + OWN, "utf-8")


def test_the_shipped_rules_ask_nobody_for_servers(folder):
    assert looked(configured(folder)) == Findings()


def test_a_rule_of_ones_own_that_says_nothing_is_named(folder):
    add_own_rule(folder)
    ((zh, en),) = looked(configured(folder)).to_do
    assert en.startswith("receipts/mine: [dns] of config.toml names no servers")
    assert zh.startswith("receipts/mine：config.toml 的 [dns] 没有 servers")


def test_who_is_asked_is_said(folder):
    add_own_rule(folder)
    findings = looked(configured(folder, 'servers = ["192.0.2.53"]'))
    assert [en for _, en in findings.fine] == ["recipients' domains are looked up at 192.0.2.53:53"]
    assert not findings.to_do


def test_policies_that_cannot_be_read_are_somebody_elses_finding(folder):
    (folder / "policies" / "organisation.toml").write_text("spam", "utf-8")
    assert looked(configured(folder)) == Findings()


async def test_each_server_is_tried(folder):
    with DnsServer({}) as good, DnsServer({}, silent=True) as deaf:
        answers, says_nothing, findings = good.address, deaf.address, Findings()
        config = configured(folder, f'servers = ["{answers}", "{says_nothing}"]\ntimeout = "2s"')
        await check_resolvers.ask(config, findings)
    assert [en for _, en in findings.fine] == [f"the resolver {answers} answers"]
    ((zh, en),) = findings.faults
    assert en.startswith(f"config.toml [dns] servers: {says_nothing} does not answer")
    assert f"{says_nothing} 没有应答" in zh
    assert findings.unreachable == 1
    assert good.asked == ["relay.example.com"]
