"""What the command says: texts in Chinese or English, JSON for machines, exit codes for scripts.

The language is the nearest `--lang` of the command line, which every verb
takes (`understand_language`), else RELAY_LANG, else the locale (LC_ALL,
LC_MESSAGES, LANG).  Both texts are written where the fact
is known, Chinese first: `say("已完成", "done")`.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from relay.policy.consents.moment import bounded

OK = 0  # done, or permitted
FINDINGS = 1  # findings, or refused
USAGE = 2
CONFIGURATION = 3  # configuration or policy invalid
UNREACHABLE = 4  # store or upstream
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ASKED = "relay.language"


def language() -> str:
    """Return "zh" or "en"."""
    current = click.get_current_context(silent=True)
    asked = (current and current.meta.get(_ASKED)) or _from_environment(os.environ)
    return "zh" if asked.lower().startswith("zh") else "en"


def understand_language(command: click.Command) -> None:
    """Let a command, and every one below it, take --lang; the one that stands last on the command line counts."""
    if all("--lang" not in parameter.opts for parameter in command.params):
        command.params.append(
            click.Option(
                ["--lang"],
                type=click.Choice(["zh", "en"], case_sensitive=False),
                is_eager=True,
                expose_value=False,
                callback=_ask_for,
                help="Language of texts; else $RELAY_LANG, $LANG / 语言",
            )
        )
    if isinstance(command, click.Group):
        for below in command.commands.values():
            understand_language(below)


def _ask_for(context: click.Context, _: click.Parameter, wanted: str | None) -> None:
    if wanted:
        context.meta[_ASKED] = wanted


def option(name: str) -> str:
    """The value of an option on this command or the nearest one above it, "" when nobody gave it."""
    current = click.get_current_context(silent=True)
    while current is not None:
        if value := current.params.get(name):
            return str(value)
        current = current.parent
    return ""


def text(zh: str, en: str) -> str:
    """Choose between two texts of the same meaning."""
    return zh if language() == "zh" else en


def say(zh: str, en: str) -> None:
    """Print one text for people on stdout."""
    click.echo(text(zh, en))


def warn(zh: str, en: str) -> None:
    """Print one text for people on stderr: a fault that does not end the command, or a remark beside the output."""
    click.echo(text(zh, en), err=True)


def counted(number: int, one: str, more: str = "") -> str:
    """A number with its English noun: 1 user, 2,000 users."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def local_time(at: float) -> str:
    """A moment as people on this machine read it, with its zone."""
    return datetime.fromtimestamp(bounded(at), UTC).astimezone().isoformat(" ", "seconds")


def emit_json(value: Any) -> None:
    """Print one JSON document for machines on stdout."""
    click.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def fail(code: int, zh: str, en: str) -> NoReturn:
    """Print the fault on stderr and end the command with this exit code."""
    warn(zh, en)
    raise click.exceptions.Exit(code)


def require_new(path: Path) -> None:
    """End the command where a file that is to be written is there already, or its folder is not."""
    if path.exists():
        _fail_to_overwrite(path)
    require_folder(path)


def require_folder(path: Path) -> None:
    """End the command where the folder of a file that is to be written is not there: no command makes one by mistyping."""
    if not path.absolute().parent.is_dir():
        fail(USAGE, f"没有目录 {path.parent}", f"there is no folder {path.parent}")


def write_new(path: Path, octets: bytes) -> None:
    """Write a file that only this user reads; one that is there already stays as it is."""
    require_folder(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        _fail_to_overwrite(path)
    except OSError as error:
        _fail_to_write(path, error)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a file helps nobody, and would stand in the way of the next try
        _fail_to_write(path, error)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Lend a full disk the name of the file that was being written: a write that fails says none."""
    try:
        yield
    except OSError as fault:
        if fault.errno in DISK_FULL and fault.filename is None:
            fault.filename = str(path)
        raise


def _fail_to_overwrite(path: Path) -> NoReturn:
    fail(FINDINGS, f"{path} 已存在，不会覆盖；请另选文件名。", f"{path} exists and is not overwritten; choose another name.")


def _fail_to_write(path: Path, error: OSError) -> NoReturn:
    fail(FINDINGS, f"无法写入 {path}：{error.strerror}", f"{path} cannot be written: {error.strerror}")


def _from_environment(environment: Mapping[str, str]) -> str:
    names = ("RELAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    return next((environment[name] for name in names if environment.get(name)), "")
