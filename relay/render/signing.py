"""DKIM signatures (RFC 6376, RFC 8463): one body hash per body, one header signature per copy.

dkimpy canonicalises and hashes the header section; `cryptography` holds the
key.  The body is canonicalised here: dkimpy's expression takes quadratic time
on long runs of blanks, and a body is hashed in pieces so that a large one is
never copied whole.

Fields that a person sees or that a receiver acts upon are oversigned: named
once more than they occur, so that nobody can add a second one (RFC 6376
section 8.15).  `l=` and `x=` are never set.
"""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import dkim
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from dkim.canonicalization import Relaxed

from relay.errors import ConfigurationError

OVERSIGNED = (
    b"from", b"subject", b"date", b"to", b"cc", b"reply-to", b"mime-version", b"content-type", b"content-transfer-encoding",
    b"list-unsubscribe", b"list-unsubscribe-post",
)  # fmt: skip
SIGNED_IF_PRESENT = (
    b"message-id", b"in-reply-to", b"references", b"list-id", b"feedback-id", b"cfbl-address", b"cfbl-feedback-id",
)  # fmt: skip
SIGNED_NAMES = frozenset(OVERSIGNED + SIGNED_IF_PRESENT)
MIN_RSA_BITS = 2048
RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
_LINE = 76
_PIECE = 65536

CanonicalField = tuple[bytes, bytes]
"""A field's name in lower case and its relaxed value with CRLF."""

PublicKey = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with the domain and selector that it signs for."""

    domain: str
    selector: str
    private_key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The a= tag."""
        return RSA if isinstance(self.private_key, RSAPrivateKey) else ED25519

    @property
    def public_key(self) -> PublicKey:
        return self.private_key.public_key()

    def sign(self, fields: Sequence[CanonicalField], names: Sequence[bytes], body_hash: bytes, at: int) -> bytes:
        """Return the whole DKIM-Signature field over the named fields.

        `fields` is the header section that leaves, top first; `names` is what h= says; `at` goes into t=.
        """
        unsigned = self._tags(names, body_hash, at) + b"\r\n b="
        hasher = hashlib.sha256()
        dkim.hash_headers(hasher, Relaxed, fields, list(names), (b"DKIM-Signature", unsigned), {})
        signature = b64encode(self._signature(hasher.digest()))
        lines = [signature[i : i + _LINE - 4] for i in range(0, len(signature), _LINE - 4)]
        return b"DKIM-Signature:" + unsigned + b"\r\n ".join(lines) + b"\r\n"

    def _signature(self, digest: bytes) -> bytes:
        if isinstance(self.private_key, RSAPrivateKey):
            return self.private_key.sign(digest, PKCS1v15(), Prehashed(hashes.SHA256()))
        return self.private_key.sign(digest)  # RFC 8463 section 3: PureEdDSA over the SHA-256 digest

    def _tags(self, names: Sequence[bytes], body_hash: bytes, at: int) -> bytes:
        """All tags but b=, folded between tags and, inside h=, between names; never inside either."""
        atoms = [f" {tag};".encode() for tag in ("v=1", f"a={self.algorithm}", "c=relaxed/relaxed", f"d={self.domain}")]
        atoms += [f" s={self.selector};".encode(), b" t=%d;" % at, b" bh=%s;" % b64encode(body_hash)]
        atoms += [b" h=" + names[0], *(b":" + name for name in names[1:]), b";"]
        folded, column = b"", len("DKIM-Signature:")
        for atom in atoms:
            if column + len(atom) + 1 > _LINE and atom != b";":
                folded, column = folded + (b":\r\n " if atom.startswith(b":") else b"\r\n "), 1
                atom = atom.lstrip(b" :")  # noqa: PLW2901
            folded, column = folded + atom, column + len(atom)
        return folded


