"""config.toml: what is refused before anything starts."""

from pathlib import Path

import pytest

from relay.config import parse_config
from relay.errors import ConfigurationError

HEAD = """hostname = "relay.example.com"
[[upstream]]
name = "up"
addresses = ["127.0.0.1:25"]
[[listen]]
name = "lan"
address = "127.0.0.1:0"
tls = "none"
auth = "none"
"""


def trusting(networks, proxies="[]"):
    return parse_config(f"{HEAD}proxy_from = {proxies}\n[auth]\ntrusted_networks = {networks}\n".encode(), "config.toml", Path())


@pytest.mark.parametrize(
    "networks",
    [
        '["0.0.0.0/0"]',
        '["::/0"]',
        '["0.0.0.0/1", "128.0.0.0/1"]',
        '["128.0.0.0/1"]',
        '["192.0.2.0/24", "2000::/3"]',
        '["8.0.0.0/8", "9.0.0.0/8"]',
        '["2400::/16", "2401::/16"]',
        "[" + ", ".join(f'"{n}.0.0.0/8"' for n in range(256)) + "]",
    ],
)
def test_strangers_are_not_trusted(networks):
    with pytest.raises(ConfigurationError, match=r"trusted_networks.*open relay"):
        trusting(networks)
    with pytest.raises(ConfigurationError, match=r"proxy_from.*open relay"):
        trusting('["192.0.2.0/24"]', networks)


@pytest.mark.parametrize(
    "networks", ['["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]', '["fc00::/7", "fe80::/10"]', '["17.0.0.0/8", "2a01::/16"]']
)
def test_networks_that_name_somebody_are_trusted(networks):
    assert len(trusting(networks).auth.trusted_networks) == networks.count("/")
