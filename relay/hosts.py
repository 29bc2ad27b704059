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
SYSTEM = "system"
"""The resolvers that the machine itself asks."""


_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?")


def _resolver(value: Any) -> str:
    """As "host:port", port 53 where none is named."""
    text = str(value)
    if text == SYSTEM:
        return text
    match = _WITH_PORT.fullmatch(text)
    host, port = (match[1] or match[2], int(match[3] or 53)) if match else (text, 53)
    if not _is_address(host) or not 0 < port <= 65535:
        raise ValueError(
            f'expected "{SYSTEM}", or an address such as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53"'
            f' / 应为 "{SYSTEM}" 或 IP 地址，如 "192.0.2.53"、"192.0.2.53:5353"、"[2001:db8::53]:53"'
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alone(servers: tuple[str, ...]) -> tuple[str, ...]:
    if SYSTEM in servers and len(servers) > 1:
        raise ValueError(f'"{SYSTEM}" stands alone, it is all servers of the machine / "{SYSTEM}" 须单独填写')
    return servers


Resolvers = Annotated[tuple[Annotated[str, BeforeValidator(_resolver)], ...], AfterValidator(_alone)]
"""DNS servers to ask, each "host:port", or ("system",)."""
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


def is_local(address: str) -> bool:
    """Whether "host:port" is on this machine."""
    return is_loopback(split_host_port(address)[0])


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
