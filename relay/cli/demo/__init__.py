"""`relay demo`: the real relay in front of a recording upstream, and what happens to real messages."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from relay.cli.demo.stage import Stage
from relay.cli.demo.story import tell
from relay.cli.output import FINDINGS, OK, say


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it running and say what to type into a mail client / 保持运行")
def demo(keep: bool) -> None:
    """Show what the relay does, on this machine alone / 在本机演示：退订、签名、限速、记录."""
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    try:
        with Stage(folder) as stage:
            held = tell(stage)
            if keep and held:
                _keep(stage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise click.exceptions.Exit(OK if held else FINDINGS)


def _keep(stage: Stage) -> None:
    host, port = stage.submission
    say("\n中继仍在运行。在邮件客户端中填写：", "\nThe relay goes on running. Type into a mail client:")
    rows = (
        ("发信服务器", "outgoing server", f"{host}:{port} (SSL/TLS)"),
        ("账号", "account", stage.login),
        ("密码", "password", stage.password),
        ("证书", "certificate", str(stage.certificate)),
        ("指标", "metrics", f"http://{stage.http['operators']}/metrics"),
    )
    for zh, en, value in rows:
        say(f"  {zh}：{value}", f"  {en}: {value}")
    say("按 Ctrl-C 结束。", "Ctrl-C ends it.")
    try:
        while stage.is_running:
            time.sleep(1)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
