"""Starting: what is wrong is said and ends with the exit status that systemd knows; a store that is away is waited for."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
import trustme

from tests.support.fixtures import an_upstream
from tests.support.needs import needs
from tests.support.redis_server import RedisServer
from tests.support.scrape import counted
from tests.support.service import ACCOUNTS, NEWS, Relay, message
from tests.support.small import LISTEN_TLS
from tests.support.upstream import RecordingUpstream

CONFIGURATION = 3

upstream = an_upstream(accounts=ACCOUNTS)


@pytest.fixture
def relay(tmp_path, upstream):
    """Not started; stopped in the end."""
    relay = Relay(tmp_path, upstream)
    yield relay
    relay.stop()


def refusal(relay):
    """Start it in vain; its exit status and what it said, of which nothing may be a traceback."""
    needs("pgrep")
    done = relay.command("serve")
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert subprocess.run(["pgrep", "-f", str(relay.config)], capture_output=True, check=False).stdout == b""  # no worker left
    return done.returncode, said


def with_listener(relay, address):
    text = relay.config.read_text("utf-8")
    relay.config.write_text(re.sub('(name = "submission"\naddress = )"[^"]+"', rf'\1"{address}"', text), "utf-8")


def test_a_broken_configuration(relay):
    relay.config.write_text('hostname = "relay.example.com"\n', "utf-8")
    status, said = refusal(relay)
    assert status == CONFIGURATION
    assert f"{relay.config}: listen: " in said


def test_a_broken_policy_folder_at_the_very_first_start(relay):
    relay.write_policy("organisation.toml", "country = 3\n")
    status, said = refusal(relay)
    assert status == CONFIGURATION
    assert "organisation.toml: line 1: country: " in said


def test_a_missing_signing_key(relay):
    (relay.folder / "dkim.pem").unlink()
    status, said = refusal(relay)
    assert status == CONFIGURATION
    assert "[[dkim]] 1: key_file" in said
    assert "relay dkim keygen" in said


def test_a_certificate_that_does_not_belong_to_its_key(tmp_path, upstream):
    relay = Relay(tmp_path, upstream, listen=LISTEN_TLS)
    ca = trustme.CA()
    ca.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(tmp_path / "relay.key"))
    ca.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(str(tmp_path / "relay.crt"))
    status, said = refusal(relay)
    assert status == CONFIGURATION
    assert "[tls]" in said
    assert "relay.crt" in said


def test_a_port_that_another_program_uses(relay):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with_listener(relay, address)
        status, said = refusal(relay)
    assert status == CONFIGURATION
    assert f'[[listen]] "submission": {address}: Address already in use' in said


def test_a_port_that_another_relay_uses(relay, tmp_path, upstream):
    relay.start()
    with_listener(relay, f"127.0.0.1:{relay.port}")
    done = relay.command("serve")
    assert done.returncode == CONFIGURATION
    assert "Address already in use" in done.stdout + done.stderr


def test_a_page_port_that_is_taken(relay):
    host, _, port = relay.public.rpartition(":")
    with socket.create_server((host, int(port))):
        status, said = refusal(relay)
    assert status == CONFIGURATION
    assert "[http]" in said


def test_records_that_cannot_be_opened(relay):
    relay.data.mkdir()
    (relay.data / "records.db").write_bytes(b"this is no database" * 100)
    status, said = refusal(relay)
    assert status in (CONFIGURATION, 4)  # without its key file the folder looks like a lost one
    assert "records.db" in said


def test_a_store_that_is_away_at_the_start_is_waited_for(relay, upstream):
    relay.start().stop()
    shutil.move(relay.data / "relay.db", relay.folder / "away.db")
    relay.start()
    assert relay.send(NEWS, ["ada@example.org"], message())[0] in (451, 454)
    status, reasons = relay.get("operators", "/readyz")
    assert status == 503
    assert re.search("^store: empty: ", reasons, re.MULTILINE)
    assert re.search("^worker-1: store empty: ", reasons, re.MULTILINE)
    assert upstream.deliveries == []
    shutil.move(relay.folder / "away.db", relay.data / "relay.db")
    relay.wait(lambda: relay.get("operators", "/readyz") == (200, "ready\n"))
    assert relay.send(NEWS, ["ada@example.org"], message())[0] == 250


def test_refusals_wait_for_a_redis_that_is_away_at_the_start(tmp_path, upstream):
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    try:
        with Relay(tmp_path / "relay", upstream, store=redis.url) as relay:
            assert relay.send(NEWS, ["ada@example.org"], message())[0] == 250
            relay.stop()
            redis.stop()
            relay.start()
            assert relay.unsubscribe(upstream.accepted[0].data) == 200  # journalled
            assert relay.send(NEWS, ["bob@example.org"], message(to="bob@example.org"))[0] in (451, 454)
            redis.start()
            relay.wait(lambda: counted(relay, 'relay_suppressions_total{origin="one_click",reason="unsubscribe"}') == 1)
            relay.wait(lambda: relay.send(NEWS, ["bob@example.org"], message(to="bob@example.org"))[0] == 250)
            code, text = relay.send(NEWS, ["ada@example.org"], message())
            assert (code, "base/suppression" in text) == (550, True)
    finally:
        redis.stop()


def test_certificates_are_taken_up_when_they_change(tmp_path, upstream):
    ca = trustme.CA()
    renew(ca, tmp_path)
    with Relay(tmp_path, upstream, listen=LISTEN_TLS) as relay:
        first = serial_number(ca, relay)
        renew(ca, tmp_path)
        relay.wait(lambda: serial_number(ca, relay) != first)
        (tmp_path / "relay.key").write_text("half a file")
        relay.wait(lambda: serial_number(ca, relay) and relay.events("certificate_kept"))
    assert relay.events("certificate_reloaded")


def renew(ca, folder):
    issued = ca.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "relay.crt"))
    issued.private_key_pem.write_to_path(str(folder / "relay.key"))


def serial_number(ca, relay):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    with (
        socket.create_connection(("127.0.0.1", relay.port), 30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        return (client.getpeercert() or {})["serialNumber"]


def test_secrets_that_systemd_hands_over(relay, upstream):
    """LoadCredential=secrets:FOLDER appears as files secrets_NAME; the folder itself may be out of reach."""
    text = relay.config.read_text("utf-8")
    text = text.replace('key_file = "dkim.pem"', 'key_file = "secrets/dkim.pem"')
    relay.config.write_text(f'{text}\n[keys]\nfile = "secrets/keys.toml"\n', "utf-8")
    secrets, handed_over = relay.folder / "secrets", relay.folder / "handed-over"
    secrets.mkdir()
    shutil.move(relay.folder / "dkim.pem", secrets / "dkim.pem")
    relay.start().stop()  # makes the key file
    handed_over.mkdir()
    for path in secrets.iterdir():
        shutil.move(path, handed_over / f"secrets_{path.name}")
    assert refusal(relay)[0] == CONFIGURATION
    relay.environment["CREDENTIALS_DIRECTORY"] = str(handed_over)
    relay.start()
    assert relay.send(NEWS, ["ada@example.org"], message())[0] == 250
    assert b"DKIM-Signature:" in upstream.accepted[0].data
    assert list(secrets.iterdir()) == []


def test_what_systemd_is_told(relay, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        relay.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        relay.start()
        assert told_until(systemd, "READY=1") <= {"WATCHDOG=1"}
        told_until(systemd, "WATCHDOG=1")
        relay.process.send_signal(signal.SIGHUP)
        before = told_until(systemd, "RELOADING=1")
        assert before <= {"WATCHDOG=1"}
        told_until(systemd, "READY=1")
        os.kill(relay.process.pid, signal.SIGTERM)
        assert told_until(systemd, "STOPPING=1") <= {"WATCHDOG=1"}
        assert relay.stop() == 0


def told_until(systemd, wanted):
    """The messages before the wanted one; RELOADING comes with the time that Type=notify-reload asks for."""
    before: set[str] = set()
    while True:
        message = systemd.recv(4096).decode()
        if message.startswith("RELOADING=1"):
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", message)
        if message.partition("\n")[0] == wanted:
            return before
        before.add(message)


def test_what_the_upstream_takes_is_known_before_the_first_mail(tmp_path):
    with RecordingUpstream(extensions=("PIPELINING", "SIZE 100000")) as upstream, Relay(tmp_path, upstream) as relay:

        def offered():
            with relay.connect(login=None) as client:
                return int(client.esmtp_features["size"])

        relay.wait(lambda: offered() <= 100000)
        assert not any(line.startswith("AUTH") for session in upstream.sessions for line in session.lines)


def test_an_upstream_that_says_nothing_keeps_nobody_from_starting(tmp_path, upstream):
    upstream.fault("CONNECT", stall=True)
    with Relay(tmp_path, upstream) as relay:
        relay.wait(lambda: upstream.sessions)
        assert relay.get("operators", "/readyz") == (200, "ready\n")
        assert relay.stop() == 0
