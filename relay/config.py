"""config.toml as a value. `config.example.toml` documents every key; a test keeps the two equal.

Unknown keys are refused, every fault is reported with its place, and a file
that is not UTF-8 is answered with what to do, in both languages.
"""

import os
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from relay.accounts import Account, Upstream
from relay.errors import ConfigurationError
from relay.hosts import HostPort, Networks, OptionalHostPort, Resolvers
from relay.logins import parse_owned
from relay.mail.mailbox import MailboxError, a_label
from relay.policy.opting_in.opt_in import SignUp, sign_up_faults
from relay.policy.rules.table import fold_mailbox
from relay.policy.sets.faults import Faults
from relay.toml import Duration, Lasting, Size, StrictTable


class Listen(StrictTable):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    address: HostPort
    tls: Literal["none", "starttls", "implicit"] = "implicit"
    auth: Literal["required", "none"] = "required"
    proxy_from: Networks = ()
    upstream: str = ""


class TLS(StrictTable):
    certificate_file: str = ""
    private_key_file: str = ""


class Auth(StrictTable):
    mode: Literal["upstream", "users"] = "upstream"
    users_file: str = ""
    trusted_networks: Networks = ()
    held_credentials: Literal["none", "sealed"] = "none"
    senders: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("senders")
    @classmethod
    def _owned(cls, senders: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {login.casefold(): tuple(map(parse_owned, owned)) for login, owned in senders.items()}


class Dkim(StrictTable):
    domain: str
    selector: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
    key_file: str

    @field_validator("domain")
    @classmethod
    def _a_label(cls, domain: str) -> str:
        try:
            return a_label(domain)
        except MailboxError as error:
            raise ValueError(f"{error} / 不是有效的域名") from None


class Unsubscribe(StrictTable):
    base_url: str = ""

    @field_validator("base_url")
    @classmethod
    def _https(cls, url: str) -> str:
        local = re.match(r"^http://(127\.0\.0\.1|\[::1\]|localhost)([:/]|$)", url)
        if url and not local and not re.fullmatch(r"https://[!-;=?-~]+", url):
            raise ValueError("expected an https URL without blanks: RFC 8058 asks for it / 应为不含空格的 https 网址（RFC 8058）")
        if len(url) > 100:
            raise ValueError("longer than 100 characters: it must fit into one header line / 超过 100 个字符，邮件头放不下")
        return url.rstrip("/")


class Keys(StrictTable):
    file: str = ""


class Store(StrictTable):
    url: str = "sqlite"
    timeout_ms: int = Field(default=200, ge=10, le=10_000)
    durability_confirmed: bool = False

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if url != "sqlite" and not re.match(r"^(redis|rediss|redis\+sentinel)://", url):
            raise ValueError('expected "sqlite", redis://, rediss:// or redis+sentinel:// / 应为 "sqlite" 或 Redis 地址')
        return url


class Http(StrictTable):
    address: HostPort = "127.0.0.1:8025"
    public_address: HostPort = "127.0.0.1:8026"
    help_address: HostPort = "127.0.0.1:8027"
    help_url: str = "http://127.0.0.1:8027"
    forwarded_from: Networks = (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128"))

    def page(self, explained: str) -> str:
        """Where the page on this id is, for the second line of a reply."""
        return f"{self.help_url}/r/{explained}"

    @field_validator("help_url")
    @classmethod
    def _short(cls, url: str) -> str:
        if not re.fullmatch(r"https?://[!-~]{1,120}", url):
            raise ValueError(
                "expected an http or https URL of at most 120 characters: it goes into SMTP replies"
                " / 应为不超过 120 个字符的网址，会写入 SMTP 答复"
            )
        return url.rstrip("/")


class Consents(StrictTable):
    """The HTTP API for sign-up forms, none without an address; and from whom confirmation mails are, none without a sender."""

    address: OptionalHostPort = ""
    token_file: str = ""
    sender: Annotated[str, AfterValidator(lambda text: text and fold_mailbox(text))] = ""

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        if self.address and not self.token_file:
            raise ValueError("address needs token_file: a file with the token of the API / 需要 token_file：接口令牌文件")
        return self


class Delivery(StrictTable):
    patience: Lasting = 20.0
    past_dot: Lasting = 30.0
    ledger_ttl: Lasting = 5 * 86400.0
    on_transient: Literal["hold", "defer"] = "hold"


class Hold(StrictTable):
    max_bytes: Size = 1024**3
    first_retry: Duration = Field(default=60.0, ge=1)
    longest_retry: Duration = 3600.0

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.longest_retry < self.first_retry:
            raise ValueError("longest_retry must not be shorter than first_retry / longest_retry 不得短于 first_retry")
        return self


class Smtp(StrictTable):
    max_connections: int = Field(default=1000, ge=1)
    max_connections_per_address: int = Field(default=50, ge=1)
    max_recipients: int = Field(default=1000, ge=1, le=10_000)
    max_message_size: Size = Field(default=32 * 1024**2, ge=1)
    max_line_length: int = Field(default=1024**2, ge=998)
    max_header_fields: int = Field(default=1000, ge=10)
    max_header_size: Size = Field(default=256 * 1024, ge=1)
    max_received: int = Field(default=50, ge=1)
    max_commands: int = Field(default=100_000, ge=10)
    max_errors: int = Field(default=20, ge=1)
    max_in_flight: Size = Field(default=256 * 1024**2, ge=1)
    command_timeout: Lasting = 300.0
    data_timeout: Lasting = 600.0
    line_ends: Literal["normalise", "reject"] = "normalise"


class Dns(StrictTable):
    """Whom rules on recipients' domains have asked, nobody by default, and how long one mail waits for all answers."""

    servers: Resolvers = ()
    timeout: Duration = Field(default=5.0, ge=0.1, le=15)


class Collector(StrictTable):
    poll: Lasting = 60.0
    look_back: Duration = 30 * 86400.0


class Records(StrictTable):
    min_free: Size = 256 * 1024**2


class Log(StrictTable):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(StrictTable):
    """The whole file; `folder` is where it lies and what relative paths start from."""

    hostname: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$")
    data_dir: str = "/var/lib/relay"
    policies: str = "/etc/relay/policies"
    workers: int = Field(default=0, ge=0, le=64)
    listen: tuple[Listen, ...] = Field(min_length=1)
    tls: TLS = TLS()
    auth: Auth = Auth()
    upstream: tuple[Upstream, ...] = Field(min_length=1)
    account: tuple[Account, ...] = ()
    dkim: tuple[Dkim, ...] = ()
    unsubscribe: Unsubscribe = Unsubscribe()
    keys: Keys = Keys()
    store: Store = Store()
    http: Http = Http()
    consents: Consents = Consents()
    form: tuple[SignUp, ...] = ()
    delivery: Delivery = Delivery()
    hold: Hold = Hold()
    smtp: Smtp = Smtp()
    dns: Dns = Dns()
    collector: Collector = Collector()
    records: Records = Records()
    log: Log = Log()
    folder: str = Field(default="", exclude=True)

    def path(self, name: str) -> Path:
        """A path from this file, relative to the folder that the file lies in."""
        return Path(self.folder, Path(name).expanduser())

    def secret(self, name: str) -> Path:
        """Where to read the secret file of that name: what systemd handed over of its folder, else the file itself.

        `LoadCredential=secrets:/etc/relay/secrets` in the unit hands every file of that folder to the service, and to
        nobody else, as secrets_NAME; so the files may belong to root, and every command finds them by the same name.
        """
        path = self.path(name)
        handed_over = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), f"{path.parent.name}_{path.name}")
        return handed_over if handed_over.is_absolute() and handed_over.is_file() else path

    @property
    def data_path(self) -> Path:
        return self.path(self.data_dir)

    @property
    def policies_path(self) -> Path:
        return self.path(self.policies)

    @property
    def keys_path(self) -> Path:
        return self.secret(self.keys.file) if self.keys.file else self.data_path / "keys.toml"

    def upstream_named(self, name: str) -> Upstream:
        """The upstream of that name; "" is the first. Raises KeyError."""
        for upstream in self.upstream:
            if name in ("", upstream.name):
                return upstream
        raise KeyError(name)

    def watched_account(self, *names: str | None) -> Account | None:
        """The account whose mailbox the collector reads, of the first of these identities, or of its whole "@domain"."""
        watched = {name: one for one in reversed(self.account) if one.imap for name in (one.address, one.identity)}
        wanted = (one for name in names if name for one in (name, f"@{name.rpartition('@')[2]}"))
        return next((watched[name] for name in wanted if name in watched), None)


