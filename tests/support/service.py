"""The real relay as a process of its own, for end-to-end tests.

    with RecordingUpstream(accounts={NEWS: "secret"}) as upstream, Relay(tmp_path, upstream) as relay:
        assert relay.send(NEWS, ["ada@example.org"], message()) == (250, ...)

Two upstream logins exist by default: NEWS writes newsletters (marketing, one-click, signed), OFFICE writes
correspondence, SHOP writes receipts.  Everything lies in `folder`; `restart` keeps it.
"""

import json
import os
import re
import signal
import smtplib
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support import warm
from tests.support.policies import lasting
from tests.support.ports import free_address
from tests.support.serving import Listening
from tests.support.waiting import SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
NEWS, OFFICE, SHOP = "news@example.com", "office@example.com", "shop@example.com"
PASSWORD = "secret"
ACCOUNTS = dict.fromkeys((NEWS, OFFICE, SHOP), PASSWORD)
WHOLE_DOMAIN = f'[auth.senders]\n"{NEWS}" = ["@example.com"]\n'  # `auth` with which NEWS may write as anybody there
_DKIM_KEY = rsa.generate_private_key(65537, 2048)


def dkim_record() -> bytes:
    """The public key's DNS record, for verifiers."""
    der = _DKIM_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + b64encode(der)


def message(to="ada@example.org", sender=NEWS, subject="News", body="Hello\r\n", extra="") -> bytes:
    """A small message; `extra` are further header fields with their CRLF."""
    header = (
        f"From: Sender <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n{extra}"
    )
    return f"{header}\r\n{body}".encode()


