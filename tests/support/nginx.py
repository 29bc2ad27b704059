"""A real nginx of our own on a free port of 127.0.0.1, around a snippet that our documents print; no privileges, no daemon."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import needs
from tests.support.waiting import wait_for_server

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


class Nginx:
    """`server` is a whole server block, as somebody would have it in a file of its own."""

    def __init__(self, folder: Path, server: str) -> None:
        needs("nginx")
        folder.mkdir(parents=True)
        self.folder = folder
        self.config = folder / "nginx.conf"
        self.config.write_text(_CONFIG.format(folder=folder, server=server), "utf-8")
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
        self._command = [program, "-p", str(folder), "-c", str(self.config), "-e", str(folder / "error.log")]

    def tried(self) -> subprocess.CompletedProcess[str]:
        """What `nginx -t` thinks of it."""
        return subprocess.run([*self._command, "-t"], capture_output=True, text=True, timeout=60, check=False)

    @property
    def accesses(self) -> str:
        """What it noted of requests."""
        return (self.folder / "access.log").read_text("utf-8")

    @contextmanager
    def running(self):
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            self._wait(process)
            yield self
        finally:
            process.terminate()
            process.wait(30)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """The pid file is written once the sockets listen."""
        pid = self.folder / "nginx.pid"
        wait_for_server(process, lambda: pid.exists() and pid.read_text().strip(), (self.folder / "error.log").read_text)
