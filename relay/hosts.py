"""Where a server is, "host:port", and which networks are trusted, as configurations write them."""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainValidator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


_WIDEST = {4: 8, 6: 16}  # prefix lengths; the whole of a large company or a large provider


def _named(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """Refuse networks that together take in strangers; those of private addresses may be as wide as they are."""
    merged: list[Network] = [
        *ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network)),
    ]
    for network in merged:
        widest = _WIDEST[network.version]
        if network.prefixlen < widest and not network.is_private:
            raise ValueError(
                f"{network} holds strangers, that would be an open relay: name networks of /{widest} or smaller"
                f" / {network} 含陌生人，会成为开放转发：请写 /{widest} 或更小的网段"
            )
    return networks


def _network(value: Any) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            f'"{value}" is not a network; write e.g. "192.168.1.0/24" with zeros in the end, or one address'
            ' / 不是有效的网段，应写作 "192.168.1.0/24"（末尾为零）或单个地址'
        ) from None


Networks = Annotated[tuple[Annotated[Network, PlainValidator(_network)], ...], AfterValidator(_named)]
"""Networks whose word is taken without a password."""
