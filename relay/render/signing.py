"""DKIM signatures (RFC 6376, RFC 8463): one body hash per body, one header signature per copy.

`cryptography` holds the key; canonicalisation is here.  dkimpy's is the
measure of both in the tests, but its expression for the body takes quadratic
time on long runs of blanks, and it would canonicalise every field for every
copy.  A body is hashed in pieces, so that a large one is never copied whole;
what the copies of a message share in the header section is hashed once, and
what is a copy's own is named last.

Fields that a person sees or that a receiver acts upon are oversigned: named
once more than they occur, so that nobody can add a second one (RFC 6376
section 8.15).  `l=` and `x=` are never set.
"""

import hashlib
from base64 import b64encode
from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from relay.errors import ConfigurationError
from relay.mail.mailbox import upwards

_COPYS_OWN = (b"list-unsubscribe", b"list-unsubscribe-post")
_SHARED = (
    b"from", b"subject", b"date", b"to", b"cc", b"reply-to", b"mime-version", b"content-type", b"content-transfer-encoding",
)  # fmt: skip
OVERSIGNED = _SHARED + _COPYS_OWN
SIGNED_IF_PRESENT = (
    b"message-id", b"in-reply-to", b"references", b"list-id", b"feedback-id", b"cfbl-address", b"cfbl-feedback-id",
)  # fmt: skip
"""In this order in h=; the last may be a copy's own, as are those after it."""
SIGNED_NAMES = frozenset(OVERSIGNED + SIGNED_IF_PRESENT)
MIN_RSA_BITS = 2048
RSA, ED25519 = "rsa-sha256", "ed25519-sha256"
_LINE = 76
_PIECE = 65536
_PADDING, _SHA256_DIGEST = PKCS1v15(), Prehashed(hashes.SHA256())

CanonicalField = tuple[bytes, bytes]
"""A field's name in lower case and its relaxed value with CRLF."""

PublicKey = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with the domain and selector that it signs for."""

    domain: str
    selector: str
    private_key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)
    public_key: PublicKey = field(init=False, compare=False, repr=False)
    algorithm: str = field(init=False, compare=False, repr=False)
    """The a= tag."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "public_key", self.private_key.public_key())
        object.__setattr__(self, "algorithm", RSA if isinstance(self.private_key, RSAPrivateKey) else ED25519)

    def sign(self, fields: Sequence[CanonicalField], names: tuple[bytes, ...], body_hash: bytes, at: int) -> bytes:
        """Return the whole DKIM-Signature field over the named fields.

        `fields` is the header section that leaves, top first; `names` is what h= says; `at` goes into t=.
        """
        return self.begin(fields, names, at).finish((), body_hash)

    def begin(self, fields: Sequence[CanonicalField], names: tuple[bytes, ...], at: int) -> "Begun":
        """Do once what the signatures of all copies share: `fields` without those that are a copy's own."""
        who, named = _who(self.algorithm, self.domain, self.selector), _named(names)
        return Begun(self, b"%s\r\n t=%d; bh=" % (who, at), b";\r\n%s;\r\n b=" % named, _hasher(fields, names))

    def signature(self, digest: bytes) -> bytes:
        """What b= says of the hash of a header section."""
        if self.algorithm == RSA:  # these classes are registered, not inherited from: to ask isinstance() takes three calls
            return cast(RSAPrivateKey, self.private_key).sign(digest, _PADDING, _SHA256_DIGEST)
        return cast(Ed25519PrivateKey, self.private_key).sign(digest)  # RFC 8463 section 3: PureEdDSA over the SHA-256 digest


class Begun:
    """A DKIM-Signature that lacks the body's hash, the fields that are a copy's own, and b=."""

    __slots__ = ("_body_hash", "_hasher", "_head", "_itself", "_signer", "_tail", "_unsigned")

    def __init__(self, signer: Signer, head: bytes, tail: bytes, hasher: Any) -> None:
        self._signer = signer
        self._head = head
        self._tail = tail
        self._hasher = hasher
        self._body_hash = self._unsigned = self._itself = b""

    def finish(self, own: Iterable[CanonicalField], body_hash: bytes) -> bytes:
        """The whole field for one copy; `own` are its own fields, in the order in which h= names them, after all others."""
        if body_hash != self._body_hash:  # most copies have the body of the one before
            self._tell(body_hash)
        hasher = self._hasher.copy()
        hasher.update(b"".join([name + b":" + value for name, value in own]) + self._itself)
        value = b2a_base64(self._signer.signature(hasher.digest()), newline=False)
        lines = [value[i : i + _LINE - 4] for i in range(0, len(value), _LINE - 4)]
        return b"DKIM-Signature:" + self._unsigned + b"\r\n ".join(lines) + b"\r\n"

    def _tell(self, body_hash: bytes) -> None:
        self._body_hash, self._unsigned = body_hash, self._head + b2a_base64(body_hash, newline=False) + self._tail
        # RFC 6376 section 3.7: the signature itself is hashed too, without the value of b= and without CRLF
        self._itself = b"dkim-signature:" + canonical_field(b"DKIM-Signature:" + self._unsigned)[1][:-2]


