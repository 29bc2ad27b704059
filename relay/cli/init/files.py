"""The files that `relay init` writes: all of them made and validated in memory first, then written, or none.

Policies are the shipped files with lines replaced, so that their comments in
both languages stay.
"""

import os
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.cli.init.answers import Answers, Both
from relay.cli.init.authority import issue, make_authority
from relay.cli.output import named
from relay.cli.shipped import shipped_policies
from relay.config import Config, parse_config
from relay.errors import ConfigurationError
from relay.hosts import split_host_port
from relay.keys import dump_keys, new_keys
from relay.policy.sets.parse import parse_policies
from relay.render.signing import Signer, load_signer
from relay.service.policies import config_faults
from relay.upstream.profile import load_profiles

SELECTOR = "relay1"
CERTIFICATE, CERTIFICATE_KEY = "tls/relay.crt", "tls/relay.key"
KEYS = "keys/keys.toml"  # where they must not lie in data_dir
AUTHORITY, AUTHORITY_KEY = "tls/ca.crt", "tls/ca.key"
STREAM = "newsletter"
_EXAMPLE = ".example"
_SYSTEM_FOLDER, _SYSTEM_DATA = Path("/etc/relay"), "/var/lib/relay"
_USED = ("store.id", "relay.db", "records.db")  # what a data_dir has that is or was in use
_SHARED, _OWN, _SECRET = 0o644, 0o640, 0o600


class Made(NamedTuple):
    """One file to write; its path is the one that it will have."""

    path: Path
    octets: bytes
    mode: int


class Plan(NamedTuple):
    """Everything that is about to be written, config.toml last, and what people are told about it."""

    files: list[Made]
    config: Config
    signer: Signer


def plan(answers: Answers, config_path: Path, today: date, now: datetime, *, private_ca: bool) -> Plan:
    """Make every file in memory, and read config.toml and policies as the relay will.

    Raises ConfigurationError.
    """
    folder = config_path.absolute().parent
    octets = _config_text(answers, folder).encode()
    config = parse_config(octets, str(config_path), folder)
    key = _new_dkim_key()
    policies = _policies(answers)
    policy = parse_policies({name: text for name, text in policies.items() if name.endswith(".toml")})
    if faults := config_faults(policy, config, load_profiles()):
        raise ConfigurationError("\n".join(faults))
    files = [Made(config.policies_path / name, text, _SHARED) for name, text in policies.items()]
    files.append(Made(config.keys_path, dump_keys(new_keys(today)).encode(), _SECRET))
    files.append(Made(config.path(config.dkim[0].key_file), key, _SECRET))
    if config.account:
        files.append(Made(config.path(config.account[0].password_file), f"{answers.password}\n".encode(), _SECRET))
    if private_ca:
        names = list(dict.fromkeys([answers.host, config.hostname]))
        authority = make_authority(names, answers.legal_name.en, now)
        certificate = issue(authority, names, now)
        files.append(Made(folder / AUTHORITY, authority.certificate, _SHARED))
        files.append(Made(folder / AUTHORITY_KEY, authority.key, _SECRET))
        files.append(Made(folder / CERTIFICATE, certificate.certificate, _SHARED))
        files.append(Made(folder / CERTIFICATE_KEY, certificate.key, _OWN))
    files.append(Made(config_path.absolute(), octets, _OWN))
    return Plan(files, config, load_signer(key, answers.domain, SELECTOR))


def in_the_way(planned: Plan) -> list[Path]:
    """What is there already and would be written over, and what says that the data_dir is in use.

    A policy file as we ship it is nobody's: where the sources lie in the same folder, it makes room.
    """
    used = [planned.config.data_path / name for name in _USED]
    policies = planned.config.policies_path.rglob("*.toml")  # one that no stream list names would be a fault
    there = [path for path in dict.fromkeys([*used, *(made.path for made in planned.files), *policies]) if path.exists()]
    nobodys = _as_shipped(planned.config)
    return [path for path in there if path not in nobodys]


