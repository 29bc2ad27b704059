"""Haraka with its dkim plugin, one process per core, forwarding while its client waits, as the relay does."""

import shutil
from pathlib import Path
from typing import Any, Self

from benchmarks.load import SENDER
from benchmarks.processes import PATH, Process
from tests.support.ports import free_port
from tests.support.service import ROOT

MODULES = ROOT / ".venv/haraka/node_modules"  # .ci/servers bench
PROGRAM = MODULES / "Haraka/bin/haraka"

FILES = {
    "plugins": "relay\ndkim\nqueue/smtp_forward\n",
    "smtp.ini": "listen=127.0.0.1:{port}\nnodes={workers}\n",
    "log.ini": "[main]\nlevel=warn\n",
    "me": "haraka.example.com\n",
    "host_list": "",
    "internalcmd_key": "",
    "relay.ini": "[relay]\nacl=true\n",
    "relay_acl_allow": "127.0.0.0/8\n",
    "dkim.ini": "[sign]\nenabled=true\nselector=s1\ndomain={domain}\n"
    "headers=From, Subject, Date, To, Cc, Reply-To, MIME-Version, Content-Type, Message-ID\n"
    "[canon]\nbody=relaxed\n[verify]\nenabled=false\n",
    "smtp_forward.ini": "[main]\nhost=127.0.0.1\nport={sink}\nenable_outbound=true\n",
}


def why_not() -> str:
    """Why this peer cannot run here; "" when it can."""
    if shutil.which("node", path=PATH["PATH"]) is None:
        return "not installed: node"
    return "" if PROGRAM.exists() else "npm could not fetch Haraka (.ci/servers bench says why)"


class Haraka(Process):
    """Signs with RSA-2048 and forwards over a connection of its own for each message; nothing touches the disk."""

    title = "Haraka"

    def __init__(self, folder: Path, sink: int, key: Path, *, workers: int) -> None:
        self.port = free_port()
        names = {"port": self.port, "sink": sink, "workers": workers, "domain": SENDER.partition("@")[2]}
        settings = folder / "config"
        settings.mkdir(parents=True)
        for name, text in FILES.items():
            (settings / name).write_text(text.format(**names))
        shutil.copyfile(MODULES / "Haraka/config/connection.ini", settings / "connection.ini")
        shutil.copyfile(key, settings / "dkim.private.key")
        (folder / "node_modules").symlink_to(MODULES)
        super().__init__(["node", str(PROGRAM), "-c", str(folder)], log=folder / "haraka.log", port=self.port, folder=folder)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        super().__exit__(*about)