def parse_config(octets: bytes, source: str, folder: Path) -> Config:
    """Read config.toml from its octets.

    Raises ConfigurationError that lists every fault with its line and key.
    """
    faults = Faults({source: octets})
    document = faults.read(source, octets) or {}
    faults.refuse()
    if "folder" in document:
        faults.add(source, ("folder",), "there is no such key", "没有这个键")
    config = faults.validate(Config, {**document, "folder": str(folder)}, source)
    if config is not None:
        _cross_check(config, source, faults)
    faults.refuse()
    if config is None:
        raise AssertionError("a configuration that does not validate has a fault")
    return config


def _cross_check(config: Config, source: str, faults: Faults) -> None:
    """Note what does not fit together between tables."""
    upstreams = [upstream.name for upstream in config.upstream]
    _distinct("listen", "name", [listen.name for listen in config.listen], source, faults)
    _distinct("upstream", "name", upstreams, source, faults)
    _distinct("account", "identity", [f"{one.identity} at {one.upstream}" for one in config.account], source, faults)
    _distinct("dkim", "selector", [f"{one.selector}._domainkey.{one.domain}" for one in config.dkim], source, faults)
    named = [("listen", i, one.upstream) for i, one in enumerate(config.listen) if one.upstream]
    named += [("account", i, one.upstream) for i, one in enumerate(config.account)]
    for table, i, name in named:
        if name not in upstreams:
            faults.add(
                source, (table, i, "upstream"), f'there is no [[upstream]] named "{name}"', f'没有名为 "{name}" 的 [[upstream]]'
            )
    for i, listen in enumerate(config.listen):
        if listen.auth == "none" and not config.auth.trusted_networks:
            text = '"none" needs [auth] trusted_networks that name its clients'
            faults.add(source, ("listen", i, "auth"), text, '"none" 需要在 [auth] trusted_networks 中写明客户端网段')
        if listen.tls != "none" and not (config.tls.certificate_file and config.tls.private_key_file):
            text = f'"{listen.tls}" needs certificate_file and private_key_file in [tls]'
            faults.add(source, ("listen", i, "tls"), text, "需要在 [tls] 中写明证书和私钥文件")
    if config.auth.mode == "users" and not config.auth.users_file:
        text = '"users" needs users_file; make one with `relay users add`'
        faults.add(source, ("auth", "mode"), text, '"users" 需要 users_file，可用 `relay users add` 生成')
    if config.auth.held_credentials == "sealed":
        _check_custody(config, source, faults)
    for place, text, text_zh in sign_up_faults(config.form, config.consents.sender, config.unsubscribe.base_url):
        faults.add(source, place, text, text_zh)


