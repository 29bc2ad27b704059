"""The unit files: valid, hardened, and in agreement with the relay that they start."""

import os
import re
import subprocess

import pytest

from relay.config import Delivery, parse_config
from tests.support.needs import needs
from tests.support.service import ROOT

UNIT = ROOT / "systemd" / "relay.service"
MAX_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path):
    """The unit with a command that exists here, so that nothing needs to be installed."""
    command = tmp_path / "relay"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    place = tmp_path / "relay.service"
    place.write_text(UNIT.read_text("utf-8").replace("/usr/local/bin/relay", str(command)), "utf-8")
    return place


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def settings():
    """The keys of [Service], each with the list of its values."""
    found: dict[str, list[str]] = {}
    section = UNIT.read_text("utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    for key, value in re.findall(r"^(\w+)=(.+)$", section, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_the_unit_is_valid(unit):
    needs("systemd-analyze")
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_tunnel_of_the_guide_is_valid(tmp_path):
    needs("systemd-analyze")
    text = (ROOT / "docs/unsubscribe-url.md").read_text("utf-8")
    (unit,) = re.findall(r"^```ini\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    place = tmp_path / "relay-tunnel.service"
    place.write_text(unit.replace("/usr/bin/ssh", "/bin/sh"), "utf-8")  # ssh need not be installed here
    done = run("systemd-analyze", "verify", "--man=no", place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_hardened(unit):
    needs("systemd-analyze")
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for relay\.service: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) < MAX_EXPOSURE


def test_it_has_one_power_of_root():
    found = settings()
    assert found["AmbientCapabilities"] == found["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert found["User"] == ["relay"]


def test_what_systemd_is_told_is_what_the_relay_does():
    found = settings()
    assert found["Type"] == ["notify"]
    assert "WatchdogSec" in found
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["2 3"]  # usage and configuration, as `relay.cli.output` has them
    default = Delivery()
    assert int(found["TimeoutStopSec"][0].removesuffix("s")) >= default.patience + default.past_dot + 10


def test_secrets_come_from_systemd_and_certificates_by_path():
    handed_over = dict(entry.split(":") for entry in settings()["LoadCredential"])
    example = parse_config((ROOT / "config.example.toml").read_bytes(), "example", ROOT)
    assert handed_over == {"secrets": "/etc/relay/secrets", "dkim": "/etc/relay/dkim"}
    assert not any(example.tls.private_key_file.startswith(folder) for folder in handed_over.values())
    text = (ROOT / "config.example.toml").read_text("utf-8")
    for key in ("password_file", "key_file"):
        folder = re.search(rf'# {key} = "(.+)/[^/]+"', text)
        assert folder, key
        assert folder[1] in handed_over.values()


def test_users_and_folders_can_be_made(tmp_path):
    needs("systemd-sysusers", "systemd-tmpfiles")
    for kind in ("sysusers", "tmpfiles"):
        place = tmp_path / "etc" / f"{kind}.d"
        place.mkdir(parents=True)
        place.joinpath("relay.conf").write_bytes((UNIT.parent / f"relay.{kind}.conf").read_bytes())
    made = run("systemd-sysusers", f"--root={tmp_path}", "relay.conf")
    assert made.returncode == 0, made.stderr
    assert re.search("^relay:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
    created = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", "relay.conf")
    if os.geteuid() == 0:  # others may not give folders away
        assert created.returncode == 0, created.stderr
    modes = {"keys": 0o700, "secrets": 0o700, "dkim": 0o700, "policies": 0o750, "tls": 0o750}
    assert {name: (tmp_path / "etc/relay" / name).stat().st_mode & 0o777 for name in modes} == modes
    assert (tmp_path / "var/lib/relay").stat().st_mode & 0o777 == 0o700
