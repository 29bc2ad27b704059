"""`relay tls private-ca`: what it makes is trusted, for the listener's names and for nothing else; again, it renews."""

import ssl
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from relay.cli.init.authority import issue, make_authority, names_of, outside
from relay.cli.main import root
from tests.support.beginner import begin

NOW = datetime.now(UTC)


def handshake(ca, pair, host, tmp_path):
    """A TLS handshake in memory, as a client that trusts the CA does it; raises what the client raises."""
    (tmp_path / "pair.pem").write_bytes(pair.key + pair.certificate)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "pair.pem")
    asking = ssl.create_default_context(cadata=ca.certificate.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", ["relay.qingshan.test", "192.0.2.7", "2001:db8::7"])
def test_clients_that_trust_the_ca_trust_the_listener(tmp_path, host):
    ca = make_authority([host], "青山", NOW)
    handshake(ca, issue(ca, [host], NOW), host, tmp_path)


@pytest.mark.parametrize("host", ["bank.test", "192.0.2.8", "2001:db8::8"])
def test_the_ca_can_vouch_for_nobody_else(tmp_path, host):
    """Whoever steals its key gets nothing by it."""
    ca = make_authority(["relay.qingshan.test", "192.0.2.7"], "青山", NOW)
    assert outside(ca, ["relay.qingshan.test", "192.0.2.7", host]) == [host]
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(ca, issue(ca, [host], NOW), host, tmp_path)


def relay(folder, *arguments):
    return CliRunner().invoke(root, ["--config", str(folder / "config.toml"), "--lang", "en", "tls", "private-ca", *arguments])


def test_it_makes_what_init_left_out(tmp_path):
    begin(tmp_path)
    assert relay(tmp_path).exit_code == 2
    done = relay(tmp_path, "--name", "192.0.2.7")
    assert done.exit_code == 0, done.output
    assert "certutil -addstore" in done.output
    assert names_of((tmp_path / "tls/relay.crt").read_bytes()) == ["relay.qingshan.test", "192.0.2.7"]
    assert oct((tmp_path / "tls/ca.key").stat().st_mode & 0o777) == "0o600"


def test_again_it_renews_the_certificate_and_keeps_the_ca(tmp_path):
    begin(tmp_path, "--private-ca")
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert relay(tmp_path).exit_code == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"relay.crt", "relay.key"}
    assert names_of(after["relay.crt"]) == names_of(before["relay.crt"])


def test_a_name_beyond_the_ca_is_refused(tmp_path):
    begin(tmp_path, "--private-ca")
    before = (tmp_path / "tls/relay.crt").read_bytes()
    done = relay(tmp_path, "--name", "mail.other.test")
    assert done.exit_code == 1
    assert "cannot vouch for mail.other.test" in done.output
    assert (tmp_path / "tls/relay.crt").read_bytes() == before


def test_a_certificate_from_elsewhere_is_not_overwritten(tmp_path):
    begin(tmp_path, "--private-ca")
    other = make_authority(["relay.qingshan.test"], "other", NOW)
    bought = issue(other, ["relay.qingshan.test"], NOW).certificate
    (tmp_path / "tls/relay.crt").write_bytes(bought)
    done = relay(tmp_path)
    assert done.exit_code == 1
    assert "not from this private CA" in done.output
    assert (tmp_path / "tls/relay.crt").read_bytes() == bought


@pytest.mark.parametrize("name", ["not a host", "-x", "a_b"])
def test_a_name_that_is_no_host_is_a_usage_error(tmp_path, name):
    begin(tmp_path)
    assert relay(tmp_path, "--name", name).exit_code == 2
