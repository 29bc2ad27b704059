"""TLS of the SMTP door: versions, certificates that are renewed while the relay runs, IPv6."""

import asyncio
import logging
import ssl
import warnings

import pytest

from relay.doors.smtp.certificates import Certificates
from relay.errors import ConfigurationError
from relay.mail import replies
from tests.support.clocks import Clock
from tests.support.door import Authority, House, Talker, a_config, a_house, a_socket
from tests.support.waiting import until


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path)
    authority.issue()
    return authority


def serial(talker: Talker) -> str:
    return str(talker.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])


async def greeted(house: House, authority: Authority) -> str:
    """Connect, read the greeting; the serial number of the certificate that was shown."""
    talker = await Talker.connect(house.address, authority.client_context())
    assert (await talker.reply()).startswith("220")
    number = serial(talker)
    await talker.close()
    return number


async def test_a_renewed_certificate_is_used_from_the_next_handshake_on(authority):
    clock = Clock()
    config = a_config(**authority.tables("implicit"))
    async with a_house(config, certificates=authority.certificates(clock)) as house:
        old = await greeted(house, authority)
        authority.issue()
        assert await greeted(house, authority) == old  # looked at once a second
        clock.pass_(1)
        assert await greeted(house, authority) != old


async def test_a_renewed_certificate_is_used_for_starttls_too(authority):
    clock = Clock()
    config = a_config(**authority.tables("starttls"))
    numbers = []
    async with a_house(config, certificates=authority.certificates(clock)) as house:
        for _ in range(2):
            talker = await Talker.connect(house.address)
            await talker.reply()
            await talker.say("EHLO client.example")
            await talker.say("STARTTLS")
            await talker.start_tls(authority.client_context())
            assert (await talker.say("EHLO client.example")).startswith("250")
            numbers.append(serial(talker))
            await talker.close()
            authority.issue()
            clock.pass_(1)
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("damage", ["half replaced", "nonsense", "gone"])
async def test_a_bad_pair_keeps_the_old_one_and_says_so(authority, damage, caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    config = a_config(**authority.tables("implicit"))
    async with a_house(config, certificates=authority.certificates(clock)) as house:
        old = await greeted(house, authority)
        key = authority.key.read_bytes()
        if damage == "half replaced":
            authority.issue()
            authority.key.write_bytes(key)
        elif damage == "nonsense":
            authority.certificate.write_text("nonsense")
        else:
            authority.certificate.unlink()
        clock.pass_(1)
        assert await greeted(house, authority) == old
        assert "certificate_kept" in caplog.text
        authority.issue()
        clock.pass_(1)
        assert await greeted(house, authority) != old


def test_a_bad_pair_at_the_start_is_a_fault_of_the_configuration(authority):
    authority.key.write_text("nonsense")
    with pytest.raises(ConfigurationError, match="not a certificate chain in PEM"):
        authority.certificates()
    authority.key.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        authority.certificates()


def test_an_encrypted_key_does_not_ask_for_its_password(authority, tmp_path):
    locked = tmp_path / "locked.key"
    locked.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhO7PQ4ZP8CZwICCAAw\n"
        "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGmPzL1UFV5bDU8cPVn0yzAEgZDZ\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    with pytest.raises(ConfigurationError):
        Certificates(authority.certificate, locked, Clock())


async def test_tls_below_1_2_is_refused(authority):
    config = a_config(**authority.tables("implicit"))
    context = authority.client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with a_house(config, certificates=authority.certificates()) as house:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Talker.connect(house.address, context)
        assert await greeted(house, authority)


async def test_what_is_no_handshake_is_closed_and_the_next_client_is_served(authority):
    config = a_config(**authority.tables("implicit"))
    async with a_house(config, certificates=authority.certificates()) as house:
        for octets in (b"EHLO client.example\r\n", b"\x16\x03\x01", b""):
            talker = await Talker.connect(house.address)
            await talker.send(octets)
            talker.writer.write_eof()
            await talker.rest()
            await talker.close()
        assert await greeted(house, authority)
        await until(lambda: len(house.door.registry) == 0)


async def test_a_failed_starttls_handshake_ends_the_session(authority):
    config = a_config(**authority.tables("starttls"))
    async with a_house(config, certificates=authority.certificates()) as house:
        talker = await Talker.connect(house.address)
        await talker.reply()
        await talker.say("EHLO client.example")
        assert await talker.say("STARTTLS") == replies.START_TLS.lines()[0]
        await talker.send(b"MAIL FROM:<ada@example.com>\r\n")
        assert b"250" not in await talker.rest()
        await talker.close()
        await until(lambda: len(house.door.registry) == 0)
        assert house.line.began == []


def _has_ipv6() -> bool:
    try:
        a_socket("::1").close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_ipv6_is_served(authority, tls):
    config = a_config(**authority.tables(tls))
    context = authority.client_context() if tls == "implicit" else None
    async with a_house(config, host="::1", certificates=authority.certificates()) as house:
        talker = await Talker.connect(house.address, context)
        assert (await talker.reply()).startswith("220")
        assert "AUTH PLAIN LOGIN" in await talker.say("EHLO client.example")
        assert (await talker.say("AUTH PLAIN AGFkYUBleGFtcGxlLmNvbQBzZWNyZXQ=")).startswith("235")
        await talker.say("MAIL FROM:<ada@example.com>")
        await talker.close()
        assert house.line.began[0][0].address == "::1"


async def test_many_handshakes_at_once(authority):
    config = a_config(**authority.tables("implicit"))
    async with a_house(config, certificates=authority.certificates()) as house:
        assert len(await asyncio.gather(*(greeted(house, authority) for _ in range(20)))) == 20