def _hasher(fields: Sequence[CanonicalField], names: Sequence[bytes]) -> Any:
    """SHA-256 of the fields that `names` names: each name takes the lowest that is left (RFC 6376 section 5.4.2)."""
    left: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        left.setdefault(name, []).append(value)
    return hashlib.sha256(b"".join([name + b":" + left[name].pop() for name in names if left.get(name)]))


@lru_cache(maxsize=256)
def _who(algorithm: str, domain: str, selector: str) -> bytes:
    tags = ("v=1", f"a={algorithm}", "c=relaxed/relaxed", f"d={domain}", f"s={selector}")
    return _folded([f" {tag};".encode() for tag in tags], len("DKIM-Signature:"))


@lru_cache(maxsize=256)
def _named(names: tuple[bytes, ...]) -> bytes:
    """The tag h=; mails of one program name the same fields again and again."""
    return _folded([b" h=" + names[0], *(b":" + name for name in names[1:])], 0)


def _folded(atoms: Iterable[bytes], column: int) -> bytes:
    """Fold between tags and, inside h=, between names; never inside either. `column` is where the first atom begins."""
    folded = b""
    for atom in atoms:
        if column + len(atom) + 1 > _LINE:
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
        return next((self._by_domain[parent] for parent in upwards(domain) if parent in self._by_domain), ())


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
    return _signed_names(tuple(present), unsigned)


@lru_cache(maxsize=256)
def _signed_names(present: tuple[bytes, ...], unsigned: frozenset[bytes]) -> tuple[bytes, ...]:
    count = Counter(present)
    names = [name for name in _SHARED for _ in range(count[name] + 1) if name == b"from" or name not in unsigned]
    names += [name for name in SIGNED_IF_PRESENT for _ in range(count[name]) if name not in unsigned]
    names += [name for name in _COPYS_OWN for _ in range(count[name] + 1) if name not in unsigned]
    return tuple(names)


def canonical_field(raw: bytes) -> CanonicalField:
    """Relaxed header canonicalisation of one field (RFC 6376 section 3.4.2). All line ends must be CRLF."""
    name, _, value = raw.partition(b":")
    if b"\x0b" in value or b"\x0c" in value:  # split() takes them for white space, the RFC does not
        words = list(filter(None, value.replace(b"\r\n", b"").replace(b"\t", b" ").split(b" ")))
    else:
        words = value.split()
    return name.rstrip(b" \t").lower(), b" ".join(words) + b"\r\n"


def body_hash(body: bytes) -> bytes:
    """SHA-256 of the body under relaxed canonicalisation. All line ends must be CRLF."""
    hasher = hashlib.sha256()
    for piece in relaxed_body(body):
        hasher.update(piece)
    return hasher.digest()


def relaxed_body(body: bytes) -> Iterator[bytes]:
    """Relaxed body canonicalisation (RFC 6376 section 3.4.4) in linear time, in pieces.

    A last line without CRLF counts as if it had one: the transfer adds it.
    Whatever the body is made of, no more than 64 KB and the rest of a line are
    read for one piece: what leaves nothing behind yields empty ones.
    """
    start, blank_lines = 0, 0
    while start < len(body):
        cut = body.find(b"\r\n", start + _PIECE)
        end = len(body) if cut < 0 else cut + 2
        piece = _relaxed_lines(body[start:end])
        text = piece.rstrip(b"\r\n")
        if text:
            for done in range(0, blank_lines, _PIECE // 2):
                yield b"\r\n" * min(_PIECE // 2, blank_lines - done)
            yield text + b"\r\n"
        else:
            yield b""
        blank_lines = (len(piece) - len(text)) // 2 + (-1 if text else blank_lines)
        start = end


def _relaxed_lines(lines: bytes) -> bytes:
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    lines = lines.replace(b"\t", b" ")
    while b"  " in lines:  # each pass halves every run, so there are no more than log2(length) of them
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b" \r\n", b"\r\n")
