"""`relay users`: who may log in to the relay itself (`[auth] mode = "users"`)."""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from relay.cli.output import FINDINGS, OK, USAGE, counted, emit_json, fail, option, say
from relay.config import load_config
from relay.doors.users import User, hash_password, is_right, load_users, save_users
from relay.errors import ConfigurationError
from relay.logins import fold_login, parse_owned
from relay.mail.mailbox import Mailbox, MailboxError

_MIN_PASSWORD = 8

_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input / 从标准输入读取密码")


@click.group("users")
def users() -> None:
    """Who may log in to the relay itself / 中继自身的登录用户."""


@users.command("add")
@click.argument("name")
@click.option(
    "--owns", multiple=True, metavar="ADDRESS|@DOMAIN", help="What it may send as; default: its name / 可使用的发件地址"
)
@_stdin
def add(name: str, owns: tuple[str, ...], password_stdin: bool) -> None:
    """Add a user, asking for the password / 添加用户."""
    path, held = _open()
    folded = fold_login(name)
    if not folded.strip():
        fail(USAGE, "请写明用户名。", "Name the user: with an empty name nobody can log in.")
    if folded in held:
        fail(FINDINGS, f"用户 {folded} 已存在。", f"The user {folded} is there already.")
    owned = frozenset(map(_owned, owns)) or _default_owned(name)
    held[folded] = User(folded, hash_password(_password(password_stdin)), owned)
    save_users(path, held.values())
    shown = ", ".join(sorted(owned))
    say(f"已添加 {folded}，可使用：{shown or '（无）'}", f"{folded} is added and may send as: {shown or 'nobody yet'}")


@users.command("passwd")
@click.argument("name")
@_stdin
def passwd(name: str, password_stdin: bool) -> None:
    """Set a user's password / 修改密码."""
    path, held = _open()
    user = _existing(held, name)
    held[user.name] = replace(user, password_hash=hash_password(_password(password_stdin)))
    save_users(path, held.values())
    say(f"{user.name} 的密码已修改。", f"The password of {user.name} is changed.")


@users.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a user / 删除用户."""
    path, held = _open()
    user = _existing(held, name)
    del held[user.name]
    save_users(path, held.values())
    say(f"已删除 {user.name}。", f"{user.name} is removed.")


@users.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_users(as_json: bool) -> None:
    """List users and what they own; never shows a hash / 列出用户."""
    _, held = _open()
    rows = [{"name": user.name, "owns": sorted(user.owns)} for user in held.values()]
    if as_json:
        emit_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']}  {', '.join(row['owns'])}")


@users.command("check")
@click.argument("name", required=False)
@_stdin
def check(name: str | None, password_stdin: bool) -> None:
    """Read the file, and with NAME try a password / 检查文件，或核对密码."""
    path, held = _open()
    if name is None:
        say(f"{path}：{len(held)} 个用户，没有问题。", f"{path}: {counted(len(held), 'user')}, no findings.")
        return
    user = _existing(held, name)
    if not is_right(user.password_hash, _password(password_stdin, confirm=False)):
        fail(FINDINGS, "密码不正确。", "The password is wrong.")
    say("密码正确。", "The password is right.")
    raise click.exceptions.Exit(OK)


def _open() -> tuple[Path, dict[str, User]]:
    """The users file of the configuration and who is in it; nobody when it does not exist yet.

    Raises ConfigurationError.
    """
    config = load_config(option("config"))
    if not config.auth.users_file:
        raise ConfigurationError(
            '[auth] users_file is not set: write mode = "users" and users_file = "users.toml"'
            ' / 未设置 users_file：请写 mode = "users" 和 users_file = "users.toml"'
        )
    path = config.path(config.auth.users_file)
    return path, load_users(path) if path.exists() else {}


def _existing(held: dict[str, User], name: str) -> User:
    user = held.get(fold_login(name))
    if user is None:
        fail(FINDINGS, f"没有用户 {name}。", f"There is no user {name}.")
    return user


def _owned(text: str) -> str:
    try:
        return parse_owned(text)
    except ValueError as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--owns") from None


def _default_owned(name: str) -> frozenset[str]:
    with suppress(MailboxError):
        return frozenset({Mailbox.parse(name).key})
    return frozenset()


def _password(from_stdin: bool, *, confirm: bool = True) -> str:
    """From standard input or asked on the terminal; never an argument, which other users of the machine could see."""
    if from_stdin or not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            fail(
                USAGE,
                "没有收到密码：请在终端运行，或用 --password-stdin 从标准输入给出。",
                "No password came: run this at a terminal, or give it on standard input with --password-stdin.",
            )
        text = line.rstrip("\r\n")
    else:
        text = click.prompt("密码 / Password", hide_input=True, confirmation_prompt=confirm, err=True)
    if confirm and (len(text) < _MIN_PASSWORD or not text.isprintable()):
        fail(
            FINDINGS,
            f"密码至少 {_MIN_PASSWORD} 个可见字符。",
            f"A password has {_MIN_PASSWORD} printable characters or more.",
        )
    return str(text)
