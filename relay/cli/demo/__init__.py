"""`relay demo`: the real relay in front of a recording provider, and what happens to real messages."""

import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import click

from relay.cli.demo.stage import LIMIT, Stage
from relay.cli.demo.story import tell
from relay.cli.output import CONFIGURATION, FINDINGS, OK, fail, say, warn


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it running and say what to type into a mail client / 保持运行")
def demo(keep: bool) -> None:
    """Show what the relay does, on this machine alone / 在本机演示：签名、退订、拒绝、限速、记录."""
    if sys.platform == "win32":
        fail(CONFIGURATION, "演示只能在 Linux 等系统上运行", "the demo runs on Linux and other POSIX systems only")
    say(
        "在本机启动中继（一次性密钥、内置存储）和一个模拟的邮件服务商；邮件不会离开本机。",
        "Starting the relay (throw-away keys, embedded store) in front of a make-believe provider; no mail leaves this machine.",
    )
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with Stage(Path(tempfile.mkdtemp(prefix="relay-demo-"))) as stage:
            held = tell(stage)
            if keep and held:
                held = _keep(stage)
    finally:
        signal.signal(signal.SIGTERM, before)
    raise click.exceptions.Exit(OK if held else FINDINGS)


def _keep(stage: Stage) -> bool:
    """Leave it running until Ctrl-C, and say what arrives; False when the relay ended by itself."""
    host, port = stage.submission
    before = len(stage.provider.taken)
    say(
        "\n中继继续运行。在邮件客户端或脚本中填写（最好新建一个测试账号）：",
        "\nThe relay goes on running. Type into a mail client or script (best into a new account):",
    )
    rows = (
        ("发信服务器", "outgoing server", f"{host}, port {port}, SSL/TLS"),
        ("账号，也是发件地址", "user name and address", stage.login),
        ("密码", "password", stage.password),
        ("证书（自签，请信任一次）", "certificate (its own, to be trusted once)", str(stage.certificate)),
    )
    for zh, en, value in rows:
        say(f"  {zh}：{value}", f"  {en}: {value}")
    say(
        f"限速（{LIMIT}）已被上面的邮件用完：请等一分钟再发第一封。",
        f"The limit ({LIMIT}) is used up by the mails above: wait a minute before your first.",
    )
    say("在另一个终端中可以：", "In another terminal you can:")
    command = shlex.join([*_program(), "--config", str(stage.config)])
    for line in (f"{command} policy show", f"{command} records search", f"curl http://{stage.http['operators']}/metrics"):
        click.echo(f"  {line}")
    say("按 Ctrl-C 结束。\n", "Ctrl-C ends it.\n")
    return _wait(stage, before)


def _program() -> list[str]:
    """What to type for this program in a terminal that may stand in another folder."""
    called, found = Path(sys.argv[0]).absolute(), shutil.which("relay")
    if called.name == "__main__.py":
        return [sys.executable, "-m", "relay"]
    return ["relay"] if found and Path(found).absolute() == called else [str(called)]


def _wait(stage: Stage, seen: int) -> bool:
    """Say what arrives after the first `seen` copies, and keep each as a file."""
    try:
        while stage.is_running:
            for taken in stage.provider.taken[seen:]:
                seen += 1
                file = stage.folder / f"arrived-{seen}.eml"
                file.write_bytes(taken.data)
                recipients = ", ".join(taken.recipients)
                say(
                    f"服务商收到：{taken.size} 字节，发给 {recipients}：{file}",
                    f"the provider got {taken.size} octets for {recipients}: {file}",
                )
            time.sleep(0.2)
    except KeyboardInterrupt:
        click.echo()
        return True
    warn("中继意外结束。", "The relay ended by itself.")
    return False


def _end(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that the relay is stopped and the folder removed."""
    raise KeyboardInterrupt
