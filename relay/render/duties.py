"""What policies ask of the copy itself. This version knows one duty.

    remove-fields   fields = ["X-Mailer", "X-Internal-*"]

A duty that this version does not know is never passed over: the copy does not
leave.  The fields that carry the message's meaning or its addresses are not
the policy's to remove.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

from relay.errors import RenderingImpossible

REMOVE_FIELDS = "remove-fields"
_KEPT = (
    "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references", "subject", "mime-version",
    "list-unsubscribe", "list-unsubscribe-post", "content-*",
)  # fmt: skip


class Duty(Protocol):
    """A duty as a policy set compiles it."""

    @property
    def id(self) -> str: ...

    @property
    def do(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...


def removed_names(duties: Iterable[Duty], present: Iterable[bytes]) -> frozenset[bytes]:
    """Return which of the names present (lower case) the duties remove.

    Raises RenderingImpossible naming the duty that cannot be carried out.
    """
    names = frozenset(present)
    return frozenset(name for duty in duties for name in names if _removes(duty, name))


def _removes(duty: Duty, name: bytes) -> bool:
    if duty.do != REMOVE_FIELDS:
        raise RenderingImpossible(duty.id, f'this version does not know the duty "{duty.do}"')
    text = name.decode("latin-1")
    if not any(fnmatchcase(text, pattern.lower()) for pattern in duty.parameters["fields"]):
        return False
    if any(fnmatchcase(text, kept) for kept in _KEPT):
        raise RenderingImpossible(duty.id, f"the duty would remove the field {text}, which must stay")
    return True
