"""A certificate authority for one relay: the PCs of the office trust it, and it can vouch for this relay only.

Its name constraints (RFC 5280 section 4.2.1.10) say which names it may sign
for, so that whoever steals its key cannot pass for a bank.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.errors import ConfigurationError

CA_DAYS = 3650
CERTIFICATE_DAYS = 820  # Apple's programs refuse 826 and more, from private authorities too
_EARLIER = timedelta(hours=1)  # clocks of PCs that run behind


class Pair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(names: Sequence[str], organisation: str, now: datetime) -> Pair:
    """Make an authority that can sign for these host names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"{organisation[:40]} mail relay CA", organisation)
    certificate = (
        _builder(subject, subject, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=_permitted(names), excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """Issue a certificate for the listener.

    Raises ConfigurationError when the authority's files do not belong together.
    """
    signer, signing_key = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("compliance-relay"), signer.subject, key.public_key(), now, CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def names_of(certificate: bytes) -> list[str]:
    """The host names and addresses that a PEM certificate is for; none when it names none."""
    try:
        names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def outside(authority: Pair, names: Iterable[str]) -> list[str]:
    """Those of the names that the authority may not sign for: a certificate with one of them is trusted by nobody."""
    constraints = _load(authority)[0].extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = {general.value for general in constraints.permitted_subtrees or ()}
    return [name for name, general in zip(names, _permitted_forms(names), strict=True) if general.value not in permitted]


def is_issued_by(certificate: bytes, authority: Pair) -> bool:
    """Whether the authority signed this certificate."""
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(_load(authority)[0])
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _load(authority: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate, key = x509.load_pem_x509_certificate(authority.certificate), load_pem_private_key(authority.key, None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"the private CA cannot be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigurationError("the private CA's certificate and key do not belong together; restore them from the backup")
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation[:64]))
    return x509.Name(parts)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _permitted(names: Iterable[str]) -> list[x509.GeneralName]:
    """The names as constraints: an address is a network of one (both kinds are named, else the other would be free)."""
    return _permitted_forms(sorted({*names, "localhost", "127.0.0.1", "::1"}))


def _permitted_forms(names: Iterable[str]) -> list[x509.GeneralName]:
    general = map(_general, names)
    return [x509.IPAddress(ipaddress.ip_network(str(g.value))) if isinstance(g, x509.IPAddress) else g for g in general]


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), pem)
