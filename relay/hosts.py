"""Where a server is: "host:port" as configurations write it."""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import BeforeValidator


def _host_port(value: Any) -> Any:
    text = str(value)
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):(\d{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise ValueError('expected "host:port" or "[IPv6]:port" / 应为 "主机:端口" 或 "[IPv6]:端口"')
    return text


HostPort = Annotated[str, BeforeValidator(_host_port)]
OptionalHostPort = Annotated[str, BeforeValidator(lambda value: value and _host_port(value))]


def split_host_port(address: str) -> tuple[str, int]:
    """Split "host:port" or "[::1]:port" into a bare host and a port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
