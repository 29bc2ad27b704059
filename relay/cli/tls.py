"""`relay tls private-ca`: a certificate for the listener by an authority of our own; run again, it renews."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from relay.cli.init.authority import Pair, is_issued_by, issue, make_authority, names_of, outside
from relay.cli.init.cards import trust
from relay.cli.init.files import AUTHORITY, AUTHORITY_KEY, write_new
from relay.cli.output import FINDINGS, USAGE, fail, option, say
from relay.config import Config, load_config
from relay.errors import ConfigurationError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
_SECRET, _OWN, _SHARED = 0o600, 0o640, 0o644


@click.group("tls")
def tls() -> None:
    """The certificate that mail clients see / 邮件客户端看到的证书."""


@tls.command("private-ca")
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="What mail clients type as the server / 客户端填写的服务器名"
)
def private_ca(names: tuple[str, ...]) -> None:
    """Make a private CA and a certificate for [tls]; again: renew the certificate / 自建证书；再次运行即续期."""
    config = load_config(option("config"))
    certificate, key = _places(config)
    folder = certificate.parent
    authority_files = folder / Path(AUTHORITY).name, folder / Path(AUTHORITY_KEY).name
    is_new = not authority_files[0].exists()
    if is_new:
        authority = make_authority([*_names(names), config.hostname], config.hostname, datetime.now(UTC))
    else:
        authority = Pair(*(path.read_bytes() for path in authority_files))
    old = certificate.read_bytes() if certificate.exists() else b""
    if old and not is_issued_by(old, authority):
        fail(
            FINDINGS,
            f"{certificate} 不是由这个自建机构签发的，不会覆盖；请先把它移走。",
            f"{certificate} is not from this private CA and is not overwritten; move it away first.",
        )
    wanted = list(names) or names_of(old) or _names(())
    if beyond := outside(authority, wanted):
        listed = ", ".join(beyond)
        fail(
            FINDINGS,
            f"此自建机构不能为 {listed} 作证：请移走 {authority_files[0]} 和 {authority_files[1]}，重新自建并让电脑信任新的。",
            f"this private CA cannot vouch for {listed}: move {authority_files[0]} and {authority_files[1]} away, make another"
            " and have the PCs trust that.",
        )
    if not outside(authority, [config.hostname]):
        wanted = list(dict.fromkeys([*wanted, config.hostname]))
    fresh = issue(authority, wanted, datetime.now(UTC))
    if is_new:
        write_new(authority_files[1], authority.key, _SECRET)
        write_new(authority_files[0], authority.certificate, _SHARED)
    _replace(key, fresh.key, _OWN)
    _replace(certificate, fresh.certificate, _SHARED)
    shown = ", ".join(wanted)
    say(
        f"已为 {shown} 签发证书 {certificate}；运行中的服务会自动读取。",
        f"{certificate} is made out to {shown}; a running relay reads it by itself.",
    )
    if is_new:
        click.echo("\n".join(["", *trust(shown)]))


def _places(config: Config) -> tuple[Path, Path]:
    if not (config.tls.certificate_file and config.tls.private_key_file):
        raise ConfigurationError("[tls]: name certificate_file and private_key_file; they are what this command writes")
    return config.path(config.tls.certificate_file), config.path(config.tls.private_key_file)


def _names(names: tuple[str, ...]) -> list[str]:
    for name in names:
        if not _HOST.fullmatch(name):
            fail(USAGE, f"“{name}”不是主机名或 IP 地址", f'"{name}" is neither a host name nor an address')
    if not names:
        fail(
            USAGE,
            "请用 --name 写明邮件客户端填写的服务器名或 IP 地址",
            "name the server as mail clients type it: --name relay.example.com",
        )
    return list(names)


def _replace(path: Path, octets: bytes, mode: int) -> None:
    """Put a new file in the place of an old one, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    write_new(draft, octets, mode)
    draft.replace(path)
