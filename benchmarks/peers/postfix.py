"""Postfix with OpenDKIM as its milter on a unix socket: an instance of its own in a temporary folder, never the system's."""

import grp
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from benchmarks.load import SENDER
from benchmarks.processes import PATH, end, wait_for_port
from tests.support.ports import free_port

MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/lib
command_directory = {commands}
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{sink}
alias_maps =
alias_database =
smtpd_milters = unix:{folder}/opendkim.sock
milter_default_action = tempfail
message_size_limit = 52428800
mailbox_size_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 200
# What makes it quicker here: many deliveries at once, over connections that stay open.
default_destination_concurrency_limit = 50
initial_destination_concurrency = 50
smtp_connection_cache_destinations = [127.0.0.1]:{sink}
smtp_tls_security_level = none
smtp_dns_support_level = disabled
"""

MASTER = """127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

OPENDKIM = """Mode s
Domain {domain}
Selector s1
KeyFile {folder}/dkim.pem
Socket local:{folder}/opendkim.sock
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
InternalHosts 127.0.0.1
RequireSafeKeys no
Syslog no
UMask 000
Background no
"""


def why_not() -> str:
    """Why this peer cannot run here; "" when it can."""
    if os.geteuid() != 0:
        return "Postfix starts only as root"
    missing = [name for name in ("postfix", "opendkim", "postconf") if shutil.which(name, path=PATH["PATH"]) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Postfix:
    """Queues on the same disk, signs with RSA-2048, delivers to the sink."""

    title = "Postfix + OpenDKIM"

    def __init__(self, folder: Path, sink: int, key: Path) -> None:
        self.folder, self._sink, self._key = folder, sink, key
        self.port = free_port()
        self._milter: subprocess.Popen[bytes] | None = None
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._write()
        self._start_milter()
        try:
            self._run("check")
            with (self.folder / "postfix.log").open("wb") as log:
                daemon = f"{self._setting('daemon_directory')}/master"
                command = [daemon, "-c", str(self.folder), "-d"]
                self._master = subprocess.Popen(command, env=PATH, stdout=log, stderr=log)
            wait_for_port(self.port, "postfix", self.folder / "postfix.log")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        end(self._master)
        end(self._milter)

    def _setting(self, name: str) -> str:
        return subprocess.run(
            ["postconf", "-h", "-d", name], check=True, capture_output=True, text=True, env=PATH, timeout=30
        ).stdout.strip()

    def _write(self) -> None:
        owner = pwd.getpwnam("postfix").pw_uid
        self.folder.mkdir(mode=0o755)
        for parent in [self.folder, *self.folder.parents]:
            if parent.owner() == "root" and parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)  # its processes are not root
        names = {"folder": self.folder, "sink": self._sink, "port": self.port, "domain": SENDER.partition("@")[2]}
        names |= {"commands": self._setting("command_directory"), "daemons": self._setting("daemon_directory")}
        (self.folder / "main.cf").write_text(MAIN.format(**names))
        (self.folder / "master.cf").write_text(MASTER.format(**names))
        (self.folder / "opendkim.conf").write_text(OPENDKIM.format(**names))
        shutil.copyfile(self._key, self.folder / "dkim.pem")
        (self.folder / "queue").mkdir(mode=0o755)
        (self.folder / "lib").mkdir(mode=0o700)
        os.chown(self.folder / "lib", owner, grp.getgrnam("postfix").gr_gid)

    def _start_milter(self) -> None:
        with (self.folder / "opendkim.log").open("wb") as log:
            command = ["opendkim", "-f", "-x", str(self.folder / "opendkim.conf")]
            self._milter = subprocess.Popen(command, env=PATH, stdout=log, stderr=log)
        until = time.monotonic() + 20
        while not (self.folder / "opendkim.sock").exists():
            if self._milter.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"opendkim did not start: {(self.folder / 'opendkim.log').read_text()[-400:]}")
            time.sleep(0.05)

    def _run(self, *words: str) -> None:
        command = ["postfix", "-c", str(self.folder), *words]
        done = subprocess.run(command, check=False, env=PATH, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"postfix {words[0]}: {(done.stdout + done.stderr)[-400:]}")
