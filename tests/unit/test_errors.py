"""What errors.py says of the faults is true."""

import ast
import inspect
import re
from pathlib import Path

from relay.errors import StoreUnavailable
from relay.stores.redis import link as redis_link
from relay.stores.sqlite import file

SOURCES = Path(inspect.getfile(redis_link)).parent.parent.rglob("*.py")


def reasons_in(tree: ast.AST) -> set[str]:
    """The words that stand as the first argument where a StoreUnavailable is made."""
    made = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    first = (call.args[0] for call in made if getattr(call.func, "id", "") == "StoreUnavailable")
    words = (node.value for argument in first for node in ast.walk(argument) if isinstance(node, ast.Constant))
    return {word for word in words if isinstance(word, str)}


def test_every_reason_of_the_store_is_documented_and_every_documented_one_is_used():
    used = {*file._REASONS.values(), *redis_link._FAULTS, *(reason for reason, _ in redis_link._REFUSALS.values())}
    for path in SOURCES:
        used |= reasons_in(ast.parse(path.read_text()))
    sentence = re.search(r"/readyz: ([^.]+)\.", inspect.getdoc(StoreUnavailable) or "")
    assert set(re.split(r",\s+", sentence[1])) == used