def write(planned: Plan) -> None:
    """Write all files; where one cannot be written, those before it and new folders go again, and shipped ones come back.

    Raises OSError.
    """
    with ExitStack() as undo:
        for path, octets in _as_shipped(planned.config).items():
            path.unlink()
            undo.callback(path.write_bytes, octets)
        for made in planned.files:
            for folder in reversed([one for one in made.path.parents if not one.exists()]):
                undo.callback(_remove_empty, folder)
            write_new(made.path, made.octets, made.mode)
            undo.callback(made.path.unlink, missing_ok=True)
        undo.pop_all()


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _as_shipped(config: Config) -> dict[Path, bytes]:
    """The policy files that are there and that nobody has changed."""
    shipped = {config.policies_path / name: octets for name, octets in shipped_policies().items()}
    return {path: octets for path, octets in shipped.items() if path.is_file() and path.read_bytes() == octets}


def write_new(path: Path, octets: bytes, mode: int) -> None:
    """Write a file that is not there yet, durably.

    As root the file belongs to whom its folder belongs to, so that the service's own folders stay the service's; a
    file that its group may read (0640) is for nobody else where the group is the user's own.  Raises OSError.
    """
    _make_folder(path.parent, private=mode == _SECRET)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET)
    try:
        with named(path), os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a file would stand in the way of the next try
        raise
    if os.name == "posix":
        folder, own_group = path.parent.stat(), os.getgid()
        if os.geteuid() == 0:
            os.chown(path, folder.st_uid, folder.st_gid)
        path.chmod(_SECRET if mode == _OWN and path.stat().st_gid == own_group else mode)


def _make_folder(folder: Path, *, private: bool) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, private=False)
        folder.mkdir(mode=0o700 if private else 0o755)


# What stands in them -------------------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A TOML string of one line."""
    return orjson.dumps(text).decode()


