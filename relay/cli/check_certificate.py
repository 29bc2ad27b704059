"""`relay check`: do certificate and private key belong together, and are they what mail clients expect?"""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from relay.cli.findings import Findings, warn_if_open
from relay.cli.output import counted
from relay.config import Config
from relay.errors import ConfigurationError

CERTIFICATE_DAYS = 21


def look(config: Config, findings: Findings) -> None:
    """Read both as the doors do, unless no door uses TLS. Raises ConfigurationError."""
    if all(listen.tls == "none" for listen in config.listen):
        return
    certificate, key = config.path(config.tls.certificate_file), config.path(config.tls.private_key_file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"config.toml [tls]: {certificate}, {key}: certificate and private key must be PEM and belong together"
            f" ({error.reason or 'unreadable'}) / 证书与私钥须为 PEM 格式并且配对"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"config.toml [tls]: {_unreadable(error, certificate, key)}: {error.strerror}; put certificate and key there, or"
            " make them: relay tls private-ca / 请把证书和私钥放到该处，或运行 relay tls private-ca 自建"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"config.toml [tls]: {certificate}: {error}") from None
    _dates(leaf, certificate, findings)
    warn_if_open(key, findings)
    if config.hostname not in (names := _names(leaf)):
        listed = ", ".join(names) or "-"
        findings.later(
            f"config.toml [tls]：证书 {certificate} 写的是 {listed}，不含 hostname = {config.hostname}：邮件客户端会提示证书不符",
            f"config.toml [tls]: {certificate} is for {listed}, not for hostname = {config.hostname}: mail clients will complain",
        )


def _dates(leaf: x509.Certificate, certificate: Path, findings: Findings) -> None:
    now, begins, ends = datetime.now(UTC), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < begins:
        findings.wrong(
            f"config.toml [tls]：{certificate} 自 {begins:%Y-%m-%d} 起才有效",
            f"config.toml [tls]: {certificate} is not valid before {begins:%Y-%m-%d}",
        )
    elif now > ends:
        findings.wrong(
            f"config.toml [tls]：{certificate} 已于 {ends:%Y-%m-%d} 过期，请续期（自建证书：relay tls private-ca）",
            f"config.toml [tls]: {certificate} expired on {ends:%Y-%m-%d}: renew it (one of your own: relay tls private-ca)",
        )
    elif (days := (ends - now).days) < CERTIFICATE_DAYS:
        findings.later(
            f"证书 {certificate} 还有 {days} 天到期，请续期（自建证书：relay tls private-ca）",
            f"{certificate} expires in {counted(days, 'day')}: renew it (one of your own: relay tls private-ca)",
        )
    else:
        findings.good(f"证书有效至 {ends:%Y-%m-%d}", f"certificate valid until {ends:%Y-%m-%d}")


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return []


def _unreadable(error: OSError, *paths: Path) -> str:
    """The path that the fault is about; OpenSSL does not say which of its two files it could not read."""
    return str(error.filename or next((path for path in paths if not os.access(path, os.R_OK)), paths[0]))


def _no_password() -> str:
    raise ValueError("the private key is encrypted; store it without a password / 私钥有密码，请保存为无密码格式")
