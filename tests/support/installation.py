"""An installation with which `relay check` finds nothing wrong, to be spoilt in one place at a time."""

import asyncio
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from relay.config import load_config
from relay.doors.users import User, hash_password, save_users
from relay.stores.opening import load_or_create_keys, open_store
from tests.support.policies import shipped_files
from tests.support.small import LISTEN_TLS

CONFIG = f"""\
hostname = "relay.example.com"
data_dir = "data"
policies = "policies"
{LISTEN_TLS}
[[upstream]]
name = "up"
provider = "generic"
addresses = ["127.0.0.1:25"]
tls = "none"
auth = "none"

[[dkim]]
domain = "acme-mail.cn"
selector = "s1"
key_file = "dkim.pem"

[unsubscribe]
base_url = "https://unsubscribe.acme-mail.cn"

[store]
url = "sqlite"
timeout_ms = 200
durability_confirmed = false

[http]
address = "127.0.0.1:8025"
help_url = "http://127.0.0.1:8027"

[records]
min_free = "1KiB"
"""
_DKIM_KEY = rsa.generate_private_key(65537, 2048)
_OWN = (
    ("example.com", "acme-mail.cn"),
    ("Example Company Ltd.", "Acme Mail"),
    ("示例公司", "艾克美邮件"),
    ("示例路", "解放路"),
    ("1 Example Road", "1 Main Road"),
)


class Installation:
    """Configuration, keys, certificate, policies and a store that was used once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG, "utf-8")
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.write_key("relay.key")
        self.write_certificate(now - timedelta(days=1), now + timedelta(days=90))
        self._write_secret("dkim.pem", _DKIM_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        for name, octets in shipped_files().items():
            path = folder / "policies" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = octets.decode()
            for old, new in _OWN:
                text = text.replace(old, new)
            path.write_text(text, "utf-8")
        asyncio.run(self._make_store())

    async def _make_store(self):
        config = load_config(str(self.config))
        config.data_path.mkdir(mode=0o700)
        store = await open_store(config, load_or_create_keys(config, date(2026, 1, 1)), time.time)
        await store.aclose()

    def set(self, key, value, table=""):
        """Change a key in the first table of that name."""
        text = self.config.read_text("utf-8")
        start = text.index(f"[{table}]") if table else 0
        changed, count = re.subn(rf"(?m)^{key} = .*$", lambda _: f"{key} = {value}", text[start:], count=1)
        assert count == 1
        self.config.write_text(text[:start] + changed, "utf-8")
        return self

    def add(self, text):
        """Add tables at the end."""
        with self.config.open("a", encoding="utf-8") as file:
            file.write(f"\n{text}\n")
        return self

    def replace(self, name, old, new):
        """Change a text in a file."""
        path = self.folder / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        return self

    def write_key(self, name, password=None):
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        self._write_secret(name, self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))

    def write_certificate(self, begins, ends):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number(), begins, ends)
        names = x509.SubjectAlternativeName([x509.DNSName("relay.example.com")])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        (self.folder / "relay.crt").write_bytes(certificate.public_bytes(Encoding.PEM))

    def write_users(self, *names):
        users = [User(name, hash_password("correct horse battery"), frozenset()) for name in names]
        save_users(self.folder / "users.toml", users)

    def _write_secret(self, name, octets):
        path = self.folder / name
        path.write_bytes(octets)
        path.chmod(0o600)
