"""`relay dkim`: make a key, print the DNS records, verify the signatures of a message."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click
import dkim as dkimpy
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dkim.util import InvalidTagValueList, parse_tag_value
from dns.exception import DNSException
from dns.rdatatype import TXT
from dns.resolver import NXDOMAIN, NoAnswer, resolve

from relay.cli.output import CONFIGURATION, FINDINGS, OK, UNREACHABLE, USAGE, emit_json, fail, option, say, text, write_new
from relay.config import load_config
from relay.errors import ConfigurationError
from relay.mail.mailbox import MailboxError, a_label
from relay.mail.message import Message, MessageError
from relay.render.signing import Signer, dns_record, load_signer

_SELECTOR = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_RSA_BITS = 2048  # TXT records of larger keys are refused by many DNS panels
Lookup = Callable[[str], bytes | None]


@click.group("dkim")
def dkim() -> None:
    """DKIM keys and signatures / DKIM 密钥与签名."""


@dkim.command()
@click.option("--domain", required=True, help="The domain in From / 发件域名")
@click.option("--selector", required=True, help='A name for this key, e.g. "s1" / 密钥名称')
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The key file to make / 新密钥文件")
@click.option("--type", "kind", type=click.Choice(["rsa", "ed25519"]), default="rsa", show_default=True)
def keygen(domain: str, selector: str, out: Path, kind: str) -> None:
    """Make a key file and print its DNS record / 生成密钥并显示 DNS 记录."""
    domain = _domain(domain)
    if not _SELECTOR.fullmatch(selector):
        fail(
            USAGE,
            f"选择器“{selector}”只能包含字母、数字和 . _ -",
            f'the selector "{selector}" may have letters, digits and . _ - only',
        )
    key = generate_private_key(65537, _RSA_BITS) if kind == "rsa" else Ed25519PrivateKey.generate()
    write_new(out, _pem(key))
    say(f"已生成密钥 {out}（仅本用户可读）。", f"Made the key {out}, readable by you alone.")
    say("请在 DNS 中发布：", "Publish in DNS:")
    _show_record(Signer(domain, selector, key))
    say("并写入 config.toml：", "and write into config.toml:")
    click.echo(f'\n[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey_file = "{out.resolve()}"')
    if kind == "ed25519":
        say(
            "Ed25519 密钥须与同一域名的 RSA 密钥一起使用，许多收件方尚不支持 Ed25519。",
            "Use it beside an RSA key of the same domain: many receivers cannot read Ed25519.",
        )


@dkim.command()
@click.option("--config", type=click.Path(), help="config.toml")
@click.option("--json", "as_json", is_flag=True, help="For machines / 机器可读")
def dns(config: str | None, as_json: bool) -> None:
    """Print the DNS records of every [[dkim]] table / 显示全部 [[dkim]] 的 DNS 记录."""
    try:
        settings = load_config(config or option("config") or None)
        signers = [_load(settings.path(table.key_file), table.domain, table.selector) for table in settings.dkim]
    except ConfigurationError as error:
        fail(CONFIGURATION, f"配置有误：{error}", str(error))
    if as_json:
        emit_json([{"name": name, "type": "TXT", "value": "".join(chunks)} for name, chunks in map(dns_record, signers)])
    elif not signers:
        say("配置中没有 [[dkim]]；用 relay dkim keygen 生成密钥。", "There is no [[dkim]] table; relay dkim keygen makes a key.")
    for signer in signers if not as_json else ():
        _show_record(signer)


@dkim.command()
@click.argument("message", type=click.File("rb"))
@click.option("--key", "keys", multiple=True, metavar="NAME=TXT", help="A record to use instead of DNS / 代替 DNS 的记录")
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Seconds for one DNS query")
@click.option("--json", "as_json", is_flag=True, help="For machines / 机器可读")
def verify(message: BinaryIO, keys: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Verify the DKIM signatures of a message; "-" reads stdin / 验证邮件的 DKIM 签名."""
    given = {}
    for key in keys:
        name, equals, record = key.partition("=")
        if not equals or "._domainkey." not in name:
            fail(USAGE, f"--key 应为 选择器._domainkey.域名=记录：{key}", f"--key is selector._domainkey.domain=RECORD: {key}")
        given[name.lower().rstrip(".")] = record.encode()
    try:
        parsed = Message.parse(message.read())
    except MessageError as error:
        fail(FINDINGS, f"无法读取该邮件：{error}", f"this message cannot be read: {error}")
    try:
        found = signatures(parsed.header + b"\r\n" + parsed.body, _lookup(given, timeout))
    except DNSException as error:
        fail(UNREACHABLE, f"DNS 无应答：{error}", f"DNS does not answer: {error}")
    if as_json:
        emit_json(found)
    else:
        _show(found)
    raise click.exceptions.Exit(OK if any(signature["valid"] for signature in found) else FINDINGS)