def _check_custody(config: Config, source: str, faults: Faults) -> None:
    """Whoever gets hold of data_dir, or of a copy of it, must not find there what opens the passwords that it holds."""
    data = config.data_path.resolve()
    named = config.path(config.keys.file) if config.keys.file else config.keys_path
    if any(path.resolve().is_relative_to(data) for path in (named, config.keys_path)):
        text = f'"sealed" needs [keys] file outside data_dir, such as "/etc/relay/keys/keys.toml", not {named}'
        text_zh = (
            f'"sealed" 要求 [keys] file 位于 data_dir 之外，如 "/etc/relay/keys/keys.toml"，现为 {named}；已有的文件请先移过去'
        )
        faults.add(source, ("auth", "held_credentials"), f"{text}; move an existing file there first", text_zh)


def find_config(named: str | None) -> Path:
    """Where config.toml is: --config, RELAY_CONFIG, ./config.toml, /etc/relay/config.toml.

    Raises ConfigurationError when there is none.
    """
    candidates = [named] if named else [os.environ.get("RELAY_CONFIG"), "config.toml", "/etc/relay/config.toml"]
    for candidate in filter(None, candidates):
        if Path(candidate).is_file():
            return Path(candidate)
    if named and Path(named).is_dir():
        raise ConfigurationError(f"{named} is a folder; name the file in it, such as {Path(named, 'config.toml')}")
    tried = ", ".join(filter(None, candidates))
    raise ConfigurationError(
        f"no configuration found (tried {tried}); run `relay init`, or copy config.example.toml to config.toml and edit it"
    )


def load_config(named: str | None = None) -> Config:
    """Find, read and validate the configuration. Raises ConfigurationError."""
    path = find_config(named)
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return parse_config(octets, str(path), path.resolve().parent)


def _distinct(table: str, key: str, names: list[str], source: str, faults: Faults) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            faults.add(source, (table, i, key), f'"{name}" is given twice', f"{name} 重复")
