"""[[upstream]] and [[account]] of config.toml: the servers that mail is handed to, and as whom."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from relay.hosts import HostPort, OptionalHostPort, is_local
from relay.logins import fold_login
from relay.policy.rules.table import read_country
from relay.policy.timing.limits import parse_limit
from relay.toml import StrictTable


class Upstream(StrictTable):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    provider: str = "generic"
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    addresses: tuple[HostPort, ...] = Field(min_length=1)
    tls: Literal["none", "starttls", "implicit"] = "implicit"
    ca_file: str = ""
    auth: Literal["account", "none"] = "account"
    limits: tuple[str, ...] = ()
    max_connections: int = Field(default=0, ge=0, le=10_000)
    max_connections_per_identity: int = Field(default=0, ge=0, le=1000)

    @field_validator("country")
    @classmethod
    def _country(cls, country: str) -> str:
        return read_country(country) if country else country

    @field_validator("limits")
    @classmethod
    def _limits(cls, limits: tuple[str, ...]) -> tuple[str, ...]:
        for limit in limits:
            parse_limit(limit)
        return limits


class Account(StrictTable):
    identity: str
    upstream: str
    login: str = ""
    password_file: str
    imap: OptionalHostPort = ""
    imap_tls: Literal["implicit", "none"] = "implicit"
    imap_ca_file: str = ""

    @field_validator("identity")
    @classmethod
    def _fold(cls, identity: str) -> str:
        return fold_login(identity)

    @property
    def address(self) -> str:
        """The address that mail to this account goes to, "" when neither its identity nor its login is one."""
        return next((name for name in (self.identity, self.login) if "@" in name[1:]), "")

    @model_validator(mode="after")
    def _can_be_watched(self) -> Self:
        if self.imap and not self.address:
            raise ValueError("imap: the identity or the login must be the mailbox's address / identity 或 login 须为邮箱地址")
        if self.imap and self.imap_tls == "none" and not is_local(self.imap):
            raise ValueError(
                'imap_tls = "none" is only for a server on this machine: it shows the password / 仅限本机，否则密码会明文传输'
            )
        return self
