"""The demo's stage: a throw-away folder with certificate, keys, configuration and policies, and the relay running in it."""

import json
import secrets
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

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
_PATIENCE_SECONDS = 30.0


class Stage:
    """Everything that the story needs; leaving the context stops the relay and the provider."""

    login = f"news@{DOMAIN}"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.certificate = folder / "relay.crt"
        self.dkim_key = rsa.generate_private_key(65537, 2048)
        self.provider = Provider(self.login, self.password)
        self.submission = ("127.0.0.1", 0)
        self.http: dict[str, str] = {}
        self._relay: subprocess.Popen[str] | None = None

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
        return self._relay is not None and self._relay.poll() is None

    @property
    def data_path(self) -> Path:
        return self.folder / "data"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def tls_context(self) -> ssl.SSLContext:
        """What a mail client that trusts the demo's certificate uses."""
        return ssl.create_default_context(cafile=self.certificate)

    def close(self) -> None:
        """Stop the relay in order, then the provider."""
        if self._relay is not None:
            self._relay.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._relay.wait(_PATIENCE_SECONDS)
            self._relay.kill()
            self._relay.wait()
            if self._relay.stdout:
                self._relay.stdout.close()
        self.provider.close()

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
        command = [sys.executable, "-m", "relay", "--config", str(self.config), "serve", "--workers", "1"]
        self._relay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        lines = []
        for line in self._relay.stdout or ():
            lines.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "ready":
                host, _, port = event["listen"]["submission"].rpartition(":")
                self.submission, self.http = (host, int(port)), event["http"]
                return
        raise ConfigurationError("the relay did not start:\n" + "".join(lines[-10:]))


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
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


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
