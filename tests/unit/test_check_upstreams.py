"""`relay check` and the upstreams: one that answers, one that nobody listens at, one whose certificate nobody vouches for."""

import pytest

from relay.cli import check_upstreams
from relay.cli.findings import Findings
from relay.config import load_config
from tests.support.findings import names_no_place
from tests.support.installation import Installation
from tests.support.ports import free_port
from tests.support.upstream import RecordingUpstream

TABLE = '[[upstream]]\nname = "{name}"\nprovider = "generic"\naddresses = {addresses}\ntls = "{tls}"\nauth = "none"\n{more}\n'


@pytest.fixture
def place(tmp_path):
    """Its upstreams ask for no login, so passwords are those of users.toml."""
    installation = Installation(tmp_path)
    installation.add('[auth]\nmode = "users"\nusers_file = "users.toml"\n')
    return installation


async def found(place):
    findings = Findings()
    await check_upstreams.look(load_config(str(place.config)), findings)
    assert findings.unreachable == len(findings.faults)
    assert [text for both in findings.faults for text in both if names_no_place(text)] == []
    return findings


def table(name, *addresses, tls="none", more=""):
    return TABLE.format(name=name, addresses=list(addresses), tls=tls, more=more).replace("'", '"')


async def test_each_upstream_is_asked_and_nobody_logs_in(place):
    with RecordingUpstream(tls="implicit", accounts={"news": "secret"}) as safe, RecordingUpstream() as plain:
        place.set("addresses", f'["127.0.0.1:{free_port()}", "{plain.address}"]', table="[upstream]")  # the second will do
        place.add(table("safe", safe.address, tls="implicit", more=f'ca_file = "{safe.ca_file}"'))
        place.add(table("unknown", safe.address, tls="implicit"))
        place.add(table("away", f"127.0.0.1:{free_port()}"))
        place.add(table("shut", plain.address, tls="starttls"))
        findings = await found(place)
        assert (safe.auth_attempts, safe.deliveries, plain.deliveries) == ([], [], [])
    assert [en.split()[1] for _, en in findings.fine] == ["up", "safe"]
    said = {en.split('"')[1]: (zh, en) for zh, en in findings.faults}
    assert list(said) == ["unknown", "away", "shut"]
    assert all("无法连接" in zh and en.endswith("and the firewall") for zh, en in said.values())
    assert "certificate verify failed" in said["unknown"][1].lower()
    assert "127.0.0.1:" in said["away"][1]


async def test_an_upstream_that_sends_people_away_is_no_help(place):
    with RecordingUpstream() as upstream:
        upstream.fault("CONNECT", "554 5.3.2 no")
        place.set("addresses", f'["{upstream.address}"]', table="[upstream]")
        ((_, en),) = (await found(place)).faults
    assert "554" in en


async def test_what_is_wrong_with_the_tables_is_left_to_others(place):
    place.set("provider", '"nobody"', table="[upstream]")
    findings = await found(place)
    assert (findings.fine, findings.faults) == ([], [])
