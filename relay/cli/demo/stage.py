"""The demo's stage: a throw-away folder with certificate, keys, configuration and policies, and the relay running in it."""

import json
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from relay.cli.demo.upstream import Provider
from relay.cli.shipped import shipped_policies
from relay.errors import ConfigurationError

DOMAIN = "example.com"
SELECTOR = "demo"
LIMIT = "3/minute"
_PATIENCE_SECONDS = 60.0
_LOWEST_PORT = 15_000
_LAST_WORDS = 10  # lines of the log that are shown when the relay does not start


class Stage:
    """Everything that the story needs; leaving the context stops the relay and the provider, and removes the folder."""

    login = f"news@{DOMAIN}"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.certificate = folder / "relay.crt"
        self.dkim_key = rsa.generate_private_key(65537, 2048)
        self.provider = Provider(self.login, self.password)
        self.submission = ("127.0.0.1", 0)
        self.http: dict[str, str] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Stage":
        try:
            self._write_files()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def data_path(self) -> Path:
        return self.folder / "data"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log(self) -> Path:
        """What the relay says, one JSON object a line."""
        return self.folder / "relay.log"

    def tls_context(self) -> ssl.SSLContext:
        """What a mail client that trusts the demo's certificate uses."""
        return ssl.create_default_context(cafile=self.certificate)

    def close(self) -> None:
        """Stop the relay in order, then the provider, and remove everything."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            try:
                self._guard.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._guard.kill()
        self.provider.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_files(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._write_secret("relay.key", _pem(key))
        self._write_secret("dkim.pem", _pem(self.dkim_key))
        self.certificate.write_bytes(_certificate(key))
        for name, octets in shipped_policies().items():
            path = self.folder / "policies" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_with_limit(octets) if name == "streams/newsletter.toml" else octets)
        public, help_ = _free_address(), _free_address()  # they stand in mails and replies, so they must be known before
        self.config.write_text(
            _CONFIG.format(upstream=self.provider.address, domain=DOMAIN, selector=SELECTOR, public=public, help=help_), "utf-8"
        )

    def _write_secret(self, name: str, octets: bytes) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(octets)

    def _start(self) -> None:
        """Run the relay as an operator would and wait until it says that it is ready."""
        relay = [sys.executable, "-m", "relay", "--config", str(self.config), "serve", "--workers", "1"]
        guard = [sys.executable, "-m", "relay.cli.guard", str(self.folder), *relay]
        with self.log.open("wb") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - our own command
                guard, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + _PATIENCE_SECONDS
        while self.is_running and time.monotonic() < end:
            time.sleep(0.05)
            if ready := next((event for event in self._said() if event.get("event") == "ready"), None):
                host, _, port = ready["listen"]["submission"].rpartition(":")
                self.submission, self.http = (host, int(port)), ready["http"]
                return
        last = self.log.read_text("utf-8", "replace").splitlines()[-_LAST_WORDS:]
        raise ConfigurationError("the relay did not start:\n" + "\n".join(last))

    def _said(self) -> Iterator[dict[str, Any]]:
        for line in self.log.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError):  # a line that is half written, or one of the interpreter
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event


_CONFIG = """\
hostname = "relay.example.com"
data_dir = "data"
policies = "policies"

[[listen]]
name = "submission"
address = "127.0.0.1:0"

[tls]
certificate_file = "relay.crt"
private_key_file = "relay.key"

[[upstream]]
name = "provider"
addresses = ["{upstream}"]
tls = "none"

[[dkim]]
domain = "{domain}"
selector = "{selector}"
key_file = "dkim.pem"

[unsubscribe]
base_url = "http://{public}"

[http]
address = "127.0.0.1:0"
public_address = "{public}"
help_address = "{help}"
help_url = "http://{help}"
"""


def _free_address() -> str:
    """A port that stays free until the relay listens: below those that the system gives to outgoing connections."""
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_LOWEST_PORT)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


def _with_limit(octets: bytes) -> bytes:
    """Give the shipped newsletter a limit that a demo can meet."""
    before, after = b"\nidentity = []\n", f'\nidentity = ["{LIMIT}"]\n'.encode()
    if before not in octets:
        raise ConfigurationError("the shipped newsletter.toml has no empty identity limit to replace")
    return octets.replace(before, after)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay demo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
