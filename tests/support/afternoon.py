"""Somebody's first afternoon with an installed relay, from `pip install .` to `relay serve`."""

import shlex
import smtplib
import ssl
import subprocess

from tests.support.beginner import write_answers
from tests.support.ports import free_port
from tests.support.serving import Listening
from tests.support.waiting import wait_until
from tests.support.wheel_venv import environment, pip_install

NEWS, PASSWORD = "news@qingshan.test", "ABCDEFGHIJKLMNOP"
MAIL = (
    f"From: Qingshan <{NEWS}>\r\nTo: ada@reader.test\r\nSubject: =?utf-8?b?5paw6Ze7?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n您好，这是第一期。\r\n"
).encode()


class Afternoon:
    """One person at one terminal; `typed` is what the person entered."""

    def __init__(self, folder, upstream, install=pip_install):
        self.folder, self.upstream, self.install = folder, upstream, install
        self.typed: list[str] = []
        self.port, self.public = free_port(), free_port()
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []

    def live(self, **answers):
        """The four commands; the fourth goes on running. `answers` are other ones than usual."""
        self.bin = self.install(self.folder)
        self.typed.append("pip install .")
        usual = {
            "provider": f"netease {self.upstream.address}",
            "ca_file": self.upstream.ca_file,
            "listener": f"127.0.0.1:{self.port}",
            "public_url": f"http://127.0.0.1:{self.public}",
            "privacy_url": "https://127.0.0.1:9/privacy",
        }
        write_answers(self.folder, **(usual | answers))
        self.initialised = self.type("relay init --answers answers.toml --private-ca")
        assert self.initialised.returncode == 0, self.initialised.stderr
        self.choose_free_ports()
        self.checked = self.type("relay check")
        self.serve()
        return self

    def choose_free_ports(self):
        """What no person needs to do: other tests use the usual ports meanwhile."""
        config = self.folder / "config.toml"
        text = config.read_text("utf-8")
        text = text.replace("127.0.0.1:8026", f"127.0.0.1:{self.public}").replace("8027", str(free_port()))
        config.write_text(text.replace("[http]\n", '[http]\naddress = "127.0.0.1:0"\n'), "utf-8")

    def type(self, command):
        self.typed.append(command)
        return self.run(command)

    def run(self, command):
        verb, *arguments = shlex.split(command)
        return subprocess.run(
            [self.bin / verb, *arguments],
            cwd=self.folder,
            env=environment() | {"RELAY_LANG": "en"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def serve(self):
        self.typed.append("relay serve")
        self.process = subprocess.Popen(
            [self.bin / "relay", "serve", "--workers", "1"],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert Listening(self.process.stdout, self.said).until_ready(), "".join(self.said)

    def send(self, recipients, data, sender=NEWS):
        """As Foxmail or a script does: TLS with a certificate that is trusted, then AUTH."""
        context = ssl.create_default_context(cafile=self.folder / "tls/ca.crt")
        with smtplib.SMTP_SSL("127.0.0.1", self.port, context=context, timeout=60) as client:
            client.login(NEWS, PASSWORD)
            return client.sendmail(sender, recipients, data)

    def wait(self, condition):
        wait_until(condition, said=lambda: "".join(self.said[-20:]))

    def end(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(60) == 0
