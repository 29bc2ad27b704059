"""A real Dovecot on free ports of 127.0.0.1, with its configuration and mail in a folder of its own."""

import grp
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import trustme

from tests.support.needs import needs
from tests.support.ports import free_port
from tests.support.waiting import wait_for_server

_CONFIG = """\
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 0
mailbox_idle_check_interval = 1 secs
mail_max_userip_connections = 100
imap_capability = {capability}
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
namespace inbox {{
  inbox = yes
  mailbox Unwanted {{
    special_use = \\Junk
  }}
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """One server; `drop` puts mails where an MDA would, as new files in the Maildir of a login."""

    def __init__(self, *, idle: bool = True, password: str = "secret") -> None:
        needs("dovecot")
        self._temporary = tempfile.TemporaryDirectory(prefix="relay-dovecot-")
        self.folder = folder = Path(self._temporary.name)
        folder.chmod(0o755)  # the server's own user must come through; below pytest's folder it would not
        self.port, self.tls_port = free_port(), free_port()
        self.ca_file = folder / "ca.pem"
        self._idle = idle
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._dropped = 0
        root = os.getuid() == 0
        self._user = pwd.getpwnam("mail") if root else pwd.getpwuid(os.getuid())
        self._internal = "dovecot" if root else self._user.pw_name
        self._login = "dovenull" if root else self._user.pw_name

    def start(self) -> "Dovecot":
        for name in ("run", "state", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self.ca_file.exists():
            authority = trustme.CA()
            authority.cert_pem.write_to_path(str(self.ca_file))
            issued = authority.issue_cert("127.0.0.1", "localhost")
            (self.folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
            issued.private_key_pem.write_to_path(str(self.folder / "server.key"))
        capability = "+" if self._idle else "IMAP4rev1 LITERAL+ ID UIDPLUS"
        self._configuration.write_text(
            _CONFIG.format(
                folder=self.folder,
                user=self._user.pw_name,
                group=grp.getgrgid(self._user.pw_gid).gr_name,
                internal=self._internal,
                internal_group=grp.getgrgid(pwd.getpwnam(self._internal).pw_gid).gr_name,
                login=self._login,
                password=self._password,
                port=self.port,
                tls_port=self.tls_port,
                capability=capability,
            )
        )
        self._own(self.folder / "mail")
        program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program
        with (self.folder / "out.log").open("ab") as out:
            self._process = subprocess.Popen([program, "-F", "-c", str(self._configuration)], stdout=out, stderr=out)
        wait_for_server(self._process, self._answers, self.log)
        return self

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._temporary.cleanup()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def log(self) -> str:
        logs = (self.folder / "out.log", self.folder / "dovecot.log")
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in logs if path.exists())

    @property
    def _configuration(self) -> Path:
        return self.folder / "dovecot.conf"

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as probe:
            probe.settimeout(5)
            return probe.recv(4) == b"* OK"
        return False

    # Mail

    def maildir(self, login: str) -> Path:
        path = self.folder / "mail" / login
        if not path.exists():
            for name in ("new", "cur", "tmp"):
                (path / name).mkdir(parents=True)
            self._own(path)
        return path

    def folder_of(self, login: str, name: str) -> Path:
        """Another folder of this login, by its name on the disk."""
        box = self.maildir(login) / f".{name}"
        if not box.exists():
            for part in ("new", "cur", "tmp"):
                (box / part).mkdir(parents=True)
            (box / "maildirfolder").touch()
            self._own(box)
        return box

    def drop(self, login: str, *mails: bytes, folder: str = "") -> None:
        """Deliver mails; their order is that of the arguments."""
        box = self.folder_of(login, folder) if folder else self.maildir(login)
        for mail in mails:
            self._dropped += 1
            name = f"{1_700_000_000 + self._dropped}.{self._dropped:07d}.test"
            path = box / "tmp" / name
            path.write_bytes(mail)
            self._own(path)
            path.rename(box / "new" / name)

    def flags(self, login: str) -> dict[bytes, str]:
        """The mails by their octets, each with its Maildir flags ("S": read)."""
        box = self.maildir(login)
        found = {}
        for path in [*(box / "new").iterdir(), *(box / "cur").iterdir()]:
            octets, name = _read_renamed(path)
            found[octets] = name.partition(":2,")[2]
        return found

    def _own(self, path: Path) -> None:
        if os.getuid() == 0:
            for one in (path, *(path.rglob("*") if path.is_dir() else ())):
                os.chown(one, self._user.pw_uid, self._user.pw_gid)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


def _read_renamed(path: Path) -> tuple[bytes, str]:
    """Return a mail and its name of now: Dovecot moves it to cur, and renames it with each flag, while we look."""
    now = path
    for _ in range(20):
        with suppress(FileNotFoundError):
            return now.read_bytes(), now.name
        now = next(path.parent.parent.glob(f"*/{path.name.partition(':')[0]}*"), path)
    raise FileNotFoundError(path)