class Relay:
    """One `relay serve`; `policy` maps a policy file to (pattern, replacement) pairs of regular expressions.

    extra      more TOML for config.toml
    upstreams  the [[upstream]] tables as text instead of one for `upstream`
    cases      with those of policies/tests, which are half a second at the first start; without them no pack ever expires
    holds      as shipped; else what cannot leave now is left to the client, by `on_transient` and `over`
    """

    def __init__(
        self,
        folder,
        upstream=None,
        *,
        workers=1,
        store="sqlite",
        policy=None,
        extra="",
        upstreams="",
        listen="",
        auth="",
        delivery="",
        holds=False,
        cases=False,
    ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.workers = workers
        self.lines: list[str] = []
        self.process: Any = None
        self.port = 0
        self.environment: dict[str, str] = {}  # for `serve`, beside that of the tests
        self.listen: dict[str, str] = {}
        self.http: dict[str, str] = {}
        self.public = free_address()
        self.help = free_address()
        self._holds = holds
        if not holds:
            delivery += '\non_transient = "defer"'
        self._write(upstream, store, policy or {}, extra, upstreams, listen, auth, delivery, cases)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _write(self, upstream, store, policy, extra, upstreams, listen, auth, delivery, cases):
        key = self.folder / "dkim.pem"
        if not key.exists():
            key.write_bytes(_DKIM_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            key.chmod(0o600)
        for path in sorted((ROOT / "policies").rglob("*.toml")):
            if path.parent.name == "tests" and not cases:
                continue
            text = path.read_text("utf-8")
            if path.parent.name == "packs" and not cases:  # of the cases some are about a pack's last day
                text = lasting(text)
            self.write_policy(path.relative_to(ROOT / "policies").as_posix(), text, policy)
        ca = f'ca_file = "{upstream.ca_file}"\n' if upstream and upstream.ca_file else ""
        upstreams = upstreams or f'[[upstream]]\nname = "up"\naddresses = ["{upstream.address}"]\ntls = "{upstream.tls}"\n{ca}'
        listen = listen or '[[listen]]\nname = "submission"\naddress = "127.0.0.1:0"\ntls = "none"\n'
        self.config.write_text(
            f'hostname = "relay.example.com"\ndata_dir = "data"\npolicies = "policies"\n{listen}{upstreams}'
            f'[[dkim]]\ndomain = "example.com"\nselector = "s1"\nkey_file = "dkim.pem"\n'
            f'[unsubscribe]\nbase_url = "http://{self.public}"\n[store]\nurl = "{store}"\ntimeout_ms = 3000\n[auth]\n{auth}\n'
            f"[delivery]\n{delivery}\n"
            f'[http]\naddress = "127.0.0.1:0"\npublic_address = "{self.public}"\nhelp_address = "{self.help}"\n'
            f'help_url = "http://{self.help}"\n[records]\nmin_free = "1MiB"\n{extra}',
            "utf-8",
        )

    def write_policy(self, name, text, policy=None):
        """Write one policy file; the three shipped streams take the logins of this module."""
        changes = {
            "streams/correspondence.toml": [('identities = ."someone@example.com".', f'identities = ["{OFFICE}"]')],
            "streams/receipts.toml": [
                ("match = .*", f'match = {{ identities = ["{SHOP}"], listeners = [], sender_domains = [] }}')
            ],
        }
        if not self._holds:
            text = text.replace('over = "hold"', 'over = "defer"')
        for pattern, replacement in [*changes.get(name, []), *(policy or {}).get(name, [])]:
            text, count = re.subn(pattern, replacement, text, count=1)
            assert count == 1, f"{name}: nothing fits {pattern}"
        path = self.folder / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    # The process

    def start(self) -> "Relay":
        words = ["--config", str(self.config), "serve", "--workers", str(self.workers)]
        reading, writing = os.pipe()
        environment = {**os.environ, **self.environment}
        with os.fdopen(writing, "wb") as stdout, Path(os.devnull).open("rb") as stdin:
            self.process = warm.Forked(words, [stdin, stdout, stdout], env=environment)
        self._listening = Listening(os.fdopen(reading, encoding="utf-8"), self.lines)
        ready = self._listening.until_ready()
        if not ready:
            self.stop()
            raise AssertionError("the relay did not start:\n" + "".join(self.lines[-30:]))
        self.listen, self.http = ready["listen"], ready["http"]
        self.port = int(next(iter(self.listen.values())).rpartition(":")[2])
        return self

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def stop(self, seconds=60) -> int:
        """SIGTERM and wait; the exit status. `lines` are whole then."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status: int = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._listening.to_the_end()
        return status

    def kill(self) -> None:
        """kill -9 the supervisor and every worker."""
        workers = self.worker_pids()
        self.process.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def restart(self) -> "Relay":
        self.stop()
        return self.start()

    def worker_pids(self) -> list[int]:
        """The worker processes, children of the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def events(self, name) -> list[dict]:
        """The log lines of that event."""
        found = (json.loads(line) for line in self.lines if line.startswith("{"))
        return [event for event in found if event["event"] == name]

    # What people do with it

    def connect(self, login=NEWS, password=PASSWORD) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", self.port, timeout=60)
        try:
            client.ehlo()
            if login:
                client.login(login, password)
        except BaseException:
            client.close()
            raise
        return client

    def send(self, sender, recipients, data, login=None, options=(), rcpt_options=()) -> tuple[int, str]:
        """Send over a connection of its own; the reply to the dot, or to what was refused before it."""
        try:
            client = self.connect(login or sender)
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code, _text(error.smtp_error)
        with client:
            return self.send_over(client, sender, recipients, data, options, rcpt_options)

    @staticmethod
    def send_over(client, sender, recipients, data, options=(), rcpt_options=()) -> tuple[int, str]:
        try:
            client.sendmail(sender, recipients, data, options, rcpt_options)
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, _text(error.smtp_error)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            return code, _text(text)
        return 250, ""

    def get(self, door, path, body=None, headers=None) -> tuple[int, str]:
        """Fetch from the door "operators", "recipients" or "senders"."""
        request = urllib.request.Request(f"http://{self.http[door]}{path}", body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def command(self, *arguments, stdin=None, lang="en", afresh=False) -> subprocess.CompletedProcess:
        """Run a `relay` verb on this relay's configuration; `afresh` imports it, too (tests/support/warm.py)."""
        words = ["--config", str(self.config), "--lang", lang, *map(str, arguments)]
        return (warm.run_afresh if afresh else warm.run)(*words, stdin=stdin)

    def unsubscribe(self, data: bytes) -> int:
        """POST the one-click URL of a delivered copy."""
        url = unsubscribe_url(data)
        return self.get("recipients", url[url.index("/u/") :], b"List-Unsubscribe=One-Click")[0]

    def wait(self, condition, seconds=SECONDS):
        wait_until(condition, seconds, said=lambda: "".join(self.lines[-20:]))


def unsubscribe_url(data: bytes) -> str:
    (url,) = re.findall(rb"^List-Unsubscribe:\s*<([^>]+)>", data, re.MULTILINE)
    return url.decode()


def _text(error) -> str:
    return error.decode() if isinstance(error, bytes) else error