def zone_line(signer: Signer) -> str:
    """The record as a line of a zone file; a long value stands in several strings (RFC 1035 section 3.3.14)."""
    name, chunks = dns_record(signer)
    return f"{name}. IN TXT ( {' '.join(map(_quoted, chunks))} )"


def signatures(message: bytes, lookup: Lookup) -> list[dict[str, Any]]:
    """Verify every DKIM-Signature of the message, top first, with dkimpy.

    Raises whatever `lookup` raises.
    """
    verifier = _Verifier(message)
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    return [_signature(verifier, place, lookup) for place in range(count)]


class _Verifier(dkimpy.DKIM):  # type: ignore[misc]
    """dkimpy, with Ed25519 keys by `cryptography` instead of a further library."""

    def verify_sig(self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: Any, dnsfunc: Lookup) -> bool:
        record = dnsfunc(f"{sig[b's'].decode()}._domainkey.{sig[b'd'].decode()}")
        if not record:
            raise dkimpy.KeyFormatError("there is no public key in DNS")
        tags = parse_tag_value(record)
        if tags.get(b"k") != b"ed25519":
            self.pk, self.keysize, self.ktag, self.seqtlsrpt = dkimpy.evaluate_pk(sig[b"s"], record)
            return bool(self.verify_sig_process(sig, include_headers, sig_header, dnsfunc))
        self.pk, self.keysize, self.ktag, self.seqtlsrpt = _Ed25519Key(tags[b"p"]), 256, b"ed25519", False
        return bool(self.verify_sig_process(sig, include_headers, sig_header, dnsfunc)) and self.pk.agrees


class _Ed25519Key:
    """A public key with the one method that dkimpy calls; it expects a raise, we note the answer instead."""

    def __init__(self, text: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(b64decode(text))
        self.agrees = False

    def verify(self, digest: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, digest)
        except InvalidSignature:
            return
        self.agrees = True


def _signature(verifier: _Verifier, place: int, lookup: Lookup) -> dict[str, Any]:
    verifier.signature_fields = {}
    try:
        valid, fault = verifier.verify(place, dnsfunc=lookup), ""
    except (dkimpy.DKIMException, InvalidTagValueList, ValueError, KeyError) as error:
        valid, fault = False, str(error) or type(error).__name__
    tags = {tag: verifier.signature_fields.get(tag.encode(), b"").decode("ascii", "replace") for tag in ("d", "s", "a")}
    if not valid and not fault:
        fault = "the signature does not fit the header section"
    return {"domain": tags["d"], "selector": tags["s"], "algorithm": tags["a"], "valid": bool(valid), "fault": fault}


def _show_record(signer: Signer) -> None:
    """As the web page of a DNS provider asks for it, and as a zone file has it."""
    name, chunks = dns_record(signer)
    click.echo(f"\n{text('名称', 'name')}:  {name}\n{text('类型', 'type')}:  TXT\n{text('值', 'value')}: {''.join(chunks)}")
    click.echo(f"\n{text('或在区域文件中', 'or in a zone file')}:\n{zone_line(signer)}\n")


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        say("该邮件没有 DKIM 签名。", "The message has no DKIM signature.")
    for signature in found:
        answer = text("有效", "valid") if signature["valid"] else f"{text('无效', 'not valid')}: {signature['fault']}"
        click.echo(f"d={signature['domain']} s={signature['selector']} a={signature['algorithm']}: {answer}")


def _lookup(given: Mapping[str, bytes], timeout: float) -> Lookup:
    """Find a record among those given, else (when none were given) in DNS."""

    def find(name: str) -> bytes | None:
        if given:
            return given.get(name.lower())
        try:
            answer = resolve(name, TXT, lifetime=timeout)
        except (NXDOMAIN, NoAnswer):
            return None
        return b"".join(next(iter(answer)).strings)

    return find


def _domain(name: str) -> str:
    try:
        return a_label(name)
    except MailboxError as error:
        fail(USAGE, f"“{name}”不是有效的域名", f"{name}: {error}")


def _load(path: Path, domain: str, selector: str) -> Signer:
    try:
        return load_signer(path.read_bytes(), domain, selector)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _pem(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _quoted(chunk: str) -> str:
    return f'"{chunk}"'
