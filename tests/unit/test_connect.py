"""Which configurations of an upstream are refused before anything is sent there."""

import pytest

from relay.errors import ConfigurationError
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import load_profiles
from tests.support.leaving import KEY, a_config


def upstreams(address="smtp.example.net:465", **keys):
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    return Upstreams(
        a_config("\n".join(["[[upstream]]", 'name = "u"', f'addresses = ["{address}"]', *lines])), load_profiles(), KEY
    )


@pytest.mark.parametrize("address", ["smtp.example.net:25", "192.0.2.1:25", "[2001:db8::1]:25", "127.0.0.1.example.net:25"])
def test_passwords_do_not_cross_the_network_in_the_clear(address):
    with pytest.raises(ConfigurationError, match="would send passwords in the clear"):
        upstreams(address, tls="none")


@pytest.mark.parametrize("address", ["127.0.0.1:25", "127.1.2.3:25", "[::1]:25", "localhost:25"])
def test_passwords_may_stay_on_this_machine(address):
    assert not upstreams(address, tls="none").capabilities("u").seen


def test_an_upstream_without_passwords_may_be_plain():
    assert upstreams(tls="none", auth="none").profile("").name == "generic"


def test_an_unknown_provider_is_told_which_are_known():
    with pytest.raises(ConfigurationError, match='"gmial" is not known; known: alimail, directmail, generic, google, mailgun'):
        upstreams(provider="gmial")


@pytest.mark.parametrize("octets", [None, b"", b"no certificate"])
def test_a_wrong_ca_file_is_named(tmp_path, octets):
    path = tmp_path / "ca.pem"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(ConfigurationError, match=r"ca_file .*ca\.pem: not a file with PEM certificates"):
        upstreams(ca_file=path)