class Signers:
    """The keys of all [[dkim]] tables, by domain."""

    def __init__(self, signers: Iterable[Signer]) -> None:
        """Raises ConfigurationError for a domain with an Ed25519 key alone: many receivers cannot read it."""
        self._by_domain: dict[str, tuple[Signer, ...]] = {}
        for signer in sorted(signers, key=lambda signer: signer.algorithm, reverse=True):  # rsa before ed25519
            self._by_domain[signer.domain] = (*self._by_domain.get(signer.domain, ()), signer)
        for domain, group in self._by_domain.items():
            if group[0].algorithm != RSA:
                raise ConfigurationError(
                    f"[[dkim]] {domain}: an Ed25519 key alone is not enough, many receivers cannot read it;"
                    f" add an RSA key: relay dkim keygen --domain {domain} --selector NAME --out FILE"
                )

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(self._by_domain)

    def for_domain(self, domain: str) -> tuple[Signer, ...]:
        """The signers of this domain, else of its nearest parent (aligned in DMARC's relaxed sense); () when there is none."""
        labels = domain.split(".")
        parents = (".".join(labels[i:]) for i in range(len(labels) - 1))
        return next((self._by_domain[parent] for parent in parents if parent in self._by_domain), ())


def load_signer(pem: bytes, domain: str, selector: str) -> Signer:
    """Read a private key in PEM (PKCS#8, or PKCS#1 for RSA; any line ends).

    Raises ConfigurationError that says what is wrong and what to do; the caller puts the file's name before it.
    """
    remedy = f"make a new key: relay dkim keygen --domain {domain} --selector NAME --out FILE"
    try:
        key = load_pem_private_key(pem.removeprefix(b"\xef\xbb\xbf"), password=None)
    except TypeError:
        raise ConfigurationError(
            "the key is encrypted with a password; take it off: openssl pkey -in KEY -out PLAIN, and guard that file"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"there is no private key in PEM form here; {remedy}") from None
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise ConfigurationError(f"an RSA key of {key.key_size} bits is too weak, {MIN_RSA_BITS} is the least; {remedy}")
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ConfigurationError(f"DKIM knows RSA and Ed25519 keys only; {remedy}")
    return Signer(domain, selector, key)


def dns_record(signer: Signer) -> tuple[str, tuple[str, ...]]:
    """The name of the TXT record and its value in strings of at most 255 octets."""
    public = signer.public_key
    if isinstance(public, RSAPublicKey):
        kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind, octets = "ed25519", public.public_bytes_raw()
    value = f"v=DKIM1; k={kind}; p={b64encode(octets).decode()}"
    chunks = tuple(value[i : i + 255] for i in range(0, len(value), 255))
    return f"{signer.selector}._domainkey.{signer.domain}", chunks


def signed_names(present: Iterable[bytes], unsigned: frozenset[bytes] = frozenset()) -> tuple[bytes, ...]:
    """What h= says for a header section with these names (lower case, one for each field).

    `unsigned` is what the upstream rewrites; From is signed whatever it says (RFC 6376 section 5.4).
    """
    count = Counter(present)
    names = [name for name in OVERSIGNED for _ in range(count[name] + 1) if name == b"from" or name not in unsigned]
    names += [name for name in SIGNED_IF_PRESENT for _ in range(count[name]) if name not in unsigned]
    return tuple(names)


def canonical_field(raw: bytes) -> CanonicalField:
    """Relaxed header canonicalisation of one field (RFC 6376 section 3.4.2)."""
    name, _, value = raw.partition(b":")
    canonical: list[CanonicalField] = Relaxed.canonicalize_headers([(name, value)])
    return canonical[0]


def body_hash(body: bytes) -> bytes:
    """SHA-256 of the body under relaxed canonicalisation. All line ends must be CRLF."""
    hasher = hashlib.sha256()
    for piece in relaxed_body(body):
        hasher.update(piece)
    return hasher.digest()


def relaxed_body(body: bytes) -> Iterator[bytes]:
    """Relaxed body canonicalisation (RFC 6376 section 3.4.4) in linear time, in pieces.

    A last line without CRLF counts as if it had one: the transfer adds it.
    """
    start, blank_lines = 0, 0
    while start < len(body):
        cut = body.find(b"\r\n", start + _PIECE)
        end = len(body) if cut < 0 else cut + 2
        piece = _relaxed_lines(body[start:end])
        text = piece.rstrip(b"\r\n")
        if text:
            yield b"\r\n" * blank_lines
            yield text + b"\r\n"
        blank_lines = (len(piece) - len(text)) // 2 + (-1 if text else blank_lines)
        start = end


def _relaxed_lines(lines: bytes) -> bytes:
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    lines = lines.replace(b"\t", b" ")
    while b"  " in lines:  # each pass halves every run, so there are no more than log2(length) of them
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b" \r\n", b"\r\n")
