"""The `relay` command: one root, and a table of its verbs.

A verb's module is imported when that verb is asked for: `relay --version`,
`relay --help` and the small verbs do not wait for the libraries of the big ones.
"""

import gc
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import click

from relay import __version__
from relay.cli.output import CONFIGURATION, DISK_FULL, FINDINGS, UNREACHABLE, USAGE, fail, text, understand_language
from relay.errors import ConfigurationError, RecordsUnavailable, StoreUnavailable


class Verb(NamedTuple):
    """Where a verb is (a module of relay.cli, with a command of the verb's name), and what it does in a few words."""

    module: str
    zh: str
    en: str


VERBS = {
    "demo": Verb("demo", "在本机演示中继做什么", "Show what the relay does, on this machine alone"),
    "init": Verb("init", "回答十个问题，生成配置、策略与密钥", "Ten questions; writes configuration, policies and keys"),
    "check": Verb("check", "检查配置，列出错误与待办", "Check the configuration: what is wrong, what is still to do"),
    "serve": Verb("serve", "运行服务", "Run the service"),
    "explain": Verb("explain", "解释一次拒绝，或试判一封邮件", "Explain a refusal, or judge a message without sending it"),
    "lint": Verb("lint", "发送前检查邮件文件", "What the rules have against a message file, with place and remedy"),
    "send": Verb("send", "试发：逐个收件人给出结论，不发出任何邮件", "With --dry-run: each recipient's verdict; nothing leaves"),
    "policy": Verb("policy", "策略：应用、查看、测试、比较、重判", "Policy sets: apply, show, test, compare, replay"),
    "schema": Verb("policy", "输出策略文件的 JSON Schema", "Print the JSON Schema of a kind of policy file"),
    "streams": Verb("streams", "邮件流：投诉与退信、暂停与恢复", "How each stream's mail is received; pause and resume"),
    "held": Verb("held", "暂存的邮件：查看、放行、重试、丢弃", "Mail that waits to be sent later: look, release, retry, drop"),
    "upstream": Verb("upstream", "上游服务器：暂缓、降速与暂停", "What upstreams' replies led to; pause and resume"),
    "transfers": Verb(
        "transfers", "本年度个人信息出境人数与依据上限", "How many persons' data left the country; what may still leave"
    ),
    "suppress": Verb("suppress", "禁发名单", "The suppression list: who must not be written to"),
    "consent": Verb("consent", "同意台账：登记、查询、导入、导出、撤回", "The consent ledger: who agreed to what, and the proof"),
    "dkim": Verb("dkim", "DKIM 密钥与签名", "DKIM keys and signatures"),
    "records": Verb("records", "查询、核验记录，制作月度报告", "Search and verify the records; monthly reports"),
    "evidence": Verb("evidence", "导出证明材料", "Write everything on a message or a mailbox into one ZIP"),
    "users": Verb("users", "中继自身的登录用户", "Who may log in to the relay itself"),
    "tls": Verb("tls", "自建证书", "A certificate by an authority of your own"),
    "keys": Verb("keys", "密钥环", "The key rings"),
    "backup": Verb("backup", "备份存储、记录、策略与密钥", "Back up store, records, policy sets and keys"),
    "restore": Verb("backup", "恢复到空目录", "Put a backup into an empty place"),
}


class _Root(click.Group):
    """The verbs of the table, imported when asked for; faults that people can mend end them with a text and a code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as fault:
            fail(CONFIGURATION, str(fault), str(fault))
        except (StoreUnavailable, RecordsUnavailable) as fault:
            fail(UNREACHABLE, f"无法使用存储：{fault}", f"The store cannot be used: {fault}")
        except OSError as fault:  # a file that was named on the command line
            if fault.errno in DISK_FULL:
                _fail_on_full_disk(fault)
            if fault.filename is None:
                raise
            fail(USAGE, f"{fault.filename}：{fault.strerror}", f"{fault.filename}: {fault.strerror}")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command: click.Command = getattr(_imported(verb.module), cmd_name)
        understand_language(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(text("命令", "Commands")):
            formatter.write_dl([(name, text(verb.zh, verb.en)) for name, verb in VERBS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a verb that is mistyped gets the nearest of the table, which click does not know."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as fault:
            if near := get_close_matches(args[0], VERBS, 1):
                raise click.UsageError(f"{fault.message} Did you mean '{near[0]}'?", ctx) from None
            raise


def _fail_on_full_disk(fault: OSError) -> NoReturn:
    """Say what could not be written. What stdout still holds is let go, or Python's own end would meet the same fault."""
    if fault.filename is None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    zh, en = (fault.filename, fault.filename) if fault.filename else ("标准输出", "The output")
    fail(FINDINGS, f"无法写入 {zh}：{fault.strerror}", f"{en} cannot be written: {fault.strerror}")


def _imported(name: str) -> ModuleType:
    """The verb's module. What it is made of stays to the end: where `main` asked for it, no collection ever looks through it."""
    module = import_module(f"relay.cli.{name}")
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    return module


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", help="config.toml; else $RELAY_CONFIG, ./config.toml, /etc/relay/config.toml")
@click.version_option(__version__, prog_name="relay")
def root(config: str | None) -> None:
    """Enforce e-mail compliance at the moment of sending / 在发送的一刻执行邮件合规规则."""


understand_language(root)


def main() -> None:
    """Run the command. A terminal that cannot show a letter gets its number instead of a fault."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    gc.disable()  # until the verb is imported
    try:
        root(prog_name="relay")
    except OSError as fault:  # texts of click itself, as of --help
        if fault.errno not in DISK_FULL:
            raise
        with suppress(click.exceptions.Exit):
            _fail_on_full_disk(fault)
        sys.exit(FINDINGS)


if __name__ == "__main__":
    main()
