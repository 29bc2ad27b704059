"""What policies ask of the copy itself. This version knows one duty.

    remove-fields   fields = ["X-Mailer", "X-Internal-*"]

A duty that this version does not know is never passed over: the copy does not
leave.  Which fields a message must keep is settled where policies are read
(`relay.policy.model.KEPT_FIELDS`).
"""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from relay.errors import RenderingImpossible
from relay.policy.sets import Duty

REMOVE_FIELDS = "remove-fields"


def removed_names(duties: Iterable[Duty], present: Iterable[bytes]) -> frozenset[bytes]:
    """Return which of the names present (lower case) the duties remove.

    Raises RenderingImpossible naming the duty that cannot be carried out.
    """
    names = frozenset(present)
    return frozenset(name for duty in duties for name in names if _removes(duty, name))


def _removes(duty: Duty, name: bytes) -> bool:
    if duty.do != REMOVE_FIELDS:
        raise RenderingImpossible(duty.name, f'this version does not know the duty "{duty.do}"')
    return _any_of(duty.fields).match(name.decode("latin-1")) is not None


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")
