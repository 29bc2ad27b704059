"""What `relay check` found, and how it is shown: what is fine, then one numbered list of everything that wants a hand."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import click

from relay.cli.output import say, text
from relay.errors import RelayError

Both = tuple[str, str]


@dataclass
class Findings:
    """What is fine, what is wrong, what is still to do; each text in Chinese and English.

    What is wrong or to do names the command, the file, the section or the DNS record that mends it.
    """

    fine: list[Both] = field(default_factory=list)
    faults: list[Both] = field(default_factory=list)
    to_do: list[Both] = field(default_factory=list)
    unreachable: int = 0  # how many of the faults are of a store, an upstream, a server that does not answer

    def good(self, zh: str, en: str) -> None:
        self.fine.append((zh, en))

    def wrong(self, zh: str, en: str) -> None:
        self.faults.append((zh, en))

    def later(self, zh: str, en: str) -> None:
        self.to_do.append((zh, en))

    def raised(self, fault: RelayError) -> None:
        """Take in every line of an exception's text; such texts name place and remedy themselves."""
        self.faults += [(line, line) for line in str(fault).splitlines()]


def warn_if_open(path: Path, findings: Findings) -> None:
    """Note a file or a folder that everybody on this machine may read."""
    if os.name == "posix" and path.stat().st_mode & 0o007:
        mode = "700" if path.is_dir() else "600"
        findings.later(
            f"{path}：任何人都可读取，请运行 chmod {mode} {path}", f"{path}: everybody may read it; run: chmod {mode} {path}"
        )


def show(findings: Findings) -> None:
    """Print them for people; faults stand before what can wait, and carry a cross."""
    for both in findings.fine:
        click.echo(f"✓ {text(*both)}")
    if findings.faults:
        say("\n尚待完成，先处理错误（✗）：", "\nStill to do, what is wrong (✗) first:")
    elif findings.to_do:
        say("\n尚待完成：", "\nStill to do:")
    else:
        say("一切就绪。", "Everything is in place.")
    for number, both in enumerate(findings.faults, 1):
        click.secho(f"{number:3}. ✗ {text(*both)}", fg="red")
    for number, both in enumerate(findings.to_do, len(findings.faults) + 1):
        click.echo(f"{number:3}. {text(*both)}")