def _listed(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _new_dkim_key() -> bytes:
    """RSA of 2048 bits: TXT records of larger keys are refused by many DNS panels."""
    return generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _config_text(answers: Answers, folder: Path) -> str:
    upstream, host = answers.profile.name, answers.host
    is_name = re.fullmatch(r"[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9.-]*", host) and host != "localhost"
    return "\n".join([
        "# 由 `relay init` 生成。全部配置项、默认值与说明见 config.example.toml；改完运行 `relay check`。",
        "# Written by `relay init`. Every key with its default and meaning: config.example.toml. After a change: `relay check`.",
        "",
        f"hostname = {quoted(host if is_name else f'relay.{answers.domain}')}",
        f'data_dir = "{_SYSTEM_DATA if folder == _SYSTEM_FOLDER else "data"}"',
        'policies = "policies"',
        "",
        "# 邮件客户端连接的地址 / Where mail clients connect.",
        "[[listen]]",
        'name = "submission"',
        f"address = {quoted(_bound(answers))}",
        f"tls = {quoted('starttls' if answers.port == 587 else 'implicit')}",
        "",
        "[tls]",
        f"certificate_file = {quoted(CERTIFICATE)}",
        f"private_key_file = {quoted(CERTIFICATE_KEY)}",
        "",
        *_auth(answers),
        "# 邮件经由的服务商 / The provider that mail goes to.",
        "[[upstream]]",
        f"name = {quoted(upstream)}",
        f"provider = {quoted(upstream)}",
        f"addresses = {_listed(answers.upstream)}",
        f"tls = {quoted(_upstream_tls(answers.upstream[0]))}",
        *([f"ca_file = {quoted(answers.ca_file)}"] if answers.ca_file else []),
        "",
        *_account(answers),
        "[[dkim]]",
        f"domain = {quoted(answers.domain)}",
        f"selector = {quoted(SELECTOR)}",
        f"key_file = {quoted(f'dkim/{answers.domain}.{SELECTOR}.pem')}",
        "",
        "# 收件人打开退订页的网址；空表示没有 / How recipients reach the unsubscribe page; empty: they cannot.",
        "[unsubscribe]",
        f"base_url = {quoted(answers.public_url)}",
        "",
        "# public_address 由网站或隧道转发；help_url 是同事查看拒信原因的网址。",
        "# A web server or tunnel forwards to public_address; help_url is where colleagues read why a mail was refused.",
        "[http]",
        'public_address = "127.0.0.1:8026"',
        f'help_address = "{"127.0.0.1" if answers.is_local else "0.0.0.0"}:8027"',  # noqa: S104 - the office reads its pages
        f'help_url = "http://{"127.0.0.1" if answers.is_local else _bracketed(host)}:8027"',
        "",
    ])  # fmt: skip


def _auth(answers: Answers) -> list[str]:
    return [*_custody(answers), *_senders(answers)]


def _custody(answers: Answers) -> list[str]:
    """The keys that seal passwords lie apart from what they seal."""
    if not answers.seals_passwords:
        return []
    return [
        "# 暂存邮件期间密封保存发件人的授权码；密钥须放在 data_dir 之外。",
        "# Passwords are kept, sealed, while mail of their owners waits; the keys lie outside data_dir.",
        "[auth]",
        'held_credentials = "sealed"',
        "",
        "[keys]",
        f"file = {quoted(KEYS)}",
        "",
    ]


def _senders(answers: Answers) -> list[str]:
    if answers.login == answers.account:
        return []
    return [
        "# 登录名不是邮箱地址时，它可用的发件地址 / What a login that is no address may write as.",
        "[auth.senders]",
        f"{quoted(answers.login)} = {_listed((f'@{answers.domain}',))}",
        "",
    ]


def _account(answers: Answers) -> list[str]:
    if not answers.password:
        return []
    return [
        "# 中继自己持有的账号，用于发送报告 / An account that the relay holds itself, for reports.",
        "[[account]]",
        f"identity = {quoted(answers.login)}",
        f"upstream = {quoted(answers.profile.name)}",
        f"password_file = {quoted(f'secrets/{answers.account}')}",
        *_mailbox(answers),
        "",
    ]


def _mailbox(answers: Answers) -> list[str]:
    """The mailbox that refusals by mail come to; where there is a link to unsubscribe by, reading it is left to a later day."""
    if not answers.imap:
        return []
    off = "" if answers.reads_mailbox else "# "
    return [
        "# 中继读取这个邮箱中的退订、退信与投诉：docs/mailbox.zh.md",
        "# The relay reads this mailbox for refusals, bounces and complaints: docs/mailbox.md",
        f"{off}imap = {quoted(answers.imap)}",
        *([f"{off}imap_ca_file = {quoted(answers.ca_file)}"] if answers.ca_file else []),
    ]


def _bound(answers: Answers) -> str:
    """Listen on every address of the machine, unless the listener is for this machine only."""
    if answers.is_local:
        return answers.listener.replace("localhost", "127.0.0.1")
    return f"[::]:{answers.port}" if answers.listener.startswith("[") else f"0.0.0.0:{answers.port}"


def _upstream_tls(address: str) -> str:
    return "starttls" if split_host_port(address)[1] in (25, 80, 587) else "implicit"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _policies(answers: Answers) -> dict[str, bytes]:
    """The shipped files with this organisation's facts; the streams that it does not use yet lie there as examples."""
    files: dict[str, bytes] = {}
    for name, octets in shipped_policies().items():
        change = {"organisation.toml": _organisation, f"streams/{STREAM}.toml": _newsletter}.get(name)
        if name.startswith("streams/") and change is None:
            files[f"{name}{_EXAMPLE}"] = octets
        else:
            files[name] = (change(octets.decode(), answers) if change else octets.decode()).encode()
    return files


def _organisation(text: str, answers: Answers) -> str:
    for key, value in (
        ("streams", _listed((STREAM,))),
        ("legal_name", _table(answers.legal_name)),
        ("postal_address", _table(answers.postal_address)),
        ("refusal_mailbox", quoted(answers.refusal_mailbox)),
        ("privacy_url", quoted(answers.privacy_url)),
    ):
        text = _replaced(text, key, lambda _, value=value: value)  # type: ignore[misc]
    return text


def _newsletter(text: str, answers: Answers) -> str:
    text = _replaced(text, "match", lambda was: was.replace('"news@example.com"', quoted(answers.login)))
    if not answers.public_url:
        text = _replaced(text, "one_click", lambda _: "false")
    return _replaced(text, "mailto", lambda _: "true") if answers.reads_mailbox else text


def _table(both: Both) -> str:
    return f"{{ zh = {quoted(both.zh)}, en = {quoted(both.en)} }}"


def _replaced(text: str, key: str, change: Callable[[str], str]) -> str:
    """The text with the value of the first line that sets `key` changed."""
    fresh, count = re.subn(rf"(?m)^({key} = )(.*)$", lambda line: line[1] + change(line[2]), text, count=1)
    if not count:
        raise ConfigurationError(f"the shipped policies have no line that sets {key}")
    return fresh
