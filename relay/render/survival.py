"""What became of a copy on its way: field by field, and the body. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relay.mail.parts.fields import split_fields
from relay.render.signing import canonical_field

TRACE = frozenset({b"received", b"dkim-signature"})
"""Fields that every server may add its own of: ours must be among them."""


@dataclass(frozen=True, slots=True)
class Survival:
    """Field names as we wrote them. `message_id` is the new one where ours was rewritten, "" where it was not.

    `added` are names that we did not send, without those that every delivery adds.
    """

    kept: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    added: tuple[str, ...]
    message_id: str
    is_body_same: bool


_DELIVERY = frozenset({
    b"return-path", b"delivered-to", b"envelope-to", b"x-original-to", b"authentication-results", b"received-spf",
    b"arc-seal", b"arc-message-signature", b"arc-authentication-results",
})  # fmt: skip


def compare(header: bytes, body: bytes, received: bytes) -> Survival:
    """Hold what arrived against the copy that left; `header` ends with the empty line, folding does not count."""
    sent, (there, rest) = _by_name(header.removesuffix(b"\r\n")), _parted(received)
    found = _by_name(there)
    fates = {name: _fate(name, values, found.get(name, [])) for name, values in sent.items()}
    spelt = {canonical_field(raw)[0]: raw.partition(b":")[0].decode("ascii", "replace") for raw in split_fields(header)}
    by_fate = {fate: tuple(spelt[name] for name in fates if fates[name] == fate) for fate in ("kept", "changed", "gone")}
    message_id = b"".join(found.get(b"message-id", [])[:1]) if fates.get(b"message-id") == "changed" else b""
    return Survival(
        **by_fate,
        added=tuple(_shown(name) for name in found if name not in sent and name not in _DELIVERY),
        message_id=_shown(message_id),
        is_body_same=rest == body,
    )


def _parted(message: bytes) -> tuple[bytes, bytes]:
    header, _, body = message.partition(b"\r\n\r\n")
    return header + b"\r\n", body


def _by_name(header: bytes) -> Mapping[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for raw in split_fields(header):
        name, value = canonical_field(raw)
        fields.setdefault(name, []).append(value.removesuffix(b"\r\n"))
    return fields


def _fate(name: bytes, sent: Iterable[bytes], found: Iterable[bytes]) -> str:
    ours, theirs = Counter(sent), Counter(found)
    if ours == theirs or (name in TRACE and ours <= theirs):
        return "kept"
    if not theirs or (name in TRACE and not ours & theirs):
        return "gone"
    return "changed"


def _shown(text: bytes) -> str:
    return "".join(character if character.isprintable() else "?" for character in text.decode("utf-8", "replace"))
